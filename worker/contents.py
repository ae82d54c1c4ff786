"""Compiled contents, kept while they are in use: a campaign's is compiled once in a process, not once in a batch."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from urllib.parse import urlsplit

from app.content.compiled import CompiledContent, ContentSource, compile_content

KEPT = 64


class Contents:
    """The latest `KEPT` contents by key. Compiling runs in a thread: inlining CSS may take tens of milliseconds."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, CompiledContent] = OrderedDict()
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def get(self, key: Hashable, source: ContentSource) -> CompiledContent:
        """Return the content under `key`, compiling `source` if it is not known. Raises what compile_content raises."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                found = self._kept.get(key)
                if found is None:
                    found = await asyncio.to_thread(compile_content, source)
                    self._kept[key] = found
                    while len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
                self._kept.move_to_end(key)
                return found
        finally:
            if not lock.locked():
                self._locks.pop(key, None)


def list_id_domain(base_url: str) -> str:
    """The host part of BASE_URL, for List-Id (RFC 2919)."""
    return urlsplit(base_url).hostname or "localhost"
