"""The baselines of the faithfulness table: AUs that are put where nobody has looked.

Faces in a dataset are cropped alike and AU boxes are small, so that a box which is the same for
every face may score well. A model looks at the face if it does better than these. All but the last
are told the AUs of each face, so that what is left to compare is the places; the last is told the
expression and says what is true of another face of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.evaluation.faithfulness import HIT_IOU
from tag_rewards.evaluation.measures import JudgedFaces
from tag_rewards.evaluation.results import ANOTHER_FACE
from tag_rewards.facs import ACTION_UNITS, AREAS, named_areas
from tag_rewards.geometry import BoxSpace, box_area, convert_boxes
from tag_rewards.geometry.boxes import face_area
from tag_rewards.geometry.matching import CONTAINED
from tag_rewards.target import SeenBoxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.geometry.matching import Box
    from tag_rewards.target import Target

#: The names of the baselines, in the order of every table.
BOX_BASELINES = ("random boxes", "mean boxes", "whole face", ANOTHER_FACE)

_THOUSANDTHS = BoxSpace.normalized_1000()
_AREA_OF_AU = {
    au: list(AREAS).index(named_areas(unit.area)[0]) for au, unit in ACTION_UNITS.items()
}


@dataclass(frozen=True, slots=True, eq=False)
class SeenAUs:
    """The AUs of all targets, one after the other.

    Attributes:
        n_faces: Number of targets.
        face: Which target each AU is of, shape (m,).
        au: Its number, shape (m,).
        boxes: Where it was seen, shape (m, 4).
        areas: The box of the area that it is named after, shape (m, 4); NaN where it is not known.
        extents: Largest x and y of the target's box space, shape (m, 2).
    """

    n_faces: int
    face: NDArray[np.intp]
    au: NDArray[np.intp]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    extents: NDArray[np.float64]

    @classmethod
    def of(cls, targets: Sequence[Target], areas: NDArray[np.float64]) -> SeenAUs:
        """From targets and the boxes of the areas of their faces (`area_boxes`)."""
        seen = [(i, item) for i, target in enumerate(targets) for item in target.evidence]
        face = np.array([i for i, _ in seen], dtype=np.intp)
        index = np.array([_AREA_OF_AU.get(item.au, -1) for _, item in seen], dtype=np.intp)
        return cls(
            n_faces=len(targets),
            face=face,
            au=np.array([item.au for _, item in seen], dtype=np.intp),
            boxes=np.array([item.box for _, item in seen], dtype=np.float64).reshape(-1, 4),
            areas=np.where(index[:, np.newaxis] >= 0, areas[face, index], np.nan),
            extents=np.array([targets[i].box_space.extent for i, _ in seen]).reshape(-1, 2),
        )


def baseline_faces(
    targets: Sequence[Target],
    landmarks: Sequence[NDArray[np.float64] | None],
    areas: NDArray[np.float64],
    training: Mapping[int, Box] | None,
    seed: int = 0,
) -> dict[str, JudgedFaces]:
    """What each of `BOX_BASELINES` is worth on each face.

    An AU that the training set does not have is named, and has no mean box. Where a face has no
    landmarks, the whole image stands for it.

    Args:
        targets: Of the evaluated faces.
        landmarks: (68, 2) in the target's box space for each face, None where there are none.
        areas: The boxes of their areas (`area_boxes`).
        training: The `SeenBoxes.means` of a training set; None to leave that baseline out.
        seed: Seed of the random boxes.
    """
    seen = SeenAUs.of(targets, areas)
    blind = blind_faces(seen).mean_iou
    boxes = {"random boxes": random_boxes(seen.extents, np.random.default_rng(seed))}
    if training is not None:
        by_space = {space: in_space(training, space) for space in {t.box_space for t in targets}}
        nowhere = (np.nan,) * 4
        placed = [
            by_space[targets[face].box_space].get(au, nowhere)
            for face, au in zip(seen.face, seen.au, strict=True)
        ]
        boxes["mean boxes"] = np.array(placed, dtype=np.float64).reshape(-1, 4)
    sizes = [map(round, target.box_space.extent) for target in targets]
    faces = [face_area(points, *size) for points, size in zip(landmarks, sizes, strict=True)]
    boxes["whole face"] = np.array(faces, dtype=np.float64)[seen.face]
    found = {name: placed_faces(seen, of) for name, of in boxes.items()}
    found[ANOTHER_FACE] = other_faces(targets, seen)
    return {name: replace(of, blind_iou=blind) for name, of in found.items()}


def blind_faces(seen: SeenAUs) -> JudgedFaces:
    """What traces are worth that put each true AU at its mean place over the other faces.

    The baseline of the skill. It needs no training set, and is of the very faces that are
    evaluated: training faces that lie elsewhere have other means. An AU that no other face has is
    not placed.
    """
    scale = np.tile(seen.extents, 2) / 1000
    places = SeenBoxes(seen.face, seen.au, seen.boxes / scale).means_of_others()
    return placed_faces(seen, places * scale)


def blind_iou(targets: Sequence[Target]) -> NDArray[np.float64]:
    """The mean AU-IoU of `blind_faces` on each target, shape (n,); 0 on one without AUs."""
    nowhere = np.full((len(targets), len(AREAS), 4), np.nan)
    return blind_faces(SeenAUs.of(targets, nowhere)).mean_iou


def other_faces(targets: Sequence[Target], seen: SeenAUs) -> JudgedFaces:
    """What the perfect trace of another face is worth: of the next one with AUs and the same label.

    What it says is right for an expression, and nobody looked at this face. A face that is alone
    with its label has no trace, which is worth 0. Text-box agreement is not judged.
    """
    by_face: list[dict[int, int]] = [{} for _ in targets]
    for row, (face, au) in enumerate(zip(seen.face.tolist(), seen.au.tolist(), strict=True)):
        by_face[face][au] = row
    of_label = defaultdict[str, list[int]](list)
    for face, target in enumerate(targets):
        if target.evidence:
            of_label[target.label].append(face)
    others: list[dict[int, int]] = [{} for _ in targets]
    for alike in of_label.values():
        for face, other in zip(alike, (*alike[1:], alike[0]), strict=True):
            others[face] = by_face[other] if other != face else {}
    pairs = zip(seen.face.tolist(), seen.au.tolist(), strict=True)
    rows = np.array([others[face].get(au, -1) for face, au in pairs], dtype=np.intp)
    scale = np.tile(seen.extents, 2)
    boxes = (seen.boxes / scale)[rows] * scale
    boxes[rows < 0] = np.nan
    found = placed_faces(seen, boxes)
    right = np.array([len(own.keys() & of) for own, of in zip(by_face, others, strict=True)])
    named = np.array([len(of) for of in others])
    unseen = [
        of.keys() - one.by_au.keys() - one.ignored for of, one in zip(others, targets, strict=True)
    ]
    return replace(
        found,
        written=(named > 0).astype(np.float64),
        au_precision=right / np.maximum(named, 1),
        au_recall=right / np.maximum(found.n_aus, 1),
        au_f1=2 * right / np.maximum(named + found.n_aus, 1),
        n_mentions=named.astype(np.float64),
        n_hallucinated=np.array([len(of) for of in unseen], dtype=np.float64),
        claim_agrees=np.full(len(found.claim_face), np.nan),
    )


def placed_faces(seen: SeenAUs, boxes: NDArray[np.float64]) -> JudgedFaces:
    """What traces are worth that name the true AUs and place them so.

    The same numbers as `faithfulness.judge` gives for such traces, all faces at once.

    Args:
        seen: The true AUs.
        boxes: A box for each of them, shape (m, 4); NaN for an AU that is not placed.
    """

    def by_face(values: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(seen.face, values, seen.n_faces).astype(np.float64, copy=False)

    placed = ~np.isnan(boxes[:, 0])
    inner = _overlap_area(boxes, seen.boxes)
    iou = np.where(placed, inner / (box_area(boxes) + box_area(seen.boxes) - inner), 0.0)
    located = placed & ~np.isnan(seen.areas[:, 0])
    share = np.zeros(len(boxes))
    np.divide(_overlap_area(boxes, seen.areas), box_area(boxes), out=share, where=located)
    n_aus = by_face(np.ones(len(boxes)))
    counts = (n_aus > 0).astype(np.float64)
    return JudgedFaces(
        counted=counts,
        written=counts,
        mean_iou=by_face(iou) / np.maximum(n_aus, 1),
        hit_rate=by_face(iou >= HIT_IOU) / np.maximum(n_aus, 1),
        au_precision=counts,
        au_recall=counts,
        au_f1=counts,
        n_aus=n_aus,
        n_placed=by_face(placed),
        n_mentions=n_aus,
        words_judged=np.full(seen.n_faces, np.nan),  # a baseline says nothing
        n_hallucinated=np.zeros(seen.n_faces),
        blind_iou=np.zeros(seen.n_faces),
        claim_face=seen.face[placed],
        claim_au=seen.au[placed].astype(np.float64),
        claim_iou=iou[placed],
        claim_agrees=np.where(located, share >= CONTAINED, np.nan)[placed],
        words=np.full((seen.n_faces, 3), np.nan),
    )


def _overlap_area(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each box with its counterpart; 0 if one is NaN."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    area: NDArray[np.float64] = np.nan_to_num(np.maximum(sides, 0.0)).prod(axis=1)
    return area


def in_space(boxes: Mapping[int, Box], space: BoxSpace) -> dict[int, Box]:
    """Boxes in thousandths of the image as whole numbers of another space."""
    converted = convert_boxes(list(boxes.values()), _THOUSANDTHS, space).round()
    return {au: _as_box(box) for au, box in zip(boxes, converted, strict=True)}


def random_boxes(extents: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """For each extent (m, 2) two corners drawn evenly, a unit apart at least: boxes (m, 4)."""
    corners = rng.uniform(size=(len(extents), 2, 2)) * (extents - 1)[:, np.newaxis]
    low, high = np.floor(corners.min(axis=1)), np.floor(corners.max(axis=1))
    return np.concatenate([low, high + 1], axis=1)


def _as_box(values: NDArray[np.float64]) -> Box:
    x1, y1, x2, y2 = values.tolist()
    return x1, y1, x2, y2
