"""Whatever a file from outside holds, its reader reads it or refuses it in one sentence.

Readers of datasets have a test like this in tests/datasets/test_any_file.py.
"""

import io
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tag_rewards.commands.evaluation_tables import results_tables
from tag_rewards.commands.options import read_target
from tag_rewards.completions.completion import read_completions
from tag_rewards.errors import InputError
from tag_rewards.evaluation.results import read_face_rows, read_gallery, read_results
from tag_rewards.evaluation.run import summarize_counterfactual
from tag_rewards.evidence.cache import EvidenceCache
from tag_rewards.evidence.rows import EvidenceRow
from tag_rewards.evidence.shards import EvidenceFolder, Manifest
from tag_rewards.files.journal import Journal
from tag_rewards.prepare.eval_set import read_evaluation_set, read_targets
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
from tag_rewards.quality.table import read_rejected
from tag_rewards.runs.folder import read_generations, read_metrics, read_settings, read_timings
from tag_rewards.sft_data.mix import same_as_before
from tag_rewards.traces.config import read_build_record
from tag_rewards.traces.progress import status
from tests.builders import broken
from tests.builders.command import command
from tests.builders.run import MadeRun

TARGET = MadeRun.smile().to_json()
MIXED = {
    "seed": 0,
    "train": [{"file": "a/b", "sha256": "0" * 64, "weight": 1.5, "rows_in_an_epoch": 3}],
    "test": [],
}


def open_journal(folder):
    with Journal(folder / "answers.jsonl", {"model": "A", "seed": 1}) as journal:
        journal.finish(list(journal.records))


def open_evidence_folder(folder):
    with EvidenceFolder(folder, Manifest("/faces", "dlib", "1"), 1, 1):
        pass


def show_results(folder):
    console = Console(file=io.StringIO())
    for part in results_tables(read_results(folder)):
        console.print(part)


# Name of a file -> what reads it in its folder, and the JSON values of its lines.
JSON_FILES = {
    "completions.jsonl": (
        lambda folder: read_completions(folder / "completions.jsonl"),
        [
            {"id": "a", "completion": "x", "answer_logprob": -0.5, "completion_tokens": 7},
            {"id": "b", "completion": None, "error": "gone", "model": "m"},
        ],
    ),
    "counterfactual.jsonl": (
        lambda folder: summarize_counterfactual(folder / "counterfactual.jsonl", 100),
        [
            {"id": "a", "left_out": "no answer"},
            {
                "id": "b",
                "left_out": "",
                "answer": "fear",
                "answer_claimed_masked": None,
                "answers_elsewhere_masked": ["fear", None],
                "masked": 0.25,
                "overlap": [0.0, 0.5],
            },
        ],
    ),
    "metrics.jsonl": (
        read_metrics,
        [{"step": 1, "data": {"a": 1.0}}, {"step": 2, "data": {"a": 2, "b": None}}],
    ),
    "timings.jsonl": (
        lambda folder: read_timings(folder / "timings.jsonl"),
        [{"stage": "sft", "seconds": 1.5}, {"stage": "grpo", "seconds": 3}],
    ),
    "0.jsonl": (
        lambda folder: read_generations(folder / "0.jsonl"),
        [{"output": "x", "gts": TARGET}],
    ),
    "target.json": (lambda folder: read_target(folder / "target.json"), [json.loads(TARGET)]),
    "sft_data.json": (lambda folder: same_as_before(folder, MIXED), [MIXED]),
    "answers.jsonl": (open_journal, [{"id": "a", "n": 1}, {"id": "b", "n": 2}]),
    "answers.settings.json": (open_journal, [{"model": "A", "seed": 1}]),
    "evidence.json": (
        open_evidence_folder,
        [{"folder": "/faces", "detector": "dlib", "version": "1", "options": {}, "format": 1}],
    ),
}
# What else its folder holds.
BESIDE = {
    "answers.jsonl": ("answers.settings.json", '{"model": "A", "seed": 1}'),
    "answers.settings.json": ("answers.jsonl", '{"id": "a"}\n'),
}


