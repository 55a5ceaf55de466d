"""From a dataset to the table of its images' quality, a picture of it, and one for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.datasets.protocols import load_protocol, some_of_each_split
from tag_rewards.errors import InputError, require_at_least_1
from tag_rewards.facs import EXPRESSIONS
from tag_rewards.files.whole import staged
from tag_rewards.quality.measures import MEASURES
from tag_rewards.quality.table import judge, measure_samples, write_quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

    from tag_rewards.datasets.protocols import Protocol
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.quality.measures import Limit
    from tag_rewards.quality.table import Judged


def picture_of(out: Path) -> Path:
    """The picture that goes beside a table.

    Example:
        >>> picture_of(Path("rafdb/quality.parquet")).name
        'quality.png'
    """
    picture = out.with_suffix(".png")
    if picture == out:
        raise InputError(f"{out} is the name of the picture; give one that ends with .parquet")
    return picture


def judge_images(
    dataset: str | Path,
    protocol: str | Protocol,
    out: str | Path,
    limits: Sequence[Limit] = (),
    *,
    source: FaceSource | None = None,
    filter_evaluated: bool = False,
    allow_mismatch: bool = False,
    limit: int | None = None,
    on_start: Callable[[int], None] | None = None,
    on_image: Callable[[], None] | None = None,
) -> Judged:
    """Measure a dataset's images, say which are rejected, and write the table and its picture.

    Args:
        dataset: The dataset's folder.
        protocol: What the dataset is.
        out: Parquet file to write; `picture_of` it goes beside it. Its folder is made if needed.
        limits: What is asked of an image; nothing is rejected without one.
        source: What a detector saw in them; None measures the whole images, without a face.
        filter_evaluated: Whether images of the evaluated split are rejected too.
        allow_mismatch: Record counts that differ from the published ones instead of refusing them.
        limit: Most images of each split, at least 1, taken evenly from all of it, for a first look:
            `prepare` takes a table of all images alone. None is all.
        on_start: Called once with the number of images.
        on_image: Called after each.

    Raises:
        InputError: The dataset or what a detector saw in it cannot be used, a percentile is asked
            of a measure that no image has, or limits where all images are of the evaluated split
            and kept; or `out` has the name of its picture.
        NotWrittenError: The folder of `out` cannot be written.
    """
    out = Path(out)
    picture = picture_of(out)
    loaded = load_protocol(protocol, dataset, allow_mismatch=allow_mismatch)
    if limit is not None:
        require_at_least_1(limit=limit)
        loaded = some_of_each_split(loaded, limit)
    kept_whole = set() if filter_evaluated else {loaded.protocol.split}
    filtered = {sample.split for sample in loaded.samples} - kept_whole
    if limits and not filtered:
        raise InputError(
            f"all images are of the split {loaded.protocol.split!r} that {loaded.protocol.name} "
            "evaluates, of which none is rejected; --filter-evaluated rejects them too"
        )
    if source:
        source.require_any(loaded.samples)
    if on_start:
        on_start(len(loaded.samples))
    rows = measure_samples(loaded.samples, source, on_image=on_image)
    judged = judge(rows, limits, filtered)
    with staged(out.parent, last=out.name) as scratch:
        draw_quality(judged).savefig(scratch / picture.name, dpi=110)
        write_quality(scratch / out.name, judged)
    return judged


_KEPT, _REJECTED = "#2b59c3", "#d1495b"
_COLUMNS = 4
_LONG_TAILED = ("laplacian", "tenengrad", "clipped", "face_size")
_UNITS = {"face_size": ", pixels", "pitch": ", degrees", "yaw": ", degrees", "roll": ", degrees"}


def quality_table(judged: Judged) -> Table:
    """Rejected images of the filtered splits, by label and reason; without limits, the measures."""
    from rich.table import Table

    images, rejections = judged.images(), judged.rejections()
    if not rejections:
        return _measures_table(judged)

    title = f"Rejected of {', '.join(judged.filtered) or 'no split'}"
    table = Table("", "images", *rejections, "rejected", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify, column.overflow = "right", "fold"

    def add(name: str, n_images: int, counts: list[int]) -> None:
        share = f"{sum(counts) / n_images:.1%}" if n_images else "-"
        table.add_row(name, str(n_images), *map(str, counts), share)

    for label in EXPRESSIONS:
        if images[label]:
            add(label, images[label], [counts[label] for counts in rejections.values()])
    table.add_section()
    add("all", images.total(), [counts.total() for counts in rejections.values()])
    return table


def _measures_table(judged: Judged) -> Table:
    from rich.table import Table

    title = f"Images of {', '.join(judged.filtered) or 'all splits'}, nothing rejected"
    columns = ("", "n", "least", "p5", "median", "p95", "most")
    table = Table(*columns, title=title, title_justify="left")
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify, column.overflow = "right", "fold"
    for name, spread in judged.spreads().items():
        table.add_row(name, str(spread.n), *map(_short, spread[1:]))
    return table


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def draw_quality(judged: Judged) -> Figure:
    """Each measure's distribution with its limits, and the share that is rejected of each label."""
    from matplotlib.figure import Figure

    rows = -(-(len(MEASURES) + 1) // _COLUMNS)
    figure = Figure(figsize=(3.2 * _COLUMNS, 2.4 * rows), layout="constrained")
    splits = ", ".join(judged.filtered) or "all splits"
    figure.suptitle(
        f"{judged.images().total() or len(judged.rows)} images of {splits}", fontsize=11
    )
    panels = figure.subplots(rows, _COLUMNS).ravel()
    for axes, name in zip(panels, MEASURES, strict=False):
        _draw_measure(axes, name, judged)
    _draw_shares(panels[len(MEASURES)], judged)
    for axes in panels[len(MEASURES) + 1 :]:
        axes.set_visible(False)
    return figure


def _draw_measure(axes: Axes, name: str, judged: Judged) -> None:
    values = judged.values(name)
    axes.set_title(f"{name}{_UNITS.get(name, '')}", fontsize=10, loc="left")
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if not len(values):
        axes.text(0.5, 0.5, "no values", ha="center", va="center", transform=axes.transAxes)
        axes.set_xticks([])
        return
    if name in _LONG_TAILED:  # a few extreme images would push all others into one bar
        values = np.minimum(values, np.percentile(values, 99))
    if name == "n_faces":
        axes.bar(*np.unique(values, return_counts=True), color=_KEPT)
    else:
        axes.hist(values, bins=40, color=_KEPT)
    for limit in judged.limits:
        if limit.measure == name and limit.bound is not None:
            for bound in {limit.bound, -limit.bound} if limit.absolute else {limit.bound}:
                axes.axvline(bound, color=_REJECTED, linewidth=1.5)


def _draw_shares(axes: Axes, judged: Judged) -> None:
    images, rejections = judged.images(), judged.rejections()
    labels = [label for label in EXPRESSIONS if images[label]]
    shares = [
        sum(counts[label] for counts in rejections.values()) / images[label] for label in labels
    ]
    axes.set_title("rejected, by label", fontsize=10, loc="left")
    bars = axes.barh(range(len(labels)), shares, color=_REJECTED)
    axes.bar_label(bars, [f"{share:.1%}" for share in shares], padding=3, fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*shares, 0.01]) * 1.3)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
