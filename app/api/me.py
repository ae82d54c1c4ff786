"""Who is calling, where, and what they may do."""

from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel

from app.api.context import caller, etag_json, reading, requires, services
from app.reads.accounts import get_account, get_user

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


class MeOutput(BaseModel):
    """`user` is null for an API key."""

    user: UserOutput | None
    account: AccountOutput
    permissions: list[str]
    scopes: list[str]
    demo: bool


@blueprint.get("/me")
@requires("read")
@blueprint.output(MeOutput)
def get_me() -> Response:
    """The caller's user, account and permissions"""
    who = caller()
    with reading() as conn:
        account = get_account(conn, account_id=who.account_id)
        user = get_user(conn, user_id=who.user_id) if who.user_id is not None else None
    scopes = sorted(who.scopes)
    return etag_json(
        {
            "user": shape_user(user) if user else None,
            "account": shape_account(account),
            "permissions": scopes,
            "scopes": scopes,
            "demo": who.is_demo,
        }
    )


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
