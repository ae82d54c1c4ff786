"""Row 33: a CSV of 200 MB goes through web and worker, and neither grows by more than a hundred megabytes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.acceptance.stack import Child, Stack, wait_for

ROWS = 100_000
ROW_SIZE = 2_000  # bytes
GROWTH_MAX_KB = 100_000
#: A Python with psycopg and nothing else is a third of it.
IMPORTER_MAX_KB = 200_000


class Csv:
    """A file that is made as it is read, with a length."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._pieces, self._size, self._left = pieces, size, b""

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        while len(self._left) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._left += piece
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def a_large_csv() -> Csv:
    head = b"email,first_name,remark\n"

    def pieces() -> Iterator[bytes]:
        yield head
        for number in range(ROWS):
            start = b"p%07d@large.test,Person %07d," % (number, number)
            yield start + b"x" * (ROW_SIZE - len(start) - 1) + b"\n"

    return Csv(pieces(), len(head) + ROWS * ROW_SIZE)


def one_long_line(size: int) -> Csv:
    return Csv((b"y" * 65_536 for _ in range(size // 65_536)), size // 65_536 * 65_536)


def peaks_kb(child: Child) -> dict[int, int]:
    """The most memory that each process of the child's group ever had in RAM, as the kernel counts it (VmHWM)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) != child.process.pid:
                continue
            lines = (path / "status").read_text().splitlines()
            found[int(path.name)] = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        except (OSError, StopIteration):
            continue  # it has ended
    return found


def upload(client: Any, body: Csv) -> Any:
    return client.session.post(
        f"{client.stack.url}/api/v1/imports?filename=large.csv",
        data=body,
        headers={"Content-Type": "text/csv"},
        timeout=240,
    )


def test_row_33_a_csv_of_200_mb_leaves_the_memory_of_web_and_worker_flat(stack: Stack) -> None:
    worker = stack.start_worker()
    client = stack.visitor()
    (web,) = [child for child in stack.children if child.name == "web"]
    # What the first upload of a process brings in for good is not the file's.
    assert upload(client, Csv(iter([b"email\nfirst@large.test\n"]), 23)).status_code == 201
    before = {"web": max(peaks_kb(web).values()), "worker": max(peaks_kb(worker).values())}

    answer = upload(client, a_large_csv())
    assert answer.status_code == 201, answer.text
    grown = max(peaks_kb(web).values()) - before["web"]
    assert grown <= GROWTH_MAX_KB, f"the web grew by {grown} kB"

    path = f"/api/v1/imports/{answer.json()['id']}"
    client.post(f"{path}/start", {"mapping": {"email": "email", "first_name": "first_name"}}, expected=202)
    seen: dict[int, int] = {}

    def done() -> bool:
        for pid, peak in peaks_kb(worker).items():
            seen[pid] = max(peak, seen.get(pid, 0))
        return client.get(path)["status"] in ("done", "failed")

    wait_for(done, 120, every_s=0.1)
    end = client.get(path)
    assert (end["status"], end["rows_read"], end["contacts_created"]) == ("done", ROWS, ROWS)
    others = {pid: peak for pid, peak in seen.items() if pid != worker.process.pid}
    assert others, "the import was over before it was seen"
    assert max(others.values()) <= IMPORTER_MAX_KB, f"importing took {max(others.values())} kB"
    assert seen[worker.process.pid] - before["worker"] <= GROWTH_MAX_KB
    print(before, "web grew", grown, "importer", max(others.values()))


def test_row_33_a_line_without_an_end_is_refused_and_not_collected(stack: Stack) -> None:
    client = stack.visitor()
    (web,) = [child for child in stack.children if child.name == "web"]
    before = max(peaks_kb(web).values())
    answer = upload(client, one_long_line(48 * 1024 * 1024))
    assert 400 <= answer.status_code < 500, answer.text
    assert max(peaks_kb(web).values()) - before <= 40_000
