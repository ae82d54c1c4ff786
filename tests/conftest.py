"""Real servers for the tests, one set for each test process.

`postgres` and `valkey` start on first use, so unit tests start nothing. `database_url` gives each test a database of its
own, copied from a migrated template.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.embedded import EmbeddedPostgres, EmbeddedValkey
from sql.migrate import migrate

ROOT = Path(__file__).parent.parent
_numbers = itertools.count()

# Settings come from the test, never from the developer's shell.
for _name in (
    "DATABASE_URL", "DATABASE_DIRECT_URL", "DB_HOST", "REDIS_URL", "REDIS_HOST", "SMTP_URL", "SMTP_HOST", "SECRET_KEY",
    "PORT", "BASE_URL", "DEMO_MODE", "DATA_DIR", "ACCOUNT_LIMIT_PER_HOUR", "WORKER_CONCURRENCY",
):  # fmt: skip
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(
        tmp_path_factory.mktemp("postgres"), options=("fsync=off", "full_page_writes=off", "synchronous_commit=off")
    )
    server.start()
    migrate(server.create_database("template_migrated"))
    yield server
    server.stop(mode="immediate")


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database that only this test uses."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name, template="template_migrated")
    postgres.drop_database(name)


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> Iterator[str]:
    """An empty Valkey database. Tests in one process take turns, so flushing is safe."""
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    yield valkey.url


@pytest.fixture
def python() -> str:
    return sys.executable
