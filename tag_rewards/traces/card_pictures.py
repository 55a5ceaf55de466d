"""The pictures of a build's card, in colours that people with any colour vision can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tag_rewards.data.canvas import decode_image
from tag_rewards.evaluation.colours import OKABE_ITO
from tag_rewards.evaluation.face_evidence import ModelView, claim_marks, target_marks
from tag_rewards.evaluation.face_pictures import FacePicture, draw_faces
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.target import Target
from tag_rewards.traces.records import REASONS
from tag_rewards.traces.trace_files import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from tag_rewards.traces.tally import Example, Tally

_BLUE, _VERMILION, _SKY, _YELLOW, _PINK, _ORANGE, _GREEN = OKABE_ITO
_NOT_ACCEPTED = "#bbbbbb"
_ATTEMPTS = (_BLUE, _SKY, _GREEN, _YELLOW)
_LATER = "later"
_REASON_COLOURS = {
    "accepted": _BLUE,
    "wrong_label": _VERMILION,
    "ungrounded": _ORANGE,
    "format": _YELLOW,
    "no_answer": _PINK,
    "truncated": _SKY,
    "empty": _NOT_ACCEPTED,
    "engine_error": "#555555",
}


def draw_acceptance(tally: Tally) -> Figure | None:
    """Share of each label's samples by the attempt that was accepted; None without a sample."""
    if not tally.asked:
        return None
    labels = tally.labels
    asked = np.array([tally.asked[label] for label in labels], float)
    numbers = sorted({number for _, number in tally.accepted_at})
    bars = {}
    for place, number in enumerate(numbers[: len(_ATTEMPTS)]):
        last = place == len(_ATTEMPTS) - 1
        later = numbers[place:] if last else [number]
        name = f"attempt {number}" + (" or later" if len(later) > 1 else "")
        counts = [sum(tally.accepted_at[label, n] for n in later) for label in labels]
        bars[name] = (np.array(counts) / asked, _ATTEMPTS[place])
    accepted = np.array([tally.accepted[label] for label in labels]) / asked
    bars["not accepted"] = (1 - accepted, _NOT_ACCEPTED)
    figure, axes = _panel(len(labels))
    _stack(axes, [f"{label} ({tally.asked[label]})" for label in labels], bars)
    for row, share in enumerate(accepted):
        axes.text(1.01, row, f"{share:.0%}", va="center", fontsize=10)
    axes.set(xlim=(0, 1), xlabel="share of the samples", title="Accepted, by label and attempt")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _legend(figure, axes)
    return figure


def draw_reasons(tally: Tally) -> Figure | None:
    """What became of the attempts of each number; None without an attempt."""
    if not tally.attempts:
        return None
    numbers = sorted(tally.attempts)
    bars = {
        reason.replace("_", " "): (
            np.array([tally.reasons[number, reason] for number in numbers], float),
            _REASON_COLOURS[reason],
        )
        for reason in REASONS
        if any(tally.reasons[number, reason] for number in numbers)
    }
    figure, axes = _panel(len(numbers))
    _stack(axes, [f"attempt {number}" for number in numbers], bars)
    for row, number in enumerate(numbers):
        share = tally.reasons[number, "accepted"] / tally.attempts[number]
        axes.text(tally.attempts[number], row, f" {share:.0%} accepted", va="center", fontsize=10)
    axes.set(xlabel="attempts", title="Verdicts, by attempt")
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes)
    return figure


def draw_aus(tally: Tally) -> Figure | None:
    """How often each AU is in the evidence and in the traces; None without an accepted trace."""
    aus = sorted(tally.evidence_aus.keys() | tally.claimed_aus.keys())
    if not aus:
        return None
    figure, axes = _panel(len(aus))
    rows = np.arange(len(aus))
    for counts, shift, colour, label in (
        (tally.evidence_aus, -0.2, _ORANGE, "in the evidence"),
        (tally.claimed_aus, 0.2, _BLUE, "named by the trace"),
    ):
        axes.barh(rows + shift, [counts[au] for au in aus], 0.38, color=colour, label=label)
    axes.set_yticks(rows, [_au_name(au) for au in aus])
    axes.set_ylim(len(aus) - 0.4, -0.6)
    axes.set(xlabel="accepted traces", title="Action Units of the accepted traces")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes)
    return figure


def draw_traces(examples: Sequence[Example], images: Mapping[str, bytes]) -> Figure | None:
    """Faces with the detector's evidence and what the trace claims; None without an example."""
    return draw_faces([_face(item, images) for item in examples]) if examples else None


def _face(example: Example, images: Mapping[str, bytes]) -> FacePicture:
    sample, attempt = example.sample, example.attempt
    image = decode_image(images[sample.id], f"the image of sample {sample.id!r}")
    target = Target.from_json(sample.target)
    height, width = image.shape[:2]
    view = ModelView(target.box_space, width, height)
    return FacePicture(
        title=f"{printable(sample.id)}: {target.label}",
        note=_note(example),
        image=image,
        marks=target_marks(target, view) + claim_marks(attempt.text, view),
    )


def _note(example: Example) -> str:
    """What became of the trace."""
    verdict = example.verdict
    words = verdict.reason.replace("_", " ")
    if verdict.reason == "wrong_label":
        words += f": {verdict.answer}"
    if verdict.scores.get("abstained"):
        words += ", no AU in the evidence"
    elif "grounding" in verdict.scores:
        words += f", grounding {verdict.scores['grounding']:.2f}"
    return f"attempt {example.attempt.number}, {words}"


def _au_name(au: int) -> str:
    unit = ACTION_UNITS.get(au)
    return f"AU{au} {unit.name}" if unit else f"AU{au}"


def _panel(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 1.7 + 0.42 * rows), dpi=110, layout="constrained")
    return figure, figure.subplots()


def _stack(axes: Axes, names: Sequence[str], bars: Mapping[str, tuple[np.ndarray, str]]) -> None:
    """Horizontal bars, one row a name, the first name at the top."""
    left = np.zeros(len(names))
    for label, (values, colour) in bars.items():
        axes.barh(names, values, left=left, color=colour, label=label, edgecolor="white")
        left = left + values
    axes.set_ylim(len(names) - 0.4, -0.6)


def _legend(figure: Figure, axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    _, names = axes.get_legend_handles_labels()
    columns = 5 if len(names) == 5 else 4
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
