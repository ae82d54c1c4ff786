"""Bring a database to the newest schema: ordered plain-SQL files, each once, each in its own transaction.

A file that was applied is remembered with its SHA-256; a file that changed afterwards stops the run. One advisory lock
keeps two migrators apart: the second waits, then finds nothing to do.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_LOCK = 7_245_011_903  # any number, as long as nobody else takes it

_LEDGER = b"""
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The files and the database disagree. The message says which file, and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def list_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Read the files in order. Raises MigrationError when numbers repeat, leave a gap, or a name has another form."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is named NNNN_verb_noun.sql")
        found.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise MigrationError(f"{migration.name}: expected number {expected:04d}")
    return found


def pending(conn: psycopg.Connection, folder: Path = FOLDER) -> list[Migration]:
    """Which files this database has not had yet. Raises MigrationError when an applied file has changed."""
    applied = _read_applied(conn)
    migrations = list_migrations(folder)
    for migration in migrations:
        known = applied.get(migration.version)
        if known is not None and known != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it was applied: write a new migration instead")
    newest = max(applied, default=0)
    if newest > len(migrations):
        raise MigrationError(f"the database is at migration {newest:04d}, newer than this code: update the code")
    return [migration for migration in migrations if migration.version not in applied]


def migrate(database_url: str, *, say: Callable[[str], None] = lambda line: None, folder: Path = FOLDER) -> int:
    """Apply what is pending and return how many files that was."""
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            todo = pending(conn, folder)
            for migration in todo:
                _apply(conn, migration)
                say(f"applied {migration.name}")
            return len(todo)
        finally:
            conn.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _apply(conn: psycopg.Connection, migration: Migration) -> None:
    with conn.transaction():
        conn.execute(_LEDGER)
        conn.execute(migration.text.encode())
        conn.execute(
            "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
            (migration.version, migration.name, migration.sha256),
        )


def _read_applied(conn: psycopg.Connection) -> dict[int, str]:
    exists = conn.execute("SELECT to_regclass('schema_migrations')").fetchone()
    if exists is None or exists[0] is None:
        return {}
    rows = conn.execute("SELECT version, sha256 FROM schema_migrations ORDER BY version").fetchall()
    return dict(rows)
