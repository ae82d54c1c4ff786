"""A table and a plot from what `make bench` printed: `python -m tests.bench.report FILE.jsonl [README.md …]`.

Writes `tests/bench/results.svg`, and the table between the markers of each named file (README.md unless others are named). The
table goes to stdout as well. Lines of several runs may be in one file: the last of a figure counts.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from tests.bench.options import Line

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
ROOT = Path(__file__).parent.parent.parent
PLOT = Path(__file__).parent / "results.svg"
_VERSIONS = ("python", "postgres", "valkey")


def read_lines(text: str) -> list[Line]:
    """Raises ValueError, with the line's number, for what is not a result."""
    lines: list[Line] = []
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        try:
            line = json.loads(row)
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON: {row[:80]!r}") from error
        if not isinstance(line, dict) or "bench" not in line:
            raise ValueError(f"line {number} is not a result: {row[:80]!r}")
        lines.append(line)
    return lines


def figures(lines: Iterable[Line]) -> list[Line]:
    """The figures in the order in which each came first; of several with one name the last."""
    found: dict[str, Line] = {}
    for line in lines:
        if line["bench"] in ("ratio", "figure"):
            found[line["figure"]] = line
    return list(found.values())


def make_table(lines: Sequence[Line]) -> str:
    rows = ["| figure | measured | at least / at most | reached | how |", "|---|---:|---:|---|---|"]
    for line in figures(lines):
        reached = "yes" if line["met"] else "**no**"
        how = "; ".join([*_how(line), *_ceiling(line, lines)])
        rows.append(
            f"| {line['figure']} | {_number(line['value'])} {line['unit']} | {_limit(line)} | {reached} | {how} |"
        )
    machine = next((line for line in reversed(lines) if line["bench"] == "machine"), None)
    return "\n".join([*rows, "", *([_describe(machine)] if machine else [])])


def _limit(line: Line) -> str:
    if "at_least" in line:
        return f"≥ {_number(line['at_least'])} {line['unit']}"
    return f"≤ {_number(line['at_most'])} {line['unit']}"


def _how(line: Line) -> list[str]:
    """The numbers behind a figure, in words."""
    parts = []
    if "ours_per_s" in line:
        parts.append(f"{_number(line['ours_per_s'])}/s : {_number(line['baseline_per_s'])}/s")
    if "ours_at" in line:
        parts.append(f"processes x connections {line['ours_at']}; baseline at {line['baseline_at']}")
    if "on_per_s" in line:
        parts.append(f"{_number(line['on_per_s'])}/s : {_number(line['off_per_s'])}/s")
    if "pairs" in line:
        parts.append(f"median of {len(line['pairs'])} pairs at {line['on_at']}")
    if line.get("in_flight", 1) > 1:
        parts.append(f"{line['in_flight']} in flight on each")
    if "per_s" in line:
        parts.append(
            f"{_number(line['per_s'])}/s : {_number(line['against_per_s'])}/s; processor time {line['cpu_ratio']:.2f} ×"
        )
    if "messages_per_s" in line:
        parts.append(f"{_number(line['messages_per_s'])} messages/s in batches of {line['batch_size']}")
    if "max_ms" in line:
        parts.append(f"of {_number(line['count'])}, max {_number(line['max_ms'])} ms")
    if "p99_us" in line:
        parts.append(f"p99 {_number(line['p99_us'])} µs at {_number(line['grants_per_s'])} grants/s")
    if "n" in line:
        parts.append(f"N = {_number(line['n'])}")
    return parts


def _ceiling(line: Line, lines: Iterable[Line]) -> list[str]:
    """What Postfix alone takes on this machine, beside what it took from us."""
    if line["figure"] != "latency, Postfix":
        return []
    return [
        f"Postfix alone {_number(found['per_s'])}/s, its queue in {found.get('queue_place') or 'a temporary folder'}"
        for found in lines
        if found.get("who") == "smtp-source"
    ][-1:]


