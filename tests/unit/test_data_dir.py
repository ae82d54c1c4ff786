"""DATA_DIR: one runner at a time, one secret, and no trace of servers that are gone."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.data_dir import DataDir, DataDirBusy, DataDirError
from app.settings import load_settings


def test_only_one_process_runs_a_folder(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    with data.locked():
        assert data.is_running()
        with pytest.raises(DataDirBusy), data.locked():
            pass
    assert not data.is_running()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from app.data_dir import DataDir\n"
        f"with DataDir(pathlib.Path({str(tmp_path)!r})).locked(): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert DataDir(tmp_path).is_running()
    holder.kill()
    holder.wait()
    with DataDir(tmp_path).locked():
        pass


def test_what_is_written_is_read_by_the_settings_and_by_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    data = DataDir(tmp_path)
    data.write_env({"DATABASE_URL": "postgresql://u:p%40ss@127.0.0.1:1/x", "SECRET_KEY": "s" * 40, "PORT": "3456"})
    assert (data.run_env.stat().st_mode & 0o777) == 0o600
    settings = load_settings()
    assert (settings.database_url, settings.port) == ("postgresql://u:p%40ss@127.0.0.1:1/x", 3456)
    assert settings.secret_key == "s" * 40


def test_the_environment_wins_over_what_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORT", "4000")
    DataDir(tmp_path).write_env({"PORT": "3456"})
    assert load_settings().port == 4000


def test_forgetting_the_servers_keeps_the_secret(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.write_env({"DATABASE_URL": "postgresql://x/y", "SECRET_KEY": "k" * 40, "PORT": "3000"})
    data.forget_servers()
    assert data.read_env() == {"SECRET_KEY": "k" * 40}
    assert data.secret_key() == "k" * 40


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataDirError, match="DATA_DIR=…"), DataDir(tmp_path / "file" / "data").locked():
        pass
