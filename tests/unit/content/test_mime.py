"""A message as bytes: what the recipient's parser (stdlib `email`) reads is what was written, whatever was written."""

import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.content import mime
from app.content.compiled import ContentSource, RenderedMessage, RenderFault, compile_content
from app.content.headers import clean_header, write_date, write_mailbox, write_text
from app.content.templates import clean_source
from worker.smtp.envelope import has_bare_line_end, write_body

NOW = datetime(2026, 11, 24, 9, 5, 7, tzinfo=UTC)
LINK = "https://mail.example/u/AbC-_123"

# Text that has broken mailers: emoji, lone dots, "From ", long lines, line ends of all kinds, controls, surrogates.
NASTY = st.lists(
    st.sampled_from(
        ["\n.\n", "\n..\n", "\r\nFrom x\r\n", "\r", "\n", "\r\n.\r\n", "\x00", "\x85", "\u2028", "\ud800", "😀", "é", "=", "=20",
         "=?utf-8?q?x?=", " ", "  ", "\t", "x" * 74, "x" * 75, "x" * 76, "é" * 30, "y" * 998, "z" * 5000, "--", "--=_", "<b>", "&", "a b"]
    )
    | st.text(max_size=20),
    max_size=12,
).map("".join)  # fmt: skip


def source(**changes: object) -> ContentSource:
    fields: dict[str, object] = {
        "subject": "{{ s }}", "html": "<p>{{ h }}</p>", "text_body": "{{ t }}", "preview_text": "", "from_name": "The Shop",
        "from_email": "news@shop.example", "reply_to": None, "list_id": None, "is_bulk": False,
    }  # fmt: skip
    return ContentSource(**{**fields, **changes})  # type: ignore[arg-type]


def make(
    content: ContentSource,
    *,
    recipient: str = "ann@example.test",
    eight_bit: bool = False,
    smtputf8: bool = False,
    **variables: object,
) -> RenderedMessage:
    made = compile_content(content).render(
        recipient=recipient, variables=variables, message_public_id="msg_0a1B", unsubscribe_url=LINK, date=NOW,
        eight_bit=eight_bit, smtputf8=smtputf8,
    )  # fmt: skip
    assert isinstance(made, RenderedMessage), made
    return made


def read(made: RenderedMessage) -> EmailMessage:
    message = BytesParser(policy=policy.default).parsebytes(made.data)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    assert not part.defects
    text = part.get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")


def assert_fit_for_smtp(made: RenderedMessage) -> None:
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", made.data)
    assert b"\x00" not in made.data
    assert made.data.endswith(b"\r\n")
    assert max(map(len, made.data.split(b"\r\n"))) <= 998
    assert made.eight_bit or made.data.isascii()


def same(read_text: str, written: str) -> bool:
    """The last line end of a body belongs to the boundary in one reading and to the text in the other."""
    return read_text.removesuffix("\n") == clean_source(written).removesuffix("\n")


@given(subject=NASTY, text=NASTY, eight_bit=st.booleans(), html=NASTY)
@example(subject="x" * 998, text="x" * 75 + "é", eight_bit=False, html="x" * 5000)
@example(subject="From a", text="From ", eight_bit=False, html="\nFrom \nFrom " + "x" * 80)
@example(subject="", text="", eight_bit=True, html="")
@example(subject="é" * 400, text="a \nb\t\n.", eight_bit=True, html="é" * 600)
def test_what_the_recipient_reads_is_what_was_written(subject: str, text: str, eight_bit: bool, html: str) -> None:
    made = compile_content(source()).render(
        recipient="ann@example.test", variables={"s": subject, "t": text, "h": html}, message_public_id="msg_0a1B",
        unsubscribe_url=LINK, date=NOW, eight_bit=eight_bit, smtputf8=False,
    )  # fmt: skip
    if isinstance(made, RenderFault):
        assert len(clean_header(subject)) > 998
        return
    assert_fit_for_smtp(made)
    message = read(made)
    assert [name for name, _ in message.items()] == [
        "From", "Auto-Submitted", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert message["Subject"] == clean_header(subject)
    assert message["To"] == "ann@example.test"
    assert same(body(message, "plain"), text)
    escaped = clean_source(html).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert same(body(message, "html").replace("&quot;", '"').replace("&#x27;", "'"), f"<p>{escaped}</p>")


@given(text=NASTY, eight_bit=st.booleans())
def test_fixed_text_arrives_as_values_do(text: str, eight_bit: bool) -> None:
    fixed = text.replace("{", "(")
    made = make(source(subject="s", html=None, text_body="[" + fixed + "]"), eight_bit=eight_bit)
    assert_fit_for_smtp(made)
    message = read(made)
    assert message.get_content_type() == "text/plain"
    assert same(body(message, "plain"), "[" + fixed + "]")


@given(NASTY)
def test_quoted_printable_lines_are_at_most_76_octets_and_need_no_care_on_the_way(text: str) -> None:
    encoded = mime.to_quoted_printable(clean_source(text))
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith((b"From ", b"."))
        assert not line.endswith((b" ", b"\t"))


@given(name=NASTY | st.text(max_size=200))
@example(name='Ann "The Boss" O\'Neil, Ltd. \\')
@example(name="x" * 300)
@example(name="é" * 100)
@example(name="=?utf-8?q?a?=")
@example(name="a@b.example")
def test_a_display_name_arrives_and_cannot_become_a_header(name: str) -> None:
    field = write_mailbox("From", name, "news@shop.example")
    lines = field.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line.startswith(b" ") for line in lines[1:])
    assert max(map(len, lines)) <= 78
    message = BytesParser(policy=policy.default).parsebytes(field + b"\r\n")
    assert message.keys() == ["From"]
    (address,) = message["From"].addresses
    assert address.addr_spec == "news@shop.example"
    # Python 3.11 keeps the white space between encoded words, which RFC 2047 § 6.2 says to drop.
    assert "".join(address.display_name.split()) == "".join(clean_header(name).split())


