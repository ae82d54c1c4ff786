"""Keyset pages: `?limit=1..200&cursor=…` in, `{"data": […], "next_cursor": …}` out. Newest first by id.

A read fetches one row more than the page holds, so that "is there more?" costs no count:

    page = read_page(query_data)                       # a PageQuery, or request.args
    rows = many(conn, queries.things.list_things, account_id=…, after_id=page.after_id, fetch_limit=page.limit + 1)
    return page_json(rows, page, shape)

and its SQL says `WHERE (%(after_id)s::bigint IS NULL OR thing_id < %(after_id)s) ORDER BY thing_id DESC LIMIT %(fetch_limit)s`.
The cursor is the id of the page's last row, sealed like a public id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from app.api.context import services
from app.api.inputs import Input
from app.domain.errors import Fault, InvalidInput

LIMIT_MAX = 200
LIMIT_DEFAULT = 50


class PageQuery(Input):
    """The query parameters of every list. Lists with filters inherit from it."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many to return.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")


@dataclass(frozen=True, slots=True)
class Page:
    limit: int  #: rows to show; fetch one more
    after_id: int | None  #: show what comes after this id; None for the first page


def read_page(args: PageQuery | Mapping[str, str]) -> Page:
    """Read the page that is asked for. Raises InvalidInput for a limit or cursor that we did not make."""
    if isinstance(args, PageQuery):
        return Page(args.limit, read_cursor(args.cursor))
    text = args.get("limit", str(LIMIT_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= LIMIT_MAX):
        detail = f"must be a whole number from 1 to {LIMIT_MAX}"
        raise InvalidInput(f"The query parameter limit {detail}.", [Fault("?limit", detail, "out_of_range")])
    return Page(int(text), read_cursor(args.get("cursor")))


def read_cursor(text: str | None) -> int | None:
    if text is None:
        return None
    number = services().ids.decode("cursor", text)
    if number is None:
        detail = "is not a cursor of this installation: use next_cursor of the page before, or leave it out"
        raise InvalidInput(f"The query parameter cursor {detail}.", [Fault("?cursor", detail, "bad_cursor")])
    return number


def page_json(
    rows: Sequence[Mapping[str, Any]], page: Page, shape: Callable[[Any], dict[str, Any]], *, key: str | None = None
) -> dict[str, Any]:
    """The page's JSON. `rows` hold up to page.limit + 1; `key` names the id column, the rows' first one by default."""
    shown = rows[: page.limit]
    next_cursor = None
    if len(rows) > page.limit:
        last = shown[-1]
        next_cursor = services().ids.encode("cursor", last[key or next(iter(last))])
    return {"data": [shape(row) for row in shown], "next_cursor": next_cursor}
