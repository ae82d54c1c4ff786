"""The worker's services, as in `tests/integration/worker`."""

import pytest

from tests.integration.worker.engine import RunEngine, make_runner
from worker import limiter


@pytest.fixture
def engine(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> RunEngine:
    monkeypatch.setattr(limiter, "LEASE_S", 0.4)
    monkeypatch.setattr(limiter, "LEASE_MARGIN_S", 0.05)
    return make_runner(database_url, redis_url)
