"""Everything that the report shows, as values: what the template writes and what goes into CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tag_rewards.evaluation.console import warnings
from tag_rewards.evaluation.samples import GALLERY_FILE
from tag_rewards.report import tables
from tag_rewards.report.cards import face_cards
from tag_rewards.report.tables import across_protocols, pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tag_rewards.report.cards import Card
    from tag_rewards.report.table import Entry, Table
    from tag_rewards.report.tables import Tables


@dataclass(frozen=True, slots=True)
class Part:
    """What the report shows of one entry alone.

    Attributes:
        entry: the results.
        verdict: in one sentence, whether the model beats the baselines.
        faithfulness: the model beside the baselines.
        aus: each AU.
        classes: each label.
        confusion: counts.
        shares: the same as shares of each row.
        settings: how it was evaluated.
        cards: the faces of the gallery.
    """

    entry: Entry
    verdict: str
    faithfulness: Table
    aus: Table
    classes: Table
    confusion: Table
    shares: Table
    settings: Table
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """What the report shows.

    Attributes:
        title: of the page.
        lead: what was evaluated, in a sentence or two.
        warnings: name of an entry and what a reader must know before its figures.
        overview: what was evaluated.
        classification: the main table.
        across: one model over several protocols.
        pairs: each two results of the same faces compared.
        counterfactual: None if it was not tried.
        parts: one for each entry.
    """

    title: str
    lead: str
    warnings: tuple[tuple[str, str], ...]
    overview: Table
    classification: Table
    across: Tables
    pairs: Tables
    counterfactual: Table | None
    parts: tuple[Part, ...]

    @property
    def tables(self) -> Iterator[Table]:
        """Every table, in the order of the page."""
        yield from (self.overview, self.classification)
        yield from (*self.across.tables, *self.pairs.tables)
        if self.counterfactual:
            yield self.counterfactual
        for part in self.parts:
            yield from (part.faithfulness, part.aus, part.classes, part.confusion, part.shares)
            yield part.settings


def make_content(entries: Sequence[Entry]) -> Content:
    """All tables and faces of the results.

    Raises:
        InputError: a face of a gallery cannot be read.
    """
    return Content(
        title=_title(entries),
        lead=_lead(entries),
        warnings=tuple((e.name, text) for e in entries for text in warnings(e.results)),
        overview=tables.overview_table(entries),
        classification=tables.main_table(entries),
        across=across_protocols(entries),
        pairs=pairs(entries),
        counterfactual=tables.counterfactual_table(entries),
        parts=tuple(_part(entry) for entry in entries),
    )


def _part(entry: Entry) -> Part:
    confusion, shares = tables.confusion_tables(entry)
    return Part(
        entry=entry,
        verdict=tables.verdict(entry),
        faithfulness=tables.faithfulness_table(entry),
        aus=tables.au_table(entry),
        classes=tables.class_table(entry),
        confusion=confusion,
        shares=shares,
        settings=tables.settings_table(entry),
        cards=tuple(face_cards(entry.gallery, str(entry.folder / GALLERY_FILE))),
    )


def _title(entries: Sequence[Entry]) -> str:
    names = " and ".join(entry.name for entry in entries) if len(entries) < 3 else "models"
    protocols = list(dict.fromkeys(entry.results.protocol for entry in entries))
    where = " and ".join(protocols) if len(protocols) < 3 else f"{len(protocols)} protocols"
    return f"Evaluation of {names} on {where}"


def _lead(entries: Sequence[Entry]) -> str:
    said = [
        f"{entry.name}: accuracy {entry.strict.accuracy.value:.3f} and UAR "
        f"{entry.strict.uar.value:.3f} on {entry.strict.n} faces."
        for entry in entries
    ]
    return " ".join(said)
