"""The schema is what the files say, and every named query fits it."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from procrastinate.schema import SchemaManager

import sql
from app.embedded import EmbeddedPostgres
from sql import Query, queries
from sql.migrate import MigrationError, list_migrations, migrate, pending

ALL_QUERIES = [(noun, query) for noun, loaded in queries for query in loaded]


@pytest.fixture(scope="module")
def schema_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """One database for all queries: preparing one leaves nothing behind."""
    yield postgres.create_database("schema_only", template="template_migrated")
    postgres.drop_database("schema_only")


@pytest.mark.parametrize(("noun", "query"), ALL_QUERIES, ids=[f"{noun}.{query.name}" for noun, query in ALL_QUERIES])
def test_every_query_prepares_against_the_schema(schema_url: str, noun: str, query: Query) -> None:
    names: dict[str, None] = {}

    def number(match: re.Match[str]) -> str:
        names.setdefault(match[1], None)
        return f"${list(names).index(match[1]) + 1}"

    text = re.sub(r"%\((\w+)\)[sbt]", number, query.text.decode()).replace("%%", "%")
    with psycopg.connect(schema_url) as conn:
        conn.execute(f"PREPARE checked AS {text}".encode())


def test_a_new_database_compares_text_byte_by_byte(schema_url: str) -> None:
    """As a language's rules would have it, every index of addresses and keys is dearer: a million rows took a tenth longer."""
    with psycopg.connect(schema_url) as conn:
        rules = conn.execute("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()")
        assert rules.fetchone() == ("b", "C.UTF-8")


def test_the_vendored_queue_schema_is_the_packages_own() -> None:
    vendored = Path(sql.FOLDER / "migrations" / "0001_create_procrastinate.sql").read_text(encoding="utf-8")
    assert vendored == SchemaManager.get_schema()


def test_a_second_migration_run_does_nothing(database_url: str) -> None:
    assert migrate(database_url) == 0


def test_a_migration_that_was_changed_after_it_was_applied_stops_the_run(database_url: str, tmp_path: Path) -> None:
    for migration in list_migrations():
        text = migration.text + ("-- changed\n" if migration.version == 3 else "")
        (tmp_path / migration.name).write_text(text, encoding="utf-8")
    with psycopg.connect(database_url) as conn, pytest.raises(MigrationError, match="was changed after"):
        pending(conn, tmp_path)
