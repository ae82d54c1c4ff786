"""Each mutant still finds the place in the engine that it breaks. Whether it is caught is seen by `make chaos MUTATE=1`."""

import os
import subprocess
import sys

import pytest

from tests.chaos.mutants import EXPECTED, MUTATIONS


def test_each_mutant_names_the_invariant_that_it_breaks() -> None:
    assert MUTATIONS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutant_finds_what_it_breaks(name: str, database_url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"from tests.chaos.mutants import MUTATIONS; MUTATIONS[{name!r}]()"],
        env={**os.environ, "DATABASE_URL": database_url}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
