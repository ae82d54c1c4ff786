"""What a run was measured on, as its first line."""

import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from app.embedded import postgres_bin, valkey_bin
from tests.bench import node, postfix
from tests.bench.options import Line
from tests.bench.stack import ROOT, sink_command

_OURS = ("granian", "flask", "procrastinate", "psycopg", "redis", "uvloop")


def describe() -> Line:
    return {
        "bench": "machine",
        "cpu": _first_match(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _said(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]),
        "python": platform.python_version(),
        "postgres": _number(_said([str(postgres_bin() / "postgres"), "--version"])),
        "postgres_settings": "fsync on, synchronous_commit on, shared_buffers 256 MB",
        "valkey": _number(_said([str(valkey_bin()), "--version"])),
        "sink": sink_command(0)[1],
        "postfix": postfix.version() if postfix.is_available() else None,
        "ours": {name: version(name) for name in _OURS},
        "baseline": node.versions(),
    }


def _said(command: list[str]) -> str | None:
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip() or None
    return None


def _number(said: str | None) -> str | None:
    found = re.search(r"\d+(\.\d+)+", said or "")
    return found[0] if found else None


def _first_match(path: Path, pattern: str) -> str | None:
    with suppress(OSError):
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
        return found[1] if found else None
    return None