@given(value=NASTY | st.text(max_size=300))
def test_a_header_value_stays_one_field_of_short_lines(value: str) -> None:
    field = write_text("Subject", value)
    lines = field.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    message = BytesParser(policy=policy.default).parsebytes(field + b"\r\n")
    assert message.keys() == ["Subject"]
    assert message["Subject"] == clean_header(value)
    if b"=?utf-8?b?" in field:
        assert max(map(len, lines)) <= 76


@pytest.mark.parametrize(
    "evil", ["x\r\nBcc: eve@example.test", "x\n\nbody", "x\u2028Bcc: y", "x\x0bBcc: y", "x\x85Bcc: y", "x\rBcc: y"]
)
def test_row_36_a_value_cannot_inject_a_header(evil: str) -> None:
    message = read(make(source(from_name=evil), s=evil, h=evil, t=evil))
    assert "Bcc" not in message
    assert message["Subject"] == clean_header(evil)


@pytest.mark.parametrize(
    "recipient", ["a@b.example\r\nBcc: c@d.example", "a@b.example>", "not an address", "", "a\x00@b.example"]
)
def test_a_bad_recipient_is_a_fault_of_that_message(recipient: str) -> None:
    made = compile_content(source()).render(
        recipient=recipient, variables={"s": "", "h": "", "t": ""}, message_public_id="msg_1", unsubscribe_url=None, date=NOW,
        eight_bit=True, smtputf8=True,
    )  # fmt: skip
    assert isinstance(made, RenderFault)
    assert "address" in made.reason


def test_a_missing_value_is_a_fault_that_names_it() -> None:
    made = compile_content(source()).render(
        recipient="a@b.example", variables={}, message_public_id="msg_1", unsubscribe_url=None, date=NOW, eight_bit=True, smtputf8=False,
    )  # fmt: skip
    assert made == RenderFault("s is missing and has no default")


def test_addresses_beyond_ascii_need_smtputf8_only_for_the_local_part() -> None:
    content = source(html=None, subject="s", text_body="t")
    made = make(content, recipient="ann@bücher.example")
    assert (made.recipient, made.smtputf8) == ("ann@xn--bcher-kva.example", False)
    made = make(content, recipient="jörg@bücher.example", smtputf8=True)
    assert (made.recipient, made.smtputf8, made.eight_bit) == ("jörg@xn--bcher-kva.example", True, True)
    fault = compile_content(content).render(
        recipient="jörg@bücher.example", variables={}, message_public_id="msg_1", unsubscribe_url=None, date=NOW,
        eight_bit=True, smtputf8=False,
    )  # fmt: skip
    assert fault == RenderFault("the address is not ASCII and the relay does not offer SMTPUTF8")


def test_the_same_message_has_the_same_id_and_date_on_every_attempt() -> None:
    one, two = make(source(), s="a", h="b", t="c"), make(source(), s="a", h="b", t="c")
    assert one.data == two.data
    message = read(one)
    assert message["Message-ID"] == "<msg_0a1B@shop.example>"
    assert message["Date"].datetime == NOW
    assert write_date(NOW) == b"Tue, 24 Nov 2026 09:05:07 +0000"


