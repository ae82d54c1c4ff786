"""Who is calling, where, and what they may do."""

from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import BaseModel

from app.api.context import caller, etag_json, reading, requires, run_command, services
from app.api.fields import PublicId
from app.api.inputs import Input
from app.auth.sessions import move_session
from app.clock import utc_now
from app.db import Conn
from app.domain.errors import NotFound, NotPermitted
from app.domain.team import SCOPES_OF, Role
from app.reads.accounts import get_account, get_user
from app.reads.team import list_accounts

blueprint = APIBlueprint("me", __name__, url_prefix="/api/v1", tag="Account")


class UserOutput(BaseModel):
    id: str
    email: str | None
    name: str
    picture_url: str | None
    is_admin: bool
    created_at: datetime


class AccountOutput(BaseModel):
    id: str
    name: str
    demo: bool
    transport: str
    created_at: datetime


class AccountChoiceOutput(BaseModel):
    id: str
    name: str
    role: Role
    current: bool


class MeOutput(BaseModel):
    """`user` and `role` are null for an API key, and `accounts` is empty."""

    user: UserOutput | None
    account: AccountOutput
    role: Role | None
    accounts: list[AccountChoiceOutput]
    permissions: list[str]
    scopes: list[str]
    demo: bool


class AccountChoiceInput(Input):
    account_id: PublicId


@blueprint.get("/me")
@requires("read")
@blueprint.output(MeOutput)
def get_me() -> Response:
    """The caller's user, account and permissions"""
    who = caller()
    with reading() as conn:
        return etag_json(_shape_me(conn, account_id=who.account_id))


@blueprint.post("/me/account")
@requires("read")
@blueprint.input(AccountChoiceInput)
@blueprint.output(MeOutput)
def choose_account(json_data: AccountChoiceInput) -> Response:
    """Have this session act in another account of its user"""
    if caller().user_id is None:
        raise NotPermitted(
            "An API key belongs to one account. Sign in to change between accounts.", code="key_is_bound"
        )
    number, now = services().ids.decode("account", json_data.account_id), utc_now()

    def choose(conn: Conn) -> dict[str, Any]:
        if number is None or not move_session(conn, request, account_id=number, now=now):
            raise NotFound("You are not a member of an account with this id.")
        return _shape_me(conn, account_id=number)

    return run_command(choose)


def _shape_me(conn: Conn, *, account_id: int) -> dict[str, Any]:
    """The caller as they are in this account, which a session may just have entered."""
    who = caller()
    user = get_user(conn, user_id=who.user_id) if who.user_id is not None else None
    rows = list_accounts(conn, user_id=who.user_id) if who.user_id is not None else []
    role = next((row["role"] for row in rows if row["account_id"] == account_id), None)
    account = get_account(conn, account_id=account_id)
    scopes = sorted(who.scopes if role is None else SCOPES_OF[role])
    return {
        "user": shape_user(user) if user else None,
        "account": shape_account(account),
        "role": role,
        "accounts": [
            {
                "id": services().ids.encode("account", row["account_id"]),
                "name": row["name"],
                "role": row["role"],
                "current": row["account_id"] == account_id,
            }
            for row in rows
        ],
        "permissions": scopes,
        "scopes": scopes,
        "demo": account["is_demo"],
    }


def shape_user(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("user", row["user_id"]),
        "email": row["email"],
        "name": row["name"],
        "picture_url": row["picture_url"],
        "is_admin": row["is_admin"],
        "created_at": row["created_at"],
    }


def shape_account(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("account", row["account_id"]),
        "name": row["name"],
        "demo": row["is_demo"],
        "transport": row["transport"],
        "created_at": row["created_at"],
    }
