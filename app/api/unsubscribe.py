"""The unsubscribe link of every campaign's messages. Public: no key, no cookie; the token is the permission.

GET shows a page with a button and changes nothing, because scanners follow links. POST unsubscribes: mailbox providers
send it by themselves (RFC 8058), as a form or as multipart, and get a plain 200 without a redirect. A token that is no
good gets the same answers, so nobody learns anything by trying.
"""

from apiflask import APIBlueprint
from flask import Response

from app.api.context import services
from app.clock import utc_now
from app.commands.unsubscribe import unsubscribe
from app.db import autocommit
from app.domain.links import read_unsubscribe

blueprint = APIBlueprint("unsubscribe", __name__, enable_openapi=False)

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:17px/1.6 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;"
    "box-sizing:border-box}"
    "main{max-width:28rem;text-align:center}"
    "button{font:inherit;font-weight:600;padding:.7rem 1.6rem;border-radius:.6rem;border:0;background:#1558d6;color:#fff;"
    "cursor:pointer}"
)
# The form has no action, so it posts to the very address that was opened.
_ASK = (
    "<h1>Unsubscribe</h1><p>You will get no more newsletters from this sender at this address.</p>"
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    "<button>Unsubscribe</button></form>"
)
_DONE = "<h1>Done</h1><p>You will get no more newsletters from this sender at this address.</p>"


@blueprint.get("/u/<token>")
def ask_unsubscribe(token: str) -> Response:
    """The page with the button; the same for every token."""
    del token
    return _page("Unsubscribe", _ASK)


@blueprint.post("/u/<token>")
def do_unsubscribe(token: str) -> Response:
    """Unsubscribe whom the token is about. The body is not looked at: the form has one meaning."""
    held = services()
    found = read_unsubscribe(held.link_key, token)
    if found is not None:
        account_id, message_id = found
        with autocommit(held.pool) as conn:
            unsubscribe(conn, account_id=account_id, message_id=message_id, now=utc_now())
    return _page("Unsubscribed", _DONE)


def _page(title: str, body: str) -> Response:
    answer = Response(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style><main>{body}</main></html>",
        content_type="text/html; charset=utf-8",
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer
