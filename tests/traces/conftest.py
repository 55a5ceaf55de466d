"""A dataset of made faces, and what builds traces of it with a writer that needs no model."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tag_rewards.datasets.made_faces.dataset import write_dataset
from tag_rewards.prepare.face_target import AnnotationConfig

sys.path.insert(0, str(Path(__file__).parent))

from fake_writer import FakeEngine

from tag_rewards.traces.build import build_traces
from tag_rewards.traces.config import BuildConfig, BuildData
from tag_rewards.traces.ledger import read_ledger
from tag_rewards.traces.prompts import load_prompt

CANVAS = 112


@pytest.fixture(scope="session")
def made_faces(tmp_path_factory):
    """30 training and 10 test faces in RAF-DB's layout, with CSV files; not to be changed."""
    root = tmp_path_factory.mktemp("made") / "faces"
    write_dataset(root, 30, 10, size=64)
    return root


class Build:
    """A build in a folder, to be run again and again with other options."""

    def __init__(self, faces, out):
        self.faces, self.out = faces, out
        self.path = out / "ledger.sqlite"
        data = BuildData(
            dataset=faces,
            protocol="made-faces/test",
            openface=faces / "openface",
            annotation=AnnotationConfig(canvas=CANVAS),
        )
        self.config = BuildConfig(data)

    def run(self, engine=None, template=None, dropped=None, **options):
        config = replace(self.config, **options)
        prompt = load_prompt(config.mode, template)
        return build_traces(config, prompt, engine or FakeEngine(), self.out, dropped=dropped)

    def rows(self):
        """What is recorded and judged, but for the times."""
        with read_ledger(self.path) as ledger:
            return [(replace(row, seconds=0.0), verdict) for row, verdict in ledger.judged()]

    def left_out(self):
        with read_ledger(self.path) as ledger:
            return {item.id: (item.reason, item.details) for item in ledger.left_out()}


@pytest.fixture
def build(made_faces, tmp_path):
    return Build(made_faces, tmp_path / "out")


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """URL of a fake writer in a process of its own."""
    log = tmp_path_factory.mktemp("writer") / "log"
    script = Path(__file__).with_name("fake_writer.py")
    server = subprocess.Popen(
        [sys.executable, str(script), str(log), "0"], stdout=subprocess.PIPE, text=True
    )
    yield server.stdout.readline().strip()
    server.kill()
    server.wait()
    server.stdout.close()
