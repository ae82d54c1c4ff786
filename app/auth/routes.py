"""Signing in and out. Outside of /api/v1: what a browser does, and the demo's one call."""

import math
from typing import Any

from apiflask import APIBlueprint
from flask import Response, current_app, request
from flask.blueprints import BlueprintSetupState
from pydantic import BaseModel

from app.api.context import json_response, services
from app.api.me import AccountOutput, UserOutput, shape_account, shape_user
from app.auth import google
from app.auth.sessions import begin_session, clear_cookie, end_session, load_caller, set_cookie
from app.auth.sessions import init_app as init_sessions
from app.auth.throttle import Throttle
from app.clock import utc_now
from app.commands import demo
from app.commands.accounts import SignIn, sign_in
from app.db import transaction
from app.domain.errors import AppError, LimitReached, NotFound
from app.reads.accounts import get_account, get_user

blueprint = APIBlueprint("auth", __name__, url_prefix="/auth", tag="Sign-in")

SIGN_IN_PAGE = "/sign-in"
_demo_throttle = Throttle(burst=30, every_s=2.0)
_login_throttle = Throttle(burst=60, every_s=1.0)


class OptionsOutput(BaseModel):
    """`signed_in` lets a page ask without being refused: a browser reports each 401 as an error."""

    demo: bool
    google: bool
    signed_in: bool


class SignedInOutput(BaseModel):
    user: UserOutput
    account: AccountOutput


@blueprint.record_once
def _init(state: BlueprintSetupState) -> None:
    app: Any = state.app
    init_sessions(app)
    google.init_app(app, app.extensions["mailtide"].settings)


@blueprint.get("/options")
@blueprint.output(OptionsOutput)
def get_options() -> Response:
    """Which ways to sign in there are, and whether the caller is signed in already"""
    settings = services().settings
    return json_response(
        {
            "demo": settings.demo_mode,
            "google": bool(settings.google_client_id),
            "signed_in": load_caller(request) is not None,
        }
    )


@blueprint.post("/demo")
@blueprint.output(SignedInOutput, 201)
def sign_in_demo() -> Response:
    """Enter a demo account of one's own, filled with sample data; its mail never leaves the sandbox"""
    settings = services().settings
    if not settings.demo_mode:
        raise NotFound("There is no demo here.", code="demo_off")
    _throttle(_demo_throttle)
    now = utc_now()
    with transaction(services().pool) as conn:
        who = demo.enter(conn, settings=settings, now=now)
        session_id = begin_session(conn, request, who, now=now)
        answer = json_response(_shape_signed_in(conn, who), 201)
    set_cookie(answer, session_id)
    return answer


@blueprint.get("/google/login")
@blueprint.output({}, 302)
def begin_google() -> Response:
    """Go to Google, and come back to `next`"""
    client = _google_client()
    _throttle(_login_throttle)
    try:
        return google.begin(client, services().settings, google.clean_next(request.args.get("next")))
    except AppError as error:
        return _explain(error)


@blueprint.get("/google/callback")
@blueprint.output({}, 303)
def finish_google() -> Response:
    """Where Google sends the browser back to"""
    client = _google_client()
    _throttle(_login_throttle)
    settings, now = services().settings, utc_now()
    try:
        identity, next_path = google.finish(client, settings, request.args.get("state", ""))
        with transaction(services().pool) as conn:
            who = sign_in(conn, identity, settings=settings, now=now)
            session_id = begin_session(conn, request, who, now=now)
    except AppError as error:
        return _explain(error)
    answer = Response(status=303, headers={"Location": next_path})
    set_cookie(answer, session_id)
    return answer


@blueprint.post("/logout")
@blueprint.output({}, 204)
def sign_out() -> Response:
    """End the session"""
    with transaction(services().pool) as conn:
        end_session(conn, request)
    answer = Response(status=204)
    clear_cookie(answer)
    return answer


def _google_client() -> Any:
    client = current_app.extensions.get("mailtide_google")
    if client is None:
        raise NotFound("Sign-in with Google is not set up here: GOOGLE_CLIENT_ID is not set.", code="google_off")
    return client


def _throttle(throttle: Throttle) -> None:
    wait_s = throttle.take(request.remote_addr or "")
    if wait_s > 0:
        raise LimitReached("Too many sign-ins from this address. Wait a moment.", retry_after_s=math.ceil(wait_s))


def _explain(error: AppError) -> Response:
    """A browser on its way gets the sign-in page with the reason; any other client the problem itself. Raises `error`."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise error
    return Response(status=303, headers={"Location": f"{SIGN_IN_PAGE}?error={error.error_code}"})


def _shape_signed_in(conn: Any, who: SignIn) -> dict[str, Any]:
    user = get_user(conn, user_id=who.user_id)
    assert user is not None
    return {"user": shape_user(user), "account": shape_account(get_account(conn, account_id=who.account_id))}
