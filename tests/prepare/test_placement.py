"""Faces put elsewhere on the canvas: landmarks and boxes go with them, and place says nothing."""

import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.commands.prepare import _placement_of as placement_of
from tag_rewards.datasets.made_faces import make_face
from tag_rewards.errors import InputError
from tag_rewards.files.images import decode_image
from tag_rewards.geometry import BoxSpace, au_box, convert_boxes
from tag_rewards.prepare import (
    Placement,
    PrepareConfig,
    TargetConfig,
    blind_grounding,
    prepare,
    read_evaluation_set,
    read_rl_parquet,
    read_sft_parquet,
)
from tag_rewards.prepare.placement import ALIGNED
from tag_rewards.prepare.rows import METADATA_KEY
from tag_rewards.rewards import GroundingConfig, grounding_reward, score
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import Step, Trace
from tests.builders.dataset import Dataset

AUS = [[6, 12], [4, 5, 7, 23], [1, 2, 5, 26], [15, 17]]
N = 32
SMALL = PrepareConfig(TargetConfig(canvas=112))


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """Enough faces to tell, all nearly at one place; one training image has no face."""
    made, rng = Dataset(tmp_path_factory.mktemp("aligned") / "faces"), np.random.default_rng(0)
    for split, count in (("train", N), ("test", N)):
        for index in range(count):
            centre = rng.uniform((49, 41), (51, 43))
            face = made.observe(AUS[index % 4], centre=centre, r=15 + rng.uniform(-0.5, 0.5))
            made.add(f"{split}_{index:05d}", 1 + index % 7, [face])
    made.add("train_99999", 4, None)
    return made


@pytest.fixture(scope="module")
def written(aligned, tmp_path_factory):
    """Prepared as it is by default, and without placement."""
    out = tmp_path_factory.mktemp("prepared")
    run(aligned, out / "usual")
    run(aligned, out / "never", placement=None)
    return out


def run(dataset, out, **options):
    return prepare(dataset.root, dataset.openface, out, replace(SMALL, **options))


def rows(folder, split="train"):
    return list(read_rl_parquet(folder / f"rl_{split}.parquet"))


def blind(folder, split="train"):
    return blind_grounding([row.target for row in rows(folder, split)]).grounding


def test_aligned_training_faces_are_put_elsewhere_and_evaluated_ones_never(written):
    assert blind(written / "never") > 0.8
    assert blind(written / "usual") < 0.45  # few faces; `benchmarks/placement.py` has more
    for split in ("rl_test", "sft_test", "eval"):
        usual, never = (written / of / f"{split}.parquet" for of in ("usual", "never"))
        assert usual.read_bytes() == never.read_bytes()


def test_the_files_say_how_far_faces_were_put(written):
    placed = {"scale": 0.3, "roll": 10.0, "shift": 0.3}

    def about(folder, file):
        metadata = pq.read_schema(written / folder / f"{file}.parquet").metadata
        return json.loads(metadata[METADATA_KEY.encode()])

    for file in ("rl_train", "sft_train"):
        assert about("usual", file)["placement"] == placed
    for folder, file in (("usual", "rl_test"), ("usual", "eval"), ("never", "rl_train")):
        assert "placement" not in about(folder, file)
    config = json.loads((written / "usual" / "prepare.json").read_text())["config"]
    assert (config["placement"], config["place_evaluation"]) == (placed, False)
    assert "placement" not in json.loads((written / "never" / "prepare.json").read_text())["config"]


def test_traces_are_perfect_answers_to_the_targets(written):
    sft = read_sft_parquet(written / "usual" / "sft_train.parquet")
    for row, taught in zip(rows(written / "usual"), sft, strict=True):
        assert (row.id, row.image, row.prompt) == (taught.id, taught.image, taught.prompt)
        assert score(taught.trace, row.target)["score"] == 1
        assert decode_image(row.image, row.id).shape == (112, 112, 3)


def test_aus_labels_and_prompts_stay(written):
    for placed, plain in zip(rows(written / "usual"), rows(written / "never"), strict=True):
        assert (placed.id, placed.prompt, placed.split) == (plain.id, plain.prompt, plain.split)
        assert placed.target.label == plain.target.label
        assert placed.target.by_au.keys() == plain.target.by_au.keys()


def test_a_face_without_landmarks_stays_where_it_is(aligned, written, tmp_path):
    run(aligned, tmp_path / "unseen", keep_unseen=True, placement=Placement())
    run(aligned, tmp_path / "plain", keep_unseen=True, placement=None)
    last, plain = rows(tmp_path / "unseen")[-1], rows(tmp_path / "plain")[-1]
    assert last.id == plain.id == "train_99999"
    assert last.image == plain.image


def test_a_sample_keeps_its_place_whatever_else_is_prepared(aligned, written, tmp_path):
    run(aligned, tmp_path / "few", limit=7, placement=Placement())
    run(aligned, tmp_path / "seed", placement=Placement(), seed=1)
    of_id = {row.id: row for row in rows(written / "usual")}
    few = rows(tmp_path / "few")
    assert 0 < len(few) <= 7
    for row in few:
        assert replace(row, index=0) == replace(of_id[row.id], index=0)
    assert all(row.target != of_id[row.id].target for row in rows(tmp_path / "seed"))


