"""The benchmark's table and plot are made from its JSON lines alone."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.figures import combine, figure, percentile, ratio
from tests.bench.options import Line
from tests.bench.send import ledger_ratio

MACHINE: Line = {
    "bench": "machine", "cpu": "Some CPU", "cores": 2, "commit": "abc1234", "python": "3.11.7", "postgres": "18.6",
    "valkey": "9.1.2", "sink": "smtp-sink", "baseline": {"node": "24.1.0", "bullmq": "6.7.0"},
}  # fmt: skip
SEND = ratio(
    "send", 9000, 600, at_least=12, ours_per_s=9000, baseline_per_s=600, ours_at="2 x 10", baseline_at=20, n=50_000
)
LATE = figure("lateness of messages, p99", 61.5, unit="ms", at_most=50, max_ms=80.0, count=1000, n=400_000)
LINES = [MACHINE, {"bench": "send", "who": "ours", "per_s": 9000}, SEND, LATE]


def test_a_figure_that_was_reached_and_one_that_was_not_are_told_apart() -> None:
    table = report.make_table(LINES)

    assert "| send | 15 × | ≥ 12 × | yes | 9,000/s : 600/s;" in table
    assert "| lateness of messages, p99 | 61.50 ms | ≤ 50 ms | **no** | of 1,000, max 80 ms; N = 400,000 |" in table
    assert "commit `abc1234` on 2 cores (Some CPU)" in table and "bullmq 6.7.0" in table


def test_beside_what_postfix_took_from_us_stands_what_it_takes_at_all() -> None:
    into_postfix = ratio("latency, Postfix", 900, 100, at_least=10, ours_per_s=900, baseline_per_s=100, n=10_000)
    alone = {"bench": "latency", "who": "smtp-source", "per_s": 1298, "queue_place": "/dev/shm"}

    assert "N = 10,000; Postfix alone 1,298/s, its queue in /dev/shm |" in report.make_table([into_postfix, alone])
    assert "alone" not in report.make_table([SEND, alone])
    assert "alone" not in report.make_table([into_postfix])


def test_the_ledgers_ratio_is_the_median_of_pairs_whatever_one_slow_half_did() -> None:
    setup = {"processes": 2, "connections": 20, "in_flight": 48, "n": 50_000}
    pairs: list[tuple[Line, Line]] = [
        ({**setup, "per_s": on}, {**setup, "per_s": off}) for on, off in ((80, 100), (160, 200), (40, 100))
    ]
    line = ledger_ratio("ledger on : off", pairs)

    assert (line["value"], line["met"], line["pairs"]) == (0.8, True, [0.8, 0.8, 0.4])
    assert "80/s : 100/s; median of 3 pairs at 2 x 20; 48 in flight on each; N = 50,000 |" in report.make_table([line])


def test_the_last_line_of_a_figure_counts() -> None:
    again = {**LATE, "value": 9.0, "met": True}

    assert [line["value"] for line in report.figures([*LINES, again])] == [15.0, 9.0]


def test_the_plot_is_an_svg_with_a_pair_of_bars_for_each_comparison() -> None:
    bars = ElementTree.fromstring(report.make_plot(LINES)).findall("{http://www.w3.org/2000/svg}rect")

    widths = [float(bar.attrib["width"]) for bar in bars]
    assert len(widths) == 2 and widths[0] == pytest.approx(15 * widths[1], rel=0.01)


def test_a_plot_without_comparisons_is_still_an_svg() -> None:
    assert ElementTree.fromstring(report.make_plot([MACHINE])).findall("{http://www.w3.org/2000/svg}rect") == []


def test_the_table_replaces_what_is_between_the_markers_and_nothing_else() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"

    assert report.put_between_markers(text, "new") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert report.put_between_markers("no markers", "new") is None
    assert report.put_between_markers(f"{report.END} {report.BEGIN}", "new") is None


def test_what_is_not_a_result_is_refused_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps(MACHINE) + "\nmailtide: installing\n", encoding="utf-8")

    assert report.main([str(file)]) == 1
    assert "line 2 is not JSON" in capsys.readouterr().err


def test_the_command_writes_the_table_and_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PLOT", tmp_path / "results.svg")
    readme, results = tmp_path / "README.md", tmp_path / "results.jsonl"
    readme.write_text(f"# Title\n{report.BEGIN}\n{report.END}\n", encoding="utf-8")
    results.write_text("".join(json.dumps(line) + "\n" for line in LINES), encoding="utf-8")

    assert report.main([str(results), str(readme)]) == 0
    assert "| send | 15 × |" in readme.read_text(encoding="utf-8")
    assert (tmp_path / "results.svg").read_text(encoding="utf-8").startswith("<svg")


def test_several_measurements_of_one_thing_become_their_median() -> None:
    lines: list[Line] = [{"bench": "send", "n": 10, "per_s": per_s, "seconds": 1.0} for per_s in (900, 100, 500)]

    assert combine(lines) == {
        "bench": "send", "n": 10, "per_s": 500, "seconds": 1.0, "per_s_each": [900, 100, 500], "repeats": 3,
    }  # fmt: skip


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)


@pytest.mark.parametrize(("value", "is_met"), [(49.9, True), (50.0, True), (50.1, False)])
def test_a_limit_includes_its_own_value(value: float, is_met: bool) -> None:
    assert figure("x", value, unit="ms", at_most=50)["met"] is is_met
