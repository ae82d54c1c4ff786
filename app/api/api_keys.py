"""API keys: the secret is in the first answer to the POST and nowhere else."""

from datetime import datetime
from typing import Any, Literal

import orjson
from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services, to_json
from app.api.fields import AwareDatetime, Name
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import api_keys as commands
from app.db import Conn
from app.reads import api_keys as reads

blueprint = APIBlueprint("api_keys", __name__, url_prefix="/api/v1", tag="API keys")

Scope = Literal["read", "send", "admin"]


class ApiKeyInput(Input):
    name: Name
    scopes: list[Scope] = Field(min_length=1, max_length=3, description="What the key may do.")
    expires_at: AwareDatetime | None = Field(None, description="Never, when absent.")


class ApiKeyOutput(BaseModel):
    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class NewApiKeyOutput(ApiKeyOutput):
    secret: str | None = Field(description="Shown once: null when the answer is repeated for an Idempotency-Key.")


class ApiKeyPageOutput(BaseModel):
    data: list[ApiKeyOutput]
    next_cursor: str | None


@blueprint.get("/api-keys")
@requires("admin")
@blueprint.input(PageQuery, location="query")
@blueprint.output(ApiKeyPageOutput)
def list_api_keys(query_data: PageQuery) -> Response:
    """Live API keys, newest first"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_api_keys(conn, account_id=caller().account_id, after_id=page.after_id, limit=page.limit + 1)
    return etag_json(page_json(rows, page, _shape))


@blueprint.post("/api-keys")
@requires("admin")
@blueprint.input(ApiKeyInput)
@blueprint.output(NewApiKeyOutput, 201)
def create_api_key(json_data: ApiKeyInput) -> Response:
    """Make an API key; its secret is shown once"""
    account_id, now = caller().account_id, utc_now()
    made: list[str] = []

    def create(conn: Conn) -> dict[str, Any]:
        key = commands.create_api_key(
            conn,
            account_id=account_id,
            name=json_data.name,
            scopes=json_data.scopes,
            expires_at=json_data.expires_at,
            now=now,
        )
        made.append(key.secret)
        return {**_shape(key.row), "secret": None}

    answer = run_command(create, status=201)
    if made:  # added here, so that the record of an Idempotency-Key does not hold the secret
        answer.set_data(to_json({**orjson.loads(answer.get_data()), "secret": made[0]}))
    return answer


@blueprint.delete("/api-keys/<api_key_id>")
@requires("admin")
@blueprint.output({}, 204)
def revoke_api_key(api_key_id: str) -> Response:
    """Revoke an API key; it works at once"""
    account_id, number, now = caller().account_id, parse_id("api_key", api_key_id), utc_now()
    return run_command(
        lambda conn: commands.revoke_api_key(conn, account_id=account_id, api_key_id=number, now=now), status=204
    )


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("api_key", row["api_key_id"]),
        "name": row["name"],
        "prefix": row["prefix"],
        "scopes": row["scopes"],
        "created_at": row["created_at"],
        "last_used_at": row["last_used_at"],
        "expires_at": row["expires_at"],
    }
