"""What is tried, one entry for each: its input, and what is promised of what comes out."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi.testclient import TestClient

from tag_rewards import Target, score
from tag_rewards.completions import read_completions
from tag_rewards.detectors.openface.csv import (
    read_image_csv,
    read_openface_csv,
    successful_faces,
)
from tag_rewards.evaluation.results import read_face_rows, read_gallery, read_results
from tag_rewards.forms import FORMS
from tag_rewards.integrations.scorer import SAMPLE_KEYS
from tag_rewards.integrations.server import create_app
from tag_rewards.mentions import read_mentions
from tag_rewards.preference import read_key, read_ratings
from tag_rewards.prepare.eval_set import read_evaluation_set, read_targets
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
from tag_rewards.rewards import SCORE_KEYS, explain
from tag_rewards.testing.hostile import ODD_BOXES, fillings, fragments
from tag_rewards.testing.traces import TARGETS as MADE_TARGETS
from tag_rewards.trace import MAX_BOXES, parse_trace
from tag_rewards.trace.text import read_in_full, read_quickly

CORPUS = Path(__file__).with_name("corpus")
OLD_FILES = Path(__file__).parents[1] / "old_files" / "0.1.0"
EXTENT = (512.0, 512.0)

_VALUES = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-1",
        "0.5",
        "1e308",
        "-1e400",
        "9" * 20,
        "9" * 400,
        "9" * 5000,
    ),
    *("NaN", "Infinity", "-Infinity", '""', '"\\ud800"', '"\\u0000"', '"a"', '"tag"', "[]", "{}"),
    *("[[]]", "[1,2,3,4]", "[0,0,0,0]", '{"a": 1}', '"1"', "\n", ","),
)
_NESTED = ("[" * 2000, '{"a":' * 2000)
_CELLS = (
    "",
    " ",
    "nan",
    "-nan(ind)",
    "inf",
    "1e999",
    "-1",
    "1.5",
    "9" * 400,
    "1_0",
    ";",
    ",",
    "\n",
)


class NotAnInput(Exception):  # noqa: N818  nothing went wrong
    """The bytes stand for no input, so that nothing was tried."""


@dataclass(frozen=True)
class FuzzTarget:
    """What is tried.

    Attributes:
        check: Takes an input. Raises `AssertionError` where a promise is broken, `NotAnInput` for
            bytes that are none; whatever else comes out of the library comes through.
        seeds: Inputs to begin with: the files of this folder of the corpus.
        pieces: What is put into them.
        may_refuse: Whether `InputError` is an answer.
        seconds: CPU time that an input may take.
    """

    check: Callable[[bytes], None]
    seeds: str
    pieces: Sequence[bytes]
    may_refuse: bool = True
    seconds: float = 0.5

    def read_seeds(self) -> list[bytes]:
        """The inputs to begin with."""
        return [path.read_bytes() for path in sorted((CORPUS / self.seeds).iterdir())]


def _encoded(pieces: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(piece.encode("utf-8", "surrogatepass") for piece in pieces)


def _text(data: bytes) -> str:
    """Bytes that are no UTF-8 become halves of characters, as a lenient tokenizer's."""
    return data.decode("utf-8", "surrogateescape")


def _require_finite(value: Any) -> None:
    """Of all numbers in lists, tuples and mappings."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            _require_finite(inner)
    elif isinstance(value, float):
        assert math.isfinite(value), value


# Texts


def _parse(form_name: str, data: bytes) -> None:
    text, form = _text(data), FORMS[form_name]
    trace = parse_trace(text, EXTENT, form)
    _require_finite(trace.claims)
    assert len(trace.claims) <= MAX_BOXES
    assert all(trace.errors)
    quick = read_quickly(text, EXTENT, form)
    assert quick is None or quick == read_in_full(text, EXTENT, form)


def _score(form_name: str, data: bytes) -> None:
    text = _text(data)
    for target in MADE_TARGETS:
        _require_scores(score(text, replace(target, form=form_name)), SCORE_KEYS)


def _explain(data: bytes) -> None:
    text = _text(data)
    for target in MADE_TARGETS:
        found = explain(text, target)
        assert found.scores == score(text, target)
        _require_finite([(one.iou, one.earned, one.most) for one in found.aus])
        assert str(found).isprintable() or "\n" in str(found)
        found._repr_html_().encode()


def _require_scores(scores: dict[str, float], keys: Sequence[str]) -> None:
    assert sorted(scores) == sorted(keys)
    assert all(type(value) is float and math.isfinite(value) for value in scores.values()), scores
    assert all(0 <= scores[name] <= 1 for name in ("score", "format", "accuracy", "grounding"))


def _mentions(data: bytes) -> None:
    for names in (False, True):
        aus, unsure = read_mentions(_text(data), names=names)
        assert len(set(aus)) == len(aus)
        assert set(unsure) <= set(aus) <= set(range(1, 100))


def _target(data: bytes) -> None:
    target = Target.from_json(_text(data))
    _require_finite([(item.probability, item.box, item.polygon) for item in target.evidence])
    assert Target.from_json(target.to_json()) == target


# Files


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Where files are written; it goes with the process."""
    return tempfile.TemporaryDirectory(prefix="tag-rewards-fuzz-")


