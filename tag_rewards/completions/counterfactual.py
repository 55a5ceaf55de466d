"""Asks a model again about faces on which a part is hidden; see `counterfactual`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np

from tag_rewards.completions.completion import read_completions
from tag_rewards.completions.masking import (
    covered,
    elsewhere,
    face_area,
    face_colour,
    hide,
    whole_pixels,
)
from tag_rewards.completions.run import Question, ask, file_fingerprint, request, unanswered
from tag_rewards.facs import canonical_expression
from tag_rewards.files.images import decode_image, encode_image
from tag_rewards.files.journal import Journal
from tag_rewards.geometry import BoxSpace, convert_boxes
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.rows import read_rl_parquet
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tag_rewards.completions.run import GenerationConfig
    from tag_rewards.engines.base import Engine, Reply
    from tag_rewards.prepare.eval_set import EvaluationFace

NO_COMPLETION, NO_ANSWER, NO_CLAIM = "no completion", "no answer", "no claimed box in the image"
FAILED = "no answer of the engine"


@dataclass(frozen=True, slots=True)
class CounterfactualConfig:
    """How faces are masked for comparison.

    Attributes:
        draws: In how many ways as much is hidden elsewhere, 1 or more.
        seed: Decides the places; each face has its own, made of this one and its id.

    Raises:
        ValueError: A value is out of range; the message names field and value.
    """

    draws: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws is {self.draws}, not at least 1")


class MaskedFace(NamedTuple):
    """Where a face is masked, in whole pixels of its image.

    Attributes:
        area: (4,) the face.
        colour: (3,) uint8, BGR: what it is masked with.
        claimed: (n, 4) what the trace claims.
        draws: The same boxes elsewhere, (n, 4) each.
    """

    area: NDArray[np.int64]
    colour: NDArray[np.uint8]
    claimed: NDArray[np.int64]
    draws: tuple[NDArray[np.int64], ...]


def mask_face(
    face: EvaluationFace, completion: str, image: NDArray[np.uint8], config: CounterfactualConfig
) -> MaskedFace:
    """Where to mask a face; the same arguments give the same places.

    Args:
        face: The face.
        completion: What the model wrote about it.
        image: (height, width, 3) uint8, what the model saw.
        config: How to mask.
    """
    height, width = image.shape[:2]
    space = BoxSpace.pixels(width, height)
    boxes = [claim.box for claim in parse_trace(completion).claims]
    claimed = whole_pixels(convert_boxes(boxes, face.target.box_space, space), width, height)
    points = None
    if face.landmarks is not None:
        points = face.landmarks * (np.array([width, height]) / face.target.box_space.extent)
    area = face_area(points, width, height)
    rng = np.random.default_rng([config.seed, crc32(face.id.encode())])
    draws = tuple(elsewhere(claimed, area, width, height, rng) for _ in range(config.draws))
    return MaskedFace(area, face_colour(image, points), claimed, draws)


def ask_counterfactuals(
    data: Path,
    completions: Path,
    out: Path,
    engine: Callable[[], Engine],
    config: CounterfactualConfig,
    generation: GenerationConfig,
    settings: Mapping[str, Any],
    on_start: Callable[[int, int], None] | None = None,
    on_answers: Callable[[int], None] | None = None,
) -> None:
    """Ask a model again about faces on which a part is hidden; go on where a run was stopped.

    Args:
        data: `eval.parquet` of `tag-rewards prepare`.
        completions: What `generate` wrote for it, with the same model.
        out: The file to write, `*.jsonl`.
        engine: Gives the started engine; not called if there is nothing to ask.
        config: How to mask.
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
    texts = {key: one.completion or "" for key, one in read_completions(completions).items()}
    reasons = {key: _left_out(face, texts.get(key)) for key, face in faces.items()}
    asked = [key for key, reason in reasons.items() if not reason]
    settings = {
        "data": file_fingerprint(data),
        "completions": file_fingerprint(completions),
        "draws": config.draws,
        "masking_seed": config.seed,
        **settings,
        **generation.settings(),
    }
    with Journal(out, settings) as journal:
        answered = {
            key
            for key, record in journal.records.items()
            if not (generation.retry_failed and record["left_out"] == FAILED)
        }
        journal.append(
            [
                {"id": key, "left_out": reason}
                for key, reason in reasons.items()
                if reason and key not in answered
            ]
        )
        wanted = unanswered(asked, answered, generation.chunk)
        if on_start:
            on_start(len(asked), len(asked) - len(wanted))
        if wanted:
            chosen = {key: faces[key] for key in asked if key in wanted}
            notes: dict[str, dict[str, Any]] = {}
            questions = _questions(data, chosen, texts, notes, config, generation)
            for group in ask(engine(), questions, generation.chunk):
                journal.append(
                    [_record(key, texts[key], notes.pop(key), replies) for key, replies in group]
                )
                if on_answers:
                    on_answers(len(group))
        journal.finish(list(faces))


def _answer(text: str) -> str | None:
    """The canonical label that a text answers."""
    answer = parse_trace(text).answer
    return None if answer is None else canonical_expression(answer)


def _left_out(face: EvaluationFace, text: str | None) -> str:
    """Why a face is not asked about again; empty if it is."""
    if text is None:
        return NO_COMPLETION
    if _answer(text) is None:
        return NO_ANSWER
    width, height = face.target.box_space.extent
    boxes = [claim.box for claim in parse_trace(text).claims]
    inside = whole_pixels(boxes, int(width), int(height))
    return "" if len(inside) else NO_CLAIM


def _questions(
    data: Path,
    faces: Mapping[str, EvaluationFace],
    texts: Mapping[str, str],
    notes: dict[str, dict[str, Any]],
    config: CounterfactualConfig,
    generation: GenerationConfig,
) -> Iterator[Question]:
    """What is asked about each of the faces; fills `notes` with how much of it is hidden."""
    for row in read_rl_parquet(data):
        if row.id not in faces:
            continue
        image = decode_image(row.image, f"{data}: the image of {row.id!r}")
        masked = mask_face(faces[row.id], texts[row.id], image, config)
        notes[row.id] = _areas(masked, image)
        yield Question(
            row.id,
            tuple(
                request(f"{row.id} {number}", row.id, row.prompt, encode_image(hidden), generation)
                for number, hidden in enumerate(
                    hide(image, boxes, masked.colour) for boxes in (masked.claimed, *masked.draws)
                )
            ),
        )


def _areas(masked: MaskedFace, image: NDArray[np.uint8]) -> dict[str, Any]:
    height, width = image.shape[:2]
    claimed = covered(masked.claimed, width, height)
    draws = [covered(boxes, width, height) for boxes in masked.draws]
    face = int(np.prod(masked.area[2:] - masked.area[:2]))
    return {
        "masked": round(float(claimed.sum()) / face, 4),
        "masked_elsewhere": [round(float(draw.sum()) / face, 4) for draw in draws],
        "overlap": [round(float((draw & claimed).sum() / draw.sum()), 4) for draw in draws],
    }


def _record(
    key: str, text: str, areas: Mapping[str, Any], replies: tuple[Reply, ...]
) -> dict[str, Any]:
    if any(reply.error for reply in replies):
        return {"id": key, "left_out": FAILED}
    claimed, *others = (_answer(reply.text) for reply in replies)
    return {
        "id": key,
        "left_out": "",
        "answer": _answer(text),
        "answer_claimed_masked": claimed,
        "answers_elsewhere_masked": others,
        **areas,
    }
