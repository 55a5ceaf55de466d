"""Asks a model again about changed pictures: does it look where it says?

With a part hidden, does the answer depend on the claims? The boxes that a trace claims are hidden
in the image and the same question is asked again; and, for comparison, as much is hidden elsewhere
on the face. If the answer changes more often in the first case than in the second, the claimed
regions are what the model looks at, and not a story told after the fact.
`tag_rewards.evaluation.summarize_counterfactual` counts.

What is hidden gets the mean colour of the face. A blur would let through what it is to hide: a
blurred open mouth is still a dark spot. That a flat patch looks unnatural does not matter here,
because the same patches are laid on the face elsewhere for comparison.

`counterfactual.jsonl` has one JSON object a line, in the order of the data::

    {"id": "test_0001", "left_out": "", "answer": "fear", "answer_claimed_masked": "surprise",
     "answers_elsewhere_masked": ["fear", "fear", null], "masked": 0.21,
     "masked_elsewhere": [0.21, 0.21, 0.2], "overlap": [0.0, 0.0, 0.08]}

Answers are canonical labels, null where there is none; `masked` is the hidden share of the face,
`overlap` the share of what is hidden elsewhere that is claimed, for want of room.

Moved, do the boxes go where the face goes? Each picture is shifted on its canvas by a seeded
distance, as far as the face stays on it. The boxes of a model that looks move with the picture;
those of one that knows where faces lie in the dataset stay. `summarize_moved` of the same room has
the slope of the one on the other. `moved.jsonl`::

    {"id": "test_0001", "left_out": "", "shift": [-41.0, 23.5], "completion": "Global analysis ..."}

`shift` is in the units of the target's box space.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from tag_rewards.completions.asking import Question, ask, file_fingerprint, request, unanswered
from tag_rewards.completions.completion import read_completions
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.facs import canonical_expression
from tag_rewards.files.images import decode_image, encode_image
from tag_rewards.files.journal import Journal
from tag_rewards.geometry import box_area
from tag_rewards.geometry.boxes import face_area, whole_pixels
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.face_target import Canvas
from tag_rewards.prepare.placement import Placement
from tag_rewards.prepare.rows import read_rl_parquet
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.completions.asking import GenerationConfig
    from tag_rewards.engines.base import Engine, Reply
    from tag_rewards.prepare.eval_set import EvaluationFace
    from tag_rewards.trace import Trace

NO_COMPLETION = "no completion"
NO_CLAIM = "no claimed box in the image"
NO_ANSWER = "no answer"
NO_LANDMARKS = "no landmarks"
FAILED = "no answer of the engine"


class _Asked(NamedTuple):
    """What is asked again of a face and what a model wrote about it."""

    #: Why it is left out; empty if it is asked.
    left_out: Callable[[EvaluationFace, str | None], str]
    #: The changed pictures of its image, and what to note of them.
    pictures: Callable[
        [EvaluationFace, str, NDArray[np.uint8]], tuple[list[NDArray[np.uint8]], dict[str, Any]]
    ]
    #: What is kept, of the answers about the pictures and of the note.
    found: Callable[[EvaluationFace, str, Sequence[str | None], dict[str, Any]], dict[str, Any]]


def _ask_again(
    data: Path,
    completions: Path,
    out: Path,
    engine: Callable[[], Engine],
    asked: _Asked,
    generation: GenerationConfig,
    settings: Mapping[str, Any],
    on_start: Callable[[int, int], None] | None,
    on_answers: Callable[[int], None] | None,
) -> None:
    """Ask about the faces of a file of completions, into a file of one record a face."""
    faces = {face.id: face for face in read_evaluation_set(data).faces}
    read = read_completions(completions, [*faces.values()])
    texts = {key: one.completion or "" for key, one in read.items()}
    reasons = {key: asked.left_out(face, texts.get(key)) for key, face in faces.items()}
    notes: dict[str, dict[str, Any]] = {}

    def questions(wanted: Collection[str]) -> Iterator[Question]:
        for row in read_rl_parquet(data):
            if row.id not in wanted:
                continue
            image = decode_image(row.image, f"{data}: the image of {row.id!r}")
            pictures, notes[row.id] = asked.pictures(faces[row.id], texts[row.id], image)
            requests = (
                request(f"{row.id} {number}", row.id, row.prompt, encode_image(one), generation)
                for number, one in enumerate(pictures)
            )
            yield Question(row.id, tuple(requests))

    def record(key: str, replies: tuple[Reply, ...]) -> dict[str, Any]:
        note = notes.pop(key)
        if any(reply.error for reply in replies):
            return {"id": key, "left_out": FAILED}
        answers = [reply.text for reply in replies]
        return {"id": key, "left_out": "", **asked.found(faces[key], texts[key], answers, note)}

    files = {"data": file_fingerprint(data), "completions": file_fingerprint(completions)}
    with Journal(out, {**files, **settings, **generation.settings()}) as journal:
        answered = {
            key
            for key, kept in journal.records.items()
            if not (generation.retry_failed and kept.get("left_out") == FAILED)
        }
        journal.append(
            [
                {"id": key, "left_out": reason}
                for key, reason in reasons.items()
                if reason and key not in answered
            ]
        )
        ask_about = [key for key, reason in reasons.items() if not reason]
        wanted = unanswered(ask_about, answered, generation.chunk)
        if on_start:
            on_start(len(ask_about), len(ask_about) - len(wanted))
        if wanted:
            for group in ask(engine(), questions(wanted), generation.chunk):
                journal.append([record(key, replies) for key, replies in group])
                if on_answers:
                    on_answers(len(group))
        journal.finish(list(reasons))


# --- a part hidden --------------------------------------------------------------------------------


_CANDIDATES = 1024
"""Places that are tried for a group of boxes."""

_ABOUT_AS_GOOD = 0.05
"""Share of a group's pixels that a place may overlap more than the best: so that there are several
where none is free."""


@dataclass(frozen=True, slots=True)
class CounterfactualConfig:
    """How faces are masked for comparison.

    Attributes:
        draws: In how many ways as much is hidden elsewhere, 1 or more.
        seed: Decides the places; each face has its own, made of this one and its id.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    draws: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(1, draws=self.draws)


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
    """Where to mask a face; the same arguments give the same places."""
    height, width = image.shape[:2]
    canvas = Canvas.whole(width, height, face.target.box_space)
    boxes = [claim.box for claim in read_trace(face.target, completion).claims]
    claimed = whole_pixels(canvas.to_image(boxes), width, height)
    points = None
    if face.landmarks is not None:
        points = face.landmarks * (np.array([width, height]) / face.target.box_space.extent)
    area = face_area(points, width, height)
    rng = np.random.default_rng([config.seed, crc32(face.id.encode())])
    draws = tuple(elsewhere(claimed, area, width, height, rng) for _ in range(config.draws))
    return MaskedFace(area, face_colour(image, points), claimed, draws)


