"""What a person does with a campaign: write it, launch it, stop it, go on, settle it.

Each function is one use case inside the caller's transaction and raises to roll it back. State changes are conditional
updates whose row is looked at. To commit a pause, a cancel or a suppression is all that is needed to stop sending: the
mark of every message asks for status and epoch again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NotRequired, TypedDict

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from app.commands.audiences import choose_audience
from app.db import Conn, count, maybe, one
from app.domain.audience import Audience, AudienceKey
from app.domain.campaign import FROM, Action, CampaignFacts, CampaignStatus, missing_for_launch, wrong_state_sentence
from app.domain.errors import Conflict, Fault, InvalidInput, NotFound, WrongState
from app.jobs import Task, defer
from app.reads.audiences import has_contacts
from app.reads.content import describe_content_faults, find_content_faults
from sql import queries

#: How long before its time a campaign becomes messages, so that a large audience does not make it late.
LAUNCH_LEAD = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class LimitChoice:
    """At most `limit` messages in any `window_s` seconds."""

    limit: int
    window_s: int


class CampaignChanges(TypedDict):
    """What a person may write. What is absent stays as it is; for a new campaign it has its default."""

    name: NotRequired[str]
    subject: NotRequired[str]
    preview_text: NotRequired[str]
    html: NotRequired[str | None]
    text: NotRequired[str | None]
    sender_id: NotRequired[int | None]
    audience: NotRequired[Audience | None]
    pacing: NotRequired[str]
    uncertain_policy: NotRequired[str]
    limit: NotRequired[LimitChoice | None]


def create(conn: Conn, *, account_id: int, changes: CampaignChanges, now: datetime) -> int:
    """Make a draft and return its id. Without a sender it gets the account's default one.

    Raises InvalidInput for content that is no template or names values that the audience does not have, and for a sender,
    import or list that this account does not have.
    """
    sender_id = _choose_sender(conn, changes.get("sender_id"), account_id=account_id)
    row = one(
        conn, queries.campaigns.insert_campaign,
        account_id=account_id, name=changes["name"], subject=changes.get("subject", ""),
        preview_text=changes.get("preview_text", ""), html=changes.get("html") or None,
        text_body=changes.get("text") or None, sender_id=sender_id, audience=None,
        pacing=changes.get("pacing", "burst"), uncertain_policy=changes.get("uncertain_policy", "hold"), now=now,
    )  # fmt: skip
    campaign_id: int = row["campaign_id"]
    stored = None
    if changes.get("audience") is not None:
        stored = choose_audience(conn, changes["audience"], account_id=account_id, campaign_id=campaign_id, now=now)
    _set_limit(conn, changes.get("limit"), account_id=account_id, campaign_id=campaign_id, now=now)
    content = {"subject": changes.get("subject", ""), "html": changes.get("html"), "text_body": changes.get("text")}
    _check_content(conn, content, stored, account_id=account_id)
    return campaign_id


def update(conn: Conn, *, account_id: int, campaign_id: int, changes: CampaignChanges, now: datetime) -> None:
    """Change a draft. Raises NotFound, WrongState for any other state, InvalidInput as `create` does.

    Only content that is given is checked: another audience is never refused because of what was written before. The launch
    checks all of it, as the preview and the forecast do.
    """
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    _require_state(row, Action.EDIT)
    merged = _merge(row, changes)
    if "sender_id" in changes:
        merged["sender_id"] = _choose_sender(conn, changes["sender_id"], account_id=account_id)
    if "audience" in changes:
        merged["audience"] = choose_audience(
            conn, changes["audience"], account_id=account_id, campaign_id=campaign_id, now=now
        )
    if "limit" in changes:
        _set_limit(conn, changes["limit"], account_id=account_id, campaign_id=campaign_id, now=now)
    given = {"subject": "subject", "html": "html", "text": "text_body"}
    if changes.keys() & given.keys():
        content = {column: merged[column] if name in changes else None for name, column in given.items()}
        _check_content(conn, content, merged["audience"], account_id=account_id)
    audience = merged.pop("audience")
    changed = count(
        conn, queries.campaigns.update_campaign,
        account_id=account_id, campaign_id=campaign_id, now=now,
        audience=None if audience is None else Jsonb(audience), **merged,
    )  # fmt: skip
    assert changed == 1, "the row is locked and a draft"


def delete(conn: Conn, *, account_id: int, campaign_id: int) -> None:
    """Remove a draft. Raises NotFound, WrongState."""
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    _require_state(row, Action.DELETE)
    count(conn, queries.campaigns.clear_contact_choices, account_id=account_id, campaign_id=campaign_id)
    count(conn, queries.campaigns.delete_campaign, account_id=account_id, campaign_id=campaign_id)


def duplicate(conn: Conn, *, account_id: int, campaign_id: int, now: datetime) -> int:
    """Copy a campaign in any state into a new draft, and return the draft's id. Raises NotFound."""
    _lock(conn, account_id=account_id, campaign_id=campaign_id)
    ids = {"account_id": account_id, "campaign_id": campaign_id}
    new_id: int = one(conn, queries.campaigns.duplicate_campaign, now=now, **ids)["campaign_id"]
    count(conn, queries.campaigns.copy_contact_choices, new_campaign_id=new_id, **ids)
    count(conn, queries.campaigns.copy_limit, new_campaign_id=new_id, now=now, **ids)
    return new_id


