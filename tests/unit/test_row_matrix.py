"""The matrix in tests/chaos/README.md names tests that exist, and every row has one or says why not."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROWS = [
    line.split("|")
    for line in (ROOT / "tests/chaos/README.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_all_52_rows_are_there_in_order() -> None:
    assert [int(row[1]) for row in ROWS] == list(range(1, 53))


def test_every_row_has_a_test_or_says_why_it_is_open() -> None:
    assert [row[1].strip() for row in ROWS if "::" not in row[4] and not row[5].strip().startswith("open: ")] == []


def test_a_test_of_every_row_has_the_row_in_its_name() -> None:
    assert [row[1].strip() for row in ROWS if "::" in row[4] and f"row_{int(row[1]):02d}_" not in row[4]] == []


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for row in ROWS:
        for path, name in re.findall(r"`([^`]+)::([^`]+)`", row[4]):
            file = ROOT / path
            if not file.is_file() or f"def {name}(" not in file.read_text(encoding="utf-8"):
                missing.append(f"row {row[1].strip()}: {path}::{name}")
    assert missing == []
