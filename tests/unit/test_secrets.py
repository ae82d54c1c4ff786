"""Relay passwords at rest."""

import pytest

from app.secrets import CannotOpen, Sealer

SEALER = Sealer("a secret key of this installation, long enough")


def test_what_was_sealed_opens_again() -> None:
    sealed = SEALER.seal_password("pässwörd", account_id=1, relay_id=2)
    assert SEALER.open_password(sealed, account_id=1, relay_id=2) == "pässwörd"
    assert b"ssw" not in sealed


def test_the_same_password_is_sealed_differently_each_time() -> None:
    assert SEALER.seal_password("x", account_id=1, relay_id=2) != SEALER.seal_password("x", account_id=1, relay_id=2)


@pytest.mark.parametrize("row", [{"account_id": 2, "relay_id": 2}, {"account_id": 1, "relay_id": 3}])
def test_a_sealed_password_does_not_open_in_another_row(row: dict[str, int]) -> None:
    sealed = SEALER.seal_password("secret", account_id=1, relay_id=2)
    with pytest.raises(CannotOpen):
        SEALER.open_password(sealed, **row)


def test_another_key_or_a_changed_value_does_not_open() -> None:
    sealed = SEALER.seal_password("secret", account_id=1, relay_id=2)
    with pytest.raises(CannotOpen):
        Sealer("another secret key of another installation").open_password(sealed, account_id=1, relay_id=2)
    for broken in (b"", b"\x01", sealed[:-1], b"\x02" + sealed[1:], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(CannotOpen):
            SEALER.open_password(broken, account_id=1, relay_id=2)
