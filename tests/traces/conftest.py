"""A dataset of made faces, and what builds traces of it with a writer that needs no model."""

import subprocess
import sys
from contextlib import ExitStack, contextmanager

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


@contextmanager
def serving(log, *options):
    """URL of a fake writer in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.builders.writer", str(log), "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """A writer of traces in TAG's form, without reasoning."""
    with serving(tmp_path_factory.mktemp("writer") / "log") as url:
        yield url


@pytest.fixture
def other_writer(tmp_path):
    """Gives the URL of a writer with options of its own, as `tests.builders.writer` takes them."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(serving(tmp_path / "log", *options))
