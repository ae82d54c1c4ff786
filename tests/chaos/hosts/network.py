"""Several hosts on one machine: each is a network namespace, all hang on one bridge.

    with hosts(2) as net:          # the calling thread, and what it starts, is now the host of the servers
        net.on(0, command)         # the same command, on another host
        net.cut(0); net.mend(0)    # its cable is pulled, and put back

A namespace lives as long as a process in it: `sleep`, which ends with the calling thread, so nothing is left behind. Needs
root, CAP_SYS_ADMIN and CAP_NET_ADMIN, and `ip`; see `why_not`.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.embedded import ending_with_us

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_libc = ctypes.CDLL(None, use_errno=True)

SERVER_ADDRESS = "10.77.0.1"
NETWORK = "10.77.0.0/24"
PATIENCE_S = 10.0


def why_not() -> str | None:
    """Why this machine cannot be several hosts; None when it can."""
    for program in ("ip", "nsenter", "unshare"):
        if shutil.which(program) is None:
            return f"`{program}` is not installed"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    probe = subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip link add b0 type bridge && ip link add v0 type veth peer name v1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"this machine may not make network namespaces: {probe.stderr.strip()}" if probe.returncode else None


@dataclass(slots=True)
class Hosts:
    holders: list["subprocess.Popen[bytes]"]

    def on(self, number: int, command: list[str]) -> list[str]:
        """`command`, as it is run on host `number`."""
        return ["nsenter", f"--net=/proc/{self.holders[number].pid}/ns/net", "--", *command]

    def address(self, number: int) -> str:
        return f"10.77.0.{10 + number}"

    def cut(self, number: int) -> None:
        """From here on nothing goes through, and nobody is told."""
        _ip("link", "set", f"host{number}", "down")

    def mend(self, number: int) -> None:
        _ip("link", "set", f"host{number}", "up")


@contextmanager
def alone() -> Iterator[None]:
    """Move the calling thread, and what it starts, to a host that reaches nobody but itself."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(_CLONE_NEWNET))
        _ip("link", "set", "lo", "up")
        yield
    finally:
        _check(_libc.setns(home, _CLONE_NEWNET))
        os.close(home)


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """Move the calling thread to a host of its own with SERVER_ADDRESS, beside `count` others."""
    made = Hosts([])
    with alone():
        try:
            _ip("link", "add", "bridge", "type", "bridge")
            _ip("address", "add", f"{SERVER_ADDRESS}/24", "dev", "bridge")
            _ip("link", "set", "bridge", "up")
            for number in range(count):
                made.holders.append(_hold_namespace())
                _plug_in(made, number)
            yield made
        finally:
            for holder in made.holders:
                holder.kill()
                holder.wait()


def _hold_namespace() -> "subprocess.Popen[bytes]":
    ours = Path("/proc/thread-self/ns/net").readlink()
    holder = subprocess.Popen(ending_with_us(["unshare", "--net", "sleep", "infinity"], signal.SIGKILL))
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{holder.pid}/ns/net").readlink() == ours:
        assert time.monotonic() < deadline, "a namespace was not made in time"
        time.sleep(0.01)
    return holder


def _plug_in(made: Hosts, number: int) -> None:
    far = str(made.holders[number].pid)
    _ip("link", "add", f"host{number}", "type", "veth", "peer", "name", "cable", "netns", far)
    _ip("link", "set", f"host{number}", "master", "bridge", "up")
    for words in (
        ["address", "add", f"{made.address(number)}/24", "dev", "cable"],
        ["link", "set", "cable", "up"],
        ["link", "set", "lo", "up"],
    ):
        subprocess.run(made.on(number, ["ip", *words]), check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _check(returned: int) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
