"""`python -m tests.chaos.load [--scale 0.02] [--only fairness,api]`: much of everything at once, and what must hold then.

One JSON line for each question on standard output: what was measured, its bound, and whether it held. Exit code 1 when one
did not. At scale 1: a million messages queued, 200 campaigns at once, 2,000 API requests in flight, 50,000 future
messages, and a relay that takes 200 ms for each reply beside one that takes none.
"""

import argparse
import sys

from tests.bench.options import emit, say
from tests.chaos.load.cases import CASES, play
from tests.chaos.load.installation import running_installation
from tests.chaos.stack import leave_on_signals


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.load")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(CASES), help="some of " + ",".join(CASES))
    given = parser.parse_args()
    leave_on_signals()
    breached = []
    with running_installation(scale=given.scale) as installation:
        for line in play(installation, given.only.split(",")):
            emit(line)
            if not line["ok"]:
                breached.append(f"{line['load']}: {line['what']}")
    for what in breached:
        say(f"BREACH  {what}")
    return 1 if breached else 0


if __name__ == "__main__":
    sys.exit(main())
