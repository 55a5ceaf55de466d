"""The report: results and a run's curves as one HTML file, its tables and figures beside it.

What a model wrote is never trusted: every value is escaped, and the page forbids its reader's
browser anything but its own style, its own script and embedded images.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import matplotlib as mpl
from markupsafe import Markup

import tag_rewards
from tag_rewards.evaluation.compare import p_text
from tag_rewards.evaluation.measures import MEASURES, Figure
from tag_rewards.evaluation.results import GALLERY_FILE, MODEL
from tag_rewards.files.whole import staged
from tag_rewards.pictures.sheet import PANEL, draw_faces
from tag_rewards.report import tables
from tag_rewards.report.drawings import (
    FONT,
    SHEET_FACES,
    draw_au_iou,
    draw_confusion,
    draw_figures,
    face_cards,
    inline_svg,
    sheet_pictures,
)
from tag_rewards.report.tables import Change, PValue, read_entries, to_csv, to_latex
from tag_rewards.runs.curves import COMPONENTS, draw_curve, draw_curves, logged_curves
from tag_rewards.runs.folder import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from tag_rewards.report.drawings import Card
    from tag_rewards.report.tables import Entry, Table, Tables
    from tag_rewards.runs.folder import StepMetrics

INDEX = "index.html"


class Part(NamedTuple):
    """What the report shows of one entry alone.

    Attributes:
        entry: The results.
        verdict: In one sentence, whether the model beats the baselines.
        tables: By what they are of: `faithfulness`, `aus`, `classes`, `confusion`, `shares` of its
            rows, `settings`.
        cards: The faces of the gallery.
    """

    entry: Entry
    verdict: str
    tables: Mapping[str, Table]
    cards: Sequence[Card]


class Content(NamedTuple):
    """What the report shows.

    Attributes:
        title: Of the page.
        lead: What was evaluated, in a sentence or two.
        in_short: What came out, a sentence each: of every pair, or of every entry if there is none.
        one_face: A face that was drawn at random, as each entry that shows it has it.
        warnings: Names of entries and what a reader must know before its figures.
        overview: What was evaluated.
        classification: The main table.
        across: One model over several protocols.
        pairs: Each two results of the same faces compared.
        counterfactual: None if it was not tried.
        moved: None if it was not tried.
        parts: One for each entry.
        speed: Of the GRPO run; None without one, or where nothing of it was logged.
    """

    title: str
    lead: str
    in_short: Sequence[str]
    one_face: Sequence[tuple[str, Card]]
    warnings: Sequence[tuple[str, str]]
    overview: Table
    classification: Table
    across: Tables
    pairs: Tables
    counterfactual: Table | None
    moved: Table | None
    parts: Sequence[Part]
    speed: Table | None = None

    @property
    def tables(self) -> Iterator[Table]:
        """Every table, in the order of the page."""
        yield from (self.overview, self.classification, *self.across.tables, *self.pairs.tables)
        if self.counterfactual:
            yield self.counterfactual
        if self.moved:
            yield self.moved
        for part in self.parts:
            yield from part.tables.values()
        if self.speed:
            yield self.speed


def write_report(folders: Sequence[Path], out: Path, run: Path | None = None) -> list[Path]:
    """Write the report of one or several results.

    Nothing is written when the input is refused.

    Args:
        folders: What `tag-rewards eval` wrote, at least one.
        out: Folder of the report; made if needed.
        run: Folder of the GRPO run whose reward curves are shown.

    Returns:
        What was written: `index.html` first, then the tables as CSV and for LaTeX, and the figures
        as PNG and SVG.

    Raises:
        InputError: A folder holds no results, or its files are malformed; the message names it.
        NotWrittenError: `out` cannot be written.
    """
    entries = read_entries(folders)
    metrics = None if run is None else read_metrics(run)
    content = make_content(entries, metrics)
    au_iou = draw_au_iou({entry.name: entry.results.by_au for entry in entries})
    headline = _headline(entries)
    drawings = {"headline": headline, "au-iou": au_iou}
    for part in content.parts:
        entry = part.entry
        title = f"{entry.name}, {entry.results.protocol}"
        drawings[f"confusion-{entry.slug}"] = draw_confusion(
            entry.results.labels, entry.strict.confusion, title
        )
        faces = sheet_pictures(entry.gallery, part.cards)
        if faces:
            drawings[f"faces-{entry.slug}"] = draw_faces(faces, min(SHEET_FACES, len(faces)))
    if metrics is not None:
        drawings["curves"] = draw_curves(metrics)
    beside = {
        **{f"{table.name}.csv": to_csv(table).encode("utf-8") for table in content.tables},
        **{
            f"{table.name}.tex": to_latex(table).encode("utf-8", errors="replace")
            for table in content.tables
        },
        **{
            f"{name}.{kind}": _picture(drawing, kind)
            for name, drawing in drawings.items()
            for kind in (("png",) if name.startswith("faces-") else ("png", "svg"))
        },
    }
    page = render(
        "report",
        asset("style.css"),
        asset("sort.js"),
        content=content,
        headline=inline_svg(headline, "headline", "The headline figures; the tables say the same"),
        au_iou=inline_svg(au_iou, "au-iou", "Mean IoU of each AU; the tables say the same"),
        curves=[] if metrics is None else _inline_curves(metrics),
        run="" if run is None else str(run),
        files=sorted(beside),
    )
    # A lone surrogate of a folder's name has no UTF-8.
    written = {INDEX: page.encode("utf-8", errors="replace"), **beside}
    with staged(out, last=INDEX, replaces=_files_of_a_report(out)) as scratch:
        for name, data in written.items():
            (scratch / name).write_bytes(data)
    return [out / name for name in written]


def _files_of_a_report(folder: Path) -> list[str]:
    """What a report that lies there says it wrote, so that none of an older one stays beside ours.

    Names with a folder in them are none of a report's.
    """
    try:
        page = (folder / INDEX).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    _, found, listed = page.rpartition(_FILES)
    listed = listed.partition("</ul>")[0] if found else ""
    return re.findall(r'<a href="([a-z0-9-]+\.(?:csv|tex|png|svg))">', listed)


_FILES = '<ul class="files">'


def _headline(entries: Sequence[Entry]) -> Drawing:
    """Accuracy and UAR of the answers, AU F1 and mean IoU of the traces."""
    found = {
        entry.name: {
            "accuracy": entry.strict.accuracy,
            "UAR": entry.strict.uar,
            **{
                MEASURES[name].words: entry.results.faithfulness[MODEL].get(name)
                for name in ("au_f1", "mean_iou")
            },
        }
        for entry in entries
    }
    rows = dict.fromkeys(row for figures in found.values() for row in figures)
    known = {
        name: {row: figure for row, figure in figures.items() if figure is not None}
        for name, figures in found.items()
    }
    return draw_figures(known, list(rows), "95 % interval")


def make_content(entries: Sequence[Entry], metrics: Sequence[StepMetrics] | None = None) -> Content:
    """All tables and faces of the results, and of a GRPO run's metrics."""
    names = " and ".join(entry.name for entry in entries) if len(entries) < 3 else "models"
    protocols = list(dict.fromkeys(entry.results.protocol for entry in entries))
    where = " and ".join(protocols) if len(protocols) < 3 else f"{len(protocols)} protocols"
    parts = [_part(entry) for entry in entries]
    pairs = tables.pairs(entries)
    return Content(
        title=f"Evaluation of {names} on {where}",
        lead=" ".join(
            f"{entry.name}: accuracy {entry.strict.accuracy.value:.3f} and UAR "
            f"{entry.strict.uar.value:.3f} on {entry.strict.n} faces."
            for entry in entries
        ),
        in_short=(
            [tables.pair_in_short(table) for table in pairs.tables]
            or [f"{part.entry.name}: {part.verdict}" for part in parts]
        ),
        one_face=_one_face(parts),
        warnings=_warnings(entries),
        overview=tables.overview_table(entries),
        classification=tables.main_table(entries),
        across=tables.across_protocols(entries),
        pairs=pairs,
        counterfactual=tables.counterfactual_table(entries),
        moved=tables.moved_table(entries),
        parts=parts,
        speed=None if metrics is None else tables.speed_table(metrics),
    )


