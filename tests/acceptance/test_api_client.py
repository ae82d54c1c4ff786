"""The dashboard's types are those of the API it talks to."""

import subprocess
from pathlib import Path

from app.frontend_build import FRONTEND, install_packages, node_environment, npm_command
from tests.conftest import ROOT

GENERATED = FRONTEND / "src" / "api" / "generated"


def test_the_committed_client_is_what_the_apis_own_description_generates(tmp_path: Path, python: str) -> None:
    """If this is red: `make client`, and look at what changed."""
    description = tmp_path / "openapi.json"
    subprocess.run([python, "-m", "app.cli", "openapi", str(description)], cwd=ROOT, check=True, capture_output=True)
    install_packages(lambda line: None)
    made = tmp_path / "generated"
    subprocess.run(
        [*npm_command(), "run", "generate"], cwd=FRONTEND, check=True, capture_output=True,
        env={**node_environment(), "OPENAPI": str(description), "CLIENT_OUTPUT": str(made)},
    )  # fmt: skip
    assert sorted(path.name for path in made.iterdir()) == sorted(path.name for path in GENERATED.iterdir())
    for path in made.iterdir():
        assert path.read_text(encoding="utf-8") == (GENERATED / path.name).read_text(encoding="utf-8"), path.name
