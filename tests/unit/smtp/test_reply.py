"""Reading replies from bytes that a stranger sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.smtp.reply import LINE_SIZE_MAX, LINES_MAX, TEXT_SIZE_MAX, Reply, ReplyFault, ReplyReader


def read(data: bytes) -> list[Reply]:
    return [Reply.from_wire(raw) for raw in ReplyReader().feed(data)]


def test_replies_come_out_in_order_however_the_bytes_are_cut() -> None:
    wire = (
        b"250-mx.example.test\r\n250-SIZE 1000\r\n250 PIPELINING\r\n250 2.1.0 OK\r\n550 5.1.1 no such user\r\n354\r\n"
    )
    whole = read(wire)
    assert [reply.code for reply in whole] == [250, 250, 550, 354]
    for size in range(1, 30):
        reader = ReplyReader()
        pieces = [raw for at in range(0, len(wire), size) for raw in reader.feed(wire[at : at + size])]
        assert [Reply.from_wire(raw) for raw in pieces] == whole and reader.is_empty


def test_lines_are_joined_and_a_repeated_enhanced_code_is_said_once() -> None:
    (reply,) = read(b"550-5.7.1 Our policy\r\n550-5.7.1 says no.\r\n550 5.7.1 See https://example.test\r\n")
    assert reply.text == "5.7.1 Our policy says no. See https://example.test"
    assert reply.enhanced == "5.7.1" and reply.line == "550 5.7.1 Our policy says no. See https://example.test"


@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (550, "5.1.1 unknown", "5.1.1"), (550, "5.1.10", "5.1.10"), (250, "2.0.0 OK", "2.0.0"), (550, "unknown", None),
        (550, "4.2.2 mailbox full", None), (550, "5.1.1unknown", None), (550, "192.0.2.1 is listed", None),
        (550, "5.7.1234 x", None), (450, "", None),
    ],
)  # fmt: skip
def test_an_enhanced_code_counts_only_when_it_is_one(code: int, text: str, enhanced: str | None) -> None:
    assert Reply(code, text).enhanced == enhanced


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"25 OK\r\n", b"2500 OK\r\n", b"250_OK\r\n", b"150 hm\r\n",
        b"650 hm\r\n", b"\xff\xfe\x00\r\n", b"250-a\r\n251 b\r\n", "２５０ OK\r\n".encode(), b"-50 OK\r\n",
        b"250 " + b"x" * LINE_SIZE_MAX + b"\r\n", b"x" * (LINE_SIZE_MAX + 1), b"250-x\r\n" * (LINES_MAX + 1),
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_not_a_reply_is_a_fault(garbage: bytes) -> None:
    with pytest.raises(ReplyFault):
        ReplyReader().feed(garbage)


def test_text_for_people_is_short_and_printable() -> None:
    (reply,) = read(b"550 \x1b[31mred\x07 caf\xc3\xa9 \xe2\x80\xae" + b"y" * 1_500 + b"\r\n")
    assert reply.text.isprintable() and len(reply.text) <= TEXT_SIZE_MAX and "café" in reply.text


@given(st.lists(st.binary(max_size=200), max_size=30))
def test_row_27_no_bytes_do_more_than_make_replies_or_a_fault(pieces: list[bytes]) -> None:
    reader = ReplyReader()
    try:
        for piece in pieces:
            for raw in reader.feed(piece):
                reply = Reply.from_wire(raw)
                assert 200 <= reply.code <= 599 and reply.text.isprintable() and len(reply.text) <= TEXT_SIZE_MAX
    except ReplyFault:
        pass
