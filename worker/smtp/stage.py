"""The steps of an SMTP conversation, how long each may take, and the fault of a relay that cannot be used."""

from dataclasses import dataclass
from enum import StrEnum

from worker.smtp.reply import Reply


class Stage(StrEnum):
    CONNECT = "connect"  # TCP, implicit TLS, the greeting
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # the command, before any of the message
    BODY = "body"  # the message and the reply to its final dot


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for each reply: RFC 5321 § 4.5.3.2, which leaves connecting, TLS and AUTH open."""

    connect_s: float = 30.0
    greeting_s: float = 300.0
    ehlo_s: float = 300.0
    starttls_s: float = 120.0
    auth_s: float = 120.0
    mail_s: float = 300.0
    rcpt_s: float = 300.0
    data_s: float = 120.0
    block_s: float = 180.0  # for one piece of a long message to leave this process
    end_s: float = 600.0  # after the final dot: a server may work hard here, and giving up early makes duplicates


class RelayUnavailable(Exception):
    """The relay cannot be used now, whoever the recipient is. Nothing was sent.

    stage   how far it came.
    reply   what the server said, when it said something.
    reason  a sentence for people, without secrets.
    """

    def __init__(self, stage: Stage, reply: Reply | None, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reply = reply
        self.reason = reason