def launch(
    conn: Conn, *, account_id: int, campaign_id: int, scheduled_at: datetime | None = None, now: datetime
) -> bool:
    """Launch a draft, for `scheduled_at` or now. Returns whether `scheduled_at` had passed, which means now.

    1. Refuse what is not complete, with a fault for each place.
    2. draft -> scheduled, under a new epoch.
    3. Defer launch_campaign shortly before its time. All in the caller's transaction.

    Raises NotFound, WrongState, InvalidInput, Conflict while the audience's import is not done.
    """
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    _require_state(row, Action.LAUNCH)
    _require_complete(conn, row, account_id=account_id)
    was_past = scheduled_at is not None and scheduled_at < now
    at = now if scheduled_at is None or was_past else scheduled_at
    launched = maybe(
        conn, queries.campaigns.launch, account_id=account_id, campaign_id=campaign_id, scheduled_at=at, now=now
    )
    assert launched is not None, "the row is locked and a draft"
    _defer_launch(conn, campaign_id, epoch=launched["epoch"], scheduled_at=at, now=now)
    return was_past


def unschedule(conn: Conn, *, account_id: int, campaign_id: int, now: datetime) -> None:
    """scheduled -> draft: the undo of a launch, as long as nothing was sent. Messages that were made are unmade.

    Raises NotFound, WrongState.
    """
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    ids = {"account_id": account_id, "campaign_id": campaign_id}
    if maybe(conn, queries.campaigns.unschedule, now=now, **ids) is None:
        raise _wrong_state(row, Action.UNSCHEDULE)
    if row["materialised_at"] is not None:
        span = one(conn, queries.campaigns.get_message_range, **ids)
        count(conn, queries.campaigns.delete_messages, **span, **ids)
        count(conn, queries.campaigns.delete_batches, **ids)


def pause(conn: Conn, *, account_id: int, campaign_id: int, now: datetime) -> None:
    """scheduled or sending -> paused. Raises NotFound, WrongState."""
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    if maybe(conn, queries.campaigns.pause, account_id=account_id, campaign_id=campaign_id, now=now) is None:
        raise _wrong_state(row, Action.PAUSE)


def resume(conn: Conn, *, account_id: int, campaign_id: int, now: datetime) -> None:
    """paused -> scheduled or sending, with jobs for all that is open. Raises NotFound, WrongState."""
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    ids = {"account_id": account_id, "campaign_id": campaign_id}
    resumed = maybe(conn, queries.campaigns.resume, now=now, **ids)
    if resumed is None:
        raise _wrong_state(row, Action.RESUME)
    if resumed["materialised_at"] is None:
        _defer_launch(conn, campaign_id, epoch=resumed["epoch"], scheduled_at=resumed["scheduled_at"], now=now)
        return
    count(
        conn, queries.campaigns.resume_batches,
        epoch=resumed["epoch"], paused_at=row["paused_at"] or now, now=now, **ids,
    )  # fmt: skip
    count(conn, queries.campaigns.finish_if_done, now=now, **ids)