def _describe(machine: Line) -> str:
    versions = ", ".join(f"{name.capitalize()} {machine[name]}" for name in _VERSIONS if machine.get(name))
    baseline = machine.get("baseline", {})
    theirs = ", ".join(f"{name} {number}" for name, number in baseline.items())
    return (
        f"Measured at commit `{machine.get('commit') or '?'}` on {machine['cores']} cores ({machine['cpu']}), servers, sink and"
        f" clients on the same machine; {versions}, fsync on; {machine['sink']}; baseline: {theirs}."
    )


def _number(number: float | None) -> str:
    if number is None:
        return "–"
    if float(number).is_integer() or abs(number) >= 100:
        return f"{round(number):,}"
    return f"{number:.2f}" if abs(number) >= 0.1 else f"{number:.3f}"


# -- the plot --

_BAR, _GAP, _LEFT, _WIDTH, _RIGHT, _TOP = 20, 14, 200, 760, 90, 46
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .quiet { fill: #656d76; font-size: 12px; }
  .ours { fill: #1a7f64; } .theirs { fill: #b4bcc6; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .quiet { fill: #8d96a0; } .ours { fill: #3fb68b; } .theirs { fill: #4d5663; }
  }
"""


def make_plot(lines: Sequence[Line]) -> str:
    """Ours beside the replaced design, as an SVG: one pair of bars for each comparison, each pair on its own scale."""
    pairs = [line for line in figures(lines) if "baseline_per_s" in line]
    pair_height = 2 * _BAR + _GAP + 10
    height = _TOP + max(1, len(pairs)) * pair_height + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="title">',
        '<title id="title">Mailtide beside the design that it replaces, per second</title>',
        f"<style>{_STYLE}</style>",
        '<text class="title" x="10" y="24">Per second, beside the design that it replaces</text>',
    ]
    if not pairs:
        parts.append(f'<text class="quiet" x="10" y="{_TOP + 16}">Nothing was compared in this run.</text>')
    for index, line in enumerate(pairs):
        parts += _pair(line, _TOP + index * pair_height)
    return "\n".join([*parts, "</svg>", ""])


def _pair(line: Line, top: int) -> list[str]:
    most = max(line["ours_per_s"], line["baseline_per_s"], 1)
    room = _WIDTH - _LEFT - _RIGHT
    parts = [
        f'<text x="10" y="{top + _BAR - 4}">{escape(line["figure"])}</text>',
        f'<text class="quiet" x="10" y="{top + 2 * _BAR - 2}">{_number(line["value"])} ×</text>',
    ]
    for row, (kind, name, per_s) in enumerate(
        (("ours", "Mailtide", line["ours_per_s"]), ("theirs", "replaced", line["baseline_per_s"]))
    ):
        y, length = top + row * (_BAR + 2), max(1.0, room * per_s / most)
        parts.append(f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="3"/>')
        parts.append(f'<text class="quiet" x="{_LEFT + length + 6:.1f}" y="{y + 15}">{_number(per_s)} {name}</text>')
    return parts


def put_between_markers(text: str, table: str) -> str | None:
    """The text with the table between its markers, or None when it does not have both in order."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        return None
    return f"{before}{BEGIN}\n{table.strip()}\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        sys.stderr.write(f"{(__doc__ or '').strip()}\n")
        return 2
    try:
        lines = read_lines(Path(arguments[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"report: {error}\n")
        return 1
    table = make_table(lines)
    sys.stdout.write(f"{table}\n")
    PLOT.write_text(make_plot(lines), encoding="utf-8")
    missing = False
    for path in [Path(name) for name in arguments[1:]] or [ROOT / "README.md"]:
        written = put_between_markers(path.read_text(encoding="utf-8"), table)
        if written is None:
            sys.stderr.write(f"report: {path.name} has no {BEGIN} … {END}: the table was not put in\n")
            missing = True
        else:
            path.write_text(written, encoding="utf-8")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
