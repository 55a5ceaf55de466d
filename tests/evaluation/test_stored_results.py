"""A stored value that contradicts another is refused in a sentence that says where and what."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from tag_rewards.cli import app
from tag_rewards.errors import InputError
from tag_rewards.evaluation.compare import cross_dataset, read_model
from tag_rewards.evaluation.results import ClaimRow, read_results
from tag_rewards.report.tables import read_entries
from tests.builders.results import made, made_samples, sample, smile, write_made

LABELS = "(neutral, happiness, sadness)"
AGAIN = "; run `tag-rewards eval` again"

# How the third of eight faces is wrong, and what is said of it.
ROWS = {
    "label": ({"label": "joy!"}, f"label is 'joy!', none of the labels of results.json {LABELS}"),
    "answer": (
        {"answer": "fear"},
        f"answer is 'fear', none of the labels of results.json {LABELS}",
    ),
    "compat": (
        {"answer_compat": "fear"},
        f"answer_compat is 'fear', none of the labels of results.json {LABELS}",
    ),
    "why": ({"no_answer": "no_tag"}, "answer is 'neutral', and no_answer is 'no_tag'"),
    "why not": ({"answer": None}, "answer is None, and no_answer is ''"),
    "above 1": ({"mean_iou": 1.5}, "mean_iou is 1.5: Expected `float` <= 1.0 - at `$.mean_iou`"),
    "below 0": ({"n_aus": -1}, "n_aus is -1: Expected `int` >= 0 - at `$.n_aus`"),
    "nan": (
        {"confidence": float("nan")},
        "confidence is nan: Expected `float` >= 0.0 - at `$.confidence`",
    ),
    "claim": (
        {"claims": (ClaimRow(12, 2.0, (0, 0, 9, 9), "mouth", None),)},
        "claims is [{'agrees': None, 'au': 12, 'box': [0.0, 0.0, 9.0, 9.0], 'iou': 2.0, ...}]: "
        "Expected `float` <= 1.0 - at `$.claims[0][1]`",
    ),
}


def with_third(folder, **changes):
    samples = made_samples()
    samples[2] = replace(samples[2], **changes)
    return write_made(folder, samples=samples)


@pytest.mark.parametrize(("changes", "message"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize(
    ("name", "read"),
    [("samples", read_model), ("gallery", lambda folder: read_entries([folder]))],
)
def test_rows(name, read, changes, message, tmp_path):
    folder = with_third(tmp_path / "a", **changes)
    with pytest.raises(InputError) as caught:
        read(folder)
    assert str(caught.value) == f"{folder}/{name}.parquet: row 2: {message}{AGAIN}"


def test_the_commands_say_it(tmp_path):
    good, bad = write_made(tmp_path / "good"), with_third(tmp_path / "bad", label="fear")
    for command in (("compare", good, bad), ("eval-table", bad)):
        result = CliRunner().invoke(app, [*map(str, command)])
        assert isinstance(result.exception, InputError), result.output
        assert "row 2: label is 'fear', none of the labels" in str(result.exception)


def test_faces_are_as_many_as_were_counted_and_each_is_there_once(tmp_path):
    folder = write_made(tmp_path / "a")
    more = write_made(tmp_path / "b", samples=made_samples(9))
    (more / "samples.parquet").replace(folder / "samples.parquet")
    with pytest.raises(InputError, match=r"samples\.parquet has 9 rows, and faces\.total is 8 in"):
        read_model(folder)
    twice = write_made(tmp_path / "c", samples=[*made_samples(2), *made_samples(1)])
    with pytest.raises(InputError, match=r"samples\.parquet: id 'face_000' is there 2 times"):
        read_model(twice)


def test_the_target_of_a_shown_face_has_its_label(tmp_path):
    one = replace(sample("f", smile(), ""), label="sadness")
    folder = write_made(tmp_path / "a", samples=[one])
    result = CliRunner().invoke(app, ["report", str(folder), "--out", str(tmp_path / "out")])
    assert str(result.exception).startswith(
        f"{folder}/gallery.parquet: label of 'f' is 'sadness', and that of its target 'happiness'"
    )


def edited(**changes):
    """What changes the record of results, by dotted names."""

    def edit(record):
        for path, value in changes.items():
            *places, last = path.split("/")
            inner = record
            for place in places:
                inner = inner[place]
            inner[last] = value

    return edit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["neutral"] * 3}, "labels are ['neutral', 'neutral', 'neutral'], not some"),
        ({"labels": []}, "labels are [], not some that differ"),
        (
            {"labels": ["neutral", "fear", "sadness"]},
            "classification 'strict' is not of the 3 labels neutral, fear, sadness",
        ),
        ({"classification": {}}, "classification lacks 'strict'"),
        ({"classification/strict/n": 9}, "'strict': n is 9, and confusion counts 8 faces"),
        (
            {"classification/strict/dropped": 2},
            "'strict': n is 8 and dropped 2, and faces.total is 8",
        ),
        ({"faces/with_evidence": 9}, "faces.with_evidence is 9, and faces.total is 8"),
        ({"faces/with_completion": -1}, "faces.with_completion is -1, and faces.total is 8"),
    ],
)
def test_results(changes, message, tmp_path):
    path = write_made(tmp_path / "a") / "results.json"
    record = json.loads(path.read_text())
    edited(**changes)(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError) as caught:
        read_results(path.parent)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path} ")


def test_labels_of_ones_own_are_pooled(tmp_path):
    folders = []
    for name in ("rested", "tired"):
        samples = [replace(sample(f"{name}{n}", smile(), "", name), label=name) for n in range(4)]
        results = made("m", protocol=f"mine/{name}", labels=("neutral", "sadness", name))
        folders.append(write_made(tmp_path / name, results, samples, gallery=False))
    pooled = cross_dataset([read_model(folder) for folder in folders], n_resamples=100)[-1]
    assert pooled.figures["accuracy"].value == pooled.figures["uar"].value == 1