def elsewhere(
    boxes: NDArray[np.int64],
    area: NDArray[np.int64],
    width: int,
    height: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """The same boxes in other places of an area, beside the given ones as far as there is room.

    Boxes that overlap are moved together, so that they hide as much as before. Each group goes to
    one of the places that overlap the given and the already moved boxes least, of 1024 random ones.

    Args:
        boxes: (n, 4) in whole pixels inside the image.
        area: (4,) where to put them; a group that does not fit into it goes anywhere.
        width: Of the image.
        height: Of the image.
        rng: Decides the places.

    Returns:
        (n, 4), in the order of `boxes`, of the same sizes, inside the image.

    Example:
        >>> moved = elsewhere(
        ...     np.array([[0, 0, 4, 4]]), np.array([0, 0, 8, 4]), 8, 8, np.random.default_rng(0)
        ... )
        >>> moved.tolist()
        [[4, 0, 8, 4]]
    """
    moved = np.array(boxes)
    claimed = cv2.integral(covered(boxes, width, height).astype(np.uint8))
    placed = boxes[:0]
    groups = sorted(_groups(boxes), key=lambda group: (-_extent_area(boxes[group]), group))
    for group in groups:
        x1, y1 = boxes[group][:, :2].min(axis=0)
        x2, y2 = boxes[group][:, 2:].max(axis=0)
        shifts = []
        for low, high, begin, end, whole in (
            (x1, x2, area[0], area[2], width),
            (y1, y2, area[1], area[3], height),
        ):
            if end - begin < high - low:
                begin, end = 0, whole
            last = end - (high - low)
            shifts.append(rng.integers(begin, last, _CANDIDATES, endpoint=True) - low)
        candidates = boxes[group][None] + np.stack(shifts * 2, axis=1)[:, None]
        overlap = _pixels_in(claimed, candidates) + _pixels_shared(placed, candidates)
        least = overlap.min()
        enough = least + (least > 0) * _ABOUT_AS_GOOD * box_area(boxes[group]).sum()
        chosen = candidates[np.argmax(overlap <= enough)]
        moved[group] = chosen
        placed = np.vstack([placed, chosen])
    return moved


def covered(boxes: NDArray[np.int64], width: int, height: int) -> NDArray[np.bool_]:
    """Which pixels boxes cover, (height, width)."""
    mask = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in boxes.tolist():
        mask[y1:y2, x1:x2] = True
    return mask


def face_colour(
    image: NDArray[np.uint8], landmarks: NDArray[np.float64] | None
) -> NDArray[np.uint8]:
    """The mean colour inside the hull of the landmarks, (3,); of the image where they are unknown.

    Example:
        >>> face_colour(np.full((4, 4, 3), 7, np.uint8), None).tolist()
        [7, 7, 7]
    """
    inside = np.zeros(image.shape[:2], np.uint8)
    if landmarks is not None:
        cv2.fillConvexPoly(inside, cv2.convexHull(landmarks.round().astype(np.int32)), 1)
    pixels = image[inside > 0] if inside.any() else image.reshape(-1, 3)
    return np.asarray(pixels.mean(axis=0).round(), np.uint8)


def hide(
    image: NDArray[np.uint8], boxes: NDArray[np.int64], colour: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A copy of an image (height, width, 3), whose pixels in boxes (n, 4) have one colour (3,)."""
    hidden = np.array(image)
    height, width = image.shape[:2]
    hidden[covered(boxes, width, height)] = colour
    return hidden


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
    """

    def pictures(
        face: EvaluationFace, text: str, image: NDArray[np.uint8]
    ) -> tuple[list[NDArray[np.uint8]], dict[str, Any]]:
        masked = mask_face(face, text, image, config)
        hidden = [hide(image, boxes, masked.colour) for boxes in (masked.claimed, *masked.draws)]
        return hidden, _areas(masked, image)

    def found(
        face: EvaluationFace, text: str, texts: Sequence[str | None], areas: dict[str, Any]
    ) -> dict[str, Any]:
        traces = (read_trace(face.target, one) for one in (text, *texts))
        answer, claimed, *others = map(_answer, traces)
        return {
            "answer": answer,
            "answer_claimed_masked": claimed,
            "answers_elsewhere_masked": others,
            **areas,
        }

    asked = _Asked(_not_hidden, pictures, found)
    said = {"draws": config.draws, "masking_seed": config.seed, **settings}
    _ask_again(data, completions, out, engine, asked, generation, said, on_start, on_answers)


def _answer(trace: Trace) -> str | None:
    """The canonical label that a trace answers."""
    return None if trace.answer is None else canonical_expression(trace.answer)


def _not_hidden(face: EvaluationFace, text: str | None) -> str:
    if text is None:
        return NO_COMPLETION
    trace = read_trace(face.target, text)
    if _answer(trace) is None:
        return NO_ANSWER
    width, height = face.target.box_space.extent
    boxes = whole_pixels([claim.box for claim in trace.claims], int(width), int(height))
    return "" if len(boxes) else NO_CLAIM


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


def _groups(boxes: NDArray[np.int64]) -> list[list[int]]:
    """Indices of boxes that overlap, directly or through others."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    meet = np.all(np.minimum(high, boxes[:, 2:]) > np.maximum(low, boxes[:, :2]), axis=2)
    count, group_of = connected_components(meet, directed=False)
    return [np.flatnonzero(group_of == group).tolist() for group in range(count)]


def _extent_area(boxes: NDArray[np.int64]) -> int:
    return int(np.prod(boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)))


def _pixels_in(table: NDArray[np.generic], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pixels of a mask lie in the boxes of each group (n, m, 4); `table` integrates it."""
    x1, y1, x2, y2 = np.moveaxis(groups, -1, 0)
    return np.asarray((table[y2, x2] - table[y1, x2] - table[y2, x1] + table[y1, x1]).sum(axis=1))


def _pixels_shared(boxes: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pixels the boxes of each group (n, m, 4) share with other boxes (k, 4)."""
    each = groups[:, :, None]
    sides = np.minimum(each[..., 2:], boxes[:, 2:]) - np.maximum(each[..., :2], boxes[:, :2])
    return np.asarray(sides.clip(0).prod(axis=-1).sum(axis=(1, 2)))


# --- moved ----------------------------------------------------------------------------------------


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

    Arguments and errors are those of `ask_counterfactuals`.
    """

    def pictures(
        face: EvaluationFace, _: str, image: NDArray[np.uint8]
    ) -> tuple[list[NDArray[np.uint8]], dict[str, Any]]:
        moved, shift = move(face, image, config)
        return [moved], {"shift": shift}

    def found(
        face: EvaluationFace, _: str, texts: Sequence[str | None], shift: dict[str, Any]
    ) -> dict[str, Any]:
        return {**shift, "completion": texts[0]}

    asked = _Asked(_not_moved, pictures, found)
    said = {"shift": config.shift, "moving_seed": config.seed, **settings}
    _ask_again(data, completions, out, engine, asked, generation, said, on_start, on_answers)


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


def _not_moved(face: EvaluationFace, text: str | None) -> str:
    if face.landmarks is None:
        return NO_LANDMARKS
    if text is None:
        return NO_COMPLETION
    return "" if any(claim.aus for claim in read_trace(face.target, text).claims) else NO_CLAIM
