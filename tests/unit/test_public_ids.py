"""Public ids: one for each bigint, for ever the same, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.public_ids import PREFIXES, PublicIds

IDS = PublicIds(bytes(16))
VECTORS = [
    (0, "msg_24fB4yUk4yiXbXpU1sOJFI"),
    (1, "msg_5FzAkkMtPaiYpGDDRcYWr5"),
    (9223372036854775807, "msg_6rLbiZ1d6BCcBvcLCLN4Qg"),
]
NUMBERS = st.integers(0, 2**63 - 1)


@given(number=NUMBERS, kind=st.sampled_from(sorted(PREFIXES)))
def test_an_id_is_read_back_as_its_number_and_as_no_other_kind(number: int, kind) -> None:
    text = IDS.encode(kind, number)
    prefix, _, digits = text.partition("_")
    assert (prefix, len(digits), digits.isalnum(), digits.isascii()) == (PREFIXES[kind], 22, True, True)
    assert IDS.decode(kind, text) == number
    assert [other for other in PREFIXES if IDS.decode(other, f"{PREFIXES[other]}_{digits}") is not None] == [kind]


@given(numbers=st.lists(NUMBERS, max_size=20))
def test_many_ids_are_those_that_each_number_has_alone(numbers: list[int]) -> None:
    assert IDS.encode_many("message", numbers) == [IDS.encode("message", number) for number in numbers]


@pytest.mark.parametrize(("number", "text"), VECTORS)
def test_an_id_that_was_given_out_stays_valid(number: int, text: str) -> None:
    """Clients keep ids: these were made on 2026-11-29, and every later version must say and read the same."""
    assert IDS.encode("message", number) == text
    assert IDS.decode("message", text) == number
