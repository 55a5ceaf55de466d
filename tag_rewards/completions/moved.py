"""Asks a model again about moved pictures: do its boxes go where the face goes?

Each picture is shifted on its canvas by a seeded distance, as far as the face stays on it, and the
same question is asked again. The boxes of a model that looks move with the picture; those of one
that knows where faces lie in the dataset stay. `tag_rewards.evaluation.summarize_moved` has the
slope of the one on the other.

`moved.jsonl` has one JSON object a line, in the order of the data::

    {"id": "test_0001", "left_out": "", "shift": [-41.0, 23.5], "completion": "Global analysis ..."}

`shift` is in the units of the target's box space.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tag_rewards.completions.asking import (
    FAILED,
    NO_CLAIM,
    NO_COMPLETION,
    Question,
    ask_again,
    file_fingerprint,
    request,
)
from tag_rewards.completions.completion import read_completions
from tag_rewards.errors import InputError
from tag_rewards.files.images import decode_image, encode_image
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.placement import Placement
from tag_rewards.prepare.rows import read_rl_parquet
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.completions.asking import GenerationConfig
    from tag_rewards.engines.base import Engine, Reply
    from tag_rewards.prepare.eval_set import EvaluationFace

NO_LANDMARKS = "no landmarks"


@dataclass(frozen=True, slots=True)
class MovedConfig:
    """How pictures are moved.

    Attributes:
        shift: How far at most, along each axis, as a share of the canvas; above 0, at most 1.
        seed: Decides how far; each face has its own shift, made of this and its id.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    shift: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.shift <= 1:
            raise InputError(f"shift is {self.shift}, not above 0 and at most 1")


def ask_moved(
    data: Path,
    completions: Path,
    out: Path,
    engine: Callable[[], Engine],
    config: MovedConfig,
    generation: GenerationConfig,
    settings: Mapping[str, Any],
    on_start: Callable[[int, int], None] | None = None,
    on_answers: Callable[[int], None] | None = None,
) -> None:
    """Ask a model again about moved pictures; go on where a run was stopped.

    Args:
        data: `eval.parquet` of `tag-rewards prepare`.
        completions: What `generate` wrote for it, with the same model.
        out: The file to write, `*.jsonl`.
        engine: Gives the started engine; not called if there is nothing to ask.
        config: How to move.
        generation: How to ask, as the completions were.
        settings: What else decides the answers, as in `generate`.
        on_start: Called once with the number of faces to be asked and of those that are done.
        on_answers: Called with the number of faces that were just asked.

    Raises:
        InputError: The data or the completions cannot be used, or the file cannot be gone on with,
            or the engine cannot go on.
        OSError: A file cannot be read or written.
    """
    faces = {face.id: face for face in read_evaluation_set(data).faces}
    read = read_completions(completions, [*faces.values()])
    texts = {key: one.completion or "" for key, one in read.items()}
    shifts: dict[str, tuple[float, float]] = {}

    def questions(wanted: Collection[str]) -> Iterator[Question]:
        for row in read_rl_parquet(data):
            if row.id in wanted:
                image = decode_image(row.image, f"{data}: the image of {row.id!r}")
                moved, shifts[row.id] = move(faces[row.id], image, config)
                asked = request(row.id, row.id, row.prompt, encode_image(moved), generation)
                yield Question(row.id, (asked,))

    def record(key: str, replies: tuple[Reply, ...]) -> dict[str, Any]:
        shift, [reply] = shifts.pop(key), replies
        if reply.error:
            return {"id": key, "left_out": FAILED}
        return {"id": key, "left_out": "", "shift": shift, "completion": reply.text}

    ask_again(
        out,
        engine,
        {key: _left_out(face, texts.get(key)) for key, face in faces.items()},
        questions,
        record,
        generation,
        {
            "data": file_fingerprint(data),
            "completions": file_fingerprint(completions),
            "shift": config.shift,
            "moving_seed": config.seed,
            **settings,
        },
        on_start,
        on_answers,
    )


def move(
    face: EvaluationFace, image: NDArray[np.uint8], config: MovedConfig
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """The moved picture of a face, and how far it was moved, in units of the box space.

    The same arguments give the same picture; the face and the regions of its AUs stay on it, as
    far as they were.
    """
    height, width = image.shape[:2]
    zoom = np.divide(face.target.box_space.extent, (width, height))
    landmarks = np.asarray(face.landmarks) / zoom
    placed = Placement(0, 0, config.shift).apply(
        face.id, landmarks, image, (0, 0, width, height), (width, height), config.seed
    )
    x, y = ((placed.landmarks[0] - landmarks[0]) * zoom).tolist()
    return placed.board, (round(x, 3), round(y, 3))


def _left_out(face: EvaluationFace, text: str | None) -> str:
    """Why a face is not asked about again; empty if it is."""
    if face.landmarks is None:
        return NO_LANDMARKS
    if text is None:
        return NO_COMPLETION
    return "" if any(claim.aus for claim in read_trace(face.target, text).claims) else NO_CLAIM
