"""`sql/schema.sql` is what people read first, so it is what the migrations make."""

from pathlib import Path

import sql
from app.schema_file import dump


def test_schema_sql_is_what_all_migrations_make(database_url: str) -> None:
    written = Path(sql.FOLDER / "schema.sql").read_text(encoding="utf-8")
    assert written == dump(database_url), "run `make schema`"
