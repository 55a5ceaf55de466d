"""Builds of traces, of made faces and with a writer that needs no model."""

from dataclasses import replace

from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.traces.config import BuildConfig, BuildData
from tag_rewards.traces.ledger import read_ledger
from tag_rewards.traces.run import build as build_traces
from tests.builders.writer import FakeEngine

CANVAS = 112


class Build:
    """A build in a folder, to be run again and again with other options."""

    def __init__(self, faces, out):
        self.faces, self.out = faces, out
        self.path = out / "ledger.sqlite"
        data = BuildData(
            dataset=faces,
            protocol="made-faces/test",
            openface=faces / "openface",
            annotation=TargetConfig(canvas=CANVAS),
        )
        self.config = BuildConfig(data)

    def run(self, engine=None, dropped=None, limit=None, **options):
        config = replace(self.config, **options)
        return build_traces(config, engine or FakeEngine(), self.out, dropped=dropped, limit=limit)

    def rows(self):
        """What is recorded and judged, but for the times."""
        with read_ledger(self.path) as ledger:
            return [(replace(row, seconds=0.0), verdict) for row, verdict in ledger.judged()]

    def left_out(self):
        with read_ledger(self.path) as ledger:
            return {item.id: (item.reason, item.details) for item in ledger.left_out()}