def test_row_49_a_campaign_can_be_left_with_one_click() -> None:
    content = source(
        is_bulk=True,
        list_id="cmp_1.mail.example",
        reply_to="care@shop.example",
        html="<body><p>Hi</p></body>",
        text_body="Hi",
    )
    message = read(make(content, s="x"))
    assert message["List-Unsubscribe"] == f"<{LINK}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<cmp_1.mail.example>"
    assert message["Precedence"] == "bulk"
    assert message["Feedback-ID"] == "cmp_1::campaign:mailtide"
    assert message["Reply-To"] == "care@shop.example"
    assert "Auto-Submitted" not in message
    assert f'href="{LINK}"' in body(message, "html")
    assert body(message, "html").rstrip().endswith("</body>")
    assert LINK in body(message, "plain")


def test_a_campaign_with_its_own_link_gets_no_second_one() -> None:
    content = source(
        is_bulk=True,
        subject="s",
        html='<a href="{{ unsubscribe_url }}">out</a>',
        text_body="out: {{ unsubscribe_url }}",
    )
    message = read(make(content))
    assert body(message, "html").count(LINK) == 1
    assert body(message, "plain").count(LINK) == 1


def test_an_api_message_is_marked_as_generated_and_has_no_list_headers() -> None:
    message = read(make(source(), s="a", h="b", t="c"))
    assert message["Auto-Submitted"] == "auto-generated"
    assert not [name for name in message if name.startswith("List-")]


def test_the_text_part_is_made_from_html_with_its_merge_tags() -> None:
    html = (
        "<style>p{color:red}</style><h1>Hi {{ name }}</h1><p>{% if vip %}Thanks{% else %}Hello{% endif %}</p>"
        '<ul>{% for i in items %}<li>{{ i }}</li>{% endfor %}</ul><p><a href="{{ link }}">See</a> &#123;{ x }} &amp; &lt;</p>'
    )
    message = read(
        make(
            source(subject="s", html=html, text_body=None),
            name="Zoë & co",
            vip=True,
            items=["a", "b"],
            link="https://x.example/?a=1&b=2",
        )
    )
    text = body(message, "plain")
    assert "Hi Zoë & co" in text
    assert "Thanks" in text and "Hello" not in text
    assert "* a" in text and "* b" in text
    assert "[See](https://x.example/?a=1&b=2)" in text
    assert "{{ x }} & <" in text
    assert 'style="color: red;"' in body(message, "html")


def test_a_statement_that_html_tools_would_move_is_kept_where_it_was() -> None:
    html = "<style>td{color:red}</style><table>{% for i in items %}<tr><td>{{ i }}</td></tr>{% endfor %}</table>"
    message = read(make(source(subject="s", html=html, text_body=None), items=["one", "two"]))
    assert "<tr><td>one</td></tr><tr><td>two</td></tr></table>" in body(message, "html")
    assert body(message, "plain").split() == ["one", "two"]


def test_the_preview_text_is_hidden_in_front_of_the_body() -> None:
    content = source(
        subject="s",
        html="<html><body class='x'><p>Hi</p></body></html>",
        text_body="Hi",
        preview_text='{{ n | default("you") }} & <more>',
    )
    message = read(make(content, n="Zoë"))
    assert re.search(
        r"<body class='x'><div style=\"display:none[^>]*>Zoë &amp; &lt;more&gt;</div><p>Hi", body(message, "html")
    )
    broken = read(make(source(subject="s", html="<p>Hi</p>", text_body="Hi", preview_text="50% {{ off")))
    assert "50% &#123;&#123; off" in body(broken, "html")


CYRILLIC = "<p>\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435 {{ h }}</p>"


def test_a_boundary_in_an_eight_bit_body_is_encoded_away() -> None:
    content = source(html=CYRILLIC)
    boundary = compile_content(content)._boundary.decode()
    evil = f"\r\n--{boundary}--\r\nContent-Type: text/html\r\n\r\n<script>"
    message = read(make(content, eight_bit=True, s="s", h="h", t=evil))
    assert len(list(message.iter_parts())) == 2
    assert same(body(message, "plain"), evil)


