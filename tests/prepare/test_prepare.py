"""From a dataset to parquet files: what becomes a row, what is left out, what is refused."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tag_rewards.datasets.made_faces import make_face, write_dataset
from tag_rewards.datasets.rafdb import read_rafdb
from tag_rewards.detectors.openface.csv import read_openface_csv, successful_faces
from tag_rewards.evidence.of_dataset import EvidenceRows
from tag_rewards.evidence.rows import EvidenceRow, evidence_table, write_evidence_table
from tag_rewards.files.images import content_hash
from tag_rewards.forms import FORMS
from tag_rewards.geometry import KINDS, BoxSpace, au_box, average_face, convert_boxes
from tag_rewards.geometry.matching import polygon_overlaps
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
from tag_rewards.prepare.run import PARQUET_FILES, PrepareConfig, prepare
from tag_rewards.prepare.texts import Imprecision
from tag_rewards.rewards import GroundingConfig, RewardConfig, score
from tests.builders.trace import honest

SIZE = 100
SMALL = PrepareConfig(annotation=TargetConfig(canvas=200))


def run(dataset, out, config=SMALL):
    return prepare(dataset.root, dataset.openface, out, config)


def rl_rows(out, split="train"):
    return list(read_rl_parquet(out / f"rl_{split}.parquet"))


def sft_rows(out, split="train"):
    return list(read_sft_parquet(out / f"sft_{split}.parquet"))


def test_writes_its_files_and_a_report(dataset, tmp_path):
    report = run(dataset, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*PARQUET_FILES, "left_out.csv", "prepare.json"]
    )
    assert [row.id for row in rl_rows(tmp_path / "out", "test")] == ["test_0001", "test_0002"]
    written = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert written["train"] == {
        "images": 2,
        "rows": 2,
        "labels": {"anger": 1, "happiness": 1},
        "aus": {"AU4": 1, "AU5": 1, "AU6": 1, "AU7": 1, "AU12": 1, "AU23": 1},
        "without_au": 0,
        "unseen": 0,
        "left_out": {},
        "boxes_outside": 0,
    }
    assert written["config"]["annotation"]["canvas"] == 200
    assert {name: written[name] for name in report.to_dict()} == report.to_dict()


def test_boxes_follow_the_image_to_the_canvas(dataset, tmp_path):
    run(dataset, tmp_path / "out")
    [smile, _] = rl_rows(tmp_path / "out")
    landmarks = dataset.observe().landmarks.round(1)  # the file has one decimal
    assert [evidence.au for evidence in smile.target.evidence] == [6, 12]
    for evidence in smile.target.evidence:
        assert evidence.box == pytest.approx(2 * au_box(evidence.au, landmarks), abs=0.5)
        assert all(float(value).is_integer() for value in evidence.box)
    image = cv2.imdecode(np.frombuffer(smile.image, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (200, 200, 3)


def test_boxes_follow_an_image_that_is_not_square(dataset, tmp_path):
    face = dataset.observe([12], centre=(50, 10))
    dataset.add("train_00003", 4, [face], size=(100, 50))
    run(dataset, tmp_path / "out")
    [evidence] = rl_rows(tmp_path / "out")[2].target.evidence
    x1, y1, x2, y2 = 2 * au_box(12, face.landmarks.round(1))
    # On the canvas the image is 200 x 100 and lies 50 pixels below the edge.
    assert evidence.box == pytest.approx([x1, y1 + 50, x2, y2 + 50], abs=0.5)


@pytest.mark.parametrize("name", KINDS)
def test_every_box_space_means_the_same_boxes(dataset, tmp_path, name):
    config = replace(SMALL, annotation=TargetConfig(canvas=200, box_space=name))
    run(dataset, tmp_path / "out", config)
    run(dataset, tmp_path / "pixels")
    space = config.annotation.space
    for row, reference in zip(rl_rows(tmp_path / "out"), rl_rows(tmp_path / "pixels"), strict=True):
        assert row.target.box_space == space
        for found, expected in zip(row.target.evidence, reference.target.evidence, strict=True):
            [pixels] = convert_boxes(found.box, space, BoxSpace.pixels(200, 200))
            assert pixels == pytest.approx(expected.box, abs=1.1)


def test_exact_traces_are_perfect_answers_to_the_targets(dataset, tmp_path):
    for prompt in ("tag", "short"):
        run(dataset, tmp_path / prompt, replace(SMALL, prompt=prompt))
        for split in ("train", "test"):
            for rl, sft in zip(
                rl_rows(tmp_path / prompt, split), sft_rows(tmp_path / prompt, split), strict=True
            ):
                assert (rl.id, rl.prompt, rl.image) == (sft.id, sft.prompt, sft.image)
                assert score(sft.trace, rl.target)["score"] == 1


@pytest.mark.parametrize("name", FORMS)
def test_exact_traces_are_perfect_in_every_form_at_the_edge_of_the_image_too(
    dataset, tmp_path, name
):
    dataset.add("train_00003", 4, [dataset.observe([6, 12, 17], centre=(85, 70))])
    config = replace(SMALL, annotation=TargetConfig(canvas=200, form=name))
    run(dataset, tmp_path / "out", config)
    space, form = config.annotation.space, FORMS[name]
    last = form.bins - 1 if form.bins else space.extent[0]
    assert last in [item.box[2] for item in rl_rows(tmp_path / "out")[2].target.evidence]
    for split in ("train", "test"):
        for rl, sft in zip(
            rl_rows(tmp_path / "out", split), sft_rows(tmp_path / "out", split), strict=True
        ):
            assert (rl.target.form, rl.target.box_space) == (name, space)
            assert form.numbers in rl.prompt
            scores = score(sft.trace, rl.target)
            assert (scores["score"], scores["mean_iou"] + scores["abstained"]) == (1, 1)


def with_polygons(box_space="pixels"):
    return replace(SMALL, annotation=TargetConfig(200, box_space, polygons=True))


def bounds(polygon):
    corners = np.concatenate([np.array(outline) for outline in polygon])
    return [*corners.min(axis=0), *corners.max(axis=0)]


@pytest.mark.parametrize("name", KINDS)
def test_polygons_fill_their_boxes_in_every_space_and_score(dataset, tmp_path, name):
    # A wide image, so that the canvas has edges of its own, and a chin below it.
    face = dataset.observe([1, 12, 17], centre=(50, 25), r=12)
    dataset.add("train_00003", 4, [face], size=(100, 60))
    run(dataset, tmp_path / "out", with_polygons(name))
    reward = RewardConfig(grounding=GroundingConfig(overlap="polygon"))
    rows = zip(rl_rows(tmp_path / "out"), sft_rows(tmp_path / "out"), strict=True)
    evidence = []
    for rl, sft in rows:
        assert score(sft.trace, rl.target, reward)["score"] == 1
        evidence += rl.target.evidence
    for item in evidence:
        # The chin is widest below the image, so that the rest of it is narrower than its box.
        spare = 3 if item.au == 17 else 0.6
        assert bounds(item.polygon) == pytest.approx(item.box, abs=spare)
        x1, y1, x2, y2 = item.box
        assert 0 < polygon_overlaps([(x1, y1, (x1 + x2) / 2, y2)], item)[0] < 1
    assert {len(item.polygon) for item in evidence if item.au == 12} == {2}
    assert {len(item.polygon) for item in evidence if item.au == 17} == {1}
    written = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert written["config"]["annotation"]["polygons"] is True


def test_polygons_are_left_out_unless_asked_for_and_change_nothing_else(dataset, tmp_path):
    run(dataset, tmp_path / "with", with_polygons())
    run(dataset, tmp_path / "without")
    assert sft_rows(tmp_path / "with") == sft_rows(tmp_path / "without")
    for row, plain in zip(rl_rows(tmp_path / "with"), rl_rows(tmp_path / "without"), strict=True):
        bare = [replace(item, polygon=None) for item in row.target.evidence]
        assert "polygon" not in plain.target.to_json()
        assert replace(plain, target=None) == replace(row, target=None)
        assert list(plain.target.evidence) == bare


def test_a_box_between_two_sides_outside_the_image_is_its_own_polygon(dataset, tmp_path):
    """A narrow image: both cheeks lie beside it, their one box crosses it."""
    face = dataset.observe([6], centre=(10, 50), r=30)
    dataset.add("train_00003", 4, [face], size=(20, 100))
    run(dataset, tmp_path / "out", with_polygons())
    [item] = rl_rows(tmp_path / "out")[2].target.evidence
    assert bounds(item.polygon) == list(item.box)


def test_imprecise_traces_are_marked_and_leave_the_targets_exact(dataset, tmp_path):
    config = replace(SMALL, imprecision=Imprecision(box_jitter=0.2, box_growth=0.1, au_error=1.0))
    run(dataset, tmp_path / "exact")
    run(dataset, tmp_path / "wrong", config)
    assert rl_rows(tmp_path / "wrong") == rl_rows(tmp_path / "exact")
    for row in sft_rows(tmp_path / "wrong"):
        assert (row.trace_source, row.box_jitter, row.au_error) == ("template", 0.2, 1.0)
        assert row.box_growth == 0.1
    for rl, sft in zip(rl_rows(tmp_path / "wrong"), sft_rows(tmp_path / "wrong"), strict=True):
        scores = score(sft.trace, rl.target)
        assert scores["format"] == scores["accuracy"] == 1
        assert scores["au_f1"] < 1


def test_the_same_seed_gives_the_same_files(dataset, tmp_path):
    config = replace(SMALL, imprecision=Imprecision(0.1, 0.5))
    run(dataset, tmp_path / "a", config)
    run(dataset, tmp_path / "b", config)
    run(dataset, tmp_path / "c", replace(config, seed=1))
    for name in PARQUET_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sft_rows(tmp_path / "a") != sft_rows(tmp_path / "c")


def test_a_sample_keeps_its_trace_when_another_is_added(dataset, tmp_path):
    run(dataset, tmp_path / "a")
    labels = dataset.labels.read_text()
    dataset.labels.write_text("")
    dataset.add("train_00009", 4, [dataset.observe([12])])
    dataset.labels.write_text(dataset.labels.read_text() + labels)
    run(dataset, tmp_path / "b")
    assert [row.trace for row in sft_rows(tmp_path / "b")[1:]] == [
        row.trace for row in sft_rows(tmp_path / "a")
    ]


def test_what_is_present_and_no_evidence_can_be_written_as_unsure(tmp_path):
    """Below the threshold, or beyond the longest list; what is not even present is in neither."""
    root = tmp_path / "faces"
    write_dataset(root, 12, 2, seed=1)
    config = replace(SMALL.annotation, top_k=2, min_probability=0.8)

    def targets(unsure, polygons=False):
        annotation = replace(config, unsure=unsure, polygons=polygons)
        out = tmp_path / f"{unsure}-{polygons}"
        prepare(root, root / "openface", out, replace(SMALL, annotation=annotation))
        recorded = json.loads((out / "prepare.json").read_text())["config"]["annotation"]
        assert TargetConfig.from_settings(recorded) == annotation
        return [row.target for row in rl_rows(out)]

    plain, written, outlined = targets("none"), targets("present"), targets("present", True)
    assert [replace(one, unsure=()) for one in written] == plain
    probabilities = [item.probability for one in written for item in one.unsure]
    assert min(probabilities) < 0.8 <= max(probabilities)
    assert min(probabilities) >= 0.5
    for index, (one, shapes) in enumerate(zip(written, outlined, strict=True)):
        face = make_face(np.random.default_rng([1, 0, index]))
        assert {item.au for item in (*one.evidence, *one.unsure)} == set(face.intensities)
        assert all(item.polygon for item in shapes.unsure)
        if one.evidence:  # who sees these too loses nothing
            everything = replace(one, evidence=(*one.evidence, *one.unsure), unsure=())
            assert score(honest(everything), one)["score"] == 1


def test_faces_without_active_aus_are_kept(dataset, tmp_path):
    report = run(dataset, tmp_path / "out")
    [calm, _] = rl_rows(tmp_path / "out", "test")
    assert (calm.target.label, calm.target.evidence) == ("neutral", ())
    assert report.splits["test"].without_au == 1


def test_what_is_left_out_is_counted_with_its_reason(dataset, tmp_path):
    dataset.add("train_00003", 4, None)
    dataset.add("train_00004", 4, [])
    dataset.add("train_00005", 4, [dataset.observe([12], confidence=0.717)])
    dataset.add("train_00006", 4, [dataset.observe([12], centre=(300, 300))])
    collapsed = dataset.observe([12])
    collapsed.landmarks[:] = 50
    dataset.add("train_00007", 4, [collapsed])
    cv2.imwrite(str(dataset.image("train_00008")), np.zeros((9, 9, 3), np.uint8))
    report = run(dataset, tmp_path / "out")
    assert dict(report.splits["train"].left_out) == {
        "no OpenFace CSV: no face found, or OpenFace was not run on it": 1,
        "OpenFace CSV without rows: no face found": 1,
        "detector confidence below the threshold": 1,
        "face outside the image: CSV of another image or size?": 1,
        "degenerate landmarks": 1,
    }
    assert report.splits["train"].rows == 2
    assert report.unlabelled == 1


def test_the_largest_of_several_faces_is_taken(dataset, tmp_path):
    dataset.add("train_00003", 4, [dataset.observe([1], r=5), dataset.observe([12], r=15)])
    run(dataset, tmp_path / "out")
    assert [evidence.au for evidence in rl_rows(tmp_path / "out")[2].target.evidence] == [12]


def test_faces_smaller_than_asked_for_are_left_out(dataset, tmp_path):
    dataset.add("train_00003", 4, [dataset.observe([1], r=5)])
    side = np.ptp(average_face() * 5, axis=0).min()
    for least, rows in ((side + 0.2, 2), (side - 0.2, 3)):
        annotation = TargetConfig(canvas=100, min_face=least)
        report = run(dataset, tmp_path / "out", PrepareConfig(annotation))
        assert report.splits["train"].rows == rows
    small = TargetConfig(canvas=100, min_face=side + 0.2)
    report = run(dataset, tmp_path / "out", PrepareConfig(small))
    assert report.splits["train"].left_out == {"face smaller than asked for": 1}


def test_an_au_whose_box_lies_outside_the_image_is_left_out(dataset, tmp_path):
    # The face's centre is in the image, its chin is not.
    dataset.add("train_00003", 4, [dataset.observe([1, 17], centre=(50, 80))])
    report = run(dataset, tmp_path / "out")
    assert [evidence.au for evidence in rl_rows(tmp_path / "out")[2].target.evidence] == [1]
    assert report.splits["train"].boxes_outside == 1


def break_file(path):
    return lambda dataset: path(dataset).write_bytes(path(dataset).read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.labels.write_text("train_00001.jpg 9\n"), "label id '9'"),
        (
            lambda d: d.image("train_00002").unlink(),
            r"train_00002_aligned\.jpg, which does not exist",
        ),
        (break_file(lambda d: d.image("train_00002")), "train_00002_aligned.jpg is cut"),
        (lambda d: d.image("train_00002").write_text("x"), "train_00002.* is not an image"),
        (break_file(lambda d: d.csv("train_00002")), "train_00002_aligned.csv: row 1 is cut"),
        (lambda d: d.csv("test_0002").write_text(""), "test_0002_aligned.csv: the file is empty"),
        (lambda d: [path.unlink() for path in d.openface.iterdir()], "openface holds no CSV"),
        (lambda d: d.openface.rename(d.root / "gone"), "openface is not a folder"),
        (
            lambda d: [d.csv(name).unlink() for name in ("test_0001", "test_0002")],
            r"no test image is left of 2 \(2: no OpenFace CSV: no face found, or OpenFace was not",
        ),
    ],
)
def test_unusable_input_is_refused_and_leaves_nothing(dataset, tmp_path, damage, message):
    damage(dataset)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message) as caught:
        run(dataset, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("out", ["out", "a/b/out", "a/../b/out"])
def test_an_error_leaves_no_folder_that_was_not_there(dataset, tmp_path, out):
    dataset.csv("test_0002").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="is empty"):
        run(dataset, tmp_path / out)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_leaves_a_folder_that_was_there_and_what_others_wrote(dataset, tmp_path):
    (tmp_path / "mine").mkdir()
    dataset.csv("test_0002").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(dataset, tmp_path / "mine" / "out")
    assert list((tmp_path / "mine").iterdir()) == []
    note = tmp_path / "a" / "note.txt"
    with pytest.raises(ValueError, match="is empty"):
        prepare(
            dataset.root,
            dataset.openface,
            tmp_path / "a" / "out",
            SMALL,
            on_sample=lambda: note.write_text("x"),
        )
    assert list((tmp_path / "a").iterdir()) == [note]


def test_an_error_leaves_an_earlier_result_as_it_was(dataset, tmp_path):
    run(dataset, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    dataset.csv("test_0002").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(dataset, tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_sequence_of_frames_is_refused(dataset, tmp_path):
    path = dataset.csv("train_00001")
    header, row = path.read_text().splitlines()
    path.write_text(f"frame,{header}\n1,{row}\n2,{row}\n")
    with pytest.raises(ValueError, match=r"train_00001_aligned\.csv is of .*FeatureExtraction"):
        run(dataset, tmp_path / "out")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TargetConfig(canvas=8), "canvas is 8 pixels, not 28 to 4096"),
        (lambda: TargetConfig(box_space="inches"), "box space 'inches' is not one of pixels"),
        (lambda: TargetConfig(top_k=0), "top_k is 0"),
        (lambda: TargetConfig(min_probability=0), "min_probability is 0"),
        (lambda: TargetConfig(min_confidence=float("nan")), "min_confidence is nan"),
        (lambda: TargetConfig(min_face=-1), "min_face is -1 pixels, not 0 or more"),
        (lambda: TargetConfig(min_face=float("nan")), "min_face is nan"),
        (lambda: TargetConfig(unsure="some"), "unsure is 'some', not one of none, present"),
        (lambda: PrepareConfig(prompt="long"), "prompt 'long' is not one of tag, short"),
        (lambda: PrepareConfig(data_source=""), "data_source is empty"),
        (lambda: PrepareConfig(seed=-1), "seed is -1"),
    ],
)
def test_a_configuration_out_of_range_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def write_evidence(folder, dataset, **changes):
    """Evidence of every image: of the CSVs, or what `changes` says of a sample."""
    rows = []
    for sample in read_rafdb(dataset.root).samples:
        data = sample.path.read_bytes()
        csv = dataset.csv(sample.id)
        faces = tuple(successful_faces(read_openface_csv(csv)))
        row = EvidenceRow(
            image=sample.path.relative_to(dataset.root).as_posix(),
            sha256=content_hash(data),
            status="observed",
            reason="",
            width=SIZE,
            height=SIZE,
            detector="openface-csv",
            version="1",
            faces=faces,
        )
        change = changes.get(sample.id, lambda row: row)
        if (changed := change(row)) is not None:
            rows.append(changed)
    folder.mkdir()
    for index, row in enumerate(rows):  # a file for each, so that they are found in any
        write_evidence_table(folder / f"evidence-{index:05d}.parquet", evidence_table([row]))
    return EvidenceRows(folder, dataset.root)


def test_what_evidence_leaves_out_is_counted_with_its_reason(dataset, tmp_path):
    for number in range(3, 7):
        dataset.add(f"train_0000{number}", 4, [dataset.observe([12])])
    source = write_evidence(
        tmp_path / "evidence",
        dataset,
        train_00003=lambda _: None,
        train_00004=lambda row: replace(row, status="no_face", faces=()),
        train_00005=lambda row: replace(row, status="failed", reason="it is cut", faces=()),
        train_00006=lambda row: replace(row, faces=(replace(row.faces[0], landmarks=None),)),
    )
    report = prepare(dataset.root, source, tmp_path / "out", SMALL)
    assert dict(report.splits["train"].left_out) == {
        "no evidence: the image was not annotated": 1,
        "no face found": 1,
        "the detector failed on the image": 1,
        "the detector gives no landmarks": 1,
    }
    assert report.splits["train"].rows == 2


def test_probabilities_of_other_detectors_are_used_as_they_are(dataset, tmp_path):
    def other(row):
        return replace(row, faces=(replace(row.faces[0], probabilities={24: 0.93, 12: 0.59}),))

    source = write_evidence(tmp_path / "evidence", dataset, train_00001=other)
    wrong = replace(SMALL, imprecision=Imprecision(au_error=1.0))
    prepare(dataset.root, source, tmp_path / "out", wrong)
    evidence = rl_rows(tmp_path / "out")[0].target.evidence
    assert [(item.au, item.probability) for item in evidence] == [(24, 0.93)]
    # An imagined AU is one that the detector knows.
    assert "AU12" in sft_rows(tmp_path / "out")[0].trace


def test_evidence_of_another_image_is_refused(dataset, tmp_path):
    source = write_evidence(tmp_path / "evidence", dataset)
    image = dataset.image("train_00002")
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"train_00002_aligned\.jpg is not the image that was"):
        prepare(dataset.root, source, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_evidence_of_another_folder_or_of_two_detectors_is_refused(dataset, tmp_path):
    source = write_evidence(
        tmp_path / "evidence",
        dataset,
        **{
            sample.id: lambda row: replace(row, image=row.image.rpartition("/")[2])
            for sample in read_rafdb(dataset.root).samples
        },
    )
    message = r"a row for none of the 4 images: it holds '.*', not 'Image/aligned/"
    with pytest.raises(ValueError, match=message):
        prepare(dataset.root, source, tmp_path / "out", SMALL)
    shutil.copytree(tmp_path / "evidence", tmp_path / "again")
    with pytest.raises(ValueError, match=r"has a row in .*evidence/.* and one in .*again/"):
        EvidenceRows([tmp_path / "evidence", tmp_path / "again"], dataset.root)
