"""Skill: what boxes are worth beyond their place in the data."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tag_rewards.completions.completion import Completion
from tag_rewards.evaluation.compare import EvaluatedModel, compare_models, row_columns, statistics
from tag_rewards.evaluation.faithfulness import SeenAUs, area_boxes, blind_faces
from tag_rewards.evaluation.measures import measure_sums, ratio_figure, ratios, resampled_sums
from tag_rewards.evaluation.results import (
    SAMPLES_FILE,
    judged_faces,
    read_face_rows,
    read_results,
    write_evaluation,
)
from tag_rewards.evaluation.run import EvaluationConfig, evaluate
from tag_rewards.geometry import BoxSpace, box_iou
from tag_rewards.prepare.eval_set import EvaluationFace, EvaluationSet
from tag_rewards.target import AUEvidence, Target
from tests.builders.trace import smile

SQUARE = BoxSpace.pixels(100, 100)
CONFIG = EvaluationConfig(resamples=200)
MEAN = np.array([30, 60, 70, 80])


def target(box, space=SQUARE):
    return Target("happiness", (AUEvidence(12, 1.0, tuple(map(float, box))),), space)


def faces(spread, n=40, seed=0):
    """The box of a smile lies about `MEAN`."""
    rng = np.random.default_rng(seed)
    shifts = np.tile(rng.integers(-spread, spread + 1, (n, 2)), 2)
    targets = [target(MEAN + shift) for shift in shifts]
    made = tuple(EvaluationFace(f"face_{i:02}", one, None) for i, one in enumerate(targets))
    return EvaluationSet("made/test", ("happiness", "fear"), (), made)


def evaluated(data, box_of):
    texts = [smile("happiness", [tuple(box_of(face.target))]) for face in data.faces]
    completions = [Completion(face.id, text) for face, text in zip(data.faces, texts, strict=True)]
    return evaluate(data, completions, [face.target for face in data.faces], CONFIG)


def seen(target):
    return target.evidence[0].box


def test_who_looks_has_skill_and_who_knows_the_mean_has_none():
    data = faces(spread=12)
    perfect = evaluated(data, seen).results
    blind = evaluated(data, lambda _: MEAN).results
    assert perfect.figures["skill"].value == 1
    assert blind.figures["mean_iou"].value > 0.4
    assert abs(blind.figures["skill"].value) < 0.1
    assert blind.figures["skill"].low < 0 < blind.figures["skill"].high
    assert abs(perfect.faithfulness["mean boxes"]["skill"].value) < 0.1
    assert perfect.faithfulness["random boxes"]["skill"].value < 0


def test_skill_is_as_the_page_has_it():
    data = faces(spread=9, n=7)
    found = evaluated(data, lambda of: np.add(seen(of), (3, 0, 3, 0)))
    boxes = np.array([seen(face.target) for face in data.faces])
    own = [box_iou(box, np.add(box, (3, 0, 3, 0)))[0, 0] for box in boxes]
    others = [np.delete(boxes, i, axis=0).mean(axis=0) for i in range(len(boxes))]
    blind = [box_iou(box, mean)[0, 0] for box, mean in zip(boxes, others, strict=True)]
    assert [row.blind_iou for row in found.rows] == pytest.approx(blind)
    expected = (np.sum(own) - np.sum(blind)) / (len(boxes) - np.sum(blind))
    assert found.results.figures["skill"].value == pytest.approx(expected)
    assert found.results.figures["skill"].n == 7


@pytest.mark.parametrize(
    ("box_of", "skill"), [(seen, 0.0), (lambda _: (30, 60, 70, 79), -1.0)], ids=["perfect", "worse"]
)
def test_where_the_mean_box_is_perfect_nothing_can_be_gained(box_of, skill):
    figure = evaluated(faces(spread=0), box_of).results.figures["skill"]
    assert figure[:3] == (skill, skill, skill)


def test_an_au_of_one_face_and_other_box_spaces():
    """The places of others are shares of the picture; who is alone has no mean."""
    wide = BoxSpace.pixels(200, 100)
    some = [target(MEAN), target(MEAN * (2, 1, 2, 1), wide)]
    alone = Target("fear", (AUEvidence(4, 1.0, (10, 10, 20, 20)),), SQUARE)
    everything = [*some, alone, Target("fear", (), SQUARE)]
    of = SeenAUs.of(everything, area_boxes([None] * 4))
    assert blind_faces(of).mean_iou.tolist() == pytest.approx([1, 1, 0, 0])


def test_it_is_kept_with_the_faces_and_compared(tmp_path):
    data = faces(spread=12)
    models = []
    for name, box_of in (("blind", lambda _: MEAN), ("looks", seen)):
        results, rows = evaluated(data, box_of)
        write_evaluation(tmp_path / name, results, rows, [])
        read = read_face_rows(tmp_path / name, read_results(tmp_path / name))
        assert read == rows
        assert read_results(tmp_path / name).figures["skill"] == results.figures["skill"]
        models.append(EvaluatedModel(tmp_path / name, results, read))
    [found] = [one for one in compare_models(*models, 200).differences if one.name == "skill"]
    assert found.change.value == pytest.approx(1, abs=0.1)
    assert found.change.low > 0.8
    assert found.verdict == "not tested"


def test_rows_of_an_earlier_version_have_none(tmp_path):
    results, rows = evaluated(faces(spread=12), seen)
    write_evaluation(tmp_path, results, rows, [])
    path = tmp_path / SAMPLES_FILE
    pq.write_table(pq.read_table(path).drop_columns(["blind_iou"]), path)
    read = read_face_rows(tmp_path)
    assert np.isnan([row.blind_iou for row in read]).all()
    sums = measure_sums(judged_faces(read))["skill"]
    assert ratio_figure(sums, resampled_sums(sums, 100), signed=True) is None
    columns = row_columns(read, results.labels).sum(axis=0)
    assert np.isnan(statistics(columns, 2)["skill"])


def test_ratios():
    part, whole = [1, 0, -3, 0, -1, np.nan], [2, 0, 2, 0, 0, 1]
    assert ratios(part, whole, signed=True) == pytest.approx(
        [0.5, 0, -1, 0, -1, np.nan], nan_ok=True
    )
    assert ratios([1, 0], [2, 0]) == pytest.approx([0.5, np.nan], nan_ok=True)
