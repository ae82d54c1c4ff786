"""`python -m tests.chaos.report FILE.jsonl …`: write what rounds came to as a table into README.md.

Reads the lines that `make chaos` printed, and replaces what stands between the two markers.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent.parent / "README.md"
BEGIN, END = "<!-- chaos:begin -->", "<!-- chaos:end -->"

Line = dict[str, Any]

#: kind of fault -> what it was done to, and how, in the order of the table.
STRUCK: dict[str, str] = {
    "worker killed (SIGKILL)": "kill",
    "all workers and the web killed at once": "kill_all",
    "worker asked to end (SIGTERM)": "term",
    "worker frozen for a moment": "freeze",
    "worker frozen until others took over": "freeze_long",
    "web process killed": "web_kill",
    "web process asked to end": "web_term",
    "PostgreSQL crashed": "postgres_crash",
    "database connections cut": "postgres_disconnect postgres_cut",
    "database hung": "postgres_hang",
    "Redis emptied or restarted empty": "redis_flush redis_restart",
    "Redis hung": "redis_pause redis_hang",
    "relay down, busy or slow": "relay_down relay_busy relay_slow",
    "replies lost, bodies cut, connections cut": (
        "relay_loses_replies relay_cuts_bodies smtp_reset smtp_cut smtp_late smtp_swallow"
    ),
    "pauses, cancels, unsubscribes meanwhile": "pause cancel unsubscribe",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.report")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, default=README)
    given = parser.parse_args()
    lines = [line for path in given.files for line in read_lines(path)]
    given.into.write_text(replace_table(given.into.read_text(encoding="utf-8"), make_table(lines)), encoding="utf-8")


def read_lines(path: Path) -> list[Line]:
    """The rounds of one file; lines of mutants are of another kind."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    return [line for line in found if "mutant" not in line and "error" not in line]


def make_table(lines: Sequence[Line]) -> str:
    """Markdown: what was done, and what came of it. Raises ValueError without a round."""
    if not lines:
        raise ValueError("there is no round to report")
    rows = [("what", "count"), ("---", "---:"), *_struck(lines), *_outcomes(lines)]
    return "\n".join(f"| {what} | {count} |" for what, count in rows)


def replace_table(text: str, table: str) -> str:
    """Raises ValueError when the markers are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _struck(lines: Iterable[Line]) -> list[tuple[str, str]]:
    done: Counter[str] = Counter()
    for line in lines:
        done.update(line["faults"])
    return [(what, f"{sum(done[kind] for kind in kinds.split()):,}") for what, kinds in STRUCK.items()]


def _outcomes(lines: Sequence[Line]) -> list[tuple[str, str]]:
    def total(name: str) -> int:
        return sum(line[name] for line in lines)

    slowest = max(lines, key=lambda line: line["recovery_s"])
    most, allowed = _worst_window(lines)
    return [
        ("**rounds**, with a breach", f"{len(lines):,}, **{sum(not line['ok'] for line in lines)}**"),
        ("messages; accepted by the relay, of these by BDAT", f"{total('messages'):,}; {total('accepted'):,}, {total('chunked'):,}"),
        ("**lost**", f"**{total('lost'):,}**"),
        ("duplicates, of what kills and cuts allow", f"{total('duplicated'):,} of {total('duplicated_max'):,}"),
        ("uncertain on the way, of what they allow", f"{total('uncertain'):,} of {total('uncertain_max'):,}"),
        ("API posts, tries; accepted other than once", f"{total('posts'):,}, {total('post_tries'):,}; {_misposted(lines)}"),
        ("**fullest window of any limit**", f"**{most} of {allowed}**"),
        ("slowest recovery after the last fault; allowed", f"{slowest['recovery_s']:.1f} s; {slowest['recovery_max_s']:.1f} s"),
    ]  # fmt: skip


def _worst_window(lines: Iterable[Line]) -> tuple[int, int]:
    """The window that was used up most, as (sent, allowed)."""
    windows = [tuple(window) for line in lines for window in line["windows"].values()]
    most, allowed = max(windows, key=lambda window: (window[0] / window[1], window[1]))
    return most, allowed


def _misposted(lines: Iterable[Line]) -> int:
    return sum("post" in breach for line in lines for breach in line["breaches"])


if __name__ == "__main__":
    main()
