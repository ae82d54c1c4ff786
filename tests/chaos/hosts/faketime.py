"""Clocks that go wrong: a process whose wall clock is off, by libfaketime. Its monotonic clock stays right, as a host's does.

environment |= shifted("+3600s")
environment |= steered(file); file.write_text("-5s")      # the clock follows the file, at once
"""

from pathlib import Path

#: Debian's package `faketime` puts it below the machine's own triplet.
_PLACES = ("lib/*/faketime/libfaketimeMT.so.1", "lib/faketime/libfaketimeMT.so.1", "lib64/faketime/libfaketimeMT.so.1")


def find_library() -> Path | None:
    return next((path for place in _PLACES for path in sorted(Path("/usr").glob(place))), None)


def why_not() -> str | None:
    return None if find_library() else "libfaketime is not installed: `apt-get install faketime`"


def shifted(offset: str) -> dict[str, str]:
    """The environment of a process whose wall clock is off by so much, as in `+3600s`."""
    return {**_preloaded(), "FAKETIME": offset}


def steered(file: Path) -> dict[str, str]:
    """The environment of a process whose wall clock is off by what the file says, whenever it says it."""
    return {**_preloaded(), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}


def _preloaded() -> dict[str, str]:
    return {
        "LD_PRELOAD": str(find_library()), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
