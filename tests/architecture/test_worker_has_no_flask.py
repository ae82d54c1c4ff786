"""The worker stays small: nothing of the HTTP side comes with it."""

import subprocess

import pytest

HTTP_SIDE = ("flask", "apiflask", "werkzeug", "authlib", "granian")


@pytest.mark.parametrize("module", ["worker.main", "worker.sandbox"])
def test_the_worker_starts_without_the_http_side(python: str, module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HTTP_SIDE!r} if name in sys.modules])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
