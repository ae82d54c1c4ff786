"""Addresses: what is accepted, how it is normalised, and that the fast path agrees with the library."""

import string

import pytest
from email_validator import validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from app.content import addresses
from app.content.addresses import BadAddress, check_address, domain_of, to_wire

GOOD = {
    "plain": ("Ann.Lee@Example.COM", "Ann.Lee@example.com"),
    "plus": ("ann+news@mail.example.org", "ann+news@mail.example.org"),
    "reserved test": ("bob@bounce.test", "bob@bounce.test"),
    "reserved example": ("bob@shop.example", "bob@shop.example"),
    "localhost": ("bob@mail.localhost", "bob@mail.localhost"),
    "apostrophe": ("o'neil@shop.example", "o'neil@shop.example"),
    "idn": ("bob@BÜCHER.example", "bob@bücher.example"),
    "a-label stays as the library shows it": ("bob@xn--bcher-kva.example", "bob@bücher.example"),
    "utf-8 local part": ("jörg@shop.example", "jörg@shop.example"),
}


@pytest.mark.parametrize(("text", "expected"), GOOD.values(), ids=GOOD)
def test_an_address_is_accepted_and_normalised(text: str, expected: str) -> None:
    assert check_address(text) == expected
    assert not isinstance(check_address(text), BadAddress)


BAD = [
    "", "a", "@", "a@", "@b.example", "a@b", "a b@c.example", "a@b..example", ".a@b.example", "a.@b.example", "a@-b.example",
    "a@b-.example", "a@b.example\r\nBcc: c@d.example", "a@b.example\n", "a\x00@b.example", "a@b.example,c@d.example",
    "<a@b.example>", "Ann <a@b.example>", "a@b@c.example", "a" * 65 + "@b.example", "a@" + "b" * 64 + ".example",
    "a@" + "b." * 130 + "example", "a@[127.0.0.1]", "a@1.2.3.4", "\ud800@b.example", "a@b\u2028.example", " a@b.example",
    "a@b.example ", "é" * 200 + "@b.example", "a@" + "é" * 200 + ".example", "a@ab--c.example",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address_gets_a_sentence(text: str) -> None:
    found = check_address(text)
    assert isinstance(found, BadAddress)
    assert found.endswith(".")


_LOCAL = st.text(string.ascii_letters + string.digits + "_+-..", min_size=1, max_size=66)
_LABELS = st.lists(st.text("abzAZ059x-n", min_size=1, max_size=12) | st.just("b" * 63), min_size=1, max_size=4)
_NEARLY = st.builds(lambda local, labels: f"{local}@{'.'.join(labels)}", _LOCAL, _LABELS)
_ALPHABET = string.ascii_letters + string.digits + "..--@@_+!'é"


@given(st.text(_ALPHABET, max_size=30) | _NEARLY)
@example("a@b--c.example")
@example("a@xn--a.example")
@example("a@" + "b" * 63 + ".co")
@example("a" * 64 + "@b.co")
@example("a@b.c1")
def test_the_fast_path_accepts_only_what_the_library_accepts(text: str) -> None:
    plain = addresses._read_plain(text)
    if plain is not None:
        assert validate_email(text, check_deliverability=False, strict=True).normalized == plain == check_address(text)


@given(st.text(max_size=300))
def test_any_text_gets_an_answer_that_is_safe_in_a_header(text: str) -> None:
    found = check_address(text)
    if not isinstance(found, BadAddress):
        assert not set(found) & set("\r\n\x00<> ,;")
        assert len(found.encode()) <= 254
        assert check_address(found) == found


def test_on_the_wire_a_domain_is_ascii() -> None:
    assert to_wire("bob@bücher.example", smtputf8=False) == "bob@xn--bcher-kva.example"
    assert to_wire("bob@bücher.example", smtputf8=True) == "bob@xn--bcher-kva.example"
    assert domain_of("bob@bücher.example") == "xn--bcher-kva.example"


def test_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    assert to_wire("jörg@bücher.example", smtputf8=False) is None
    assert to_wire("jörg@bücher.example", smtputf8=True) == "jörg@xn--bcher-kva.example"
