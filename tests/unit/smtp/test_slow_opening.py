"""A relay that takes long to answer: who asks does not wait for it, and holds nobody's slot."""

import asyncio

import pytest

from tests.unit.smtp.test_pool import Bench
from worker.smtp import pool as pool_module
from worker.smtp.connection import RelayUnavailable
from worker.smtp.pool import SLOW_RETRY_S


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "OPEN_PATIENCE_S", 0.01)


def slow_bench() -> Bench:
    bench = Bench(5)
    bench.gate = asyncio.Event()
    return bench


def test_who_asks_is_sent_away_and_the_opening_goes_on_until_the_connection_is_there() -> None:
    async def scenario() -> None:
        bench = slow_bench()
        await bench.fail()
        assert bench.pool.blocked_for_s == SLOW_RETRY_S
        assert bench.gate is not None
        bench.gate.set()
        await asyncio.wait(bench.pool._slow_openings)
        assert bench.pool.blocked_for_s == 0
        await bench.use()
        assert len(bench.opened) == 1

    asyncio.run(scenario())


def test_meanwhile_others_are_sent_away_at_once_and_open_no_second_one() -> None:
    async def scenario() -> None:
        bench = slow_bench()
        await bench.fail()
        for _ in range(3):
            with pytest.raises(RelayUnavailable, match="It takes long to answer"):
                await bench.pool._take_slot()
        assert len(bench.pool._slow_openings) == 1

    asyncio.run(scenario())


def test_those_that_wait_for_a_probe_are_sent_away_with_it() -> None:
    async def scenario() -> None:
        bench = slow_bench()
        gate, bench.gate, bench.is_up = bench.gate, None, False
        await bench.fail()
        bench.now_s += 1
        bench.gate, bench.is_up = gate, True
        async with asyncio.timeout(1):
            await asyncio.gather(*(bench.fail() for _ in range(4)))

    asyncio.run(scenario())


def test_an_opening_that_fails_in_the_end_closes_the_door_as_any_other() -> None:
    async def scenario() -> None:
        bench = slow_bench()
        await bench.fail()
        bench.is_up = False
        assert bench.gate is not None
        bench.gate.set()
        await asyncio.wait(bench.pool._slow_openings)
        assert bench.pool.blocked_for_s == 1 and bench.pool.last_reason == "it is down"

    asyncio.run(scenario())


def test_a_pool_that_is_closed_gives_up_what_is_being_opened() -> None:
    async def scenario() -> None:
        bench = slow_bench()
        await bench.fail()
        (opening,) = bench.pool._slow_openings
        await bench.pool.close()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert bench.opened == []

    asyncio.run(scenario())
