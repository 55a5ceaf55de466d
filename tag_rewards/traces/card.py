"""The card of an exported build: a Hugging Face dataset card with counts, rates and pictures.

The pictures are in colours that people with any colour vision can tell apart.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jinja2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tag_rewards.colours import OKABE_ITO
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS, au_name
from tag_rewards.files.images import decode_image
from tag_rewards.files.text import printable
from tag_rewards.pictures.marks import trace_marks
from tag_rewards.pictures.sheet import FacePicture, draw_faces
from tag_rewards.target import Target
from tag_rewards.trace import read_trace
from tag_rewards.traces.verifier import REASONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tag_rewards.traces.records import Attempt, Judged
    from tag_rewards.traces.verifier import Verdict

T = TypeVar("T")

CARD_FILE = "README.md"
PICTURES = ("acceptance.png", "reasons.png", "aus.png", "accepted.png", "rejected.png")
"""The name that the Hugging Face Hub looks for."""

_EXPLAINED = {
    "engine_error": "no text came back",
    "empty": "the text is empty",
    "truncated": "cut off at the most tokens",
    "format": "no trace, or one with too many mistakes",
    "no_answer": "not exactly one expression as the answer",
    "wrong_label": "the answer is another expression than the label",
    "ungrounded": "boxes and AUs agree too little with the evidence",
}

# The Hub's names for the sizes of datasets.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(slots=True)
class Tally:
    """The counts of a build.

    Attributes:
        asked: Samples that were asked about, by label.
        reasons: Attempts by number and reason, `accepted` among them.
        accepted_at: Samples by label and the number of the attempt that was accepted.
        modes: Accepted traces by mode.
        models: Attempts by model.
        prompts: Attempts by the hash of the writer's template.
        evidence_aus: AUs of the evidence of accepted traces.
        claimed_aus: AUs that accepted traces name.
        rows: Rows written, by file: `train` and `test`.
        left_out: Samples that were not asked about, by reason and its details.
        lost: Samples with an accepted trace that is not exported, by reason.
        waiting: Samples that are still to be asked about.
        prompt_tokens: Of all attempts.
        completion_tokens: Of all attempts.
    """

    asked: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[int, str]] = field(default_factory=Counter)
    accepted_at: Counter[tuple[str, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    evidence_aus: Counter[int] = field(default_factory=Counter)
    claimed_aus: Counter[int] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def labels(self) -> list[str]:
        """The labels that were asked about, in the order of `EXPRESSIONS`."""
        return [label for label in EXPRESSIONS if label in self.asked]

    @property
    def accepted(self) -> Counter[str]:
        """Samples with an accepted trace, by label."""
        return _by_first(self.accepted_at)

    @property
    def attempts(self) -> Counter[int]:
        """Attempts by number."""
        return _by_first(self.reasons)

    @property
    def by_reason(self) -> dict[str, list[int]]:
        """Attempts of each number, in order, by the reasons that there are."""
        numbers = sorted(self.attempts)
        counts = {reason: [self.reasons[n, reason] for n in numbers] for reason in REASONS}
        return {reason: of for reason, of in counts.items() if any(of)}

    @property
    def aus(self) -> list[int]:
        """The AUs of the evidence and of the traces, in order."""
        return sorted(self.evidence_aus.keys() | self.claimed_aus.keys())

    def count_attempts(self, target: Target, history: Sequence[tuple[Attempt, Verdict]]) -> None:
        """Count a sample and all that was asked about it."""
        self.asked[target.label] += 1
        for attempt, verdict in history:
            self.reasons[attempt.number, verdict.reason] += 1
            self.models[attempt.model] += 1
            self.prompts[attempt.prompt_hash] += 1
            self.prompt_tokens += attempt.prompt_tokens
            self.completion_tokens += attempt.completion_tokens

    def count_accepted(self, target: Target, attempt: Attempt, split: str) -> None:
        """Count a trace that is exported."""
        self.accepted_at[target.label, attempt.number] += 1
        self.modes[attempt.mode] += 1
        self.rows[split] += 1
        self.evidence_aus.update(item.au for item in target.evidence)
        claims = read_trace(target, attempt.text).claims
        self.claimed_aus.update({au for claim in claims for au in claim.aus})


def _by_first(counts: Counter[tuple[T, Any]]) -> Counter[T]:
    """The counts added up over all but the first part of their keys."""
    total: Counter[T] = Counter()
    for (first, _), count in counts.items():
        total[first] += count
    return total


def share_of(name: str) -> float:
    """A number in [0, 1) that is always the same for a name, and evenly spread over names.

    Example:
        >>> round(share_of("train_00001"), 3)
        0.485
    """
    digest = sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


class Examples:
    """Up to `count` of many traces: some of each kind, one a sample, the same in any order."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kinds: dict[str, list[tuple[float, int, Judged]]] = {}

    def add(self, kind: str, example: Judged) -> None:
        """Offer one."""
        kept = self._kinds.setdefault(kind, [])
        rank = share_of(example.sample.id), example.attempt.number, example
        insort(kept, rank, key=lambda item: item[:2])
        del kept[self._count :]

    def chosen(self) -> list[Judged]:
        """Those that were chosen: the kinds in turn, each by the hashes of its samples' names."""
        queues = [[item for _, _, item in self._kinds[kind]] for kind in sorted(self._kinds)]
        by_sample: dict[str, Judged] = {}
        while any(queues) and len(by_sample) < self._count:
            for queue in queues:
                while queue and queue[0].sample.id in by_sample:
                    del queue[0]
                if queue and len(by_sample) < self._count:
                    by_sample[queue[0].sample.id] = queue[0]
        return list(by_sample.values())


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """What is told of a build.

    Attributes:
        tally: Its counts.
        accepted: Accepted traces to show.
        rejected: Rejected ones to show, with the reason of their verdict.
        images: The encoded image of each sample that is shown, by its name.
        data_source: Name of the dataset.
        prompt: The user's message of every row.
        held_out: Share of the samples that was held out; None where the dataset's splits decide.
        verifier: Hash of the verifier.
        criteria: What the hash is of, JSON values; of `VerifyConfig`.
    """

    tally: Tally
    accepted: Sequence[Judged]
    rejected: Sequence[Judged]
    images: Mapping[str, bytes]
    data_source: str
    prompt: str
    held_out: float | None
    verifier: str
    criteria: Mapping[str, Any]


