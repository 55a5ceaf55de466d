"""`--json` of every command that prints a table: one JSON value on standard output, and no more."""

import json

import pytest

from tag_rewards.prepare import read_rl_parquet, read_sft_parquet
from tests.builders.command import command, every_command
from tests.builders.results import made, write_made

#: What prints sentences or files alone, or runs until it is stopped.
WITHOUT = {
    *("made-faces", "sft-data", "summarize", "generate", "report", "serve", "show", "target"),
    *("datasets unpack", "traces build", "traces export"),
    *("preference make", "preference judge"),
}
GROUPS = {"traces", "preference"}
#: tests/traces/test_status.py, tests/preference/test_ratings.py, tests/testing/test_attack.py
TRIED_ELSEWHERE = {"traces status", "preference score", "attack"}


def commands(group=None, name=""):
    for own, one in (group or every_command()).commands.items():
        yield f"{name}{own}", one
        if hasattr(one, "commands"):
            yield from commands(one, f"{own} ")


def test_every_command_that_prints_a_table_has_it():
    having = {
        name
        for name, one in commands()
        if any("--json" in parameter.opts for parameter in one.params)
    }
    assert having == {name for name, _ in commands()} - WITHOUT - GROUPS


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Made faces, all that is made of them, a completion with its target, and two results."""
    folder = tmp_path_factory.mktemp("json")
    faces, data = folder / "faces", folder / "data"
    command("made-faces", faces, "--train", 3, "--test", 2, "--size", 64)
    options = ("--protocol", "made-faces/test", "--openface", faces / "openface", "--out", data)
    assert command("prepare", faces, *options)[0] == 0
    rows = list(read_rl_parquet(data / "eval.parquet"))
    (folder / "target.json").write_text(rows[0].target.to_json())
    traces = {row.id: row.trace for row in read_sft_parquet(data / "sft_test.parquet")}
    lines = [json.dumps({"id": row.id, "completion": traces.get(row.id, "")}) for row in rows]
    (folder / "said.jsonl").write_text("\n".join(lines))
    (folder / "answer.txt").write_text(next(iter(traces.values())))
    for name in ("first", "second"):
        write_made(folder / name, made(name), gallery=False)
    return folder


ASKED = {
    "datasets": ([], "protocols"),
    "datasets check": (["made-faces/test", "faces", "--out", "labels.png"], "images"),
    "annotate": (
        *(["faces", "--detector", "openface-csv", "-o", "folder=faces/openface"],),
        "statuses",
    ),
    "quality": (["faces", "--protocol", "made-faces/test", "--out", "q.parquet"], "measures"),
    "prepare": (
        *(["faces", "--protocol", "made-faces/test", "--openface", "faces/openface"],),
        "train",
    ),
    "eval": (["--data", "data/eval.parquet", "--predictions", "said.jsonl"], "faithfulness"),
    "compare": (["first", "second", "--resamples", 100], "differences"),
    "eval-table": (["first", "--resamples", 100], "protocols"),
    "score": (["answer.txt", "--target", "target.json"], "scores"),
    "explain": (["answer.txt", "target.json"], "terms"),
    "doctor": ([], "extras"),
}
OUT = {"annotate", "prepare", "eval"}


@pytest.mark.parametrize("name", ASKED)
def test_it_is_json_and_nothing_else(here, tmp_path, monkeypatch, name):
    monkeypatch.chdir(here)
    arguments, field = ASKED[name]
    out = ["--out", tmp_path / "out"] if name in OUT else []
    code, told, err = command(*name.split(), *arguments, *out, "--json")
    assert (code, err) == (0, "")
    assert json.loads(told)[field]


def test_what_has_it_is_tried():
    assert {name for name, _ in commands()} - WITHOUT - GROUPS == {*ASKED, *TRIED_ELSEWHERE}


def test_a_difference_has_its_verdict(here, monkeypatch):
    monkeypatch.chdir(here)
    record = json.loads(command("compare", "first", "second", "--resamples", 100, "--json")[1])
    verdicts = {one["name"]: one["verdict"] for one in record["differences"]}
    assert verdicts["accuracy"] == "no clear change"
    assert record["mcnemar"]["p"] == 1


def test_the_spread_of_measures_is_printed_where_nothing_is_rejected(here, tmp_path, monkeypatch):
    monkeypatch.chdir(here)
    options = ("--protocol", "made-faces/test", "--out", tmp_path / "q.parquet")
    for wide in (60, 80):
        code, told, _ = command("quality", "faces", *options, columns=wide)
        assert code == 0
        rows = [line for line in told.splitlines() if line.startswith(("┏", "┃", "│", "└"))]
        assert rows  # a path may be longer than the terminal
        assert max(map(len, rows)) <= wide
    assert "median" in told
    assert "contrast" in told
    code, told, _ = command("quality", "faces", *options, "--require", "contrast>=1")
    assert "rejected" in told
    assert "median" not in told
