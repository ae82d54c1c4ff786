"""The sandbox's mailbox. A mail is read back the way a recipient's program would: by the standard library's parser."""

from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from psycopg.rows import DictRow

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from app.reads.messages import escape_like
from sql import queries


@dataclass(frozen=True, slots=True)
class ParsedMail:
    subject: str
    sender: str
    to: str
    html: str | None
    text: str | None
    headers: list[tuple[str, str]]  #: in order, decoded


def list_mails(
    conn: Conn, *, account_id: int, q: str | None, recipient: str | None, after_id: int | None, fetch_limit: int
) -> list[DictRow]:
    """Mails, newest first. `q` is part of the subject or recipient, `recipient` a whole address."""
    return many(
        conn, queries.inbox.list_mails, account_id=account_id, pattern=f"%{escape_like(q)}%" if q else None,
        recipient=recipient, after_id=after_id, fetch_limit=fetch_limit,
    )  # fmt: skip


def get_mail(conn: Conn, *, account_id: int, inbox_id: int) -> DictRow:
    """One mail with its bytes. Raises NotFound."""
    row = maybe(conn, queries.inbox.get_mail, account_id=account_id, inbox_id=inbox_id)
    if row is None:
        raise NotFound("There is no mail with this id in the inbox.")
    return row


def parse_mail(raw: bytes) -> ParsedMail:
    """Read a mail. Never raises: what a parser cannot read is shown as it stands."""
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    headers = [(name, _clean(value)) for name, value in _read_headers(message)]
    named = {name.lower(): value for name, value in reversed(headers)}
    return ParsedMail(
        subject=named.get("subject", ""), sender=named.get("from", ""), to=named.get("to", ""),
        html=_read_body(message, "html"), text=_read_body(message, "plain"), headers=headers,
    )  # fmt: skip


def _read_headers(message: EmailMessage) -> list[tuple[str, str]]:
    try:
        return [(name, str(value)) for name, value in message.items()]
    except Exception:  # the parser of structured headers raises many kinds on hostile ones
        return [(name, str(value)) for name, value in message.raw_items()]


def _read_body(message: EmailMessage, kind: str) -> str | None:
    try:
        part: Any = message.get_body(preferencelist=(kind,))
        return None if part is None else _clean(str(part.get_content()))
    except Exception:  # a wrong charset or transfer encoding: show the bytes
        payload = part.get_payload(decode=True) if part is not None else None
        return _clean(payload.decode("utf-8", "replace")) if isinstance(payload, bytes) else None


def _clean(text: str) -> str:
    """JSON cannot say lone surrogates, which the parser makes from bytes that are not text."""
    return text.encode("utf-8", "replace").decode("utf-8")