def reads_or_refuses(read, folder):
    """The sentence of the refusal; empty if it is read."""
    try:
        read(folder)
    except InputError as error:
        sentence = str(error)
    else:
        return ""
    assert sentence.strip()
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("name", JSON_FILES)
@given(data=st.data())
def test_json(name, data):
    read, values = JSON_FILES[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if name in BESIDE:
            other, text = BESIDE[name]
            (folder / other).write_text(text)
        (folder / name).write_bytes(data.draw(broken.json_files(values)))
        error = reads_or_refuses(read, folder)
        assert not error or name.partition(".")[0] in error or place in error


@pytest.mark.parametrize("name", JSON_FILES)
def test_json_as_it_is_written_is_read(name, tmp_path):
    read, values = JSON_FILES[name]
    if name in BESIDE:
        other, text = BESIDE[name]
        (tmp_path / other).write_text(text)
    (tmp_path / name).write_text("".join(json.dumps(value) + "\n" for value in values))
    read(tmp_path)


@contextmanager
def broken_copy(data, file):
    """The folder of a file that was mutated."""
    with tempfile.TemporaryDirectory() as folder:
        mutated = data.draw(broken.json_files([json.loads(file.read_text())]))
        Path(folder, file.name).write_bytes(mutated)
        yield Path(folder)


@given(data=st.data())
def test_results(project, data):
    with broken_copy(data, project / "results" / "results.json") as folder:
        reads_or_refuses(show_results, folder)


@given(data=st.data())
def test_the_record_of_a_build(project, data):
    with broken_copy(data, project / "built" / "build.json") as folder:
        if not reads_or_refuses(read_build_record, folder):
            shutil.copy(project / "built" / "ledger.sqlite", folder)
            assert status(folder).headline


@pytest.mark.parametrize("where", ["annotation", ""])
def test_half_a_character_in_the_record_of_a_build(project, tmp_path, where):
    """A name that has no UTF-8 is a wrong field like others."""
    record = json.loads((project / "built" / "build.json").read_bytes())
    (record[where] if where else record)["\ud800"] = "\ud800"
    (tmp_path / "build.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"build\.json: "):
        read_build_record(tmp_path)


# A file of the project -> what reads it.
PARQUET_FILES = {
    "results/samples.parquet": lambda path: read_face_rows(path.parent),
    "results/gallery.parquet": lambda path: read_gallery(path.parent),
    "data/eval.parquet": read_evaluation_set,
    "data/rl_train.parquet": lambda path: (read_targets(path), *read_rl_parquet(path)),
    "data/sft_train.parquet": lambda path: list(read_sft_parquet(path)),
    "quality.parquet": read_rejected,
}


@pytest.fixture(scope="module")
def with_quality(project):
    where = ("--protocol", "made-faces/test", "--out", project / "quality.parquet")
    assert command("quality", project / "faces", *where)[0] == 0
    return project


@pytest.mark.parametrize("name", PARQUET_FILES)
@given(data=st.data())
def test_parquet(name, with_quality, data):
    table = pq.read_table(with_quality / name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(name).name)
        pq.write_table(data.draw(broken.tables(table)), path)
        error = reads_or_refuses(PARQUET_FILES[name], path)
        assert not error or str(path) in error


@pytest.mark.parametrize("name", PARQUET_FILES)
def test_parquet_that_is_cut(name, with_quality, tmp_path):
    data = (with_quality / name).read_bytes()
    path = tmp_path / Path(name).name
    for length in (0, 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert str(path) in reads_or_refuses(PARQUET_FILES[name], path)


@pytest.mark.parametrize("data", [b"", b"DATA=/data/\xfc\n", b"DATA=/a\nb\n", b"\0", b"=\n=\n"])
def test_settings(data, tmp_path):
    (tmp_path / "settings.txt").write_bytes(data)
    reads_or_refuses(lambda folder: read_settings(folder / "settings.txt"), tmp_path)


@pytest.mark.parametrize("data", [b"\0\xff", b"", b"x\x9c\xab\x02\0\0u\0y"])
def test_a_damaged_row_of_the_cache_is_looked_at_again(data, tmp_path):
    cache = EvidenceCache(tmp_path)
    cache.create()
    row = EvidenceRow("a.jpg", "0" * 64, "no_face", "", 9, 9, "dlib", "1")
    cache.put([cache.entry(row)])
    assert cache.get(row.sha256, "dlib", "1", "b.jpg") is not None
    with closing(sqlite3.connect(cache.path)) as connection, connection:
        connection.execute("UPDATE evidence SET row = ?", (data,))
    assert cache.get(row.sha256, "dlib", "1", "b.jpg") is None
