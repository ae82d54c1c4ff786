"""The installation that the acceptance tests talk to; see `stack.py`."""

from collections.abc import Iterator

import pytest

from app.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.acceptance.stack import Client, Stack


@pytest.fixture(scope="session")
def _installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("installation")
    # A crash of the server is tested, one of the machine is not: commits reach the kernel, not the disk.
    postgres = EmbeddedPostgres(folder / "postgres", options=("fsync=off", "full_page_writes=off"))
    stack = Stack(folder, postgres, EmbeddedValkey(folder / "valkey"))
    try:
        stack.start()
        yield stack
    finally:
        stack.end()


@pytest.fixture
def stack(_installation: Stack) -> Iterator[Stack]:
    """The installation without a worker. What the children said is shown when the test fails."""
    try:
        yield _installation
    finally:
        print(_installation.logs())
        _installation.stop_workers()


@pytest.fixture
def visitor(stack: Stack) -> Client:
    """A demo visitor, with one worker running."""
    stack.start_worker()
    return stack.visitor()
