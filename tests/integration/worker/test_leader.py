"""Who leads the clock loop, and what happens when the leader is frozen instead of dead."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from worker import clock_loop


def test_row_04_a_leader_that_is_frozen_is_succeeded_although_its_connection_is_open(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_loop, "RETRY_LEADERSHIP_S", 0.05)
    monkeypatch.setattr(clock_loop, "LEADER_SILENCE_MAX_S", 1)
    leading: list[str] = []
    succeeded = asyncio.Event()

    async def tick(services: Any) -> None:
        leading.append(services.name)
        if services.name == "frozen":
            await asyncio.Event().wait()
        succeeded.set()

    monkeypatch.setattr(clock_loop, "tick", tick)
    monkeypatch.setattr(clock_loop, "PRUNINGS", ())

    def services(name: str) -> Any:
        return SimpleNamespace(name=name, settings=SimpleNamespace(postgres_direct_url=database_url))

    async def run() -> None:
        frozen = asyncio.create_task(clock_loop.run(services("frozen")))
        while not leading:  # noqa: ASYNC110 - the loop has no event for it
            await asyncio.sleep(0.01)
        successor = asyncio.create_task(clock_loop.run(services("successor")))
        try:
            await asyncio.wait_for(succeeded.wait(), 20)
        finally:
            frozen.cancel()
            successor.cancel()
            await asyncio.gather(frozen, successor, return_exceptions=True)

    asyncio.run(run())
    assert leading[:2] == ["frozen", "successor"]