def cancel(conn: Conn, *, account_id: int, campaign_id: int, now: datetime) -> None:
    """scheduled, sending or paused -> cancelled. What is not under way yet will not be sent. Raises NotFound, WrongState."""
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    cancelled = maybe(conn, queries.campaigns.cancel, account_id=account_id, campaign_id=campaign_id, now=now)
    if cancelled is None:
        raise _wrong_state(row, Action.CANCEL)
    count(conn, queries.campaigns.end_waits, account_id=account_id, campaign_id=campaign_id, now=now)
    defer(conn, Task.CLOSE_CAMPAIGN, id=campaign_id, epoch=cancelled["epoch"])


def retry_failed(conn: Conn, *, account_id: int, campaign_id: int, now: datetime) -> int:
    """Queue the failed messages again and return how many. Only of batches that are done: the others still try.

    Raises NotFound, WrongState for another state and when nothing failed.
    """
    return _requeue(
        conn, "failed", Action.RETRY_FAILED, account_id=account_id, campaign_id=campaign_id, now=now,
        nothing="No message failed, so there is nothing to retry.",
    )  # fmt: skip


def settle_uncertain(
    conn: Conn, *, account_id: int, campaign_id: int, action: Literal["resend", "accept"], now: datetime
) -> int:
    """Decide about the uncertain messages: count them as sent, or send them again. Returns how many.

    Raises NotFound, WrongState for another state and when none is uncertain.
    """
    nothing = "No message is uncertain, so there is nothing to settle."
    if action == "resend":
        return _requeue(
            conn, "uncertain", Action.SETTLE_UNCERTAIN, account_id=account_id, campaign_id=campaign_id, now=now,
            nothing=nothing,
        )  # fmt: skip
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    _require_state(row, Action.SETTLE_UNCERTAIN)
    ids = {"account_id": account_id, "campaign_id": campaign_id}
    span = one(conn, queries.campaigns.get_message_range, **ids)
    settled: int = one(conn, queries.campaigns.accept_uncertain, now=now, **span, **ids)["message_count"]
    if settled == 0:
        raise WrongState(nothing)
    return settled


def _requeue(
    conn: Conn, status: str, action: Action, *, account_id: int, campaign_id: int, now: datetime, nothing: str
) -> int:
    row = _lock(conn, account_id=account_id, campaign_id=campaign_id)
    _require_state(row, action)
    ids = {"account_id": account_id, "campaign_id": campaign_id}
    reopened = maybe(conn, queries.campaigns.reopen, now=now, **ids)
    if reopened is None:
        raise _wrong_state(row, action)
    span = one(conn, queries.campaigns.get_message_range, **ids)
    # A paused campaign gets its jobs when it is resumed.
    requeued: int = one(
        conn, queries.campaigns.requeue_messages,
        status=status, epoch=reopened["epoch"], with_jobs=reopened["status"] == "sending", now=now, **span, **ids,
    )["message_count"]  # fmt: skip
    if requeued == 0:
        raise WrongState(nothing)  # and the campaign is not reopened: raising rolls back
    return requeued


def _lock(conn: Conn, *, account_id: int, campaign_id: int) -> DictRow:
    row = maybe(conn, queries.campaigns.lock_campaign, account_id=account_id, campaign_id=campaign_id)
    if row is None:
        raise NotFound("There is no campaign with this id.")
    return row


def _require_state(row: Mapping[str, Any], action: Action) -> None:
    if row["status"] not in FROM[action]:
        raise _wrong_state(row, action)


def _wrong_state(row: Mapping[str, Any], action: Action) -> WrongState:
    return WrongState(wrong_state_sentence(action, CampaignStatus(row["status"])))


