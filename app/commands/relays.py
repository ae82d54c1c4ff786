"""Keep the SMTP servers that an account hands mail to.

A demo account can have none: refused here with words, and by the CHECK relays_never_for_demo whatever the code does. The
host has to be a public one (app.domain.egress). Passwords are stored sealed and never given out again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from psycopg.rows import DictRow

from app.db import Conn, count, maybe, one
from app.domain.egress import host_fault, port_fault
from app.domain.errors import Conflict, Fault, InvalidInput, NotFound, NotPermitted
from app.secrets import Sealer
from sql import queries

_COLUMNS = ("name", "host", "port", "tls", "username", "is_default", "in_flight")


class RelayChanges(TypedDict):
    name: NotRequired[str]
    host: NotRequired[str]
    port: NotRequired[int]
    tls: NotRequired[str]
    username: NotRequired[str | None]
    password: NotRequired[str | None]
    is_default: NotRequired[bool]
    in_flight: NotRequired[int]


@dataclass(frozen=True, slots=True)
class RelayRules:
    """What this installation allows, and how it seals passwords."""

    sealer: Sealer
    allow_private: bool


def create(conn: Conn, *, account_id: int, changes: RelayChanges, rules: RelayRules, now: datetime) -> DictRow:
    """Raises NotPermitted for a demo account, InvalidInput for a host or port that is not allowed."""
    _lock_account(conn, account_id=account_id)
    columns = {"username": None, "is_default": False, "in_flight": 1} | _pick(changes)
    _check(columns, has_password=bool(changes.get("password")), rules=rules)
    if columns["is_default"]:
        count(conn, queries.relays.clear_default, account_id=account_id, now=now)
    relay_id: int = one(conn, queries.relays.insert_relay, account_id=account_id, now=now, **columns)["relay_id"]
    if changes.get("password"):
        _set_password(conn, changes["password"], account_id=account_id, relay_id=relay_id, rules=rules)
    return _get(conn, account_id=account_id, relay_id=relay_id)


def update(
    conn: Conn, *, account_id: int, relay_id: int, changes: RelayChanges, rules: RelayRules, now: datetime
) -> DictRow:
    """Change a relay; a paused one may go again. A password that is absent stays, null takes it away.

    Raises NotFound, NotPermitted, InvalidInput. Another host or user name needs the password again: otherwise who may
    edit a relay could have a stored password sent to a server of their own.
    """
    _lock_account(conn, account_id=account_id)
    row = _get(conn, account_id=account_id, relay_id=relay_id)
    columns = {name: row[name] for name in _COLUMNS} | _pick(changes)
    has_password = bool(changes["password"]) if "password" in changes else row["has_password"]
    _check(columns, has_password=has_password, rules=rules)
    moved = any(columns[name] != row[name] for name in ("host", "port", "tls", "username"))
    if moved and row["has_password"] and "password" not in changes:
        detail = "The server or user name changes, so give the password again, or null for none."
        raise InvalidInput(detail, [Fault("/password", detail, "missing")])
    if columns["is_default"] and not row["is_default"]:
        count(conn, queries.relays.clear_default, account_id=account_id, now=now)
    count(conn, queries.relays.update_relay, account_id=account_id, relay_id=relay_id, now=now, **columns)
    if "password" in changes:
        _set_password(conn, changes["password"], account_id=account_id, relay_id=relay_id, rules=rules)
    return _get(conn, account_id=account_id, relay_id=relay_id)


def delete(conn: Conn, *, account_id: int, relay_id: int) -> None:
    """Raises NotFound, Conflict while senders use it."""
    _get(conn, account_id=account_id, relay_id=relay_id)
    if one(conn, queries.relays.count_senders, account_id=account_id, relay_id=relay_id)["senders"]:
        raise Conflict("Senders hand their mail to this relay: choose another one for them first.", code="in_use")
    count(conn, queries.relays.delete_relay, account_id=account_id, relay_id=relay_id)


def _lock_account(conn: Conn, *, account_id: int) -> None:
    if one(conn, queries.senders.lock_account, account_id=account_id)["is_demo"]:
        raise NotPermitted(
            "A demo account sends to the sandbox only, so it cannot have a relay.", code="demo_not_allowed"
        )


def _get(conn: Conn, *, account_id: int, relay_id: int) -> DictRow:
    row = maybe(conn, queries.relays.get_relay, account_id=account_id, relay_id=relay_id)
    if row is None:
        raise NotFound("There is no relay with this id.")
    return row


def _pick(changes: RelayChanges) -> dict[str, Any]:
    return {name: changes[name] for name in _COLUMNS if name in changes}  # type: ignore[literal-required]


def _check(columns: Mapping[str, Any], *, has_password: bool, rules: RelayRules) -> None:
    """Refuse what could not work, or would reach where it must not."""
    found = (
        ("/host", host_fault(columns["host"], allow_private=rules.allow_private)),
        ("/port", port_fault(columns["port"], allow_private=rules.allow_private)),
        ("/username", "A password needs a user name." if has_password and not columns["username"] else None),
        (
            "/tls",
            "A password is never sent unencrypted: choose starttls or implicit."
            if has_password and columns["tls"] == "none" and not rules.allow_private
            else None,
        ),
    )
    faults = [Fault(pointer, detail) for pointer, detail in found if detail is not None]
    if faults:
        raise InvalidInput("This relay cannot be used.", faults)


def _set_password(conn: Conn, password: str | None, *, account_id: int, relay_id: int, rules: RelayRules) -> None:
    sealed = rules.sealer.seal_password(password, account_id=account_id, relay_id=relay_id) if password else None
    count(conn, queries.relays.set_password, account_id=account_id, relay_id=relay_id, password_sealed=sealed)
