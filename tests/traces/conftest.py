"""A dataset of made faces, and what builds traces of it with a writer that needs no model."""

import subprocess
import sys

import pytest

from tag_rewards.datasets.made_faces.dataset import write_dataset
from tests.builders import environment
from tests.builders.build import Build


@pytest.fixture(scope="session")
def made_faces(tmp_path_factory):
    """30 training and 10 test faces in RAF-DB's layout, with CSV files; not to be changed."""
    root = tmp_path_factory.mktemp("made") / "faces"
    write_dataset(root, 30, 10, size=64)
    return root


@pytest.fixture
def build(made_faces, tmp_path):
    return Build(made_faces, tmp_path / "out")


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """URL of a fake writer in a process of its own."""
    log = tmp_path_factory.mktemp("writer") / "log"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.builders.writer", str(log), "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    yield server.stdout.readline().strip()
    server.kill()
    server.wait()
    server.stdout.close()
