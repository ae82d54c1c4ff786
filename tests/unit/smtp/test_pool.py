"""Warm connections, the breaker, and the number of connections. Time and connections are the test's own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from app.settings import RelayAddress
from worker.smtp.connection import RelayUnavailable, SmtpConnection, Stage
from worker.smtp.pool import BLOCK_MAX_S, GROW_AFTER_S, IDLE_MAX_S, RelayPool
from worker.smtp.reply import Reply


class FakeConnection:
    def __init__(self) -> None:
        self.usable, self.has_ahead, self.was_told_to_go, self.failed = True, False, False, False
        self.answered, self.why, self.was_closed = 0, "", False

    def drop_ahead(self) -> None:
        if self.has_ahead:
            self.usable = self.has_ahead = False

    async def close(self) -> None:
        self.usable, self.was_closed = False, True

    def break_with(self, why: str, *, by_421: bool = False) -> None:
        self.usable, self.was_told_to_go, self.failed, self.why = False, by_421, not by_421, why


class Bench:
    """A pool whose relay is up or down as `is_up` says."""

    def __init__(self, size_max: int) -> None:
        self.now_s = 1_000.0
        self.is_up = True
        self.opened: list[FakeConnection] = []
        self.gate: asyncio.Event | None = None
        self.pool = RelayPool(
            RelayAddress("relay.test", 25, tls="none"), helo_name="us.test", size_max=size_max,
            clock=lambda: self.now_s, opener=cast(Callable[[], Awaitable[SmtpConnection]], self._open),
        )  # fmt: skip

    async def _open(self) -> FakeConnection:
        if self.gate is not None:
            await self.gate.wait()
        if not self.is_up:
            raise RelayUnavailable(Stage.CONNECT, Reply(554, "no"), "it is down")
        self.opened.append(FakeConnection())
        return self.opened[-1]

    async def use(self, act: Callable[[Any], None] = lambda _: None) -> None:
        async with self.pool.connection() as connection:
            cast(Any, connection).answered += 1
            act(connection)

    async def fail(self) -> None:
        with pytest.raises(RelayUnavailable):
            await self.use()


def test_a_good_connection_is_used_again() -> None:
    async def scenario() -> None:
        bench = Bench(5)
        for _ in range(10):
            await bench.use()
        assert len(bench.opened) == 1
        await bench.pool.close()
        assert bench.opened[0].was_closed

    asyncio.run(scenario())


def test_a_stale_or_dead_connection_is_not_handed_out() -> None:
    async def scenario() -> None:
        bench = Bench(5)
        await bench.use()
        bench.now_s += IDLE_MAX_S + 1
        await bench.use()
        assert len(bench.opened) == 2
        bench.opened[1].usable = False
        await bench.use()
        assert len(bench.opened) == 3

    asyncio.run(scenario())


def test_a_connection_with_an_announced_message_is_closed() -> None:
    async def scenario() -> None:
        bench = Bench(1)
        await bench.use(lambda connection: setattr(connection, "has_ahead", True))
        await bench.use()
        assert len(bench.opened) == 2
        assert bench.pool.blocked_until is None

    asyncio.run(scenario())


def test_no_more_connections_than_allowed_and_the_next_in_line_gets_its_turn() -> None:
    async def scenario() -> None:
        bench = Bench(2)
        most, now_in_use = 0, 0

        async def one() -> None:
            nonlocal most, now_in_use
            async with bench.pool.connection():
                now_in_use += 1
                most = max(most, now_in_use)
                await asyncio.sleep(0)
                now_in_use -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        assert most == 2

    asyncio.run(scenario())


def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    async def scenario() -> None:
        bench = Bench(1)
        release = asyncio.Event()

        async def hold() -> None:
            async with bench.pool.connection():
                await release.wait()
            first.cancel()  # its turn has been given this very moment, and it has not run yet

        holder = asyncio.create_task(hold())
        await asyncio.sleep(0)
        first, second = asyncio.create_task(bench.use()), asyncio.create_task(bench.use())
        await asyncio.sleep(0)
        release.set()
        await holder
        async with asyncio.timeout(1):
            await second

    asyncio.run(scenario())


def test_the_door_closes_for_one_two_four_up_to_sixty_seconds() -> None:
    async def scenario() -> None:
        bench = Bench(5)
        bench.is_up = False
        for expected_s in (1, 2, 4, 8, 16, 32, BLOCK_MAX_S, BLOCK_MAX_S):
            await bench.fail()
            assert bench.pool.blocked_for_s == expected_s
            bench.is_up = True
            await bench.fail()  # Not tried while the door is closed.
            assert not bench.opened
            bench.is_up = False
            bench.now_s += expected_s
        bench.is_up = True
        await bench.use()
        assert bench.pool.blocked_until is None and bench.pool.last_reason == ""
        bench.opened[-1].usable = bench.is_up = False
        await bench.fail()
        assert bench.pool.blocked_for_s == 1  # It begins anew after a success.

    asyncio.run(scenario())


def test_connections_that_fail_together_are_one_failure() -> None:
    async def scenario() -> None:
        bench = Bench(5)
        bench.is_up, bench.gate = False, asyncio.Event()
        tasks = [asyncio.create_task(bench.fail()) for _ in range(5)]
        await asyncio.sleep(0)
        bench.gate.set()
        await asyncio.gather(*tasks)
        assert bench.pool.blocked_for_s == 1

    asyncio.run(scenario())


def test_after_a_failure_one_connection_tries_and_the_others_hear_how_it_went() -> None:
    async def scenario() -> None:
        bench = Bench(5)
        bench.is_up = False
        await bench.fail()
        bench.now_s += 1
        bench.gate = asyncio.Event()
        probes = 0
        open_really = bench.pool._open

        async def counted() -> SmtpConnection:
            nonlocal probes
            probes += 1
            return await open_really()

        bench.pool._open = counted
        tasks = [asyncio.create_task(bench.fail()) for _ in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert probes == 1
        bench.gate.set()
        async with asyncio.timeout(1):
            await asyncio.gather(*tasks)
        assert probes == 1 and bench.pool.blocked_for_s == 2

    asyncio.run(scenario())


def test_a_421_halves_the_connections_and_good_seconds_give_them_back() -> None:
    async def scenario() -> None:
        bench = Bench(8)
        for expected in (4, 2, 1, 1):
            await bench.use(lambda connection: connection.break_with("421 slow down", by_421=True))
            assert bench.pool.limit == expected
            bench.now_s += BLOCK_MAX_S
        for expected in range(2, 9):
            bench.now_s += GROW_AFTER_S
            await bench.use()
            assert bench.pool.limit == expected
        bench.now_s += GROW_AFTER_S
        await bench.use()
        assert bench.pool.limit == 8

    asyncio.run(scenario())


def test_a_relay_that_breaks_off_each_time_is_left_alone_longer_and_longer() -> None:
    async def scenario() -> None:
        bench = Bench(2)
        for expected_s in (1, 2, 4):
            with pytest.raises(ConnectionError):
                async with bench.pool.connection() as connection:
                    cast(Any, connection).break_with("the server closed the connection")
                    raise ConnectionError
            assert bench.pool.blocked_for_s == expected_s
            bench.now_s += expected_s
        assert bench.pool.limit == 2

    asyncio.run(scenario())


def test_a_closed_pool_refuses_and_wakes_those_who_wait() -> None:
    async def scenario() -> None:
        bench = Bench(1)
        async with bench.pool.connection() as connection:
            waiter = asyncio.create_task(bench.fail())
            await asyncio.sleep(0)
            await bench.pool.close()
            await waiter
        await bench.pool.close()
        assert cast(Any, connection).was_closed

    asyncio.run(scenario())
