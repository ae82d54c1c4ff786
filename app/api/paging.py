"""Keyset pages: `?limit=1..200&cursor=…` in, `{"data": […], "next_cursor": …}` out. Newest first by id.

A read fetches one row more than the page holds, so that "is there more?" costs no count:

    page = read_page(query_data)                       # a PageQuery, or request.args
    rows = many(conn, queries.things.list_things, account_id=…, after_id=page.after_id, fetch_limit=page.limit + 1)
    return page_json(rows, page, shape)

and its SQL says `WHERE (%(after_id)s::bigint IS NULL OR thing_id < %(after_id)s) ORDER BY thing_id DESC LIMIT %(fetch_limit)s`.
The cursor is the id of the page's last row, sealed like a public id.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
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
        raise _bad_cursor()
    return number


def _bad_cursor() -> InvalidInput:
    detail = "is not a cursor of this list: use next_cursor of the page before, or leave it out"
    return InvalidInput(f"The query parameter cursor {detail}.", [Fault("?cursor", detail, "bad_cursor")])


@dataclass(frozen=True, slots=True)
class SortedAfter:
    """Where a page of a list that is not sorted by id ended."""

    key: str
    after_id: int


def write_sorted_cursor(sort: str, key: str, number: int) -> str:
    """A cursor that says by what the list is sorted, the last row's key, and its sealed id."""
    text = base64.urlsafe_b64encode(orjson.dumps([sort, key])).decode().rstrip("=")
    return f"{services().ids.encode('cursor', number)}.{text}"


def read_sorted_cursor(text: str | None, *, sort: str) -> SortedAfter | None:
    """Raises InvalidInput for a cursor that we did not make, or that belongs to another order."""
    if text is None:
        return None
    sealed, _, rest = text.partition(".")
    try:
        said = orjson.loads(base64.urlsafe_b64decode(rest + "=" * (-len(rest) % 4)))
    except ValueError:
        said = None
    number = services().ids.decode("cursor", sealed)
    if number is None or not isinstance(said, list) or len(said) != 2 or said[0] != sort or not _is_text(said[1]):
        raise _bad_cursor()
    return SortedAfter(said[1], number)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def page_json(
    rows: Sequence[Mapping[str, Any]], page: Page, shape: Callable[[Any], dict[str, Any]], *, key: str | None = None,
    sort: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The page's JSON. `rows` hold up to page.limit + 1; `key` names the id column, the rows' first one by default.

    sort  for a list in another order than by id: its name; the rows have a `sort_key` then.
    """
    shown = rows[: page.limit]
    next_cursor = None
    if len(rows) > page.limit:
        last = shown[-1]
        number = last[key or next(iter(last))]
        next_cursor = (
            services().ids.encode("cursor", number)
            if sort is None
            else write_sorted_cursor(sort, last["sort_key"], number)
        )
    return {"data": [shape(row) for row in shown], "next_cursor": next_cursor}
