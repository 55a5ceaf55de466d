"""A build's ledger becomes files for verl and for study, whole or not at all."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice

import pyarrow.parquet as pq
import pytest

from tag_rewards.datasets.made_faces.dataset import write_dataset
from tag_rewards.errors import InputError
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.prepare.model_fits import check_model_fits
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet, with_pictures
from tag_rewards.prepare.run import PrepareConfig, prepare
from tag_rewards.traces.card import share_of
from tag_rewards.traces.exported import (
    REJECTED_SCHEMA,
    TRACE_SCHEMA,
    ExportConfig,
    export_ledger,
)
from tag_rewards.traces.ledger import open_ledger, read_ledger
from tag_rewards.traces.records import LeftOutSample
from tag_rewards.traces.verifier import Verdict
from tests.builders.ledger import VERIFIER, write_build
from tests.builders.model import write_model

FILES = {"README.md", "sft_train.parquet", "sft_test.parquet", "rejected.parquet"}
PICTURES = {"acceptance.png", "reasons.png", "aus.png", "accepted.png", "rejected.png"}
CONFIG = ExportConfig("<image>Which expression is it?", "made_faces", held_out=0.3)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """22 prepared faces: (RL row, SFT row)."""
    folder = tmp_path_factory.mktemp("faces")
    write_dataset(folder / "faces", 22, 1, size=64)
    config = PrepareConfig(prompt="short")
    config = replace(config, annotation=replace(config.annotation, canvas=64))
    prepare(folder / "faces", folder / "faces" / "openface", folder / "data", config)
    rows = zip(
        read_rl_parquet(folder / "data" / "rl_train.parquet"),
        read_sft_parquet(folder / "data" / "sft_train.parquet"),
        strict=True,
    )
    return list(islice(rows, 22))


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    monkeypatch.setattr("tag_rewards.traces.exported.EXAMPLES", 1)


@pytest.fixture
def build(tmp_path, faces):
    write_build(tmp_path, faces)
    return tmp_path


def export(build, faces, config=CONFIG, image=None):
    images = {row.id: row.image for row, _ in faces}
    with read_ledger(build / "ledger.sqlite") as ledger:
        return export_ledger(build, ledger, image or (lambda sample: images[sample.id]), config)


def traces(build):
    return [
        row
        for name in ("sft_train", "sft_test")
        for row in read_sft_parquet(build / "traces" / f"{name}.parquet")
    ]


def test_the_files_to_train_on_say_in_which_coordinates_their_boxes_are(build, faces, tmp_path):
    config = replace(CONFIG, annotation=TargetConfig(canvas=64, box_space="normalized_1000"))
    export(build, faces, config)
    model = write_model(tmp_path / "model", "qwen3_vl")
    for name in ("sft_train", "sft_test"):
        path = build / "traces" / f"{name}.parquet"
        assert check_model_fits(model, path).endswith("(qwen3_vl) writes them")


def test_the_first_accepted_trace_of_each_sample_is_trained_on(build, faces):
    tally = export(build, faces)
    assert {path.name for path in (build / "traces").iterdir()} == FILES | PICTURES
    rows = {row.id: row for row in traces(build)}
    # Of five kinds of face, `tests.builders.ledger` has one that is never accepted.
    expected = {row.id: sft for place, (row, sft) in enumerate(faces[:20]) if place % 5 != 2}
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        assert row.trace == expected[name].trace
        assert row.image == expected[name].image
        assert row.label == expected[name].label
        assert row.prompt == CONFIG.prompt
        assert row.data_source == "made_faces"
    assert {row.trace_source for row in rows.values()} == {"blind:tiny", "rationalised:tiny"}
    assert (tally.asked.total(), tally.accepted.total(), tally.waiting) == (20, 16, 1)
    for name in ("sft_train", "sft_test"):
        table = pq.read_table(build / "traces" / f"{name}.parquet")
        assert table.schema.equals(with_pictures(TRACE_SCHEMA))
        assert table["index"].to_pylist() == list(range(len(table)))
        assert set(table["attempt"].to_pylist()) <= {1, 2, 3}
        assert all(scores["format"] == 1 for scores in table["scores"].to_pylist())


def test_every_attempt_that_was_not_accepted_can_be_studied(build, faces):
    export(build, faces)
    table = pq.read_table(build / "traces" / "rejected.parquet")
    assert table.schema.equals(REJECTED_SCHEMA)
    rows = table.to_pylist()
    kinds = ("format", "wrong_label", "ungrounded", "engine_error", "truncated", "empty")
    assert Counter(row["reason"] for row in rows) == dict.fromkeys(kinds, 4)
    assert [(row["id"], row["attempt"]) for row in rows] == sorted(
        (row["id"], row["attempt"]) for row in rows
    )
    by_reason = {row["reason"]: row for row in rows}
    assert by_reason["engine_error"]["error"] == "the endpoint said 500"
    assert by_reason["engine_error"]["scores"] is None
    assert by_reason["format"]["scores"]["format"] < 1
    assert by_reason["format"]["prompt"] == "<image>Attempt 1: which expression?"
    assert by_reason["format"]["accepted_later"]
    assert not by_reason["ungrounded"]["accepted_later"]


def test_a_build_of_a_training_split_holds_samples_out_by_their_names(build, faces):
    export(build, faces)
    for split in ("train", "test"):
        for row in read_sft_parquet(build / "traces" / f"sft_{split}.parquet"):
            assert row.split == split
            assert (share_of(row.id) < CONFIG.held_out) is (split == "test")


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_datasets_own_splits_decide_where_there_are_several(tmp_path, faces, split):
    others = [
        (replace(row, split=split if place % 2 else "train"), sft)
        for place, (row, sft) in enumerate(faces)
    ]
    write_build(tmp_path, others, split="")
    export(tmp_path, faces)
    by_id = {row.id: row.split for row, _ in others}
    for file, wanted in (("sft_train", "train"), ("sft_test", split)):
        rows = list(read_sft_parquet(tmp_path / "traces" / f"{file}.parquet"))
        assert rows
        assert {by_id[row.id] for row in rows} == {wanted}


def test_the_same_ledger_gives_the_same_bytes(build, faces, tmp_path):
    export(build, faces)
    first = {path.name: path.read_bytes() for path in (build / "traces").iterdir()}
    (build / "traces" / "notes.txt").write_text("mine")
    export(build, faces)
    again = {path.name: path.read_bytes() for path in (build / "traces").iterdir()}
    assert again.pop("notes.txt") == b"mine"
    assert again == first


def test_an_error_leaves_the_folder_as_it_was(build, faces):
    def broken(sample):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        export(build, faces, image=broken)
    assert not (build / "traces").exists()
    export(build, faces)
    before = {path: path.read_bytes() for path in (build / "traces").iterdir()}
    with pytest.raises(OSError, match="disk is gone"):
        export(build, faces, image=broken)
    assert {path: path.read_bytes() for path in (build / "traces").iterdir()} == before


def test_what_cannot_be_used_any_more_is_left_out_and_counted(build, faces):
    images = {row.id: row.image for row, _ in faces}
    gone, changed = faces[0][0].id, faces[1][0].id

    def image(sample):
        if sample.id == changed:
            return LeftOutSample(sample.id, "image_changed")
        return images[sample.id]

    with open_ledger(build / "ledger.sqlite") as ledger:
        ledger.leave_out([LeftOutSample(gone, "image_missing")])
    tally = export(build, faces, image=image)
    assert tally.lost == {"image_missing": 1, "image_changed": 1}
    assert (tally.asked.total(), tally.waiting) == (20, 1)
    assert not {gone, changed} & {row.id for row in traces(build)}
    card = (build / "traces" / "README.md").read_text()
    assert "| image_changed | 1 |" in card


def test_a_text_that_verl_would_misread_is_not_trained_on(build, faces):
    name = faces[0][0].id
    with open_ledger(build / "ledger.sqlite") as ledger:
        [(attempt, verdict)] = ledger.judged(VERIFIER, name)
        for number, text in ((2, "a <image> of a face"), (3, "a <video>"), (4, "half \ud83d")):
            bad = replace(attempt, number=number, text=text)
            ledger.record([(bad, verdict)], VERIFIER)
        ledger.start_run("later", "{}", json.dumps({"samples": 23}))
        rejected = Verdict(False, "format", "changed my mind")
        rows = list(ledger.judged(VERIFIER, name))
        ledger.judge([(row, rejected if row.number == 1 else verdict) for row, _ in rows], "later")
    tally = export(build, faces)
    assert tally.accepted.total() == 0
    assert tally.lost.total() == 1


def test_an_id_and_a_text_of_any_characters_are_written(build, faces):
    name = "smile \udce9 |"
    with open_ledger(build / "ledger.sqlite") as ledger:
        [sample] = [s for s in ledger.samples() if s.id == faces[0][0].id]
        [(attempt, verdict)] = ledger.judged(VERIFIER, sample.id)
        ledger.add_samples([replace(sample, id=name)])
        bad = replace(attempt, sample=name, text="half \ud83d", number=1)
        rows = [(bad, Verdict(False, "format", "half \ud83d"))]
        ledger.record([*rows, (replace(attempt, sample=name, number=2), verdict)], VERIFIER)
    with open_ledger(build / "ledger.sqlite") as ledger:
        ledger.leave_out([LeftOutSample("a", "no_evidence", "file \udce9")])
    export(build, faces, image=lambda sample: faces[0][0].image)
    assert "smile ? |" in {row.id for row in traces(build)}
    table = pq.read_table(build / "traces" / "rejected.parquet").to_pylist()
    assert "half ?" in {row["text"] for row in table}


def test_nothing_accepted_gives_files_without_rows(build, faces):
    with open_ledger(build / "ledger.sqlite") as ledger:
        ledger.start_run("one that has judged nothing", "{}", json.dumps({"samples": 23}))
    tally = export(build, faces)
    assert tally.accepted.total() == 0
    assert traces(build) == []
    assert pq.read_metadata(build / "traces" / "rejected.parquet").num_rows == 0


def test_an_empty_ledger_says_what_to_do(tmp_path):
    with open_ledger(tmp_path / "ledger.sqlite"):
        pass
    with pytest.raises(InputError, match="has no sample; run `tag-rewards traces build` first"):
        export(tmp_path, [])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "Which?"}, "the prompt has <image> not once"),
        ({"data_source": ""}, "data_source is empty"),
        ({"held_out": 1.0}, "held_out is 1.0, not 0 to below 1"),
    ],
)
def test_senseless_options(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(CONFIG, **options)
