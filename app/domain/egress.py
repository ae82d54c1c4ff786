"""Which hosts an account may make us connect to: public ones, on mail ports (server-side request forgery).

A name is judged here by its text alone. Whoever connects has to resolve it once, ask `is_public_address` about the
result and connect to exactly that address; a name may point elsewhere a second later.
"""

import ipaddress
import re

SMTP_PORTS = frozenset({25, 465, 587, 2525})

_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+(?:[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)\Z"
)
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".home.arpa", ".localdomain")
# `is_global` calls these global, although they lead back inside or carry another address (Python 3.11).
_DENIED_V6 = tuple(
    ipaddress.IPv6Network(net)
    for net in (
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "fec0::/10",
        "ff00::/8",
    )
)
_DENIED_V4 = tuple(
    ipaddress.IPv4Network(net) for net in ("0.0.0.0/8", "100.64.0.0/10", "192.88.99.0/24", "224.0.0.0/3")
)


def is_public_address(text: str) -> bool:
    """Whether an IP address in text form belongs to the public internet. Anything else is not."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in net for net in _DENIED_V4)
    return address.is_global and address.scope_id is None and not any(address in net for net in _DENIED_V6)


def host_fault(host: str, *, allow_private: bool) -> str | None:
    """Why `host` cannot be a relay, as a sentence, or None. `host` is a name or an IP address without brackets."""
    name = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return _name_fault(name, allow_private=allow_private)
    if allow_private or is_public_address(name):
        return None
    return "This address is inside a private network. Give the public name of your mail server."


def _name_fault(name: str, *, allow_private: bool) -> str | None:
    if allow_private and re.fullmatch(r"[a-z0-9]([a-z0-9_.-]{0,251}[a-z0-9])?", name):
        return None
    if name == "localhost" or name.endswith(_PRIVATE_SUFFIXES):
        return "This name is inside a private network. Give the public name of your mail server."
    if not _NAME.match(name):  # also numbers such as 2130706433, 0x7f.1 or 127.1, which resolvers read as addresses
        return "This is not the name of a mail server. Give one like smtp.example.com."
    return None


def port_fault(port: int, *, allow_private: bool) -> str | None:
    if allow_private or port in SMTP_PORTS:
        return None
    return "Mail servers are reached on port 25, 465, 587 or 2525."
