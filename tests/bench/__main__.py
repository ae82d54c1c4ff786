"""`python -m tests.bench [ONLY] [N]`, also from ONLY= and N= of `make bench`."""

import json
import os
import sys

from tests.bench import send
from tests.bench.stack import running_stack


def main() -> None:
    only = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ONLY", "")
    count = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("N") or 20_000)
    if only not in ("", "send"):
        sys.exit(f"there is no benchmark {only!r} yet: send")
    with running_stack() as stack:
        for processes, concurrency in ((1, 5), (1, 10), (1, 20), (2, 10)):
            print(json.dumps(send.measure(stack, count=count, processes=processes, concurrency=concurrency)), flush=True)


if __name__ == "__main__":
    main()
