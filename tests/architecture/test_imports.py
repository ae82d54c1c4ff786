"""The arrows between the packages, as import-linter reads them from pyproject.toml, and what it cannot see."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOMAIN = sorted((ROOT / "app" / "domain").rglob("*.py"))


def test_every_import_follows_the_arrows() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOMAIN, ids=[str(path.relative_to(ROOT)) for path in DOMAIN])
def test_the_domain_imports_the_standard_library_only(path: Path) -> None:
    foreign = {name for name in imported_names(path) if name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith("app.domain")} == set()


@pytest.mark.parametrize("name", ["child.py", "setup.py"])
def test_what_runs_before_the_install_imports_the_standard_library_only(name: str) -> None:
    foreign = {name.split(".")[0] for name in imported_names(ROOT / "app" / name)} - set(sys.stdlib_module_names)
    assert foreign == set()


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
