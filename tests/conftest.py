"""What several folders share."""

import pytest

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
