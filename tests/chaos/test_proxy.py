"""The fault proxy does to connections what it is told to, and otherwise nothing."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.chaos.proxy import Cut, FaultProxy, Late, Swallow

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Case = Callable[[FaultProxy, Callable[[], Awaitable[Client]]], Awaitable[None]]


def run(case: Case) -> None:
    """Run a case against an echoing server behind a proxy."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def go() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1])
        port = await proxy.start()
        writers = []

        async def connect() -> Client:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            return reader, writer

        try:
            async with asyncio.timeout(10):
                await case(proxy, connect)
        finally:
            await proxy.stop()
            for writer in writers:
                writer.close()
            server.close()

    asyncio.run(go())


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(-1)
    except ConnectionError:
        return b""


def test_bytes_pass_unchanged_both_ways() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        data = bytes(range(256)) * 1000
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        assert proxy.struck == 0

    run(case)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_cut_lets_exactly_so_many_bytes_through(size: int) -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        proxy.arm(Cut("down", after_bytes=size))
        writer.write(b"0123456789")
        assert await read_to_end(reader) == b"0123456789"[:size]

    run(case)


def test_a_cut_by_pattern_finds_it_across_two_writes() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        proxy.arm(Cut("up", pattern=b"\r\n.\r\n"))
        writer.write(b"body\r\n.")
        assert await reader.readexactly(7) == b"body\r\n."
        writer.write(b"\r\nMAIL")
        # What came after the pattern never reached the server.
        assert b"MAIL" not in await read_to_end(reader)

    run(case)


def test_a_cut_strikes_once_and_later_connections_live() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        proxy.arm(Cut("up", after_bytes=0))
        reader, writer = await connect()
        writer.write(b"x")
        assert await read_to_end(reader) == b""
        reader, writer = await connect()
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
        assert proxy.struck == 1

    run(case)


def test_a_reply_swallowed_with_all_after_it_silences_that_connection_alone() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        proxy.arm(Swallow(and_all_after=True))
        reader, writer = await connect()
        writer.write(b"first")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)
        assert proxy.struck == 1
        writer.write(b"second")
        other_reader, other_writer = await connect()
        other_writer.write(b"third")
        assert await other_reader.readexactly(5) == b"third"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)

    run(case)


def test_a_swallowed_reply_never_comes_and_the_next_one_does() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        proxy.arm(Swallow())
        writer.write(b"first")
        while not proxy.struck:  # noqa: ASYNC110 - the proxy has no event for it
            await asyncio.sleep(0)
        writer.write(b"second")
        assert await reader.readexactly(6) == b"second"

    run(case)


def test_a_late_reply_comes_after_its_time() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        proxy.arm(Late(0.2))
        begin = asyncio.get_running_loop().time()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert asyncio.get_running_loop().time() - begin >= 0.19

    run(case)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_delay_holds_every_write_of_its_direction(direction: str) -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        proxy.set_delay("up" if direction == "up" else "down", 0.1)
        begin = asyncio.get_running_loop().time()
        for _ in range(2):
            writer.write(b"x")
            await reader.readexactly(1)
        assert asyncio.get_running_loop().time() - begin >= 0.19

    run(case)


def test_hanging_moves_nothing_until_it_goes_on() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        proxy.hang()
        writer.write(b"x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)
        proxy.go_on()
        assert await reader.readexactly(1) == b"x"

    run(case)


def test_a_reset_is_one_and_ends_every_connection() -> None:
    async def case(proxy: FaultProxy, connect: Callable[[], Awaitable[Client]]) -> None:
        clients = [await connect() for _ in range(3)]
        for reader, writer in clients:
            writer.write(b"x")
            await reader.readexactly(1)
        assert proxy.reset() == 3
        for reader, _ in clients:
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)

    run(case)


def test_a_server_that_is_away_ends_the_clients_connection() -> None:
    async def go() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        proxy = FaultProxy("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.start())
        assert await read_to_end(reader) == b""
        writer.close()
        await proxy.stop()

    asyncio.run(go())
