"""What can go wrong that a client can do something about.

AppError                 code, message; knows nothing of HTTP
├─ InvalidInput          what was sent cannot be understood or accepted; one Fault per place
├─ NotSignedIn
├─ NotPermitted
├─ NotFound              also: it is another account's
├─ Conflict              true in general, not now
│  ├─ WrongState         a sent campaign cannot be launched
│  └─ AlreadyExists
├─ TooLarge              a body over its limit
├─ LimitReached          retry_after_s
└─ Unavailable           a dependency is down; retry_after_s

`code` is a stable snake_case string that clients switch on; `message` is a sentence for people. One table in
`app/api/errors.py` maps class to status. Anything else that is raised is a bug.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the input. `pointer` is a JSON pointer (RFC 6901) into the body, "" for the whole."""

    pointer: str
    detail: str
    code: str = "invalid"

    def under(self, place: str) -> "Fault":
        """The same fault of something that stands at `place`, a JSON pointer, in a larger body."""
        return Fault(place + self.pointer, self.detail, self.code)


class AppError(Exception):
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code


class InvalidInput(AppError):
    code = "invalid_input"

    def __init__(self, message: str, faults: Sequence[Fault] = (), *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.faults = tuple(faults)


class NotSignedIn(AppError):
    code = "not_signed_in"


class NotPermitted(AppError):
    code = "not_permitted"


class NotFound(AppError):
    code = "not_found"


class Conflict(AppError):
    code = "conflict"


class WrongState(Conflict):
    code = "wrong_state"


class AlreadyExists(Conflict):
    code = "already_exists"


class TooLarge(AppError):
    code = "too_large"


class LimitReached(AppError):
    code = "limit_reached"

    def __init__(self, message: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(AppError):
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 5, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s
