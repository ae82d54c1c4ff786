"""A campaign as one contact will see it, with what its author may want to mend before the launch."""

from collections.abc import Mapping
from typing import Any

from app.content import templates
from app.content.preview import render_preview
from app.db import Conn, maybe
from app.domain.errors import InvalidInput, NotFound
from app.reads.audiences import get_first_contact
from app.reads.campaigns import get_campaign
from app.reads.content import describe_content_faults, find_content_faults
from sql import queries

#: Longer subjects are cut by most mailboxes.
SUBJECT_SHOWN_MAX = 70
#: Gmail cuts a message at about 102 kB and hides the rest, the unsubscribe link included.
HTML_SHOWN_MAX = 100 * 1024
#: Whom the preview shows while there is no audience.
NOBODY = "someone@example.test"


def preview_campaign(
    conn: Conn, *, account_id: int, campaign_id: int, contact_id: int | None, public_url: str
) -> dict[str, Any]:
    """{subject, html, text, to, warnings: [{code, message}]} for one contact, the audience's first one by default.

    Raises NotFound for a campaign or contact that is not the account's, InvalidInput when it cannot be rendered.
    """
    campaign = get_campaign(conn, account_id=account_id, campaign_id=campaign_id)
    contact = _choose_contact(conn, campaign, account_id=account_id, contact_id=contact_id)
    _require_sound(conn, campaign, account_id=account_id)
    recipient = contact["email"] if contact else NOBODY
    rendered = render_preview(
        subject=campaign["subject"], html=campaign["html"], text_body=campaign["text_body"],
        preview_text=campaign["preview_text"], recipient=recipient,
        variables=contact["attributes"] if contact else _placeholders(campaign),
        unsubscribe_url=f"{public_url}/u/preview",
    )  # fmt: skip
    return {**rendered, "to": recipient, "warnings": list_warnings(campaign, has_contact=contact is not None)}


def list_warnings(campaign: Mapping[str, Any], *, has_contact: bool) -> list[dict[str, str]]:
    """What is allowed and yet unwise."""
    html, text = campaign["html"] or "", campaign["text_body"] or ""
    bodies = [body for body in (html, text) if body]
    found = (
        (not campaign["subject"].strip(), "no_subject", "There is no subject yet."),
        (not bodies, "no_content", "There is no message yet."),
        (
            len(campaign["subject"]) > SUBJECT_SHOWN_MAX,
            "long_subject",
            f"The subject has {len(campaign['subject'])} characters; most mailboxes show about {SUBJECT_SHOWN_MAX}.",
        ),
        (
            any("unsubscribe_url" not in templates.merge_tags(body) for body in bodies),
            "no_unsubscribe_link",
            "The message has no {{ unsubscribe_url }}: a footer with the link is added when it is sent.",
        ),
        (
            len(html.encode()) > HTML_SHOWN_MAX,
            "large_html",
            "The HTML is over 100 KiB: Gmail will cut it and hide the end.",
        ),
        (
            "<script" in html.lower() or "<form" in html.lower(),
            "active_content",
            "Mailboxes remove scripts and forms from messages.",
        ),
        (not has_contact, "no_contact", "There is no audience yet, so merge tags are shown by their names."),
    )
    return [{"code": code, "message": message} for is_so, code, message in found if is_so]


def _choose_contact(
    conn: Conn, campaign: Mapping[str, Any], *, account_id: int, contact_id: int | None
) -> Mapping[str, Any] | None:
    if contact_id is None:
        return get_first_contact(conn, campaign["audience"], account_id=account_id, campaign_id=campaign["campaign_id"])
    row = maybe(conn, queries.campaigns.get_contact, account_id=account_id, contact_id=contact_id)
    if row is None:
        raise NotFound("There is no contact with this id.")
    return row


def _require_sound(conn: Conn, campaign: Mapping[str, Any], *, account_id: int) -> None:
    """Refuse what a later change of the audience has made wrong: the draft was right when it was saved."""
    faults = find_content_faults(conn, campaign, campaign["audience"], account_id=account_id)
    if faults:
        raise InvalidInput(describe_content_faults(faults), faults)


def _placeholders(campaign: Mapping[str, Any]) -> dict[str, str]:
    """Every merge tag by its own name, so that a campaign without an audience can be looked at."""
    sources = (campaign["subject"], campaign["html"], campaign["text_body"])
    names = set().union(*(templates.merge_tags(source) for source in sources if source))
    return {name: f"[{name}]" for name in names - {"email", "unsubscribe_url"}}
