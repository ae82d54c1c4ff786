"""One CSV import, in a process of its own: `python -m worker.importing IMPORT_ID EPOCH`.

Parsing a million rows takes seconds of pure Python, which would make every message of the worker late; hence the process.

    chunks in Postgres -> csv.reader -> checked rows -> COPY, or one set-based merge where addresses are known   (by slice)

A slice is a transaction: its contacts, its rejects and the import's counts commit together, guarded by `rows_read`. A
process that was killed therefore resumes after the last committed slice, with exact counts. Two threads: one parses
slice k + 1 while the other merges slice k, at most two slices in memory.

Measured 2026-11-24, 2 cores, Postgres on the same machine: see `make bench ONLY=import`.
"""

import argparse
import io
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, LiteralString, NamedTuple

import orjson
import psycopg
from psycopg.rows import DictRow, dict_row

from app.clock import utc_now
from app.content.addresses import BadAddress, check_address
from app.content.csv_files import Record, csv_line, has_header, read_records
from app.domain.contact import ATTRIBUTES_SIZE_MAX
from app.settings import load_settings
from sql import queries

SLICE_ROWS = 10_000  # of 20,000 the process holds 17 MB more, for nothing
SLICE_SIZE = 8 * 1024 * 1024  # bytes of JSON, for files whose rows are large
REJECTS_KEPT_MAX = 100_000  # more say nothing new
REJECT_SIZE_MAX = 2000  # characters of the raw row
SWITCH_S = 0.0005
_REPLACEMENT = "\ufffd".encode()  # what the decoder puts for bytes that are not UTF-8

_COPY_CONTACTS: LiteralString = "COPY contacts (contact_id, account_id, email, attributes) FROM STDIN"
_COPY_IMPORT: LiteralString = "COPY import_contacts (account_id, import_id, contact_id) FROM STDIN"
_COPY_LIST: LiteralString = "COPY list_contacts (account_id, list_id, contact_id) FROM STDIN"

#: Autovacuum would come up to a minute later; until then a launch of this audience would be planned for empty tables.
_ANALYZE: LiteralString = "ANALYZE (SKIP_LOCKED) contacts, import_contacts, list_contacts"

Connection = psycopg.Connection[DictRow]


class Superseded(Exception):
    """Another process has done this slice, or the job is old."""


@dataclass(slots=True)
class Slice:
    """What one transaction will write."""

    rows_before: int
    rows: int = 0
    size_bytes: int = 0
    lines: dict[str, bytes] = field(default_factory=dict)  # email key -> address, tab, attributes as JSON, newline
    duplicates: int = 0
    rejects: list[tuple[int, str, str]] = field(default_factory=list)  # line, reason, raw row
    texts: dict[LiteralString, bytes] = field(default_factory=dict)  # COPY statement -> what it is sent


class Counts(NamedTuple):
    """What became of a slice's addresses, each once."""

    merged: int  # all of them
    created: int
    brought: int  # not already by an earlier row of this file


class ChunkReader(io.RawIOBase):
    """The uploaded file as a byte stream, one chunk in memory at a time."""

    def __init__(self, conn: Connection, import_id: int) -> None:
        self._conn = conn
        self._import_id = import_id
        self._ordinal = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            params = {"import_id": self._import_id, "ordinal": self._ordinal}
            cursor = self._conn.cursor(binary=True)
            row = cursor.execute(queries.imports.get_chunk.text, params).fetchone()
            if row is None:
                return 0
            self._rest = memoryview(row["data"])
            self._ordinal += 1
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class RowReader:
    """Turn records into slices under one import's mapping."""

    def __init__(self, work: DictRow) -> None:
        columns: list[str] = work["columns"]
        mapping: dict[str, str] = work["mapping"]
        self._width = len(columns)
        self._email_at = columns.index(mapping["email"])
        self._attributes = [(name, columns.index(column)) for name, column in mapping.items() if name != "email"]
        self._last_wins = work["on_conflict"] == "update"
        self._replaced = work["encoding"] != "cp1252"

    def slices(self, records: Iterator[Record], *, skip: int) -> Iterator[Slice]:
        """Cut the file, less its header and its first `skip` rows, into slices."""
        first = next(records, None)
        if first is not None and not has_header(first[1]):
            records = chain([first], records)
        current = Slice(skip)
        for line, cells, fault in islice(records, skip, None):
            current.rows += 1
            reason = fault or self._add(current, cells)
            if reason is not None:
                current.rejects.append((line, reason, _raw(cells)))
            if current.rows >= SLICE_ROWS or current.size_bytes >= SLICE_SIZE:
                yield current
                current = Slice(current.rows_before + current.rows)
        if current.rows:
            yield current

    def _add(self, current: Slice, cells: list[str]) -> str | None:
        """Put one row into the slice, or say why not."""
        if len(cells) != self._width:
            return f"The row has {len(cells)} values, the header has {self._width}."
        email = cells[self._email_at].strip()
        address = check_address(email)
        if isinstance(address, BadAddress):
            return str(address) if email else "There is no address."
        attributes = orjson.dumps({name: value for name, at in self._attributes if (value := cells[at].strip())})
        if self._replaced and not attributes.isascii() and _REPLACEMENT in attributes:
            return "The row has bytes that are not UTF-8. Save the file as UTF-8."
        if len(attributes) > ATTRIBUTES_SIZE_MAX:
            return "The values of this row together are over 32 KiB."
        key = address.lower()
        if key in current.lines:
            current.duplicates += 1
            if not self._last_wins:
                return None
            attributes = orjson.dumps({**orjson.loads(_attributes(current.lines[key])), **orjson.loads(attributes)})
        current.lines[key] = line = address.encode() + b"\t" + attributes + b"\n"
        current.size_bytes += len(line)
        return None


