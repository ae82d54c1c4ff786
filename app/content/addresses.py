"""Is this text an e-mail address, and how is it written on the wire? Syntax only: nothing is looked up.

email-validator decides; plain ASCII addresses, nearly all of a million-row import, take a path of two regular expressions
that accepts only what the library accepts too (a property test compares the two): 0.5 against 24 µs. A million people have
few domains, so each is looked at once.
"""

import re
from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError, validate_email

# Reserved names (.test, .example, .localhost …) are what demo data and a company's own network use.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

ADDRESS_SIZE_MAX = 254  # octets: RFC 5321 § 4.5.3.1.3, a path of 256 with its angle brackets

_LOCAL_SIZE_MAX = 64  # octets: RFC 5321 § 4.5.3.1.1
_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
#: Labels of 1..63 without "--" (IDNA keeps it for A-labels), a letter at the end.
_PLAIN_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){0,62}(?<!-)\.)+(?=[A-Za-z0-9-]{1,63}\Z)[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-))*(?<=[A-Za-z])"
)
_PLAIN_ON_WIRE = re.compile(r"[A-Za-z0-9._+-]{1,64}@[a-z0-9.-]{1,189}")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BadAddress(str):
    """A sentence that says why a text is no address. A str of its own class, so that a check tells it from an address."""

    __slots__ = ()


def check_address(text: str) -> str | BadAddress:
    """The normalised address (domain in lower case), or a BadAddress that says what is wrong with it.

    The part before the @ stays as written: it may be case-sensitive (RFC 5321 § 2.4).
    """
    plain = _read_plain(text)
    if plain is not None:
        return plain
    if _FORBIDDEN.search(text):
        return BadAddress("An address cannot contain control characters or line breaks.")
    if len(text) > ADDRESS_SIZE_MAX:
        return BadAddress(f"An address has at most {ADDRESS_SIZE_MAX} characters; this has {len(text)}.")
    return _check_slowly(text)


def _read_plain(text: str) -> str | None:
    """The normalised address, or None when only the library can say whether it is one."""
    local, _, domain = text.partition("@")
    if len(text) > ADDRESS_SIZE_MAX or len(local) > _LOCAL_SIZE_MAX or not _PLAIN_LOCAL.fullmatch(local):
        return None
    plain_domain = _read_plain_domain(domain)
    return None if plain_domain is None else f"{local}@{plain_domain}"


@lru_cache(maxsize=4096)
def _read_plain_domain(domain: str) -> str | None:
    """The domain in lower case, or None when only the library can say."""
    return domain.lower() if _PLAIN_DOMAIN.fullmatch(domain) else None


def is_plain_on_wire(address: str) -> bool:
    """Whether an address that was checked before is written in a command and a header as it stands.

    Quicker than checking it again, which would be done for every message. False says nothing about it.
    """
    return _PLAIN_ON_WIRE.fullmatch(address) is not None


def is_address(text: str) -> bool:
    """Whether `check_address` accepts it."""
    return "@" in text and not isinstance(check_address(text), BadAddress)


def to_wire(address: str, *, smtputf8: bool) -> str | None:
    """Write a checked address as SMTP takes it: the domain in A-labels (RFC 5890).

    Returns  None when that cannot be: the part before the @ is not ASCII and SMTPUTF8 (RFC 6531) is not there.
    """
    if address.isascii():
        return address
    local, _, domain = address.rpartition("@")
    if not local.isascii() and not smtputf8:
        return None
    try:
        return f"{local}@{_to_a_labels(domain)}"
    except EmailNotValidError:
        return None


def domain_of(address: str) -> str:
    """The domain of a checked address, in A-labels."""
    domain = address.rpartition("@")[2]
    return domain if domain.isascii() else _to_a_labels(domain)


def _check_slowly(text: str) -> str | BadAddress:
    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=True, strict=True)
    except EmailNotValidError as fault:
        return BadAddress(str(fault))
    except (ValueError, UnicodeError):  # a lone surrogate, or an IDNA corner that the library does not wrap
        return BadAddress("The address contains characters that no address can have.")
    written = f"{found.local_part}@{found.ascii_domain.lower() if found.domain.isascii() else found.domain}"
    if (
        len(written.encode()) > ADDRESS_SIZE_MAX
        or len(f"{found.local_part}@{found.ascii_domain}".encode()) > ADDRESS_SIZE_MAX
    ):
        return BadAddress(f"An address has at most {ADDRESS_SIZE_MAX} octets.")
    return written


def _to_a_labels(domain: str) -> str:
    return validate_email(f"a@{domain}", check_deliverability=False).ascii_domain.lower()
