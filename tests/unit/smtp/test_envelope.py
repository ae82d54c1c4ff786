"""What goes over the wire for a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.smtp.envelope import Envelope, find_address_fault, has_bare_line_end, write_body, write_mail, write_rcpt


@given(st.lists(st.sampled_from([b".", b"..", b"\r\n", b"a", b"\r\n.\r\n", b"\xc3\xa9", b" "]), max_size=40))
def test_dots_come_back_and_the_end_is_said_once(parts: list[bytes]) -> None:
    data = b"".join(parts)
    body = write_body(data)
    assert (b"\r\n" + body).find(b"\r\n.\r\n") == len(body) - 3
    unstuffed = [line[1:] if line.startswith(b".") else line for line in body[:-3].split(b"\r\n")]
    expected = data if data.endswith(b"\r\n") else data + b"\r\n"
    assert b"\r\n".join(unstuffed) == expected


@pytest.mark.parametrize("data", [b"a\nb\r\n", b"a\rb\r\n", b"\r\n.\n", b"a\r", b"\n", b"\r\r\n", b"\n\r\n"])
def test_a_bare_line_end_is_found(data: bytes) -> None:
    assert has_bare_line_end(data)


def test_proper_line_ends_are_not_bare() -> None:
    assert not has_bare_line_end(b"a\r\n\r\n.b\r\n") and not has_bare_line_end(b"")


@pytest.mark.parametrize(
    "address",
    [
        "a@b.test>\r\nRCPT TO:<c@d.test", "a\x00@b.test", "a b@c.test", "<a@b.test>", "a@b.test\n", "a@b.test\x7f",
        "a@b.test\x85", "a@b.test\u2028", "x" * 321, "é@b.test", "",
    ],
)  # fmt: skip
def test_an_address_that_would_break_the_command_is_refused(address: str) -> None:
    assert find_address_fault(Envelope("from@example.test", address))


def test_the_null_sender_and_utf8_with_its_extension_are_fine() -> None:
    assert find_address_fault(Envelope("", "a@example.test")) is None
    assert find_address_fault(Envelope("a@example.test", "é@example.test", smtputf8=True)) is None


def test_commands_name_only_what_is_used() -> None:
    plain = Envelope("a@example.test", "b@example.test", size=12)
    assert write_mail(plain, offers_size=False) == b"MAIL FROM:<a@example.test>\r\n"
    assert write_mail(plain, offers_size=True) == b"MAIL FROM:<a@example.test> SIZE=12\r\n"
    full = Envelope("é@example.test", "b@example.test", eight_bit=True, smtputf8=True)
    assert write_mail(full, offers_size=True) == "MAIL FROM:<é@example.test> BODY=8BITMIME SMTPUTF8\r\n".encode()
    assert write_rcpt(plain) == b"RCPT TO:<b@example.test>\r\n"
