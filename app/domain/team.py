"""What the people of an account may do: an owner everything, a member all but the settings."""

from typing import Literal

Role = Literal["owner", "member"]

#: The scopes of a session, by its user's role. An API key has its own.
SCOPES_OF: dict[str, frozenset[str]] = {
    "owner": frozenset(("read", "send", "admin")),
    "member": frozenset(("read", "send")),
}
