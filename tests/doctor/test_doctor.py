"""`tag-rewards doctor`: what is missing or disagrees is named, with what mends it."""

import json
from importlib import metadata
from pathlib import Path

import pytest

from tag_rewards.doctor import Extra, checkup, examine
from tag_rewards.errors import InputError
from tag_rewards.prepare import TargetConfig
from tag_rewards.prepare.run import PrepareConfig, prepare
from tests.builders.command import command
from tests.builders.model import RELEASED_QWEN2_5, write_model

TINY = Path(__file__).parents[2] / "recipes" / "tiny_vlm" / "base"
NEEDS = [
    "numpy>=1",
    "pyarrow>=16; extra == 'data'",
    "opencv-python-headless>=4.8; extra == 'data'",
    "trl>=1.16; (python_version >= '3.11') and extra == 'trl'",
    "gone; (python_version < '3') and extra == 'trl'",
    "ruff; extra == 'dev'",
]


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these packages are installed, and nothing else."""

    def pretend(**versions):
        known = {name.replace("_", "-"): version for name, version in versions.items()}

        def version(name):
            if name not in known:
                raise metadata.PackageNotFoundError(name)
            return known[name]

        class Message(dict):
            def get_all(self, name):
                return ["data", "dev", "trl"]

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "requires", lambda _: NEEDS)
        monkeypatch.setattr(metadata, "metadata", lambda _: Message())

    return pretend


ALL = {"numpy": "2.0", "pyarrow": "16.0", "opencv_python_headless": "4.10", "trl": "1.16"}


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, {"": (), "data": (), "trl": ()}),
        ({"numpy": "0.9"}, {"": ("numpy is 0.9, not >=1",)}),
        ({"pyarrow": "14.0"}, {"data": ("pyarrow is 14.0, not >=16",)}),
        ({"pyarrow": None}, {"data": ("pyarrow is not installed",), "": ()}),
        ({"trl": "2.0rc1"}, {"trl": ()}),
        ({"opencv_python_headless": None, "opencv_python": "4.9"}, {"data": ()}),
        ({"opencv_python_headless": None}, {"data": ("opencv-python-headless is not installed",)}),
    ],
)
def test_what_an_extra_lacks(installed, changes, missing):
    here = {name: version for name, version in {**ALL, **changes}.items() if version}
    installed(**here)
    found = {extra.name: extra.missing for extra in checkup.extras()}
    assert set(found) == {"", "data", "trl"}
    assert {name: found[name] for name in missing} == missing


def test_a_missing_extra_is_a_fault_where_it_is_asked_for(installed):
    installed(numpy="2.0")
    assert examine().ok
    checkup = examine(["data"])
    assert not checkup.ok
    assert "pip install 'tag-rewards[data]'" in checkup.findings[1].said
    assert "pip install 'tag-rewards[data]'" in str(checkup)
    with pytest.raises(InputError, match="'eval' is no extra of tag-rewards; there are data, trl"):
        examine(["eval"])


def test_the_remedy_of_the_core():
    assert Extra("", ("numpy is not installed",)).remedy == "pip install tag-rewards"


def test_openface_is_looked_for_where_its_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENFACE_HOME", str(tmp_path))
    code, told, _ = command("doctor", columns=300)
    assert code == 1
    assert f"OPENFACE_HOME={tmp_path} is no program FaceLandmarkImg" in told
    monkeypatch.delenv("OPENFACE_HOME")
    assert command("doctor")[0] == 0


@pytest.fixture
def model(tmp_path, monkeypatch):
    """One without the tokenizer that counting tokens needs."""
    monkeypatch.setattr("tag_rewards.doctor.checkup.find_spec", lambda _: None)
    return write_model(tmp_path / "model", "qwen2_5_vl", RELEASED_QWEN2_5)


def made(dataset, out, prompt="tag", **annotation):
    config = PrepareConfig(TargetConfig(canvas=112, **annotation), prompt=prompt)
    prepare(dataset.root, dataset.openface, out, config)
    return out


def faults(checkup):
    return {finding.name: finding.said for finding in checkup.findings if finding.ok is False}


def test_a_model_and_its_data(dataset, tmp_path, model):
    data = made(dataset, tmp_path / "data", box_space="resized", form="qwen2_5_vl")
    checkup = examine(model=str(model), data=data)
    assert checkup.ok, faults(checkup)
    said = {finding.name: finding.said for finding in checkup.findings}
    assert said["eval.parquet"].endswith("boxes in pixels of 112x112, form qwen2_5_vl")
    assert said["form"] == "completions are in the form qwen2_5_vl, its own"
    assert said["template"] == "the prompt is the same in every row"
    assert said["lengths"].startswith("not counted without transformers and verl;")
    one = examine(model=str(model), data=data / "sft_train.parquet")
    assert one.ok
    assert "boxes of sft_train.parquet" in {finding.name for finding in one.findings}


@pytest.mark.parametrize(
    ("annotation", "name", "sentence"),
    [
        (
            {"box_space": "normalized_1000"},
            "boxes of eval.parquet",
            "writes them in pixels of 112x112 (resized)",
        ),
        (
            {"form": "internvl"},
            "form",
            "form internvl contradicts the model: qwen2_5_vl writes qwen2",
        ),
    ],
)
def test_data_of_another_model(dataset, tmp_path, model, annotation, name, sentence):
    data = made(dataset, tmp_path / "data", **annotation)
    assert sentence in faults(examine(model=str(model), data=data))[name]


def test_files_that_were_not_prepared_together(dataset, tmp_path, model):
    data = made(dataset, tmp_path / "data", box_space="resized")
    other = made(dataset, tmp_path / "other", "short", box_space="resized", form="qwen2_5_vl")
    (other / "sft_train.parquet").rename(data / "sft_train.parquet")
    found = faults(examine(model=str(model), data=data))
    assert "there are 2 prompts" in found["template"]
    assert "the files are in the forms qwen2_5_vl, tag" in found["form"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("nowhere", None, "does not exist; write it with `tag-rewards prepare`"),
        (".", None, "holds no rl_, sft_ or eval parquet"),
        ("eval.parquet", b"no parquet", "eval.parquet"),
    ],
)
def test_what_is_no_data(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    checkup = examine(data=tmp_path / name)
    assert not checkup.ok
    [said] = faults(checkup).values()
    assert sentence in said


def test_what_is_no_model(tmp_path):
    assert "no folder with a config.json" in faults(examine(model=str(tmp_path)))["model"]


def test_the_command_ends_with_1_and_lists_the_faults(dataset, tmp_path, model):
    data = made(dataset, tmp_path / "data", box_space="normalized_1000")
    arguments = ("doctor", "--model", model, "--data", data)
    for wide in (60, 80):
        code, told, err = command(*arguments, columns=wide)
        assert (code, err) == (1, "")
        assert max(map(len, told.splitlines())) <= wide
        assert "FAULT" in told
    code, told, _ = command(*arguments, "--json")
    record = json.loads(told)
    assert (code, record["ok"]) == (1, False)
    assert {one["ok"] for one in record["findings"]} == {True, False, None}
    assert command("doctor", "--extra", "nothing")[0] == 2


def test_sequences_are_counted_with_the_models_own_template(dataset, tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("verl")
    data = made(dataset, tmp_path / "data", box_space="resized")
    arguments = (str(TINY), data)
    found = {one.name: one for one in examine((), *arguments).findings}
    assert found["lengths of sft_train.parquet"].ok
    assert "at most 2,048 fit" in found["lengths of sft_train.parquet"].said
    found = faults(examine((), *arguments, max_length=64))
    assert "tokens, more than 64; allow longer sequences" in found["lengths of sft_train.parquet"]