def _attributes(line: bytes) -> bytes:
    return line.partition(b"\t")[2]


def _to_json(lines: Iterable[bytes]) -> str:
    """Lines of a slice as the JSON that the merge reads."""
    rows = []
    for line in lines:
        email, _, attributes = line.partition(b"\t")
        rows.append(b'{"email":%b,"attributes":%b}' % (orjson.dumps(email.decode()), attributes))
    return f"[{b','.join(rows).decode()}]"


def _raw(cells: list[str]) -> str:
    return csv_line(cells).rstrip("\r\n")[:REJECT_SIZE_MAX].replace("\0", "")


class SliceWriter:
    """Merge slices, each in one transaction on one connection.

    Two ways. When no address of the slice is known yet, COPY straight into the tables: 2.5 times as fast as the merge.
    That is tried first; the unique key refuses it when an address is known, and then the slice is merged.
    After a refusal the next slices are merged at once, twice as many each time, so that a file of known contacts
    does not pay for it.
    """

    def __init__(self, conn: Connection, work: DictRow, *, reading: Connection, epoch: int) -> None:
        self._conn = conn
        self._reading = reading
        self._work = work
        self._ids = {"import_id": work["import_id"], "account_id": work["account_id"]}
        self._epoch = epoch
        self._rejects_kept = int(work["rows_rejected"])
        self._merge_query = (
            queries.imports.merge_update if work["on_conflict"] == "update" else queries.imports.merge_skip
        )
        self._merges_left = 0  # slices to merge before COPY is tried again
        self._merges_next = 1

    def write(self, current: Slice) -> None:
        """Commit one slice. Raises Superseded when it is not ours to write."""
        if self._merges_left == 0 and (current.texts or not current.lines):
            try:
                self._write(current, self._copy)
            except psycopg.errors.UniqueViolation:
                self._merges_left, self._merges_next = self._merges_next, self._merges_next * 2
            else:
                self._merges_next = 1
                return
        self._merges_left = max(0, self._merges_left - 1)
        self._write(current, self._merge)

    def _write(self, current: Slice, bring: Callable[[Slice], Counts]) -> None:
        with self._conn.transaction():
            self._conn.execute(queries.imports.lock_account_contacts.text, self._ids)
            counts = bring(current)
            self._keep_rejects(current)
            self._advance(current, counts)
        self._rejects_kept += len(current.rejects)

    def prepare(self, current: Slice) -> None:
        """Make the texts that `_copy` sends, on the parsing thread, whose time is not the bottleneck.

        Ids are reserved on its own connection: a sequence is outside of transactions.
        """
        size = len(current.lines)
        if self._merges_left > 1 or size == 0:
            return
        reserved = self._reading.execute(queries.imports.reserve_contact_ids.text, {"size": size}).fetchone()
        assert reserved is not None
        first, last = reserved["first_id"], reserved["last_id"]
        if last - first + 1 != size:  # another insert took ids in between
            return
        account, of_import, of_list = self._work["account_id"], self._work["import_id"], self._work["list_id"]
        ids = [b"%d" % number for number in range(first, last + 1)]
        lines = [current.lines[key] for key in sorted(current.lines)]  # neighbours in the index are a third cheaper
        before = b"\t%d\t" % account
        rows = b"".join([number + before + line for number, line in zip(ids, lines, strict=True)])
        # JSON holds no raw tab or newline, so that only backslashes need care in COPY's text format.
        current.texts = {_COPY_CONTACTS: rows.replace(b"\\", b"\\\\")}
        before = b"%d\t%d\t" % (account, of_import)
        current.texts[_COPY_IMPORT] = before + (b"\n" + before).join(ids) + b"\n"
        if of_list is not None:
            before = b"%d\t%d\t" % (account, of_list)
            current.texts[_COPY_LIST] = before + (b"\n" + before).join(ids) + b"\n"

    def _copy(self, current: Slice) -> Counts:
        """Bring a slice of unknown addresses. Raises UniqueViolation when one is known."""
        for statement, data in current.texts.items():
            self._copy_in(statement, data)
        size = len(current.lines)
        return Counts(merged=size, created=size, brought=size)

    def _merge(self, current: Slice) -> Counts:
        """Bring a slice of any addresses. Two that Python's lower() tells apart and the database's does not are one."""
        size = len(current.lines)
        if size == 0:
            return Counts(0, 0, 0)
        params = {
            "rows": _to_json(current.lines.values()),
            "list_id": self._work["list_id"],
            "now": utc_now(),
            **self._ids,
        }
        row = self._conn.execute(self._merge_query.text, params).fetchone()
        assert row is not None
        return Counts(merged=size, created=row["contacts_created"], brought=row["contacts_brought"])

    def _copy_in(self, statement: LiteralString, data: bytes) -> None:
        with self._conn.cursor().copy(statement) as copy:
            copy.write(data)

    def _keep_rejects(self, current: Slice) -> None:
        kept = current.rejects[: max(0, REJECTS_KEPT_MAX - self._rejects_kept)]
        if kept:
            lines, reasons, rows = map(list, zip(*kept, strict=True))
            params = {"import_id": self._work["import_id"], "lines": lines, "reasons": reasons, "rows": rows}
            self._conn.execute(queries.imports.insert_rejects.text, params)

    def _advance(self, current: Slice, counts: Counts) -> None:
        updated = counts.brought - counts.created if self._work["on_conflict"] == "update" else 0
        touched = self._conn.execute(
            queries.imports.advance.text,
            {
                "import_id": self._work["import_id"],
                "epoch": self._epoch,
                "rows_before": current.rows_before,
                "rows_read": current.rows,
                "contacts_created": counts.created,
                "contacts_updated": updated,
                "rows_duplicate": current.duplicates + counts.merged - counts.brought,
                "rows_rejected": len(current.rejects),
            },
        ).rowcount
        if touched == 0:
            raise Superseded