def _merge(row: Mapping[str, Any], changes: CampaignChanges) -> dict[str, Any]:
    """The columns as they will be. `text` is the column text_body; an empty body is none."""
    return {
        "name": changes.get("name", row["name"]),
        "subject": changes.get("subject", row["subject"]),
        "preview_text": changes.get("preview_text", row["preview_text"]),
        "html": changes.get("html", row["html"]) or None,
        "text_body": changes.get("text", row["text_body"]) or None,
        "sender_id": row["sender_id"],
        "audience": row["audience"],
        "pacing": changes.get("pacing", row["pacing"]),
        "uncertain_policy": changes.get("uncertain_policy", row["uncertain_policy"]),
    }


def _choose_sender(conn: Conn, sender_id: int | None, *, account_id: int) -> int | None:
    """The sender that was asked for, else the account's default, else none yet."""
    if sender_id is None:
        default = maybe(conn, queries.senders.get_default_sender, account_id=account_id)
        return None if default is None else int(default["sender_id"])
    if maybe(conn, queries.senders.get_sender, account_id=account_id, sender_id=sender_id) is None:
        detail = "There is no sender with this id."
        raise InvalidInput(detail, [Fault("/sender_id", detail, "unknown_sender")])
    return sender_id


def _set_limit(conn: Conn, limit: LimitChoice | None, *, account_id: int, campaign_id: int, now: datetime) -> None:
    if limit is None:
        count(conn, queries.campaigns.delete_limit, account_id=account_id, campaign_id=campaign_id)
        return
    count(
        conn, queries.campaigns.set_limit,
        account_id=account_id, campaign_id=campaign_id, max_count=limit.limit, window_s=limit.window_s, now=now,
    )  # fmt: skip


def _check_content(
    conn: Conn, content: Mapping[str, Any], stored_audience: Mapping[str, Any] | None, *, account_id: int
) -> None:
    """Refuse templates that do not parse, and merge tags that this audience has no values for."""
    faults = find_content_faults(conn, content, stored_audience, account_id=account_id)
    if faults:
        raise InvalidInput(describe_content_faults(faults), faults)


def _require_complete(conn: Conn, row: Mapping[str, Any], *, account_id: int) -> None:
    facts = CampaignFacts(
        status=CampaignStatus(row["status"]),
        has_subject=bool(row["subject"].strip()),
        has_body=row["html"] is not None or row["text_body"] is not None,
        has_audience=row["audience"] is not None,
        has_sender=row["sender_id"] is not None,
    )
    missing = missing_for_launch(facts)
    if missing:
        faults = [Fault(item.pointer, item.detail, "missing") for item in missing]
        raise InvalidInput("The campaign is not complete.", faults, code="incomplete")
    _require_import_done(conn, row, account_id=account_id)
    _check_content(conn, row, row["audience"], account_id=account_id)
    if not has_contacts(conn, row["audience"], account_id=account_id, campaign_id=row["campaign_id"]):
        detail = "Nobody is in this audience yet."
        raise InvalidInput(detail, [Fault("/audience", detail, "empty")], code="empty_audience")


def _require_import_done(conn: Conn, row: Mapping[str, Any], *, account_id: int) -> None:
    key = AudienceKey.from_stored(row["audience"])
    if key.import_id is None:
        return
    found = maybe(conn, queries.campaigns.get_import, account_id=account_id, import_id=key.import_id)
    if found is None:
        detail = "The import was deleted. Choose another audience."
        raise InvalidInput(detail, [Fault("/audience", detail, "missing")])
    if found["status"] != "done":
        sentence = {
            "failed": "The import of this audience failed. Import the file again, or choose another audience.",
            "awaiting_mapping": "The import of this audience has not been started: map its columns first.",
        }.get(found["status"], "The import of this audience is still running: wait until it is done.")
        raise Conflict(sentence, code="import_not_done")


def _defer_launch(conn: Conn, campaign_id: int, *, epoch: int, scheduled_at: datetime, now: datetime) -> None:
    start = scheduled_at - LAUNCH_LEAD
    defer(conn, Task.LAUNCH_CAMPAIGN, id=campaign_id, epoch=epoch, at=start if start > now else None)
