"""What is handed out looks right in a notebook: short, and text is text."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import AUEvidence, BoxSpace, Target, parse_trace
from tag_rewards.detectors import FaceObservation
from tag_rewards.engines import Request
from tag_rewards.looks import LONGEST_CELL, MOST_ROWS, Grid, html_lines, plain
from tag_rewards.prepare.rows import EvalRow, RLRow, SFTRow
from tag_rewards.testing import TARGETS, honest_text
from tag_rewards.testing.hostile import fillings, frames, hostile_text
from tests.builders.results import made

IMAGE = b"\x89PNG" * 33_000
OUTLINE = (tuple((x, x * x) for x in range(60)),)
TARGET = Target("joy", (AUEvidence(12, 0.9, (1, 2, 9, 9), OUTLINE),), BoxSpace.pixels(9, 9))
RL = RLRow("rafdb", "<image>Which?" * 99, IMAGE, TARGET, "train", 0, "train_00001")
ROWS = [
    RL,
    EvalRow(RL, np.zeros((68, 2))),
    SFTRow("rafdb", "<image>Which?" * 99, IMAGE, "A trace. " * 99, "joy", "train", 0, "a"),
    Request("a", "<image>Which?" * 99, IMAGE, 0, 1.0, 99),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_the_repr_of_a_row_is_short_and_says_how_large_its_image_is(row):
    assert len(repr(row)) < 900
    assert "132,000 bytes" in repr(row)


def test_the_repr_of_a_face_is_short():
    face = FaceObservation((0, 0, 9, 9), np.zeros((68, 2)), dict.fromkeys(range(1, 29), 0.5))
    assert len(repr(face)) < 500


@pytest.mark.parametrize("frame", frames())
@pytest.mark.parametrize("filling", fillings())
def test_any_trace_is_a_small_table(filling, frame):
    shown = parse_trace(hostile_text(filling, frame, 9000))._repr_html_()
    assert len(shown) < 60_000


@given(st.text() | st.text("<>&\"'/script"))
def test_text_is_text(text):
    trace = parse_trace(f"Global analysis: {text} <answer>{text}</answer>")
    for shown in (trace._repr_html_(), Grid((text,), [(text,)], text).html(), html_lines([text])):
        bare = shown
        for tag in ("table", "thead", "tbody", "tr", "th", "td", "p", "caption"):
            bare = bare.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
        assert "<" not in bare
        assert ">" not in bare


def test_what_is_left_out_is_counted():
    grid = Grid(("a",), [("b" * 999,)] * (MOST_ROWS + 3))
    assert "and 3 more" in grid.html()
    assert grid.html().count("b" * LONGEST_CELL + "...") == MOST_ROWS
    assert "and 2 more" in html_lines(["a"] * (MOST_ROWS + 2))


def test_a_target_a_trace_and_results_are_tables():
    target = TARGETS[0]
    for au in target.by_au:
        assert f"AU{au}" in target._repr_html_()
        assert f"AU{au}" in parse_trace(honest_text(target))._repr_html_()
    shown = made("a <b>model</b>")._repr_html_()
    assert "a &lt;b&gt;model&lt;/b&gt;" in shown
    assert "accuracy" in shown


def test_results_are_json():
    assert json.loads(json.dumps(plain(made("m"))))["model"] == "m"
