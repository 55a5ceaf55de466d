"""A run that is killed with signal 9 and started again ends as one that was not."""

import random

from tests.builders.kill_annotation import IMAGES, kill_and_restart


def test_killed_at_random_moments_every_image_is_there_once(tmp_path):
    """A few moments; `python -m tests.builders.kill_annotation 20` tries more."""
    seed = random.randrange(10**6)
    print("seed", seed)  # shown when the test fails
    hits, done = kill_and_restart(tmp_path, kills=5, seed=seed)
    assert hits == 5
    assert max(done) <= IMAGES
