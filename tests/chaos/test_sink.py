"""The relay of the rounds, where its word is the ground truth: what BDAT brings is logged before it is answered."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app.embedded import free_port
from tests.chaos.sink import Journal, Relay

BODY = b"Message-ID: <msg_1@mail.test>\r\n\r\nHello\r\n.\r\nstill the same message\r\n"
Talk = Callable[[bytes, int], Awaitable[list[bytes]]]


def with_relay(path: Path, work: Callable[[Talk], Awaitable[Any]], **behaviour: Any) -> list[dict[str, Any]]:
    """Talk to a relay; the lines of its log. `talk(bytes, replies)` writes, and reads so many replies' last lines."""

    async def go() -> None:
        port, journal = free_port(), Journal(path)
        relay = Relay("127.0.0.1", port, journal, "seed")
        writing = asyncio.create_task(journal.run())
        await relay.obey({"set": behaviour})
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def talk(data: bytes, replies: int) -> list[bytes]:
            writer.write(data)
            found: list[bytes] = []
            while len(found) < replies:
                line = await reader.readline()
                assert line, found
                if line[3:4] == b" ":
                    found.append(line[:3])
            return found

        try:
            assert await talk(b"", 1) == [b"220"]
            await asyncio.wait_for(work(talk), 10)
        finally:
            writer.close()
            await relay.obey({"set": {"down": True}})
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(go())
    return [json.loads(line) for line in path.read_text().splitlines()]


def group(recipient: str) -> bytes:
    return b"RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%s" % (recipient.encode(), len(BODY), BODY)


def test_several_messages_in_one_write_are_each_logged_and_answered_in_order(tmp_path: Path) -> None:
    async def work(talk: Talk) -> None:
        assert await talk(b"EHLO us.test\r\n", 1) == [b"250"]
        assert await talk(group("one@x.test") + group("two@x.test"), 8) == [b"250"] * 8

    lines = with_relay(tmp_path / "log", work, chunking=True)
    assert [(line["id"], line["to"]) for line in lines] == [
        ("msg_1@mail.test", "one@x.test"),
        ("msg_1@mail.test", "two@x.test"),
    ]


def test_data_for_a_refused_recipient_is_read_refused_and_not_logged(tmp_path: Path) -> None:
    async def work(talk: Talk) -> None:
        assert await talk(group("one@x.test"), 4) == [b"250", b"250", b"550", b"503"]
        assert await talk(b"NOOP\r\n", 1) == [b"250"], "the data was taken for commands"

    assert with_relay(tmp_path / "log", work, chunking=True, refuse=1.0) == []


def test_a_message_in_two_chunks_is_one(tmp_path: Path) -> None:
    async def work(talk: Talk) -> None:
        begin = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<one@x.test>\r\n"
        assert await talk(begin + b"BDAT 10\r\n" + BODY[:10], 3) == [b"250"] * 3
        assert await talk(b"BDAT %d LAST\r\n%s" % (len(BODY) - 10, BODY[10:]), 1) == [b"250"]

    (line,) = with_relay(tmp_path / "log", work, chunking=True)
    assert line["id"] == "msg_1@mail.test"
