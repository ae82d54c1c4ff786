"""Install what the lock file names into `.venv`: `make setup`. Runs on a bare python3, so it imports only the standard library.

    python3 -I app/setup.py             .venv from requirements.lock
    python3 -I app/setup.py packages    Debian's chromium and others, for the tests, where that is possible

A second run costs a hash: `.venv/.installed` holds the SHA-256 of the lock file and of this Python. pip is used, since it
reads the machine's own index, proxy and certificate settings (PIP_*, pip.conf). Two runs in one folder take turns.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / ".installed"
DEBIAN_PACKAGES = {
    "chromium": "browser tests",
    "postfix": "tests against a real mail server",
    "pgbouncer": "tests behind a connection pooler",
    "faketime": "tests with clocks that are wrong",
}


class SetupError(Exception):
    """What is missing and how to get it, in a line or two."""


def main() -> int:
    try:
        if sys.argv[1:] == ["packages"]:
            install_debian_packages()
        else:
            install()
    except SetupError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def install() -> None:
    """Make `.venv` hold exactly what the lock file names."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the very Python may be too old
        raise SetupError(
            f"Python 3.11 or newer is needed, and {sys.executable} is {sys.version.split()[0]}: "
            "install one and run `make PYTHON=python3.11 …`"
        )
    handle = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # a second `make` in this folder waits here, then finds it done
        wanted = fingerprint()
        if read_stamp() == wanted:
            return
        STAMP.unlink(missing_ok=True)
        pip = make_venv()
        say("installing the packages of requirements.lock into .venv (once; about a minute)")
        run([*pip, "install", "--quiet", "--require-hashes", "--no-deps", "--requirement", str(LOCK)], INSTALL_HELP)
        STAMP.write_text(wanted, encoding="utf-8")
        say("installed")
    finally:
        os.close(handle)


INSTALL_HELP = (
    "the packages could not be installed: see pip's message above. Behind a proxy set HTTPS_PROXY; "
    "for an index of your own set PIP_INDEX_URL; then run `make setup` again"
)


def fingerprint() -> str:
    digest = hashlib.sha256(LOCK.read_bytes())
    digest.update(f"{sys.version_info[:2]} {sys.platform} {os.uname().machine} {VENV}".encode())
    return digest.hexdigest()


def read_stamp() -> str:
    """The fingerprint of what is installed; empty when the folder is gone, half made, or its Python no longer runs."""
    try:
        (VENV / "bin" / "python").resolve(strict=True)  # the Python it links to may have been removed since
        return STAMP.read_text(encoding="utf-8")
    except OSError:
        return ""


def make_venv() -> list[str]:
    """Make `.venv`, or keep one that works, and return the command that is its pip.

    Debian's python3 has no ensurepip: then the system's own pip fills the folder, or, as root, python3-venv is installed.
    """
    python = str(VENV / "bin" / "python")
    if works([python, "-c", f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"]):
        return [python, "-m", "pip"]  # something may be running from it
    say("making .venv")
    shutil.rmtree(VENV, ignore_errors=True)
    if importlib.util.find_spec("ensurepip") is None and not has_system_pip():
        install_python3_venv()
    if importlib.util.find_spec("ensurepip") is None:
        run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], VENV_HELP)
        return [sys.executable, "-m", "pip", "--python", python]
    run([sys.executable, "-m", "venv", str(VENV)], VENV_HELP)
    return [python, "-m", "pip"]


VENV_HELP = "`python3 -m venv` failed: on Debian or Ubuntu run `apt-get install python3-venv`, then `make setup` again"


def works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def has_system_pip() -> bool:
    return importlib.util.find_spec("pip") is not None


def install_python3_venv() -> None:
    if not can_install_packages():
        raise SetupError("this Python has neither venv's ensurepip nor pip: run `apt-get install python3-venv` as root")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    say("this Python comes without ensurepip: installing python3-venv")
    apt_update()
    run_apt(["install", "-y", "--no-install-recommends", f"{version}-venv"], VENV_HELP)
    importlib.invalidate_caches()


def install_debian_packages() -> None:
    """Install the tests' own programs when we may; else say which tests will be skipped, and why."""
    missing = {name: use for name, use in DEBIAN_PACKAGES.items() if not has_program(name)}
    if not missing:
        return
    if not can_install_packages():
        for name, use in missing.items():
            say(f"{name} is not installed, so the {use} will be skipped: run `apt-get install {name}` as root")
        return
    say(f"installing {' and '.join(missing)} for the tests")
    try:
        apt_update()
    except SetupError as error:
        say(f"{error}; the {' and the '.join(missing.values())} will be skipped")
        return
    for name, use in missing.items():
        preseed(name)
        try:
            run_apt(["install", "-y", "--no-install-recommends", name], f"{name} could not be installed")
        except SetupError as error:
            say(f"{error}: the {use} will be skipped")


def has_program(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def can_install_packages() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def preseed(name: str) -> None:
    """Postfix asks how it should run: as nothing. The tests start instances of their own in temporary folders."""
    if name == "postfix" and shutil.which("debconf-set-selections"):
        answer = b"postfix postfix/main_mailer_type select No configuration\n"
        subprocess.run(["debconf-set-selections"], input=answer, check=False)  # noqa: S607


def apt_update() -> None:
    run_apt(["update"], "apt-get update failed")


def run_apt(arguments: list[str], trouble: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False)  # noqa: S603
    if done.returncode != 0:
        raise SetupError(trouble)


def run(command: list[str], trouble: str) -> None:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)  # noqa: S603
    if done.returncode != 0:
        raise SetupError(trouble)


def say(line: str) -> None:
    print(f"setup: {line}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
