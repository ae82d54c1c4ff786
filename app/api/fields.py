"""Field types that several nouns share. Each refuses with a sentence that says what to change."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from app.content.addresses import BadAddress, check_address

SUBJECT_LENGTH_MAX = 998  # RFC 5322 § 2.1.1: no line may be longer
HTML_SIZE_MAX = 512 * 1024  # bytes of UTF-8
YEAR_MAX = 2100
#: Control characters and line and paragraph separators: Unicode's categories Cc, Zl and Zp.
_NOT_IN_HEADER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DATE_TIME = re.compile(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
_INSTANT_LENGTH_MAX = 40
_INSTANTS_MAX = 1024
_instants: dict[str, datetime] = {}


def _read_instant(value: Any, parse: ValidatorFunctionWrapHandler) -> datetime:
    """Numbers are not times: a Unix timestamp in the wrong unit would be accepted and lie.

    The messages of a batch mostly name one time, so what was read is kept.
    """
    known = _instants.get(value) if isinstance(value, str) else None
    if known is not None:
        return known
    if not (isinstance(value, datetime) or (isinstance(value, str) and _DATE_TIME.match(value))):
        raise ValueError("must be an RFC 3339 date and time with a zone, like 2030-01-31T09:00:00Z")
    instant = _require_zone(parse(value))
    if isinstance(value, str) and len(value) <= _INSTANT_LENGTH_MAX:
        if len(_instants) >= _INSTANTS_MAX:
            _instants.clear()
        _instants[value] = instant
    return instant


def _require_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs a zone: end it with Z or an offset like +01:00")
    if value.year > YEAR_MAX:
        raise ValueError(f"must not be later than the year {YEAR_MAX}")
    if value.year < 2:  # an offset could take it before the first year there is
        raise ValueError("must not be earlier than the year 2")
    return value.astimezone(UTC)


def _require_header_text(value: str) -> str:
    found = None if value.isprintable() else _NOT_IN_HEADER.search(value)  # what is printable holds none of them
    if found is not None:
        raise ValueError(f"must be one line without control characters, but holds U+{ord(found[0]):04X}")
    return value


def _require_encodable(value: str) -> str:
    is_surely_small = len(value) * 4 <= HTML_SIZE_MAX  # a character has at most four octets
    if not is_surely_small and len(value.encode("utf-8", "surrogatepass")) > HTML_SIZE_MAX:
        raise ValueError(f"must not be larger than {HTML_SIZE_MAX // 1024} KiB")
    return value


def _require_scalar(value: Any) -> Any:
    """Before the union is tried: its arms would each report a fault of their own."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError("must be text, a number, true, false or null")


def _require_address(value: str) -> str:
    found = check_address(value)
    if isinstance(found, BadAddress):
        raise ValueError(str(found))
    return found


#: An instant, in UTC, up to the year 2100.
AwareDatetime = Annotated[
    datetime,
    WrapValidator(_read_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T09:00:00Z"]}),
]
#: Text that will stand in a header: one line, no CR, LF, NUL or other control characters.
HeaderText = Annotated[str, AfterValidator(_require_header_text)]
Subject = Annotated[HeaderText, Field(max_length=SUBJECT_LENGTH_MAX)]
#: An HTML or text body, at most 512 KiB as UTF-8.
BodyText = Annotated[str, Field(max_length=HTML_SIZE_MAX), AfterValidator(_require_encodable)]
#: An e-mail address, in its normal form.
Address = Annotated[
    str,
    Field(max_length=320),
    AfterValidator(_require_address),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 320}),
]
#: A merge value.
Scalar = Annotated[str | int | float | bool | None, BeforeValidator(_require_scalar)]
#: The name of a thing: 1 to 200 characters, one line.
Name = Annotated[HeaderText, Field(min_length=1, max_length=200)]
#: An id that we gave out. Whether it is one, and of this account, is found out on use: else 404 or 422.
PublicId = Annotated[str, Field(min_length=5, max_length=40)]
