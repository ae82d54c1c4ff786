"""Templates as their pages show them."""

from psycopg.rows import DictRow

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries


def get_template(conn: Conn, *, account_id: int, template_id: int) -> DictRow:
    """Raises NotFound."""
    row = maybe(conn, queries.templates.get_template, account_id=account_id, template_id=template_id)
    if row is None:
        raise NotFound("There is no template with this id.")
    return row


def list_templates(
    conn: Conn, *, account_id: int, q: str | None, after_id: int | None, row_limit: int
) -> list[DictRow]:
    return many(
        conn, queries.templates.list_templates, account_id=account_id, q=q, after_id=after_id, row_limit=row_limit
    )
