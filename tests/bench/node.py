"""The replaced design, in `baseline/`, with packages of its own that only the benchmark installs."""

import json
import os
import subprocess
from pathlib import Path

from app.frontend_build import install_packages, wheel_node
from tests.bench.options import Line, say
from tests.bench.stack import Child, Stack

BASELINE = Path(__file__).parent / "baseline"
PACKAGES = ("bullmq", "express", "ioredis", "nodemailer", "pg")
_TIMEOUT_S = 600.0


def install() -> None:
    """Install what the lock file names, once for each lock file. Raises BuildError."""
    install_packages(lambda _: say("installing the baseline's packages (once)"), BASELINE)


def versions() -> dict[str, str]:
    """Of the packages in the lock file, and of Node."""
    locked = json.loads((BASELINE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    found = {name: str(locked[f"node_modules/{name}"]["version"]) for name in PACKAGES}
    said = subprocess.run([_node(), "--version"], capture_output=True, text=True, timeout=30, check=False)
    return {"node": said.stdout.strip().lstrip("v"), **found}


def run(stack: Stack, script: str, *arguments: int, smtp_port: int) -> Line:
    """Run a script to its end and return the line that it printed."""
    done = subprocess.run(
        [_node(), script, *(str(argument) for argument in arguments)],
        cwd=BASELINE,
        env=_environment(stack, SMTP_PORT=str(smtp_port)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} ended with {done.returncode}: {done.stderr[-2000:]}")
    line: Line = json.loads(done.stdout.splitlines()[-1])
    return line


def start(stack: Stack, script: str, *arguments: int) -> Child:
    command = [_node(), str(BASELINE / script), *(str(argument) for argument in arguments)]
    return stack.start(command, **_environment(stack))


def _environment(stack: Stack, **more: str) -> dict[str, str]:
    """The same servers, with a Redis database of its own, since it empties it."""
    return {
        **os.environ, "DATABASE_URL": stack.postgres.url, "REDIS_URL": stack.valkey.url.removesuffix("/0") + "/1", **more,
    }  # fmt: skip


def _node() -> str:
    node = wheel_node()
    return str(node) if node is not None else "node"
