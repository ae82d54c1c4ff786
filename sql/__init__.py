"""The SQL of Mailtide, and the only code that loads it.

    from sql import queries
    queries.campaigns.launch        # a Query: name, arity, text

A file `queries/<noun>.sql` holds named queries. Each begins with a header:

    -- name: launch :maybe
    -- One sentence.  Writes …

Arity says what comes back: `:one` a row, `:maybe` a row or nothing, `:many` rows, `:count` the number of rows touched.
Comments are stripped; a tag /* campaigns.launch */ goes with the statement, so that pg_stat_activity names it.
Placeholders are psycopg's %(name)s. A test prepares every query against the real schema.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

FOLDER = Path(__file__).parent
Arity = Literal["one", "maybe", "many", "count"]
_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*) :(?P<arity>[a-z]+)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$|\s--\s.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One statement. `text` is bytes, which psycopg takes as trusted SQL."""

    name: str
    arity: Arity
    text: bytes


class Noun:
    """The queries of one file, as attributes."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._queries = {query.name: query for query in _parse(noun)}

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(f"sql/queries/{self._noun}.sql has no query named {name!r}") from None

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())


class Queries:
    """All files of `queries/`, loaded when first named."""

    def __getattr__(self, noun: str) -> Noun:
        if noun.startswith("_") or not (FOLDER / "queries" / f"{noun}.sql").is_file():
            raise AttributeError(f"there is no sql/queries/{noun}.sql")
        loaded = Noun(noun)
        setattr(self, noun, loaded)
        return loaded

    def __iter__(self) -> Iterator[tuple[str, Noun]]:
        for path in sorted((FOLDER / "queries").glob("*.sql")):
            yield path.stem, getattr(self, path.stem)


def _parse(noun: str) -> Iterator[Query]:
    source = (FOLDER / "queries" / f"{noun}.sql").read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(source))
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        body = source[header.end() : following.start() if following else len(source)]
        statement = _COMMENT.sub("", body).strip().rstrip(";")
        arity = header["arity"]
        if arity not in get_args(Arity):
            raise ValueError(f"sql/queries/{noun}.sql: {header['name']} has the unknown arity {arity!r}")
        tagged = f"/* {noun}.{header['name']} */ {re.sub(chr(10) + '{2,}', chr(10), statement)}"
        yield Query(header["name"], arity, tagged.encode())  # type: ignore[arg-type]


queries = Queries()
