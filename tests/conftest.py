"""Hypothesis profiles, the same examples on every run in CI; what several folders share."""

import os

import pytest
from hypothesis import settings

settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# What tests are made with is no test; some of it imports what only the training stack has.
collect_ignore = ["builders"]


@pytest.fixture
def dataset(tmp_path):
    from tests.builders.dataset import four_faces

    return four_faces(tmp_path / "faces")


@pytest.fixture
def run(tmp_path):
    from tests.builders.run import MadeRun

    return MadeRun(tmp_path)
