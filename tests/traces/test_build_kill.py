"""A build that is killed with signal 9 and started again ends as one that was not."""

import random

from tests.builders.kill_build import kill_and_restart


def test_killed_at_random_moments_the_ledger_is_that_of_an_undisturbed_build(tmp_path):
    """A few moments; `python -m tests.builders.kill_build --kills 50` tries more."""
    seed = random.randrange(10**6)
    print("seed", seed)  # shown when the test fails
    outcome = kill_and_restart(tmp_path, kills=5, seed=seed, faces=150, delay=0.05)
    assert outcome.kills == 5
    assert outcome.recorded_again == 0
    assert outcome.lost <= 5 * 8  # what was on its way at the kills
