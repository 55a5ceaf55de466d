"""Traces for SFT, rendered from the evidence by templates.

A stand-in for traces written by a VLM: the boxes and AUs are the detector's, the wording comes from
`tag_rewards.data.phrases`. `imprecise` makes them err as VLM-written ones do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.data.phrases import (
    AU_PHRASES,
    CALM_CONCLUSIONS,
    CALM_PHRASES,
    CONCLUSIONS,
    FACE_PHRASES,
    WHOLE_FACE,
)
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.trace import Step, Trace, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tag_rewards.data.prompts import PromptName
    from tag_rewards.geometry import BoxSpace

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class AUBox:
    """An AU that a trace calls active, and where.

    Attributes:
        au: AU number.
        box: x1, y1, x2, y2, integers in the target's box space.
    """

    au: int
    box: Box


@dataclass(frozen=True, slots=True)
class Imprecision:
    """How far traces are off, in imitation of VLM-written ones. Ours; zero by default.

    Attributes:
        box_jitter: Standard deviation of a box's centre, along each axis and relative to that
            side, and of the logarithm of each side. 0 to 1.
        box_growth: Mean of the logarithm by which each side is too long: 0.25 draws boxes 28 %
            too wide and too high, around the thing instead of on it. 0 to 1.
        au_error: Probability that one AU of a trace is wrong: half of the time one is missing,
            half of the time an inactive one takes its place. 0 to 1.
    """

    box_jitter: float = 0.0
    box_growth: float = 0.0
    au_error: float = 0.0

    def __post_init__(self) -> None:
        for name in ("box_jitter", "box_growth", "au_error"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not 0 to 1")


def imprecise(
    claims: Sequence[AUBox],
    au_boxes: Mapping[int, Box],
    space: BoxSpace,
    imprecision: Imprecision,
    rng: np.random.Generator,
) -> list[AUBox]:
    """Claims as an imprecise annotator would make them.

    A face without an active AU stays so, and a single AU is replaced rather than left out, so that
    the form of the trace does not change. There are never more claims than there were.

    Args:
        claims: What the detector saw.
        au_boxes: Where each AU would be; those that are not claimed may be imagined.
        space: Space of the boxes; they stay inside.
        imprecision: How far to be off.
        rng: The source of randomness; the same state gives the same claims.
    """
    wrong = list(claims)
    if wrong and rng.random() < imprecision.au_error:
        victim = int(rng.integers(len(wrong)))
        absent = sorted(set(au_boxes) - {claim.au for claim in claims})
        if absent and (len(wrong) == 1 or rng.random() < 0.5):
            imagined = absent[int(rng.integers(len(absent)))]
            wrong[victim] = AUBox(imagined, au_boxes[imagined])
        elif len(wrong) > 1:
            del wrong[victim]
    return [AUBox(claim.au, _jitter(claim.box, imprecision, space, rng)) for claim in wrong]


def _jitter(box: Box, imprecision: Imprecision, space: BoxSpace, rng: np.random.Generator) -> Box:
    deviation, growth = imprecision.box_jitter, imprecision.box_growth
    if deviation == growth == 0:
        return box
    low, high = np.array(box[:2], float), np.array(box[2:], float)
    side = (high - low) * np.exp(rng.normal(growth, deviation, 2))
    centre = (low + high) / 2 + (high - low) * rng.normal(0, deviation, 2)
    extent = np.array(space.extent)
    low = np.clip(np.rint(centre - side / 2), 0, extent - 1)
    high = np.clip(np.rint(centre + side / 2), low + 1, extent)
    x1, y1, x2, y2 = (int(value) for value in (*low, *high))
    return x1, y1, x2, y2


def write_trace(
    label: str,
    claims: Sequence[AUBox],
    face_box: Box,
    rng: np.random.Generator,
    style: PromptName = "tag",
) -> str:
    """Write a trace in the form that `tag_rewards.trace.parse_trace` reads.

    Steps go by AU number, which in FACS runs from the brow to the chin. A face without an active
    AU gets one step, over the whole face and without an AU.

    Args:
        label: Canonical name of the expression.
        claims: The AUs to name, each with its box.
        face_box: Box around the face, for a face without an active AU.
        rng: Chooses the wording.
        style: `tag` varies its sentences; `short` always uses the shortest, for small models.

    Example:
        >>> rng, smile = np.random.default_rng(0), AUBox(12, (30, 70, 80, 90))
        >>> print(write_trace("happiness", [smile], (9, 9, 99, 99), rng, style="short"))
        Global analysis: a cheerful face.
        Verification loop:
        Inspect mouth corners (AU12) → corners up → <bbox>[30,70,80,90]</bbox>
        Final conclusion: AU12 indicate happiness.
        <answer> happiness </answer>
    """

    def wording(phrases: Sequence[str]) -> str:
        if style == "short":
            return phrases[0]
        return phrases[1 + int(rng.integers(len(phrases) - 1))]

    steps = [
        Step(ACTION_UNITS[claim.au].area, wording(AU_PHRASES[claim.au]), claim.box, claim.au)
        for claim in sorted(claims, key=lambda claim: claim.au)
    ]
    aus = tuple(step.au for step in steps if step.au is not None)
    if not steps:
        steps = [Step(WHOLE_FACE, wording(CALM_PHRASES), face_box, None)]
    conclusion = wording(CONCLUSIONS if aus else CALM_CONCLUSIONS)
    named = " + ".join(f"AU{au}" for au in aus)
    return render(
        Trace(
            global_analysis=wording(FACE_PHRASES[label]),
            steps=tuple(steps),
            conclusion=conclusion.format(aus=named, label=label),
            conclusion_aus=aus,
            answer=label,
        )
    )