class Writer(threading.Thread):
    """The merging thread: takes slices from a queue of one, stops at the first fault and keeps it."""

    def __init__(self, writer: SliceWriter) -> None:
        super().__init__(daemon=True)
        self._writer = writer
        self._waiting: queue.Queue[Slice | None] = queue.Queue(maxsize=1)
        self.fault: BaseException | None = None

    def run(self) -> None:
        while (current := self._waiting.get()) is not None:
            if self.fault is None:
                try:
                    self._writer.write(current)
                except BaseException as fault:
                    self.fault = fault

    def put(self, current: Slice) -> None:
        if self.fault is not None:
            raise self.fault
        self._waiting.put(current)

    def close(self) -> None:
        """Wait for what was put. Raises the fault that stopped it, if any."""
        self._waiting.put(None)
        self.join()
        if self.fault is not None:
            raise self.fault


def run_import(database_url: str, *, import_id: int, epoch: int) -> None:
    """Import one file to its end. Does nothing when the job is old. Raises what the database raises."""
    while True:
        try:
            return _run_once(database_url, import_id=import_id, epoch=epoch)
        except Superseded:
            continue  # someone was faster: go on from where the row now stands


def _run_once(database_url: str, *, import_id: int, epoch: int) -> None:
    key = {"import_id": import_id, "epoch": epoch}
    with _connect(database_url) as reading, _connect(database_url) as writing:
        work = writing.execute(queries.imports.get_work.text, key).fetchone()
        if work is None:
            return
        merging = SliceWriter(writing, work, reading=reading, epoch=epoch)
        writer = Writer(merging)
        writer.start()
        records = read_records(ChunkReader(reading, import_id), encoding=work["encoding"], delimiter=work["delimiter"])
        try:
            for current in RowReader(work).slices(records, skip=work["rows_read"]):
                merging.prepare(current)
                writer.put(current)
        finally:
            writer.close()
        writing.execute(_ANALYZE)
        writing.execute(queries.imports.finish.text, {**key, "now": utc_now()})


def _connect(database_url: str) -> Connection:
    options = "-c timezone=UTC -c synchronous_commit=off -c statement_timeout=300s -c idle_in_transaction_session_timeout=300s"
    return psycopg.connect(
        database_url, autocommit=True, row_factory=dict_row, application_name="mailtide-import", options=options
    )


def _end_with_parent() -> None:
    """Exit when the worker that started us is gone: the other end of our stdin closes."""

    def watch() -> None:
        # Not through sys.stdin: a thread that holds its lock would make the interpreter abort at exit.
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.importing", description="Import one uploaded CSV file.")
    parser.add_argument("import_id", type=int)
    parser.add_argument("epoch", type=int)
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    given = parser.parse_args()
    if given.with_parent:
        _end_with_parent()
    # The merging thread wants the interpreter for a moment after each 32 KiB that PostgreSQL has taken. At Python's own
    # 5 ms it would wait for it as long as PostgreSQL works on them, and PostgreSQL then for it.
    sys.setswitchinterval(SWITCH_S)
    run_import(load_settings().postgres_direct_url, import_id=given.import_id, epoch=given.epoch)


if __name__ == "__main__":
    main()
