"""What is wrong with a campaign's content for its audience, as the save, the preview, the forecast and the launch say it."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.content import templates
from app.db import Conn
from app.domain.errors import Fault
from app.reads.audiences import known_merge_tags

_PLACES = {"/subject": "subject", "/html": "message", "/text": "text version"}


def find_content_faults(
    conn: Conn, content: Mapping[str, Any], stored_audience: Mapping[str, Any] | None, *, account_id: int
) -> list[Fault]:
    """Templates that do not parse, and merge tags that this audience has no values for.

    content  subject, html and text_body; None is not looked at.
    """
    return templates.find_faults(
        subject=content["subject"] or "", html=content["html"], text_body=content["text_body"],
        known=known_merge_tags(conn, stored_audience, account_id=account_id),
    )  # fmt: skip


def describe_content_faults(faults: Sequence[Fault]) -> str:
    """One sentence, or two, that name what to change: the first fault, and how many more there are."""
    first = faults[0]
    more = f" There {'is' if len(faults) == 2 else 'are'} {len(faults) - 1} more." if len(faults) > 1 else ""
    return f"The {_PLACES.get(first.pointer, 'content')} cannot be sent as it is: {first.detail}{more}"
