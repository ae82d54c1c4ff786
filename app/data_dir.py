"""DATA_DIR: where `make run` keeps its servers' files, its secret, and how to reach what is running now.

postgres/  valkey/  logs/
run.lock   held by whoever runs the servers of this folder: `make run`, or a command that needs the database
           while nothing runs. The kernel lets go of it when that process ends, however it ends.
run.env    settings for the other commands, read last by `app.settings`; the servers' addresses only while they run
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class DataDirBusy(Exception):
    """Another process runs the servers of this folder."""


class DataDirError(Exception):
    """The folder cannot be used. The message says why and what to do."""


class DataDir:
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def run_env(self) -> Path:
        return self.path / "run.env"

    def make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "logs").mkdir(exist_ok=True)
            (self.path / ".writable").touch()
            (self.path / ".writable").unlink()
        except OSError as error:
            raise DataDirError(
                f"DATA_DIR {self.path} cannot be written: {error.strerror}. "
                "Give another folder with DATA_DIR=…, or take this one over with chown"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one who runs this folder's servers. Raises DataDirBusy, DataDirError."""
        self.make()
        try:
            handle = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirError(f"DATA_DIR {self.path}: cannot open run.lock: {error.strerror}") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirBusy from None
            yield
        finally:
            os.close(handle)

    def is_running(self) -> bool:
        """Whether some process holds the lock."""
        try:
            handle = os.open(self.path / "run.lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def read_env(self) -> dict[str, str]:
        try:
            lines = self.run_env.read_text(encoding="utf-8").splitlines()
        except OSError:
            return {}
        pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return {name: value.strip("'") for name, value in pairs}

    def write_env(self, values: Mapping[str, str]) -> None:
        """Replace run.env, readable by its owner only."""
        fresh = self.run_env.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        text = "# Written by `make run`: how to reach what runs now. Holds a secret.\n"
        text += "".join(f"{name}='{value}'\n" for name, value in values.items())
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(self.run_env)

    def forget_servers(self) -> None:
        """Leave only the secret in run.env: the servers it names are gone."""
        known = self.read_env()
        if known:
            self.write_env({name: value for name, value in known.items() if name == "SECRET_KEY"})

    def secret_key(self) -> str:
        """This installation's own secret, made once: sessions and sealed passwords outlive a restart."""
        return self.read_env().get("SECRET_KEY") or secrets.token_urlsafe(48)
