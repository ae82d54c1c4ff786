"""Where there is a web process for each core, each keeps to its own.

Python runs one thread of a process at a time, so two cores are of no use to it; handed from thread to thread, Python's lock
moves its work from core to core and out of their caches. Measured with two processes on two cores, `make bench ONLY=api`:
POST /messages 2,886/s free, 3,199/s kept.
"""

import os
import socket
from contextlib import suppress

_held: list[socket.socket] = []


def keep_to_a_core(processes: int) -> int | None:
    """Keep this process, and what it starts, to a core that no other child of its parent keeps to. None: to none.

    processes  how many there are. The core is this one's until it ends, however it ends: an address of the kernel's says so.
    """
    if not hasattr(os, "sched_setaffinity"):  # not on Linux
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) != processes:
        return None
    for core in cores:
        if _take(f"\0mailtide-web-{os.getppid()}-{core}"):
            os.sched_setaffinity(0, {core})
            with suppress(OSError):
                # Who wakes here lets who runs go on: the one that runs mostly holds the lock that the other needs.
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            return core
    return None


def _take(name: str) -> bool:
    """Hold a name that one process can have at a time."""
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(name)
    except OSError:
        holder.close()
        return False
    _held.append(holder)
    return True
