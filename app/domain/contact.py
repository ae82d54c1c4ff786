"""What a contact may hold: names, kinds and sizes of its attributes. Shared by the API and the CSV import."""

import re
from collections.abc import Mapping

from app.domain.errors import Fault

ATTRIBUTES_COUNT_MAX = 64
ATTRIBUTES_SIZE_MAX = 32 * 1024  # bytes of UTF-8, names and values together

ATTRIBUTE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

Attributes = dict[str, str]


def is_attribute_name(text: str) -> bool:
    """Whether `{{ text }}` is a merge tag that a template can name. `email` is the address itself, so it is taken."""
    return ATTRIBUTE_NAME.fullmatch(text) is not None and text != "email"


def clean_attributes(given: Mapping[str, str | int | float | bool | None]) -> tuple[Attributes, list[Fault]]:
    """Bring attributes to the form that is stored: text by name. A null or empty value is left out.

    Returns the attributes and the faults, pointers below /attributes. With faults the attributes mean nothing.
    """
    if len(given) > ATTRIBUTES_COUNT_MAX:
        return {}, [Fault("/attributes", f"A contact has at most {ATTRIBUTES_COUNT_MAX} attributes.", "too_many")]
    faults = [
        Fault(f"/attributes/{_escape(name)}", "A name has letters, digits and _, and is not 'email'.", "invalid_name")
        for name in given
        if not is_attribute_name(name)
    ]
    attributes = {name: _to_text(value) for name, value in given.items() if value is not None and value != ""}
    faults += [
        Fault(f"/attributes/{_escape(name)}", "The value holds a NUL or half a character.", "invalid_text")
        for name, value in attributes.items()
        if not is_storable(value)
    ]
    if not faults and attributes_size_bytes(attributes) > ATTRIBUTES_SIZE_MAX:
        faults.append(Fault("/attributes", "All attributes together are over 32 KiB.", "too_large"))
    return attributes, faults


def attributes_size_bytes(attributes: Attributes) -> int:
    return sum(len(name) + len(value.encode()) for name, value in attributes.items())


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep it: no NUL, no lone surrogate (which JSON can spell and UTF-8 cannot)."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _to_text(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _escape(name: str) -> str:
    """One step of a JSON pointer (RFC 6901 § 3)."""
    return name.encode("utf-8", "replace").decode()[:80].replace("~", "~0").replace("/", "~1")
