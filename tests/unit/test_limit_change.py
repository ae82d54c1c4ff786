"""Whether a change lets more through: what a demo account may not ask for."""

import pytest

from app.commands.limits import is_more


@pytest.mark.parametrize(
    ("asked", "had", "expected"),
    [
        ((100, 3600), (100, 3600), False),
        ((99, 3600), (100, 3600), False),
        ((101, 3600), (100, 3600), True),
        ((100, 1800), (100, 3600), True),
        ((50, 1800), (100, 3600), False),
        ((200, 7200), (100, 3600), True),  # the same rate, but 200 at once
        ((0, 3600), (100, 3600), True),  # no limit at all
        ((5, 3600), (0, 3600), False),
    ],
)
def test_more_is_a_higher_rate_or_a_larger_burst(asked: tuple[int, int], had: tuple[int, int], expected: bool) -> None:
    assert is_more(*asked, than=had) is expected
