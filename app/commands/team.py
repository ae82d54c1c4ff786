"""Let people into an account, change what they may do, take them out.

All three lock the account first, so that two owners who demote each other take turns and one of them stays an owner. An
invitation is a membership of a person without an identity; their first sign-in with that address, verified by the identity
provider, gives them one (app.commands.accounts.sign_in).
"""

from datetime import datetime

from psycopg.rows import DictRow

from app.db import Conn, count, maybe, one
from app.domain.errors import AlreadyExists, Conflict, NotPermitted
from app.domain.team import Role
from app.reads.team import get_member
from sql import queries

MEMBERS_MAX = 200


def add_member(conn: Conn, *, account_id: int, email: str, role: Role, now: datetime) -> DictRow:
    """Let whoever has this address in, and return the member. `email` is a valid address.

    Raises NotPermitted for a demo account, AlreadyExists, Conflict for a full team.
    """
    _lock_account(conn, account_id=account_id)
    if one(conn, queries.team.count_members, account_id=account_id)["members"] >= MEMBERS_MAX:
        raise Conflict(f"A team has at most {MEMBERS_MAX} people. Remove somebody first.", code="team_full")
    # Of several people whom this address belonged to in turn, the last one: the others no longer sign in with it.
    known = maybe(conn, queries.team.find_user_by_email, email=email)
    user = known or one(conn, queries.team.invite_user, email=email, now=now)
    ids = {"account_id": account_id, "user_id": user["user_id"]}
    if count(conn, queries.team.insert_member, role=role, now=now, **ids) == 0:
        raise AlreadyExists(f"{email} is in your team already.", code="already_member")
    return get_member(conn, **ids)


def set_role(conn: Conn, *, account_id: int, user_id: int, role: Role) -> DictRow:
    """Raises NotPermitted for a demo account, NotFound, Conflict for the last owner."""
    _lock_account(conn, account_id=account_id)
    member = get_member(conn, account_id=account_id, user_id=user_id)
    if role != "owner":
        _require_other_owner(conn, member, account_id=account_id)
    count(conn, queries.team.set_role, account_id=account_id, user_id=user_id, role=role)
    return get_member(conn, account_id=account_id, user_id=user_id)


def remove_member(conn: Conn, *, account_id: int, user_id: int) -> None:
    """Take a person out; their sessions in this account end with it. API keys are the account's and stay.

    Raises NotPermitted for a demo account, NotFound, Conflict for the last owner.
    """
    _lock_account(conn, account_id=account_id)
    member = get_member(conn, account_id=account_id, user_id=user_id)
    _require_other_owner(conn, member, account_id=account_id)
    count(conn, queries.team.delete_member, account_id=account_id, user_id=user_id)
    count(conn, queries.team.forget_invited, user_id=user_id)


def _lock_account(conn: Conn, *, account_id: int) -> None:
    if one(conn, queries.senders.lock_account, account_id=account_id)["is_demo"]:
        raise NotPermitted("A demo account has no team.", code="demo_not_allowed")


def _require_other_owner(conn: Conn, member: DictRow, *, account_id: int) -> None:
    if member["role"] != "owner":
        return
    if not one(conn, queries.team.has_other_owner, account_id=account_id, user_id=member["user_id"])["found"]:
        raise Conflict("This is the account's last owner. Make somebody else an owner first.", code="last_owner")
