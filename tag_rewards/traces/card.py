"""The card of an exported build: a Hugging Face dataset card with counts, rates and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from tag_rewards.facs import ACTION_UNITS
from tag_rewards.traces.card_pictures import draw_acceptance, draw_aus, draw_reasons, draw_traces
from tag_rewards.traces.records import REASONS
from tag_rewards.traces.trace_files import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tag_rewards.traces.tally import Example, Tally

CARD_FILE = "README.md"
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


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """What is told of a build.

    Attributes:
        tally: Its counts.
        accepted: Traces to show.
        rejected: Likewise; their verdict's reason is told.
        images: The encoded image of each sample that is shown, by its name.
        data_source: Name of the dataset.
        prompt: The user's message of every row.
        held_out: Share of the samples that was held out; None where the dataset's splits decide.
        verifier: Hash of the verifier.
        criteria: What the hash is of, JSON values; of `VerifyConfig`.
    """

    tally: Tally
    accepted: Sequence[Example]
    rejected: Sequence[Example]
    images: Mapping[str, bytes]
    data_source: str
    prompt: str
    held_out: float | None
    verifier: str
    criteria: Mapping[str, Any]


def write_card(folder: Path, card: Card) -> None:
    """Write README.md and its pictures into a folder.

    Raises:
        OSError: A file cannot be written.
    """
    figures = {
        "acceptance.png": draw_acceptance(card.tally),
        "reasons.png": draw_reasons(card.tally),
        "aus.png": draw_aus(card.tally),
        "accepted.png": draw_traces(card.accepted, card.images),
        "rejected.png": draw_traces(card.rejected, card.images),
    }
    drawn = {name: figure for name, figure in figures.items() if figure is not None}
    for name, figure in drawn.items():
        # Without the version of matplotlib and the like: the same build gives the same bytes.
        figure.savefig(folder / name, metadata={"Software": None})
    (folder / CARD_FILE).write_text(printable(_text(card, set(drawn))), encoding="utf-8")


class _Rate(NamedTuple):
    """Some of all; `str` says how many percent."""

    part: int
    whole: int

    def __str__(self) -> str:
        return f"{self.part / self.whole:.1%}" if self.whole else "-"


def _text(card: Card, pictures: set[str]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["cell"] = _cell
    tally = card.tally
    numbers = sorted(tally.attempts)
    return environment.get_template("card.md.jinja").render(
        card=card,
        tally=tally,
        pictures=pictures,
        size=next((name for most, name in _SIZES if tally.rows.total() < most), "1M<n<10M"),
        acceptance=_Rate(tally.n_accepted, tally.n_asked),
        labels=[
            (
                label,
                tally.asked[label],
                tally.accepted[label],
                _Rate(tally.accepted[label], tally.asked[label]),
            )
            for label in tally.labels
        ],
        attempts=[
            (
                number,
                tally.attempts[number],
                tally.reasons[number, "accepted"],
                _Rate(tally.reasons[number, "accepted"], tally.attempts[number]),
            )
            for number in numbers
        ],
        numbers=numbers,
        reasons=[
            (reason, _EXPLAINED[reason], [tally.reasons[number, reason] for number in numbers])
            for reason in REASONS[1:]
            if any(tally.reasons[number, reason] for number in numbers)
        ],
        aus=[
            (
                au,
                ACTION_UNITS[au].name if au in ACTION_UNITS else "",
                tally.evidence_aus[au],
                tally.claimed_aus[au],
            )
            for au in sorted(tally.evidence_aus.keys() | tally.claimed_aus.keys())
        ],
        left_out=_left_out(tally),
    )


def _template(name: str) -> str:
    file = resources.files("tag_rewards.traces") / "templates" / name
    return file.read_text(encoding="utf-8")


def _cell(text: str) -> str:
    """Text that stays within its cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _left_out(tally: Tally) -> list[tuple[str, str, int]]:
    """Reasons with their details, the most frequent first; rare details are added up."""
    rows: list[tuple[str, str, int]] = []
    for reason in sorted({reason for reason, _ in tally.left_out}):
        details = [
            (count, detail) for (name, detail), count in tally.left_out.items() if name == reason
        ]
        details.sort(key=lambda item: (-item[0], item[1]))
        rows += [(reason, detail, count) for count, detail in details[:5]]
        if details[5:]:
            rows.append((reason, "other details", sum(count for count, _ in details[5:])))
    return sorted(rows, key=lambda row: -row[2])
