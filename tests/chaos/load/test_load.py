"""The load, scaled down: the same questions with thirty thousand messages queued and sixty requests in flight."""

import pytest

from tests.chaos.load.cases import play
from tests.chaos.load.installation import running_installation

SCALE = 0.03


@pytest.mark.slow
def test_a_small_campaign_is_sent_within_seconds_beside_a_huge_one_and_beside_slow_and_dead_relays() -> None:
    with running_installation(scale=SCALE) as installation:
        lines = list(play(installation, ["queue", "slow_relay", "dead_relay", "fairness", "api", "memory", "cancel"]))
    assert [line for line in lines if not line["ok"]] == []
    small = [
        line for line in lines if line["what"].startswith(("campaign of 100", "another account", "the same account"))
    ]
    assert len(small) == 4
