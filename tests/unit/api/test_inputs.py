"""What a field takes, and how a fault is placed."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from app.api.fields import Address, AwareDatetime, BodyText, HeaderText, Scalar
from app.api.inputs import Input, find_nul, validate
from app.domain.errors import InvalidInput


class Inner(Input):
    name: str


class Outer(Input):
    items: list[Inner]


@pytest.mark.parametrize(
    "text",
    ["2030-01-31T09:00:00", "2030-01-31", "1700000000", "2101-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00",
     "0001-01-01T00:00:00+14:00", "tomorrow", "", 1700000000, 1e300, True, None, "2030-02-30T00:00:00Z"],
)  # fmt: skip
def test_row_31_a_time_needs_a_zone_and_a_year_up_to_2100(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AwareDatetime).validate_python(text)


def test_a_time_comes_back_in_utc() -> None:
    found = TypeAdapter(AwareDatetime).validate_python("2030-01-31T10:00:00+01:00")
    assert found == datetime(2030, 1, 31, 9, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("character", ["\r", "\n", "\x00", "\x1b", "\x85", "\u2028", "\u2029", "\x7f"])
def test_header_text_takes_no_control_character(character: str) -> None:
    with pytest.raises(ValidationError, match="control characters"):
        TypeAdapter(HeaderText).validate_python(f"Hello{character}Bcc: x@example.test")


def test_header_text_takes_any_other_language() -> None:
    assert TypeAdapter(HeaderText).validate_python("Grüße 你好 👋🏽 مرحبا") == "Grüße 你好 👋🏽 مرحبا"


@pytest.mark.parametrize("text", ["", "a", "a@", "@b.test", "a@b.test\r\nBcc: c@d.test", "a b@c.test", "a@b..test"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Address).validate_python(text)


def test_a_body_is_measured_in_bytes() -> None:
    with pytest.raises(ValidationError, match="512 KiB"):
        TypeAdapter(BodyText).validate_python("€" * 200_000)


def test_a_fault_has_a_json_pointer() -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(Outer, {"items": [{"name": "x"}, {"name": 3, "a/b~c": 1}]})
    assert {(fault.pointer, fault.code) for fault in caught.value.faults} == {
        ("/items/1/name", "string_type"), ("/items/1/a~1b~0c", "unknown_field"),
    }  # fmt: skip


class Values(Input):
    values: dict[str, Scalar]


@pytest.mark.parametrize("value", [{"y": 1}, ["y"], [], {}], ids=str)
def test_a_merge_value_that_is_no_single_value_is_one_fault_at_its_place(value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(Values, {"values": {"good": 1, "bad": value}})
    assert [(fault.pointer, fault.detail) for fault in caught.value.faults] == [
        ("/values/bad", "must be text, a number, true, false or null")
    ]


@pytest.mark.parametrize("value", ["x", "", 1, -1.5, True, False, None, 2**60], ids=str)
def test_a_merge_value_keeps_its_kind(value: object) -> None:
    kept = validate(Values, {"values": {"x": value}}).values["x"]
    assert (kept, type(kept)) == (value, type(value))


def test_nul_is_found_wherever_it_is() -> None:
    data = {"a": ["x", {"b": "\x00"}], "c\x00": 1}
    assert sorted(find_nul(data)) == ["", "/a/1/b"]


def test_deeply_nested_data_is_searched_without_recursion() -> None:
    data: object = "\x00"
    for _ in range(100_000):
        data = [data]
    assert len(list(find_nul(data))) == 1