def test_evaluated_faces_are_put_elsewhere_when_asked(aligned, tmp_path):
    run(aligned, tmp_path / "all", place_evaluation=True)
    assert blind(tmp_path / "all", "test") < 0.45
    faces = read_evaluation_set(tmp_path / "all" / "eval.parquet").faces
    for face in faces:
        for item in face.target.evidence:
            assert item.box == pytest.approx(au_box(item.au, face.landmarks), abs=0.51)


def test_too_few_faces_tell_nothing_and_stay(dataset, tmp_path):
    counts = prepare(dataset.root, dataset.openface, tmp_path / "few", SMALL)
    assert (counts.placed, counts.splits["train"].blind) == ({}, None)
    assert list(counts.sentences()) == []


def test_faces_that_lie_anywhere_stay(tmp_path):
    made, rng = Dataset(tmp_path / "faces"), np.random.default_rng(0)
    for index in range(40):
        face = made.observe(AUS[index % 4], centre=rng.uniform(25, 75, 2), r=rng.uniform(6, 12))
        made.add(f"train_{index:05d}", 4, [face])
    made.add("test_0001", 4, [face])
    counts = run(made, tmp_path / "out")
    assert counts.splits["train"].blind.grounding < ALIGNED
    assert counts.placed == {}


def test_what_place_gives_away_is_said(aligned, tmp_path):
    counts = run(aligned, tmp_path / "out")
    [elsewhere, aligned_still] = counts.sentences()
    assert elsewhere.startswith("The faces of train were put elsewhere")
    assert "scale=0.3,roll=10.0,shift=0.3" in elsewhere
    assert re.search(
        r"The faces of test are aligned: .* earn a grounding of 0\.\d\d there", aligned_still
    )
    record = counts.to_dict()
    assert record["test"]["blind"]["n"] == N
    assert record["train"]["blind"]["grounding"] < 0.45 < record["test"]["blind"]["grounding"]
    assert set(record["test"]["blind"]["by_au"]) == {f"AU{au}" for of in AUS for au in of}


