"""Tokens of unsubscribe links: only ours are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.links import read_unsubscribe, sign_unsubscribe

KEY = bytes(range(32))
IDS = st.integers(min_value=0, max_value=2**63 - 1)


@given(account_id=IDS, message_id=IDS)
def test_a_token_names_the_message_it_was_made_for(account_id: int, message_id: int) -> None:
    token = sign_unsubscribe(KEY, account_id=account_id, message_id=message_id)
    assert read_unsubscribe(KEY, token) == (account_id, message_id)
    assert len(token) == 43
    assert token.replace("-", "a").replace("_", "a").isalnum()


@given(account_id=IDS, message_id=IDS, at=st.integers(0, 42), to=st.sampled_from("AZaz09-_"))
def test_row_43_a_token_with_one_other_character_is_not_read(
    account_id: int, message_id: int, at: int, to: str
) -> None:
    token = sign_unsubscribe(KEY, account_id=account_id, message_id=message_id)
    forged = token[:at] + to + token[at + 1 :]
    assert read_unsubscribe(KEY, forged) == ((account_id, message_id) if forged == token else None)


def test_a_token_of_another_installation_is_not_read() -> None:
    assert read_unsubscribe(bytes(32), sign_unsubscribe(KEY, account_id=1, message_id=2)) is None


@pytest.mark.parametrize("token", ["", "x", "=" * 43, "é" * 43, "\x00" * 43, "A" * 43, "A" * 10_000, "+/" * 21 + "A"])
def test_a_malformed_token_is_not_read(token: str) -> None:
    assert read_unsubscribe(KEY, token) is None


@given(st.text(max_size=60))
def test_any_text_is_answered_without_an_error(token: str) -> None:
    assert read_unsubscribe(KEY, token) is None