def write_card(folder: Path, card: Card) -> None:
    """Write README.md and its pictures into a folder."""
    figures = (
        draw_acceptance(card.tally),
        draw_reasons(card.tally),
        draw_aus(card.tally),
        draw_traces(card.accepted, card.images),
        draw_traces(card.rejected, card.images),
    )
    drawn = {name: one for name, one in zip(PICTURES, figures, strict=True) if one is not None}
    for name, figure in drawn.items():
        # Without the version of matplotlib and the like: the same build gives the same bytes.
        figure.savefig(folder / name, metadata={"Software": None})
    (folder / CARD_FILE).write_text(printable(_text(card, set(drawn))), encoding="utf-8")


def _text(card: Card, pictures: set[str]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tag_rewards.traces"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Text that stays within its cell of a table.
    environment.filters["cell"] = lambda text: " ".join(text.replace("|", "\\|").split())
    tally = card.tally
    return environment.get_template("card.md.jinja").render(
        card=card,
        tally=tally,
        pictures=pictures,
        size=next((name for most, name in _SIZES if tally.rows.total() < most), "1M<n<10M"),
        rate=lambda part, whole: f"{part / whole:.1%}" if whole else "-",
        numbers=sorted(tally.attempts),
        reasons=[
            (reason, _EXPLAINED[reason], counts)
            for reason, counts in tally.by_reason.items()
            if reason != "accepted"
        ],
        aus=[(au, ACTION_UNITS[au].name if au in ACTION_UNITS else "") for au in tally.aus],
        left_out=_left_out(tally),
    )


def _left_out(tally: Tally) -> list[tuple[str, str, int]]:
    """Reasons with their details, the most frequent first; rare details are added up."""
    rows: list[tuple[str, str, int]] = []
    counted = [(reason, detail, count) for (reason, detail), count in tally.left_out.items()]
    counted.sort(key=lambda row: (row[0], -row[2], row[1]))
    for reason, group in groupby(counted, key=lambda row: row[0]):
        details = list(group)
        rows += details[:5]
        if details[5:]:
            rows.append((reason, "other details", sum(count for *_, count in details[5:])))
    return sorted(rows, key=lambda row: -row[2])


_BLUE, _VERMILION, _SKY, _YELLOW, _PINK, _ORANGE, _GREEN = OKABE_ITO
_NOT_ACCEPTED = "#bbbbbb"
_ATTEMPTS = (_BLUE, _SKY, _GREEN, _YELLOW)
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
    figure, axes = _stack([f"{label} ({tally.asked[label]})" for label in labels], bars)
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
        reason.replace("_", " "): (np.array(counts, float), _REASON_COLOURS[reason])
        for reason, counts in tally.by_reason.items()
    }
    figure, axes = _stack([f"attempt {number}" for number in numbers], bars)
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
    aus = tally.aus
    if not aus:
        return None
    figure, axes = _panel(len(aus))
    rows = np.arange(len(aus))
    for counts, shift, colour, label in (
        (tally.evidence_aus, -0.2, _ORANGE, "in the evidence"),
        (tally.claimed_aus, 0.2, _BLUE, "named by the trace"),
    ):
        axes.barh(rows + shift, [counts[au] for au in aus], 0.38, color=colour, label=label)
    axes.set_yticks(rows, [au_name(au) for au in aus])
    axes.set_ylim(len(aus) - 0.4, -0.6)
    axes.set(xlabel="accepted traces", title="Action Units of the accepted traces")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes)
    return figure


def draw_traces(examples: Sequence[Judged], images: Mapping[str, bytes]) -> Figure | None:
    """Faces with the detector's evidence and what the trace claims; None without an example."""
    return draw_faces([_face(item, images) for item in examples]) if examples else None


def _face(example: Judged, images: Mapping[str, bytes]) -> FacePicture:
    sample, attempt = example.sample, example.attempt
    image = decode_image(images[sample.id], f"the image of sample {sample.id!r}")
    target = Target.from_json(sample.target)
    title = f"{printable(sample.id)}: {target.label}"
    return FacePicture(title, _note(example), image, trace_marks(image, target, attempt.text))


def _note(example: Judged) -> str:
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


def _panel(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 1.7 + 0.42 * rows), dpi=110, layout="constrained")
    return figure, figure.subplots()


def _stack(names: Sequence[str], bars: Mapping[str, tuple[np.ndarray, str]]) -> tuple[Figure, Axes]:
    """Horizontal bars, one row a name, the first name at the top."""
    figure, axes = _panel(len(names))
    left = np.zeros(len(names))
    for label, (values, colour) in bars.items():
        axes.barh(names, values, left=left, color=colour, label=label, edgecolor="white")
        left = left + values
    axes.set_ylim(len(names) - 0.4, -0.6)
    return figure, axes


def _legend(figure: Figure, axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    _, names = axes.get_legend_handles_labels()
    columns = 5 if len(names) == 5 else 4
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
