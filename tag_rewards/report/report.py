"""`tag-rewards report`: results and a run's curves as one HTML file, with PNG and CSV beside it.

The page as text, from values and the templates beside this file.

What a model wrote is never trusted: every value is escaped, and the page forbids its reader's
browser anything but its own style, its own script and embedded images.
"""

from __future__ import annotations

import base64
import hashlib
import io
from importlib.resources import files
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

import tag_rewards
from tag_rewards.evaluation.figures import Figure
from tag_rewards.evaluation.samples import GALLERY_FILE
from tag_rewards.pictures.sheet import draw_faces
from tag_rewards.pictures.view import PANEL
from tag_rewards.report.cards import FONT, SHEET_FACES, sheet_pictures
from tag_rewards.report.content import make_content
from tag_rewards.report.figures import draw_au_iou, draw_confusion, inline_svg
from tag_rewards.report.table import Change, read_entries, to_csv
from tag_rewards.runs.curves import COMPONENTS, draw_curve, draw_curves, logged_curves
from tag_rewards.runs.folder import read_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure as Drawing

    from tag_rewards.report.content import Content
    from tag_rewards.report.table import Entry
    from tag_rewards.runs.curves import Curve
    from tag_rewards.runs.folder import StepMetrics


def render_page(
    content: Content,
    *,
    au_figure: Markup,
    curves: Sequence[Markup],
    run: str,
    files: Sequence[str],
) -> str:
    """The HTML of the report.

    Args:
        content: tables and faces.
        au_figure: IoU by AU.
        curves: reward curves; none if there is no run.
        run: the folder that the curves are of.
        files: names of the files beside the page.
    """
    script = _asset("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = _environment().get_template("report.html.jinja")
    return page.render(
        content=content,
        au_figure=au_figure,
        curves=curves,
        run=run,
        files=files,
        version=tag_rewards.__version__,
        style=Markup(_asset("style.css")),
        script=Markup(script),
        policy=(
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        ),
        panel=PANEL,
        font=FONT,
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["figure"] = lambda value: isinstance(value, Figure)
    environment.tests["change"] = lambda value: isinstance(value, Change)
    environment.filters["number"] = _number
    return environment


def _number(value: float | int | str | None, sign: str = "") -> str:
    """A count as it is, a share with three digits, – for what is not known."""
    if value is None:
        return "–"
    return f"{value:{sign}.3f}".replace("-", "−") if isinstance(value, float) else str(value)


INDEX = "index.html"


def write_report(folders: Sequence[Path], out: Path, run: Path | None = None) -> list[Path]:
    """Write the report of one or several results.

    Nothing is written when the input is refused.

    Args:
        folders: what `tag-rewards eval` wrote, at least one.
        out: folder of the report; made if needed.
        run: folder of the GRPO run whose reward curves are shown.

    Returns:
        What was written: `index.html` first, then the CSV and PNG files.

    Raises:
        InputError: a folder holds no results, or its files are malformed; the message names it.
        OSError: a file cannot be read or written.
    """
    entries = read_entries(folders)
    metrics = None if run is None else read_metrics(run)
    content = make_content(entries)
    au_iou = draw_au_iou({entry.name: entry.results.by_au for entry in entries})
    pictures = {"au-iou": au_iou, **_pictures(entries, metrics)}
    files = {
        **{f"{table.name}.csv": to_csv(table).encode("utf-8") for table in content.tables},
        **{f"{name}.png": _png(figure) for name, figure in pictures.items()},
    }
    page = render_page(
        content,
        au_figure=inline_svg(au_iou, "au-iou", "Mean IoU of each AU; the tables say the same"),
        curves=[] if metrics is None else _curves(metrics),
        run="" if run is None else str(run),
        files=sorted(files),
    )
    out.mkdir(parents=True, exist_ok=True)
    # A lone surrogate of a folder's name has no UTF-8.
    written = {INDEX: page.encode("utf-8", errors="replace"), **files}
    for name, data in written.items():
        (out / name).write_bytes(data)
    return [out / name for name in written]


def _pictures(
    entries: Sequence[Entry], metrics: Sequence[StepMetrics] | None
) -> dict[str, Drawing]:
    """The figures that are written as PNG, by name."""
    pictures = {}
    for entry in entries:
        title = f"{entry.name}, {entry.results.protocol}"
        pictures[f"confusion-{entry.slug}"] = draw_confusion(
            entry.results.labels, entry.strict.confusion, title
        )
        faces = sheet_pictures(entry.gallery, str(entry.folder / GALLERY_FILE))
        if faces:
            pictures[f"faces-{entry.slug}"] = draw_faces(faces, min(SHEET_FACES, len(faces)))
    if metrics is not None:
        pictures["curves"] = draw_curves(metrics)
    return pictures


def _curves(metrics: Sequence[StepMetrics]) -> list[Markup]:
    return [
        inline_svg(
            draw_curve(component, curve),
            f"curve-{component}",
            f"{COMPONENTS[component]} over the steps: {_ends(curve)}",
        )
        for component, curve in logged_curves(metrics).items()
    ]


def _ends(curve: Curve) -> str:
    """The first and the last value of a curve in words, of the held-out faces if there are any."""
    steps, values = curve.validation if curve.validation.steps else curve.training
    return f"{values[0]:.2f} at step {steps[0]}, {values[-1]:.2f} at step {steps[-1]}"


def _png(figure: Drawing) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()