def _file(name: str, read: Callable[[Path], Any], data: bytes) -> None:
    path = Path(_folder().name, name)
    path.write_bytes(data)
    read(path)


def _read_csv(path: Path) -> None:
    for face in successful_faces(read_openface_csv(path)):
        assert np.isfinite(face.landmarks).all()
        _require_finite([dict(face.probabilities), face.confidence, face.box])
    read_image_csv(path)


def _read_predictions(path: Path) -> None:
    for completion in read_completions(path).values():
        _require_finite(completion.answer_logprob)


def _read_results(path: Path) -> None:
    _require_finite(asdict(read_results(path.parent)))


# Name -> a file whose schema it has, and what reads it. Bytes of parquet are not touched: what
# reads them is not ours. An input is the JSON of its rows and of its metadata.
_PARQUET: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "samples": ("results/sft/samples.parquet", lambda path: read_face_rows(path.parent)),
    "gallery": ("results/sft/gallery.parquet", lambda path: read_gallery(path.parent)),
    "eval": ("data/eval.parquet", read_evaluation_set),
    "rl": ("data/rl_train.parquet", lambda path: (read_targets(path), *read_rl_parquet(path))),
    "sft": ("data/sft_train.parquet", lambda path: list(read_sft_parquet(path))),
}
IMAGE = "IMAGE"
"""Stands for the bytes of an image in the JSON of a row."""


@cache
def _image() -> bytes:
    return cv2.imencode(".png", np.zeros((48, 48, 3), np.uint8))[1].tobytes()


@cache
def _schema(name: str) -> pa.Schema:
    """What the file has, with rows that may lack anything, as somebody else's file."""
    return pa.schema(
        [one.with_nullable(True) for one in pq.read_schema(OLD_FILES / _PARQUET[name][0])]
    )


def _parquet(name: str, data: bytes) -> None:
    file, read = _PARQUET[name]
    path = Path(_folder().name, Path(file).name)
    try:
        value = json.loads(data, object_hook=_with_image)
        table = _table(value["rows"], _schema(name)).replace_schema_metadata(value["metadata"])
        pq.write_table(table, path)
    except (*_REFUSED_BY_ARROW, KeyError) as error:
        raise NotAnInput from error
    read(path)


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows with this schema; with other columns and types where the values ask for them."""
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except _REFUSED_BY_ARROW:
        return pa.Table.from_pylist(rows)


_REFUSED_BY_ARROW = (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError)


def _with_image(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: _image() if value == IMAGE else value for key, value in fields.items()}


# Bodies


@cache
def _client() -> TestClient:
    return TestClient(create_app())


def _server(path: str, data: bytes) -> None:
    response = _client().post(path, content=data, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400, 413, 422), response.status_code
    answer = response.json()
    _require_finite(answer)
    if response.status_code != 200:
        assert answer["detail"].isprintable()
    elif path == "/score":
        for scores in answer["scores"]:
            _require_scores(scores, SAMPLE_KEYS)
    elif path == "/slime":
        _require_scores(answer, SAMPLE_KEYS)
    else:
        assert answer.keys() == {"rewards", "scores", "extra_logs"}


def _texts(check: Callable[[bytes], None], form_name: str = "tag", times: int = 1) -> FuzzTarget:
    form = FORMS[form_name]
    pieces = _encoded((*fragments(form), *ODD_BOXES, *fillings(form).values()))
    return FuzzTarget(check, "text", pieces, may_refuse=False, seconds=0.05 * times)


def _json(check: Callable[[bytes], None], seeds: str, nested: bool = True) -> FuzzTarget:
    return FuzzTarget(check, seeds, _encoded((*_VALUES, *_NESTED) if nested else _VALUES))


#: Everything that is tried, by name. Each text is read twice by `parse` and by `mentions`, and
#: scored against three targets by `score`, twice by `explain`.
TARGETS: dict[str, FuzzTarget] = {
    **{f"parse:{form}": _texts(partial(_parse, form), form, 2) for form in FORMS},
    **{f"score:{form}": _texts(partial(_score, form), form, len(MADE_TARGETS)) for form in FORMS},
    "explain": _texts(_explain, times=2 * len(MADE_TARGETS)),
    "mentions": _texts(_mentions, times=2),
    "target": _json(_target, "target"),
    "openface-csv": FuzzTarget(
        partial(_file, "face.csv", _read_csv), "openface-csv", _encoded(_CELLS)
    ),
    "predictions": _json(partial(_file, "completions.jsonl", _read_predictions), "predictions"),
    "results": _json(partial(_file, "results.json", _read_results), "results"),
    "ratings": _json(partial(_file, "ratings.json", read_ratings), "ratings"),
    "key": _json(partial(_file, "study.key.json", read_key), "key"),
    **{
        f"parquet:{name}": _json(partial(_parquet, name), f"parquet-{name}", False)
        for name in _PARQUET
    },
    **{
        f"server:{name}": _json(partial(_server, f"/{name}"), f"server-{name}")
        for name in ("score", "openrlhf", "slime")
    },
}