# --- the image moves as the landmarks do --------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "turned"),
    [
        ("colour", lambda image: image),
        ("grey", lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)),
        ("transparent", lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)),
        ("16 bit", lambda image: image.astype(np.uint16) * 257),
        ("wide", lambda image: cv2.copyMakeBorder(image, 0, 0, 0, 60, cv2.BORDER_REPLICATE)),
    ],
)
def test_pixels_go_where_the_boxes_go(tmp_path, kind, turned):
    """A dot on every landmark's place is found under the landmark again, in any kind of image."""
    made = Dataset(tmp_path / "faces")
    face = made.observe([12], centre=(50, 42), r=12)
    made.add("train_00001", 4, [face])
    made.add("test_0001", 4, [face])
    image = np.full((100, 100, 3), 60, np.uint8)
    for index in (36, 45, 8, 48, 54):
        x, y = face.landmarks[index]
        cv2.circle(image, (round(x - 0.5), round(y - 0.5)), 2, (255, 255, 255), -1)
    for name in ("train_00001", "test_0001"):
        data = cv2.imencode(".png", turned(image))[1].tobytes()
        made.image(name).write_bytes(data)
    options = {"placement": Placement(), "place_evaluation": True}
    run(made, tmp_path / "out", **options)
    [face] = read_evaluation_set(tmp_path / "out" / "eval.parquet").faces
    [row] = rows(tmp_path / "out", "test")
    board = decode_image(row.image, kind)
    for index in (36, 45, 8, 48, 54):
        x, y = np.floor(face.landmarks[index]).astype(int)
        assert board[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max() > 190


@given(
    st.floats(0, 0.9),
    st.floats(0, 90),
    st.floats(0, 1),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.integers(0, 2**32),
)
def test_what_was_on_the_canvas_stays_on_it(scale, roll, shift, sides, seed):
    x, y = sorted((sides[0], sides[1])), sorted((sides[2], sides[3]))
    face = np.array([x[0], y[0], x[1] + 0.01, y[1] + 0.01]) * 100 / 1.01
    size = (100, 100)
    motion = Placement(scale, roll, shift).motion(face, size, np.random.default_rng(seed))
    corners = motion.points([[face[i], face[j]] for i in (0, 2) for j in (1, 3)])
    assert (corners > -1e-6).all()
    assert (corners < 100 + 1e-6).all()
    # A similarity: nothing is stretched.
    factor = np.linalg.norm(motion.turn[0])
    assert motion.turn @ motion.turn.T == pytest.approx(np.eye(2) * factor**2)
    assert factor <= 1 + scale + 1e-9


def test_no_placement_is_no_motion():
    motion = Placement(0, 0, 0).motion([20, 20, 80, 90], (112, 112), np.random.default_rng(0))
    assert motion.turn == pytest.approx(np.eye(2))
    assert motion.shift == pytest.approx([0, 0])


def test_a_box_ends_where_the_picture_ends(tmp_path):
    """A chin that the image cuts is cut on the canvas too: what fills that shows none."""
    made = Dataset(tmp_path / "faces")
    face = made.observe([17], centre=(50, 58), r=15)
    for name in ("train_00001", "test_0001"):
        made.add(name, 4, [face])
    run(made, tmp_path / "placed", placement=Placement(0.3, 0, 0.3))
    run(made, tmp_path / "plain", placement=None)
    [placed], [plain] = rows(tmp_path / "placed"), rows(tmp_path / "plain")
    before, after = (row.target.by_au[17].box for row in (plain, placed))

    def shape(box):
        return (box[2] - box[0]) / (box[3] - box[1])

    assert before[3] == 112
    assert shape(after) == pytest.approx(shape(before), rel=0.15)


# --- what is asked for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aligned", "aligned"),
        ("never", None),
        ("always", Placement()),
        ("scale=0.1", Placement(scale=0.1)),
        ("scale = 0, roll=0,shift=1", Placement(0, 0, 1)),
    ],
)
def test_how_it_is_typed(text, expected):
    assert placement_of(text) == expected
    if isinstance(expected, Placement):
        assert Placement.from_text(expected.text()) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("often", "'often' is none of scale, roll, shift with a number"),
        ("scale=x", "'scale=x' is none of"),
        ("", "'' is none of"),
        ("scale=1.5", "scale is 1.5, not 0 to 0.9"),
        ("roll=-1", "roll is -1.0, not 0 to 90"),
        ("shift=nan", "shift is nan, not 0 to 1"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(InputError, match=re.escape(words)):
        placement_of(text)


def test_a_config_takes_no_other_word():
    with pytest.raises(InputError, match="placement is 'always', not 'aligned'"):
        PrepareConfig(placement="always")


# --- blind grounding ----------------------------------------------------------------------------


def test_blind_grounding_is_the_reward_of_the_boxes_of_the_others():
    """By hand: a trace with each AU at the mean of its boxes on the other faces."""
    rng, square = np.random.default_rng(0), BoxSpace.normalized_1000()
    targets = []
    for _ in range(6):
        corners = rng.integers(0, 400, (2, 2))
        boxes = [
            (*corner.tolist(), *(corner + rng.integers(200, 500, 2)).tolist()) for corner in corners
        ]
        targets.append(
            Target(
                "fear",
                tuple(AUEvidence(au, 1.0, box) for au, box in zip((1, 4), boxes, strict=True)),
                square,
            )
        )
    rewards = []
    for target in targets:
        others = [other for other in targets if other is not target]
        mean = {au: np.mean([other.by_au[au].box for other in others], axis=0) for au in (1, 4)}
        steps = [Step("face", "active", tuple(box.tolist()), au) for au, box in mean.items()]
        trace = Trace("A face.", tuple(steps), "AU1 + AU4.", (1, 4), "fear")
        rewards.append(grounding_reward(trace, target, GroundingConfig()).reward)
    found = blind_grounding([*targets, Target("joy", (), square)])
    assert (found.n, set(found.by_au)) == (6, {1, 4})
    assert 0 < found.grounding == pytest.approx(np.mean(rewards))
    assert np.mean([*found.by_au.values()]) == pytest.approx(np.mean(rewards))


@pytest.mark.parametrize("space", [BoxSpace.pixels(200, 100), BoxSpace.normalized_1024()])
def test_blind_grounding_is_the_same_in_every_space(space):
    boxes = [(10.0 * i, 10, 10.0 * i + 100, 60 + i) for i in range(5)]

    def targets(of):
        moved = convert_boxes(boxes, BoxSpace.pixels(200, 100), of).tolist()
        return [Target("fear", (AUEvidence(4, 1.0, tuple(box)),), of) for box in moved]

    plain = blind_grounding(targets(BoxSpace.pixels(200, 100)))
    assert blind_grounding(targets(space)).grounding == pytest.approx(plain.grounding)
    assert 0 < plain.grounding < 1


def test_an_au_that_one_face_has_earns_nothing_blind():
    square = BoxSpace.pixels(100, 100)
    alone = Target("fear", (AUEvidence(4, 1.0, (10, 10, 50, 50)),), square)
    assert blind_grounding([alone]) == (1, 0.0, {4: 0.0})


def test_made_faces_as_drawn_are_not_aligned():
    """The embedded default places its faces itself: nothing is changed there."""
    from tag_rewards.detectors.observation import FaceObservation, activated_aus

    targets, square = [], BoxSpace.pixels(112, 112)
    for index in range(60):
        face = make_face(np.random.default_rng([7, index]))
        seen = FaceObservation((0, 0, 112, 112), face.landmarks, face.intensities)
        inside = [
            replace(item, box=tuple(np.clip(item.box, 0, 112).tolist()))
            for item in activated_aus(seen)
        ]
        targets.append(Target(face.label, tuple(inside), square))
    assert blind_grounding(targets).grounding < 0.4 < ALIGNED
