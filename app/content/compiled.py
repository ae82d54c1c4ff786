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
from typing import NamedTuple

from app.content import headers, mime
from app.content.addresses import BadAddress, check_address, domain_of, is_plain_on_wire, to_wire
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
EIGHT_BIT_FROM_RATIO = 1.25  # quoted-printable octets to 8bit octets
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


class RenderedMessage(NamedTuple):
    """One recipient's message. Each line of data ends with CRLF; dots are not stuffed.

    A named tuple because one is made for every message: a frozen dataclass takes three times as long.
    """

    data: bytes
    eight_bit: bool  #: data has octets above 127: needs BODY=8BITMIME (RFC 6152)
    smtputf8: bool  #: an address is not ASCII: needs SMTPUTF8 (RFC 6531)
    recipient: str  #: for RCPT TO: as given, but with the domain in A-labels
    sender: str  #: for MAIL FROM, the same
    is_canonical: bool  #: made so that no line of data begins with a dot and none is too long


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
    end: Callable[[list[bytes]], None]  # takes away what the last fragment has for a neighbour
    before_text: bytes
    before_html: bytes
    after: bytes


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
        to, sender = self._to_wire(recipient, smtputf8=smtputf8), self._sender_wire
        if isinstance(to, RenderFault):
            return to
        values = {**variables, "email": recipient, "unsubscribe_url": unsubscribe_url}
        try:
            subject = headers.clean_header("".join(self._subject.render(values)))
            own = self._write_own(to, subject, message_public_id, unsubscribe_url, date)
            body = self._render_eight_bit(values) if eight_bit and self._suits_eight_bit else None
            is_canonical = body is None
            if body is None:
                body = self._assemble(self._quoted_printable, values)
        except RenderStop as stop:
            return RenderFault(str(stop))
        if len(subject) > SUBJECT_SIZE_MAX:
            return RenderFault(f"the subject is longer than {SUBJECT_SIZE_MAX} characters")
        data = b"".join((self._opening, own, *body))
        if len(data) > MESSAGE_SIZE_MAX:
            return RenderFault(f"the message is larger than {MESSAGE_SIZE_MAX // 1024 // 1024} MiB")
        is_utf8 = not (self._is_ascii_sender and to.isascii())
        return RenderedMessage(data, not data.isascii(), is_utf8, to, sender, is_canonical)

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

    def _to_wire(self, recipient: str, *, smtputf8: bool) -> str | RenderFault:
        if not (smtputf8 or self._is_ascii_sender):
            return RenderFault("the sender's address is not ASCII and the relay does not offer SMTPUTF8")
        if is_plain_on_wire(recipient):
            return recipient
        checked = check_address(recipient)
        if isinstance(checked, BadAddress):
            return RenderFault(f"the address is not valid: {checked}")
        wire = to_wire(checked, smtputf8=smtputf8)
        return wire or RenderFault("the address is not ASCII and the relay does not offer SMTPUTF8")

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
        links = b""
        if self._source.is_bulk and unsubscribe_url is not None:
            assert _LINK.fullmatch(unsubscribe_url), "the unsubscribe link is our own"
            # RFC 8058 § 3.1. On one line: a folded address is not understood everywhere.
            links = (
                b"List-Unsubscribe: <%b>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
                % unsubscribe_url.encode("ascii")
            )
        return b"To: %b\r\n%bDate: %b\r\nMessage-ID: <%b@%b>\r\n%b%b" % (
            to.encode(), headers.write_clean_text("Subject", subject), headers.write_date(date),
            message_public_id.encode("ascii"), self._domain, links, self._content_type,
        )  # fmt: skip

    # --- Bodies

    @cached_property
    def _suits_eight_bit(self) -> bool:
        """Quoted-printable would make the fixed text much longer: it is in a script that is not Latin.

        Everything else is quoted-printable even for a relay that offers 8BITMIME: it needs no look at the finished
        bytes (boundary, long lines, dots), and no hop on the way has a reason to change it and break a signature.
        """
        text = "".join(part.fixed_text for part in (self._text, self._html) if part is not None)
        is_latin = len(mime.to_quoted_printable(text)) <= len(mime.to_eight_bit(text)) * EIGHT_BIT_FROM_RATIO
        return not (is_latin or text.isascii())

    def _render_eight_bit(self, values: Mapping[str, object]) -> list[bytes] | None:
        """The body, or None when it cannot be sent as it is: a line is too long, or the boundary is in it."""
        body = b"".join(self._assemble(self._eight_bit, values))
        boundary_count = 0 if self._html is None else 3
        if mime.has_long_line(body) or body.count(self._boundary) != boundary_count:
            return None
        return [body]

    def _assemble(self, bodies: _Bodies, values: Mapping[str, object]) -> list[bytes]:
        """The body after the message's header fields, in pieces."""
        pieces = [bodies.before_text]
        if bodies.text is not None:
            pieces += bodies.text.render(values)
        else:
            assert self._html_plain is not None
            pieces.append(bodies.encode(clean_source(to_text("".join(self._html_plain.render(values))))))
        bodies.end(pieces)
        if bodies.html is not None:
            pieces.append(bodies.before_html)
            pieces += bodies.html.render(values)
            bodies.end(pieces)
        pieces.append(bodies.after)
        return pieces

    @cached_property
    def _quoted_printable(self) -> _Bodies:
        return self._encode_bodies(mime.to_quoted_printable, mime.end_quoted_printable, "quoted-printable")

    @cached_property
    def _eight_bit(self) -> _Bodies:
        return self._encode_bodies(mime.to_eight_bit, lambda pieces: None, "8bit")

    def _encode_bodies(self, encode: Callable[[str], bytes], end: Callable[[list[bytes]], None], name: str) -> _Bodies:
        def encode_text_value(value: str) -> bytes:
            return encode(clean_value(value))

        def encode_html_value(value: str) -> bytes:
            return encode(escape_html(clean_value(value)))

        def quickly(slowly: Callable[[str], bytes]) -> Callable[[str], bytes]:
            return lambda value: mime.literal_value(value) or slowly(value)

        if encode is mime.to_quoted_printable:
            of_text, of_html = quickly(encode_text_value), quickly(encode_html_value)
        else:
            of_text, of_html = encode_text_value, encode_html_value
        line = b"--" + self._boundary
        text_headers, html_headers = (mime.part_headers(part, encoding=name) for part in ("plain", "html"))
        is_alone = self._html is None
        return _Bodies(
            text=None if self._text is None else Template(self._text, encode_text=encode, encode_value=of_text),
            html=None if self._html is None else Template(self._html, encode_text=encode, encode_value=of_html),
            encode=encode,
            end=end,
            before_text=text_headers if is_alone else line + b"\r\n" + text_headers,
            before_html=b"\r\n" + line + b"\r\n" + html_headers,
            after=b"\r\n" if is_alone else b"\r\n" + line + b"--\r\n",
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
