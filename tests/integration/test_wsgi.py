"""The entry that the WSGI server imports."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("SECRET_KEY", "short", "SECRET_KEY"), ("DATABASE_URL", "", "DATABASE_URL"), ("PORT", "ninety", "PORT")],
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    python: str, tmp_path: Path, name: str, value: str, said: str
) -> None:
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": "postgresql://127.0.0.1:1/x",
        "REDIS_URL": "redis://127.0.0.1:1", "SECRET_KEY": "a-secret-for-tests-that-is-long-enough-0123456789",
        "DATA_DIR": str(tmp_path), name: value,
    }  # fmt: skip
    done = subprocess.run(
        [python, "-c", "import app.wsgi"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
