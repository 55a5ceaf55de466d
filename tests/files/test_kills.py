"""Killed with signal 9 at random moments, a command leaves the folder of one writing."""

import random

import pytest

from tests.builders.kill_writer import kill_and_look, make


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    make(folder)
    return folder


@pytest.mark.parametrize("what", ["prepare", "eval"])
def test_killed_at_random_moments_it_is_the_old_folder_or_the_new(root, what):
    """A few moments; `python -m tests.builders.kill_writer eval 50` tries more."""
    seed = random.randrange(10**6)
    print("seed", seed)  # shown when the test fails
    assert sum(kill_and_look(what, root, kills=5, seed=seed)) == 5