def _warnings(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Each warning once, with the names of those that it is for."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        for text in entry.results.warnings:
            names.setdefault(text, []).append(entry.name)
    return [(", ".join(those), text) for text, those in names.items()]


def _one_face(parts: Sequence[Part]) -> list[tuple[str, Card]]:
    """The random face that most entries show, the first of several."""
    shown: dict[str, list[tuple[str, Card]]] = {}
    for part in parts:
        for card in part.cards:
            if any(kind.startswith("random ") for kind in card.kinds):
                shown.setdefault(card.row.id, []).append((part.entry.name, card))
    return max(shown.values(), key=len, default=[])


def _part(entry: Entry) -> Part:
    confusion, shares = tables.confusion_tables(entry)
    shown = {
        "faithfulness": tables.faithfulness_table(entry),
        "aus": tables.au_table(entry),
        "classes": tables.class_table(entry),
        "confusion": confusion,
        "shares": shares,
        "settings": tables.settings_table(entry),
    }
    cards = face_cards(entry.gallery, str(entry.folder / GALLERY_FILE))
    return Part(entry, tables.verdict(entry), shown, cards)


def _inline_curves(metrics: Sequence[StepMetrics]) -> list[Markup]:
    """Each curve for the page; in words the first and the last value, of the held-out faces."""
    inline = []
    for component, curve in logged_curves(metrics).items():
        steps, values = curve.validation if curve.validation.steps else curve.training
        ends = f"{values[0]:.2f} at step {steps[0]}, {values[-1]:.2f} at step {steps[-1]}"
        words = f"{COMPONENTS[component]} over the steps: {ends}"
        inline.append(inline_svg(draw_curve(component, curve), f"curve-{component}", words))
    return inline


def _picture(drawing: Drawing, kind: str) -> bytes:
    """The file of a drawing, the same bytes for the same drawing."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}[kind]
    data = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "tag-rewards"}):
        drawing.savefig(data, format=kind, metadata=metadata)
    return data.getvalue()


def render(
    name: str, style: str, script: str, package: str = __package__ or "", **values: Any
) -> str:
    """A page that needs nothing else, every value in it escaped.

    Args:
        name: Of the template, `templates/NAME.html.jinja` of the package, which may import the
            macros of the report.
        style: CSS of the page's one style element, its `style`.
        script: JavaScript of its one script element, its `script`.
        package: Where the template is.
        values: What the template shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader(__package__ or "")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["figure"] = lambda value: isinstance(value, Figure)
    environment.tests["change"] = lambda value: isinstance(value, Change)
    environment.filters["number"] = _number
    return environment.get_template(f"{name}.html.jinja").render(
        version=tag_rewards.__version__,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        panel=PANEL,
        font=FONT,
        **values,
    )


def _policy(style: str, script: str) -> str:
    """What a browser may do with the page: its one style, its one script, embedded images.

    Of styles, `style-src` is for browsers that do not tell elements from attributes. Attributes are
    allowed, since drawings are full of them; what they can do without loading anything is look odd.
    """
    return (
        "default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'; style-src-attr 'unsafe-inline'; "
        f"style-src-elem {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    """The source expression for an inline element with this content."""
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def asset(name: str, package: str = __package__ or "") -> str:
    """A style or script of the templates of a package."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def _number(value: float | int | str | None, sign: str = "") -> str:
    """A count as it is, a share with three digits, a p-value with four, – for what is not known."""
    if value is None:
        return "–"
    if isinstance(value, PValue):
        return p_text(value)
    return f"{value:{sign}.3f}".replace("-", "−") if isinstance(value, float) else str(value)