def test_a_text_that_is_not_latin_is_eight_bit_where_it_is_offered_and_lines_are_short() -> None:
    content = source(html=CYRILLIC)
    made = make(content, eight_bit=True, s="s", h="\u0410\u043d\u043d\u0430", t="t")
    assert made.eight_bit
    assert "\u0410\u043d\u043d\u0430".encode() in made.data
    assert not make(content, eight_bit=False, s="s", h="h", t="t").eight_bit
    long = make(content, eight_bit=True, s="s", h="\u0436" * 500, t="t")
    assert not long.eight_bit
    assert long.data.isascii()


def test_a_latin_text_is_seven_bit_whatever_is_offered() -> None:
    made = make(source(html="<p>Sehr geehrte Damen und Herren, {{ h }}</p>"), eight_bit=True, s="s", h="Zoë", t="t")
    assert not made.eight_bit
    assert made.data.isascii()


@given(html=NASTY, text=NASTY)
@example(html=".", text="." * 200)
@example(html="a\n..b\n" + "." * 80 + "x" * 80, text="\n.\n.\n")
def test_a_canonical_message_needs_no_look_at_its_lines(html: str, text: str) -> None:
    made = make(source(), s=".", h=html, t=text)
    assert made.is_canonical
    assert not has_bare_line_end(made.data)
    assert not any(line.startswith(b".") for line in made.data.split(b"\r\n"))
    assert write_body(made.data) == made.data + b".\r\n"


@pytest.mark.parametrize("tail", [".", "..", ".\n", ".é", "é.", "=.", " .", "From .", "F", "..........."])
@pytest.mark.parametrize("unit", ["a", "é", "=", "."])
def test_a_dot_never_comes_to_begin_a_line_wherever_a_line_has_to_be_broken(unit: str, tail: str) -> None:
    """It would end the data for the relay, which would take what follows as commands."""
    for size in range(160):
        text = unit * size + tail
        for made in (make(source(), s="s", h=text, t=text), make(source(html=None, text_body=text), s="s")):
            assert not any(line.startswith(b".") for line in made.data.split(b"\r\n")), text
            assert all(len(line) <= 76 for line in made.data.partition(b"\r\n\r\n")[2].split(b"\r\n")), text


def test_a_message_that_grows_too_large_is_a_fault() -> None:
    content = source(subject="s", html="{% for a in items %}{{ big }}{% endfor %}", text_body="t")
    made = compile_content(content).render(
        recipient="a@b.example", variables={"items": [1] * 1000, "big": "x" * 32_000}, message_public_id="msg_1",
        unsubscribe_url=None, date=NOW, eight_bit=False, smtputf8=False,
    )  # fmt: skip
    assert isinstance(made, RenderFault)
    assert "larger than" in made.reason


def test_the_largest_allowed_html_is_sent() -> None:
    made = make(source(subject="s", html="<p>" + "語" * 174_000 + "</p>", text_body=None))
    assert_fit_for_smtp(made)


HOSTILE_HTML = {
    "nested divs": "<style>b{color:red}</style>" + "<div>" * 90_000,
    "nested tables": "<style>b{color:red}</style>" + "<table>" * 60_000 + "x",
    "open styles": "<style>" * 70_000,
    "open bodies": "<body " * 80_000,
    "open comments": "<!--" * 120_000,
    "many paragraphs": "<p>a" * 120_000,
    "only brackets": "<" * 500_000,
}  # fmt: skip


@pytest.mark.parametrize("html", HOSTILE_HTML.values(), ids=HOSTILE_HTML)
def test_hostile_html_is_sent_as_written_without_harm(html: str) -> None:
    """css-inline 0.24 ends the process on the first of these: the test would not fail, it would vanish."""
    made = make(source(subject="s", html=html + "{{ s }}", text_body=None), s="end")
    assert_fit_for_smtp(made)
    assert body(read(made), "html").rstrip("\n") == html + "end"


def test_a_bad_sender_or_source_is_refused_when_compiled() -> None:
    with pytest.raises(ValueError, match=r"\."):
        compile_content(source(from_email="nobody"))
    with pytest.raises(ValueError, match="not closed"):
        compile_content(source(subject="{{ a"))


@given(st.lists(st.sampled_from([0, 1, 2, 500, 997, 998, 999, 1000, 1996]), min_size=1, max_size=6), st.booleans())
def test_a_line_over_998_octets_is_seen_wherever_it_stands(sizes: list[int], ends: bool) -> None:
    body = b"\r\n".join(b"x" * size for size in sizes) + (b"\r\n" if ends else b"")
    assert mime.has_long_line(body) == any(size > 998 for size in sizes)
