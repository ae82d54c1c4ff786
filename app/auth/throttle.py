"""How often one address may do a costly thing, per web process. Enough against a script; the data itself is bounded elsewhere."""

import threading
import time
from collections import OrderedDict

_ADDRESSES_MAX = 10_000  # remembered; the oldest are forgotten


class Throttle:
    """A token bucket for each address: `burst` at once, then one every `every_s` seconds."""

    def __init__(self, *, burst: int, every_s: float) -> None:
        self._burst = burst
        self._every_s = every_s
        self._full_at: OrderedDict[str, float] = OrderedDict()  # address -> when its bucket is full again
        self._lock = threading.Lock()

    def take(self, address: str, *, now_s: float | None = None) -> float:
        """Take one and return 0, or return after how many seconds there is one."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._lock:
            full_at = max(self._full_at.pop(address, now_s), now_s)
            wait_s = full_at + self._every_s - now_s - self._burst * self._every_s
            self._full_at[address] = full_at if wait_s > 0 else full_at + self._every_s
            while len(self._full_at) > _ADDRESSES_MAX:
                self._full_at.popitem(last=False)
        return max(0.0, wait_s)
