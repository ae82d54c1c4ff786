"""The table of the README, from the lines that rounds print."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.plan import KINDS
from tests.chaos.report import BEGIN, END, README, STRUCK, make_table, read_lines, replace_table

LINE: dict[str, Any] = {
    "seed": "a.1", "ok": True, "messages": 3000, "accepted": 2900, "chunked": 0, "posts": 90, "post_tries": 100,
    "lost": 0, "duplicated": 3, "duplicated_max": 40, "uncertain": 9, "uncertain_max": 80,
    "windows": {"account": [98, 100], "campaign 3": [60, 60]}, "recovery_s": 12.5, "recovery_max_s": 70.0,
    "faults": {"kill": 2, "redis_flush": 1, "redis_restart": 1}, "breaches": [],
}  # fmt: skip


def test_counts_are_summed_and_the_fullest_window_and_slowest_recovery_are_found() -> None:
    table = make_table([LINE, {**LINE, "recovery_s": 20.0, "lost": 1, "ok": False, "faults": {"kill": 3}}])
    for row in (
        "| worker killed (SIGKILL) | 5 |",
        "| Redis emptied or restarted empty | 2 |",
        "| **rounds**, with a breach | 2, **1** |",
        "| **lost** | **1** |",
        "| duplicates, of what kills and cuts allow | 6 of 80 |",
        "| **fullest window of any limit** | **60 of 60** |",
        "| slowest recovery after the last fault; allowed | 20.0 s; 70.0 s |",
    ):
        assert row in table.splitlines()


def test_every_kind_of_fault_has_a_row_and_only_one() -> None:
    counted = [kind for kinds in STRUCK.values() for kind in kinds.split()]
    assert sorted(counted) == sorted(KINDS)


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = replace_table(text, "| new |")
    assert once == f"before\n{BEGIN}\n| new |\n{END}\nafter\n"
    assert replace_table(once, "| new |") == once
    with pytest.raises(ValueError, match="markers"):
        replace_table("no markers", "| new |")


def test_the_readme_has_the_markers() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1


def test_lines_of_mutants_and_of_other_programs_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rounds.jsonl"
    file.write_text("noise\n" + json.dumps(LINE) + "\n" + json.dumps({**LINE, "mutant": "no-mark"}) + "\n")
    assert read_lines(file) == [LINE]


def test_without_a_round_there_is_no_table() -> None:
    with pytest.raises(ValueError, match="no round"):
        make_table([])
