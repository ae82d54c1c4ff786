"""What the end of one SMTP conversation means for its message: decided by whose trouble it is, not by the digit alone.

    the recipient's   this address, this mailbox: only such an answer burns one of the recipient's tries or suppresses
    the sender's      our credentials, our reputation, our quota: the relay is paused and its owner told
    the relay's       it is busy or away: back off, nobody is to blame

Imports the standard library only. The worker's words for states and stages arrive as plain strings.
"""

from dataclasses import dataclass
from typing import Literal

State = Literal["replied", "not_sent", "uncertain"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The relay took responsibility for the message."""


@dataclass(frozen=True, slots=True)
class Bounced:
    """Refused for good. `suppress`: the address itself is bad, so it is not written to again."""

    suppress: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused because of who we are or how we come: every recipient would hear the same."""

    scope: Literal["sender"] = "sender"


@dataclass(frozen=True, slots=True)
class TryLater:
    """A temporary failure. Of the recipient: burns one of its tries. Of the relay: burns none."""

    scope: Literal["recipient", "relay"]


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The end of the data may have been delivered and no answer came. Never counted as sent."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Certainly not delivered, and nobody said anything about it."""


Outcome = Accepted | Bounced | Refused | TryLater | Uncertain | NotSent

#: Sign in, sign in better, wrong password, encrypt first (RFC 4954 § 6), no mail here (RFC 7504 § 3).
_SENDER_CODES = frozenset({521, 530, 534, 535, 538})
#: We do not understand each other, whoever the recipient is: unknown command, not implemented, out of order.
_PROTOCOL_CODES = frozenset({500, 502, 503, 504})
#: Our quota; our own address is bad or has no MX (RFC 3463 § 3.2, § 3.5; RFC 7505).
_SENDER_STATUS = frozenset({"5.4.5", "5.1.7", "5.1.8"})
#: No such mailbox, domain, syntax; null MX; mailbox disabled.
_HARD_BOUNCE_STATUS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.10", "5.2.1"})
#: Cannot be routed: mostly DNS at the relay, which comes back.
_ROUTING_STATUS = frozenset({"5.4.4"})
#: Too fast for it, whoever the recipient is: Gmail's and Exchange Online's own codes.
_THROTTLE_STATUS = frozenset({"4.7.28", "4.7.500"})
_ENVELOPE_AND_DATA = frozenset({"mail", "rcpt", "data", "body"})


def decide_outcome(*, state: State, stage: str, code: int | None, enhanced: str | None) -> Outcome:
    """Decide what one conversation means for one message.

    state     how it ended: `replied` when an answer decided, else what is true of the final dot.
    stage     connect, ehlo, starttls, auth, mail, rcpt, data or body.
    code      of the answer, if there was one.
    enhanced  "5.1.1", if the answer had one (RFC 3463).

    Returns   Accepted only on 2yz to the final dot.
    Raises    nothing: what makes no sense is NotSent before the body and Uncertain after it.
    Source    RFC 5321 § 4.2, RFC 3463 § 3, RFC 4954 § 6.
    """
    if state == "uncertain":
        return Uncertain()
    if code is None:
        return NotSent()
    if state == "not_sent" or stage not in _ENVELOPE_AND_DATA:
        return _decide_unusable(stage, code, enhanced)
    match code // 100:
        case 2 if stage == "body":
            return Accepted()
        case 4:
            return _decide_temporary(stage, code, enhanced)
        case 5:
            return _decide_permanent(stage, code, enhanced)
    return Uncertain() if stage == "body" else NotSent()


def _decide_unusable(stage: str, code: int, enhanced: str | None) -> Outcome:
    """The relay spoke before or beside the message: on connecting, on signing in, on hanging up."""
    if code == 421:
        return TryLater("relay")
    if code // 100 == 5 and (stage == "auth" or _is_senders(code, enhanced)):
        return Refused()
    return NotSent()


def _decide_temporary(stage: str, code: int, enhanced: str | None) -> Outcome:
    # 421 is the relay's goodbye; 454 its throttle. MAIL names no recipient, and 4.3.x is about the relay's own system.
    if code in (421, 454) or stage == "mail" or enhanced in _THROTTLE_STATUS:
        return TryLater("relay")
    if enhanced is not None and enhanced.startswith("4.3."):
        return TryLater("relay")
    return TryLater("recipient")


def _decide_permanent(stage: str, code: int, enhanced: str | None) -> Outcome:
    if _is_senders(code, enhanced):
        return Refused()
    if enhanced in _HARD_BOUNCE_STATUS:
        return Bounced(suppress=True)
    if enhanced in _ROUTING_STATUS:
        return TryLater("recipient")
    if stage == "mail" and not _is_about_the_message(code, enhanced):
        return Refused()
    if stage != "body" and code in _PROTOCOL_CODES:
        return Refused()
    return Bounced(suppress=False)


def _is_senders(code: int, enhanced: str | None) -> bool:
    if code in _SENDER_CODES or enhanced in _SENDER_STATUS:
        return True
    return enhanced is not None and enhanced.startswith("5.7.")


def _is_about_the_message(code: int, enhanced: str | None) -> bool:
    """Too large, or content that the relay cannot carry: the answer to MAIL names SIZE, BODY or SMTPUTF8."""
    return code == 552 or (enhanced is not None and (enhanced == "5.3.4" or enhanced.startswith("5.6.")))
