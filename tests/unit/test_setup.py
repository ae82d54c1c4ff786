"""`make setup` installs once for each lock file, and `make run` builds the dashboard once for each state of its sources."""

from pathlib import Path

import pytest

from app import frontend_build, setup


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose pip only notes what it was asked."""
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    (tmp_path / "requirements.lock").write_text("a==1\n")
    for name, path in {
        "ROOT": tmp_path,
        "VENV": venv,
        "LOCK": tmp_path / "requirements.lock",
        "STAMP": venv / ".installed",
    }.items():
        monkeypatch.setattr(setup, name, path)
    monkeypatch.setattr(setup, "make_venv", lambda: ["pip"])
    return tmp_path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    ran: list[list[str]] = []
    monkeypatch.setattr(setup, "run", lambda command, trouble: ran.append(command))
    return ran


def test_a_second_setup_runs_nothing(folder: Path, commands: list[list[str]]) -> None:
    setup.install()
    setup.install()
    assert len(commands) == 1
    assert "--require-hashes" in commands[0]


def test_a_changed_lock_file_is_installed(folder: Path, commands: list[list[str]]) -> None:
    setup.install()
    (folder / "requirements.lock").write_text("a==2\n")
    setup.install()
    assert len(commands) == 2


def test_an_install_that_failed_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], trouble: str) -> None:
        raise setup.SetupError(trouble)

    setup.STAMP.write_text("old")
    monkeypatch.setattr(setup, "run", fail)
    with pytest.raises(setup.SetupError, match="PIP_INDEX_URL"):
        setup.install()
    assert setup.read_stamp() == ""


def test_a_venv_whose_python_was_removed_counts_as_missing(folder: Path, commands: list[list[str]]) -> None:
    setup.install()
    (setup.VENV / "bin" / "python").unlink()
    assert setup.read_stamp() == ""


@pytest.fixture
def frontend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dashboard whose npm makes the files that npm would make."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.tsx").write_text("1")
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "package-lock.json").write_text("{}")

    def npm(arguments: list[str], folder: Path) -> None:
        made = {"ci": "node_modules/.mark", "run": "dist/index.html"}[arguments[0]]
        (folder / made).parent.mkdir(exist_ok=True)
        (folder / made).write_text(" ".join(arguments))

    monkeypatch.setattr(frontend_build, "npm", npm)
    return tmp_path


def build(frontend: Path) -> list[str]:
    said: list[str] = []
    frontend_build.build(said.append, frontend=frontend)
    return said


def test_an_unchanged_dashboard_is_not_built_again(frontend: Path) -> None:
    assert "building the dashboard" in build(frontend)
    assert build(frontend) == []


def test_a_changed_source_is_built_without_installing_again(frontend: Path) -> None:
    build(frontend)
    (frontend / "src" / "main.tsx").write_text("2")
    assert build(frontend) == ["building the dashboard"]


def test_a_build_that_fails_is_tried_again_next_time(frontend: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str], folder: Path) -> None:
        raise frontend_build.BuildError("no network")

    with monkeypatch.context() as broken:
        broken.setattr(frontend_build, "npm", fail)
        with pytest.raises(frontend_build.BuildError):
            build(frontend)
    assert "building the dashboard" in build(frontend)
