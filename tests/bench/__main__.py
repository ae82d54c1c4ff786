"""`make bench [ONLY=send] [N=1000]`: measure, and print one JSON line for each result.

stdout carries nothing but these lines; what goes on is told on stderr. Each benchmark starts servers of its own and ends them.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from app.embedded import EmbeddedError
from app.frontend_build import BuildError
from tests.bench import (
    api,
    content,
    import_contacts,
    latency,
    launch,
    limiter,
    machine,
    node,
    sandbox,
    scale,
    schedule,
    send,
    smtp_client,
)  # fmt: skip
from tests.bench.options import Lines, Options, emit, say

BENCHES: dict[str, Callable[[Options], Lines]] = {
    "send": send.run,
    "latency": latency.run,
    "schedule": schedule.run,
    "api": api.run,
    "import": import_contacts.run,
    "launch": launch.run,
    "scale": scale.run,
    "limiter": limiter.run,
    # Parts of the above, alone: not in the table, for whoever makes one of them faster.
    "content": content.run,
    "smtp": smtp_client.run,
    "sandbox": sandbox.run,
}
_NEEDS_BASELINE = {"send", "latency", "api"}


class Stopped(BaseException):
    """A signal: end, and clean up on the way out."""


def main() -> int:
    given = _arguments()
    chosen = given.only.split(",") if given.only else list(BENCHES)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _stop)
    options = Options(given.n, given.repeats, given.old_rows, given.span_s)
    failed = []
    try:
        if _NEEDS_BASELINE & set(chosen):
            node.install()
        emit(machine.describe())
        for name in chosen:
            if not _ran(name, options, given.timeout_s):
                failed.append(name)
    except Stopped as stopped:
        say(f"stopped by {stopped}")
        return 1
    except BuildError as error:
        say(f"the baseline cannot be installed: {error}")
        return 1
    if failed:
        say(f"without a result: {', '.join(failed)}")
    return 1 if failed else 0


def _ran(name: str, options: Options, timeout_s: int) -> bool:
    """Run one benchmark. One that fails does not keep the next from running."""
    say(f"{name} begins")
    signal.alarm(timeout_s)
    try:
        for line in BENCHES[name](options):
            emit(line)
        return True
    except (AssertionError, RuntimeError, OSError, TimeoutError, EmbeddedError) as error:
        say(f"{name} failed: {error!r}")
        return False
    finally:
        signal.alarm(0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__.partition("\n")[0] if __doc__ else None
    )
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), type=_names, help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--n", type=_positive, help="the benchmark's own size; each has a default")
    parser.add_argument(
        "--repeats", type=_positive, default=os.environ.get("REPEATS", "3"), help="medians over so many"
    )
    parser.add_argument(
        "--old-rows", type=int, default=os.environ.get("OLD_ROWS", "5000000"), help="scale: old messages"
    )
    parser.add_argument(
        "--span-s", type=float, default=os.environ.get("SPAN_S", "60"), help="schedule: due within so long"
    )
    parser.add_argument("--timeout-s", type=_positive, default="7200", help="a benchmark that takes longer is stopped")
    return parser.parse_args()


def _names(text: str) -> str:
    unknown = [name for name in text.split(",") if text and name not in BENCHES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no benchmark {unknown[0]!r}: {', '.join(BENCHES)}")
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
