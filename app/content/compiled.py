"""A content, compiled once for all its recipients, and one recipient's message as the bytes that SMTP takes.

Fixed text is encoded when the content is compiled; `render` encodes the values, joins, and writes the few header fields
that differ. Nothing here reads a database or a clock.
"""

import hashlib
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from app.content import headers, mime
from app.content.addresses import BadAddress, check_address, domain_of, to_wire
from app.content.styles import inline_styles
from app.content.templates import (
    Parsed,
    RenderStop,
    Template,
    TemplateFault,
    clean_source,
    clean_value,
    cut,
    escape_html,
    parse,
)
from app.content.text_part import to_text, to_text_source

MESSAGE_SIZE_MAX = 10 * 1024 * 1024  # octets: what most servers take
SUBJECT_SIZE_MAX = 998  # characters, as the API's limit on the source

_BODY_START = re.compile(r"<body\b[^<>]*>", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_FOOTER_HTML = (
    '<p style="margin:24px 0;font-size:12px;color:#666;text-align:center">'
    '<a href="{{ unsubscribe_url }}" style="color:#666">Unsubscribe</a></p>'
)
_FOOTER_TEXT = "\n\nUnsubscribe: {{ unsubscribe_url }}\n"
_PREHEADER = (
    '<div style="display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;line-height:1px;'
    'mso-hide:all">%s</div>'
)
_LINK = re.compile(r"https?://[!-;=?-~]+")  # printable ASCII without space, < and >
_ID_UNWANTED = re.compile(r"[^A-Za-z0-9._-]+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ContentSource:
    """What an author wrote, and as whom. At least one of html and text_body should be there."""

    subject: str
    html: str | None
    text_body: str | None
    preview_text: str
    from_name: str
    from_email: str
    reply_to: str | None
    list_id: str | None  #: for List-Id and Feedback-ID; without a dot, the sender's domain is added
    is_bulk: bool  #: a campaign: unsubscribe link, List-* fields; else Auto-Submitted


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """One recipient's message. Each line of data ends with CRLF; dots are not stuffed."""

    data: bytes
    eight_bit: bool  #: data has octets above 127: needs BODY=8BITMIME (RFC 6152)
    smtputf8: bool  #: an address is not ASCII: needs SMTPUTF8 (RFC 6531)
    recipient: str  #: for RCPT TO: as given, but with the domain in A-labels
    sender: str  #: for MAIL FROM, the same


@dataclass(frozen=True, slots=True)
class RenderFault:
    """This message cannot be made; others of the same content can. reason: a sentence without a full stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Bodies:
    """The two parts under one transfer encoding."""

    text: Template[bytes] | None  # None: made from each recipient's HTML
    html: Template[bytes] | None
    encode: Callable[[str], bytes]
    join: Callable[[list[bytes]], bytes]
    text_headers: bytes
    html_headers: bytes


class CompiledContent:
    """Made by compile_content. Safe to share between threads."""

    def __init__(self, source: ContentSource) -> None:
        prepared = _prepare(source)
        self._source = source
        self._html, self._text = prepared
        # Cleaned as a header when it is whole.
        self._subject = Template(parse(source.subject), encode_text=str, encode_value=str)
        digest = hashlib.blake2b(repr(source).encode("utf-8", "replace"), digest_size=12).hexdigest()
        # "=_" never occurs in quoted-printable; an 8bit body is searched for it.
        self._boundary = f"=_{digest}".encode("ascii")
        self._domain = domain_of(source.from_email).encode("ascii")
        self._opening = self._write_opening(smtputf8=True)
        self._content_type = self._write_content_type()

    @cached_property
    def uses_unsubscribe_url(self) -> bool:
        """A body or the subject asks for the link, so `render` must be given one, campaign or not."""
        parts = (self._html, self._text, parse(self._source.subject))
        return any(part is not None and "unsubscribe_url" in part.names for part in parts)

    def render(
        self,
        *,
        recipient: str,
        variables: Mapping[str, object],
        message_public_id: str,
        unsubscribe_url: str | None,
        date: datetime,
        eight_bit: bool,
        smtputf8: bool,
    ) -> RenderedMessage | RenderFault:
        """One recipient's message.

        variables         plain JSON data; `email` and `unsubscribe_url` are added to it.
        message_public_id  makes the Message-ID, which is so the same on every attempt.
        date              aware; the Date field.
        eight_bit         the relay offers 8BITMIME; without it the bodies are quoted-printable.
        smtputf8          the relay offers SMTPUTF8.

        Returns  RenderFault when a value is missing, the result is too large, or the relay cannot take the address.
        """
        addressed = self._address(recipient, smtputf8=smtputf8)
        if isinstance(addressed, RenderFault):
            return addressed
        to, sender = addressed
        values = {**variables, "email": recipient, "unsubscribe_url": unsubscribe_url}
        try:
            subject = headers.clean_header("".join(self._subject.render(values)))
            body = self._render_body(values, eight_bit=eight_bit)
        except RenderStop as stop:
            return RenderFault(str(stop))
        if len(subject) > SUBJECT_SIZE_MAX:
            return RenderFault(f"the subject is longer than {SUBJECT_SIZE_MAX} characters")
        data = b"".join((self._opening, self._write_own(to, subject, message_public_id, unsubscribe_url, date), body))
        if len(data) > MESSAGE_SIZE_MAX:
            return RenderFault(f"the message is larger than {MESSAGE_SIZE_MAX // 1024 // 1024} MiB")
        is_utf8 = not (to.isascii() and sender.isascii() and (self._source.reply_to or "").rpartition("@")[0].isascii())
        return RenderedMessage(data, eight_bit=not data.isascii(), smtputf8=is_utf8, recipient=to, sender=sender)

    def render_parts(
        self, *, recipient: str, variables: Mapping[str, object], unsubscribe_url: str | None
    ) -> tuple[str, str | None, str] | RenderFault:
        """Subject, HTML and text of one recipient as a person would see them: for the preview."""
        values = {**variables, "email": recipient, "unsubscribe_url": unsubscribe_url}
        try:
            subject = headers.clean_header("".join(self._subject.render(values)))
            page = None if self._html_plain is None else "".join(self._html_plain.render(values))
            text = to_text(page or "") if self._text_plain is None else "".join(self._text_plain.render(values))
        except RenderStop as stop:
            return RenderFault(str(stop))
        return subject, page, text

    # --- Headers

    def _address(self, recipient: str, *, smtputf8: bool) -> tuple[str, str] | RenderFault:
        checked = check_address(recipient)
        if isinstance(checked, BadAddress):
            return RenderFault(f"the address is not valid: {checked}")
        wire = to_wire(checked, smtputf8=smtputf8)
        if wire is None:
            return RenderFault("the address is not ASCII and the relay does not offer SMTPUTF8")
        if smtputf8 or self._is_ascii_sender:
            return wire, self._sender_wire
        return RenderFault("the sender's address is not ASCII and the relay does not offer SMTPUTF8")

    @cached_property
    def _sender_wire(self) -> str:
        wire = to_wire(self._source.from_email, smtputf8=True)
        assert wire is not None
        return wire

    @cached_property
    def _is_ascii_sender(self) -> bool:
        return self._sender_wire.isascii() and (self._source.reply_to or "").rpartition("@")[0].isascii()

    def _write_opening(self, *, smtputf8: bool) -> bytes:
        """The fields that all recipients share."""
        source = self._source
        fields = [headers.write_mailbox("From", source.from_name, self._sender_wire)]
        if source.reply_to:
            reply_to = to_wire(source.reply_to, smtputf8=smtputf8)
            assert reply_to is not None
            fields.append(headers.write_mailbox("Reply-To", "", reply_to))
        if source.is_bulk:
            fields.append(b"Precedence: bulk\r\n")
            if source.list_id:
                name = (_ID_UNWANTED.sub("-", source.list_id).strip("-.")[:255] or "list").encode("ascii")
                full = name if b"." in name else name + b"." + self._domain
                fields.append(b"List-Id: <" + full + b">\r\n")  # RFC 2919
                fields.append(b"Feedback-ID: " + name.partition(b".")[0] + b"::campaign:mailtide\r\n")
        else:
            fields.append(b"Auto-Submitted: auto-generated\r\n")  # RFC 3834 § 5
        return b"".join(fields)

    def _write_content_type(self) -> bytes:
        if self._html is None:
            return b"MIME-Version: 1.0\r\n"
        return b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="' + self._boundary + b'"\r\n\r\n'

    def _write_own(
        self, to: str, subject: str, message_public_id: str, unsubscribe_url: str | None, date: datetime
    ) -> bytes:
        """The fields of one recipient, and MIME-Version."""
        assert _TOKEN.fullmatch(message_public_id), "a public id has no characters that a header could trip over"
        fields = [
            headers.write_mailbox("To", "", to),
            headers.write_text("Subject", subject),
            b"Date: " + headers.write_date(date) + b"\r\n",
            b"Message-ID: <" + message_public_id.encode("ascii") + b"@" + self._domain + b">\r\n",
        ]
        if self._source.is_bulk and unsubscribe_url is not None:
            assert _LINK.fullmatch(unsubscribe_url), "the unsubscribe link is our own"
            # RFC 8058 § 3.1. On one line: a folded address is not understood everywhere.
            fields.append(b"List-Unsubscribe: <" + unsubscribe_url.encode("ascii") + b">\r\n")
            fields.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
        fields.append(self._content_type)
        return b"".join(fields)

    # --- Bodies

    def _render_body(self, values: Mapping[str, object], *, eight_bit: bool) -> bytes:
        if eight_bit:
            body = self._assemble(self._eight_bit, values)
            if body is not None and not mime.has_long_line(body):
                return body
        encoded = self._assemble(self._quoted_printable, values)
        assert encoded is not None
        return encoded

    def _assemble(self, bodies: _Bodies, values: Mapping[str, object]) -> bytes | None:
        """The body after the message's header fields. None when an 8bit body has the boundary in it."""
        page = None if bodies.html is None else bodies.join(bodies.html.render(values))
        if bodies.text is not None:
            text = bodies.join(bodies.text.render(values))
        else:
            assert self._html_plain is not None
            text = bodies.join([bodies.encode(clean_source(to_text("".join(self._html_plain.render(values)))))])
        if page is None:
            return bodies.text_headers + text + b"\r\n"
        if bodies is not self._quoted_printable and (self._boundary in page or self._boundary in text):
            return None
        line = b"--" + self._boundary
        return b"".join(
            (
                line,
                b"\r\n",
                bodies.text_headers,
                text,
                b"\r\n",
                line,
                b"\r\n",
                bodies.html_headers,
                page,
                b"\r\n",
                line,
                b"--\r\n",
            )
        )

    @cached_property
    def _quoted_printable(self) -> _Bodies:
        return self._encode_bodies(mime.to_quoted_printable, mime.join_quoted_printable, "quoted-printable")

    @cached_property
    def _eight_bit(self) -> _Bodies:
        return self._encode_bodies(mime.to_eight_bit, b"".join, "8bit")

    def _encode_bodies(
        self, encode: Callable[[str], bytes], join: Callable[[list[bytes]], bytes], name: str
    ) -> _Bodies:
        return _Bodies(
            text=None
            if self._text is None
            else Template(self._text, encode_text=encode, encode_value=lambda value: encode(clean_value(value))),
            html=None
            if self._html is None
            else Template(
                self._html, encode_text=encode, encode_value=lambda value: encode(escape_html(clean_value(value)))
            ),
            encode=encode,
            join=join,
            text_headers=mime.part_headers("plain", encoding=name),
            html_headers=mime.part_headers("html", encoding=name),
        )

    @cached_property
    def _html_plain(self) -> Template[str] | None:
        if self._html is None:
            return None
        return Template(self._html, encode_text=str, encode_value=lambda value: escape_html(clean_value(value)))

    @cached_property
    def _text_plain(self) -> Template[str] | None:
        return None if self._text is None else Template(self._text, encode_text=str, encode_value=clean_value)


def compile_content(source: ContentSource) -> CompiledContent:
    """Compile a content that passed find_faults: milliseconds to tens of them, so keep the result.

    Raises  TemplateFault when a source cannot be parsed; ValueError when the sender or reply-to is no address.
    """
    for address in filter(None, (source.from_email, source.reply_to)):
        fault = check_address(address)
        if isinstance(fault, BadAddress):
            raise ValueError(fault)
    return CompiledContent(source)


def _prepare(source: ContentSource) -> tuple[Parsed | None, Parsed | None]:
    """The HTML and the text part as they are sent: styles inlined, link to unsubscribe, preheader, text from HTML."""
    page = clean_source(source.html) if source.html is not None and source.html.strip() else None
    text = clean_source(source.text_body) if source.text_body is not None else None
    if page is not None:
        page = inline_styles(page)
        if source.is_bulk and "unsubscribe_url" not in parse(page).always_written:
            page = _insert(page, _FOOTER_HTML, _BODY_END, after=False)
    if (text is None or not text.strip()) and page is not None:
        text = to_text_source(page)
    elif source.is_bulk and "unsubscribe_url" not in parse(text or "").always_written:
        text = (text or "").rstrip("\n") + _FOOTER_TEXT
    elif text is None:
        text = ""
    if text is not None and source.is_bulk and "unsubscribe_url" not in parse(text).always_written:
        text = text.rstrip("\n") + _FOOTER_TEXT
    if page is not None and source.preview_text.strip():
        page = _insert(page, _PREHEADER % _escape_source(clean_source(source.preview_text)), _BODY_START, after=True)
    return (None if page is None else parse(page)), (None if text is None else parse(text))


def _insert(page: str, addition: str, place: re.Pattern[str], *, after: bool) -> str:
    """Put an addition beside the first <body> or the last </body>; without one, at the page's start or end."""
    found = list(place.finditer(page))
    if not found:
        return addition + page if after else page + addition
    at = found[0].end() if after else found[-1].start()
    return page[:at] + addition + page[at:]


def _escape_source(source: str) -> str:
    """A text template as an HTML template: its text escaped, its tags kept. One that cannot be parsed is all text."""
    try:
        parse(source)
        return "".join(html.escape(piece.raw) if piece.kind == "text" else piece.raw for piece in cut(source))
    except TemplateFault:
        return html.escape(source).replace("{", "&#123;")
