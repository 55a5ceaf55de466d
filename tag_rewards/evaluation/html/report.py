"""`tag-rewards report`: results and a run's curves as one HTML file, with PNG and CSV beside it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from tag_rewards.evaluation.curves import COMPONENTS, draw_curve, draw_curves, logged_curves
from tag_rewards.evaluation.face_pictures import draw_faces
from tag_rewards.evaluation.gallery import GALLERY_FILE
from tag_rewards.evaluation.html.cards import SHEET_FACES, sheet_pictures
from tag_rewards.evaluation.html.content import make_content
from tag_rewards.evaluation.html.entries import read_entries
from tag_rewards.evaluation.html.figures import draw_au_iou, draw_confusion
from tag_rewards.evaluation.html.inline_svg import inline_svg
from tag_rewards.evaluation.html.page import render_page
from tag_rewards.evaluation.html.table import to_csv
from tag_rewards.evaluation.run_folder import read_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from markupsafe import Markup
    from matplotlib.figure import Figure

    from tag_rewards.evaluation.curves import Curve
    from tag_rewards.evaluation.html.entries import Entry
    from tag_rewards.evaluation.run_folder import StepMetrics

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


def _pictures(entries: Sequence[Entry], metrics: Sequence[StepMetrics] | None) -> dict[str, Figure]:
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


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()
