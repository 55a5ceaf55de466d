"""The quality of a dataset's images as a table: measured, judged, written, used, and drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.datasets.protocols import SPLITS, load_protocol, some_of_each_split
from tag_rewards.datasets.reading import LeftOut, labelled_part, load_image
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.evidence.of_dataset import faces_of
from tag_rewards.facs import EXPRESSIONS, UNLABELLED
from tag_rewards.files.images import ImageError
from tag_rewards.files.objects import open_parquet
from tag_rewards.files.whole import staged, whole
from tag_rewards.looks import plain
from tag_rewards.quality.measures import MEASURES, measure_quality, resolve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.table import Table

    from tag_rewards.datasets.protocols import LoadedProtocol, Protocol
    from tag_rewards.datasets.reading import FaceSample
    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.quality.measures import FaceQuality, Limit


UNREADABLE = "the image cannot be read"

QUALITY_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.string()),
        *((name, pa.int32() if name == "n_faces" else pa.float64()) for name in MEASURES),
        ("rejected", pa.string()),
    ]
)
"""One row an image; measures are null where there is none, `rejected` is empty for a kept image."""

_AT_A_TIME = 256
_LABELS = (*EXPRESSIONS, UNLABELLED)
_KEY = b"tag_rewards_quality"


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One image.

    Attributes:
        id: Name of the sample in its dataset.
        split: `train`, `val` or `test`.
        label: Canonical name of the expression.
        quality: Its measures; None if it cannot be read.
        rejected: The first limit that it breaks, or that it cannot be read; empty if it is kept.
    """

    id: str
    split: str
    label: str
    quality: FaceQuality | None
    rejected: str = ""


class Spread(NamedTuple):
    """How the values of a measure lie.

    Attributes:
        n: Images that have a value.
        least: The least of them.
        p5: The 5th percentile, as `--require 'laplacian>=p5'` names it.
        median: The 50th.
        p95: The 95th.
        most: The largest value.
    """

    n: int
    least: float
    p5: float
    median: float
    p95: float
    most: float


class Judged(NamedTuple):
    """Rows, and the limits that they were judged by.

    Attributes:
        rows: All images, those of the splits that are not filtered too.
        limits: The limits with their numbers.
        filtered: The splits that images are rejected from.
    """

    rows: list[QualityRow]
    limits: tuple[Limit, ...]
    filtered: tuple[str, ...]

    def rejections(self) -> dict[str, Counter[str]]:
        """Reason -> label -> images of the filtered splits that were rejected for it."""
        counts: dict[str, Counter[str]] = {str(limit): Counter() for limit in self.limits}
        for row in self.rows:
            if row.rejected:
                counts.setdefault(row.rejected, Counter())[row.label] += 1
        return counts

    def images(self) -> Counter[str]:
        """Label -> images of the filtered splits."""
        return Counter(row.label for row in self.rows if row.split in self.filtered)

    def values(self, measure: str) -> NDArray[np.float64]:
        """What was measured in the filtered splits, or in all if there are none."""
        rows = [row for row in self.rows if row.split in self.filtered] or self.rows
        found = [getattr(row.quality, measure) for row in rows if row.quality]
        return np.array([value for value in found if value is not None], float)

    def spreads(self) -> dict[str, Spread]:
        """Measure -> how its values lie, for those that any image has."""
        columns = {name: self.values(name) for name in MEASURES}
        return {
            name: Spread(len(values), *np.percentile(values, (0, 5, 50, 95, 100)).tolist())
            for name, values in columns.items()
            if len(values)
        }

    def record(self) -> dict[str, Any]:
        """Limits, counts and spreads as plain JSON values."""
        return {
            "filtered": list(self.filtered),
            "limits": list(map(str, self.limits)),
            "images": dict(self.images()),
            "rejections": {reason: dict(of) for reason, of in self.rejections().items()},
            "measures": plain(self.spreads()),
        }


def measure_samples(
    samples: Iterable[FaceSample],
    source: FaceSource | None,
    *,
    on_image: Callable[[], None] | None = None,
) -> Iterator[QualityRow]:
    """Measure images, in order, on all cores.

    Args:
        samples: The images.
        source: What a detector saw in them; None measures the whole images, without a face.
        on_image: Called after each.

    Raises:
        ValueError: What the detector saw cannot be trusted; one sentence.
    """
    waiting = iter(samples)
    with ThreadPoolExecutor() as pool:  # OpenCV works outside of Python's lock
        while batch := list(islice(waiting, _AT_A_TIME)):
            faces = [_faces(source, sample) for sample in batch]
            for row in pool.map(_measure, batch, faces):
                yield row
                if on_image:
                    on_image()


def _faces(source: FaceSource | None, sample: FaceSample) -> Sequence[FaceObservation] | None:
    found = None if source is None else source.faces(sample)
    return () if isinstance(found, LeftOut) else found


def _measure(sample: FaceSample, faces: Sequence[FaceObservation] | None) -> QualityRow:
    try:
        image = load_image(sample)
    except ImageError:
        return QualityRow(sample.id, sample.split, sample.label, None)
    height, width = image.shape[:2]
    part = labelled_part(sample, width, height)
    own = None if faces is None else faces_of(sample, faces, part)
    quality = measure_quality(image, own, part)
    return QualityRow(sample.id, sample.split, sample.label, quality)


def judge(rows: Iterable[QualityRow], limits: Sequence[Limit], filtered: Collection[str]) -> Judged:
    """Say which images are rejected.

    A percentile is that of the filtered splits' images together. An image without a value, of its
    yaw where no face was found, say, is not within a limit on it.

    Args:
        rows: The measured images.
        limits: What is asked of them.
        filtered: The splits that images are rejected from; all others are kept whole.

    Raises:
        InputError: No image has a measure that is limited.
    """
    rows = list(rows)
    measured = [row.quality for row in rows if row.quality and row.split in filtered]
    columns = {name: [getattr(quality, name) for quality in measured] for name in MEASURES}
    try:
        resolved = resolve(limits, columns)
    except ValueError as error:
        raise InputError(str(error)) from error
    judged = [
        replace(row, rejected=_broken(row, resolved) if row.split in filtered else "")
        for row in rows
    ]
    return Judged(judged, resolved, tuple(split for split in SPLITS if split in filtered))


def _broken(row: QualityRow, limits: Sequence[Limit]) -> str:
    if row.quality is None:
        return UNREADABLE
    for one in limits:
        if not one.is_kept(getattr(row.quality, one.measure)):
            return str(one)
    return ""


def write_quality(path: Path, judged: Judged) -> None:
    """Write the file, whole or not at all; the limits are in its metadata."""
    records = [
        {
            "id": row.id,
            "split": row.split,
            "label": row.label,
            **(asdict(row.quality) if row.quality else {}),
            "rejected": row.rejected,
        }
        for row in judged.rows
    ]
    note = _Note(tuple(map(str, judged.limits)), judged.filtered)
    schema = QUALITY_SCHEMA.with_metadata({_KEY: msgspec.json.encode(note)})
    with whole(path) as file:
        pq.write_table(pa.Table.from_pylist(records, schema=schema), file)


@dataclass(frozen=True, slots=True)
class _Note:
    """What the file's metadata say."""

    limits: tuple[str, ...]
    filtered: tuple[str, ...]


class Rejected(NamedTuple):
    """What a quality file says of a dataset.

    Attributes:
        reasons: Sample id -> why it is rejected; kept ones are not in it.
        known: All sample ids.
        limits: The limits, as text.
        filtered: The splits that images were rejected from.
    """

    reasons: Mapping[str, str]
    known: Collection[str]
    limits: tuple[str, ...]
    filtered: tuple[str, ...]


def read_rejected(path: Path) -> Rejected:
    """Read which images are rejected.

    Raises:
        InputError: The file is no quality parquet.
    """
    schema = pa.schema([QUALITY_SCHEMA.field(name) for name in ("id", "rejected")])
    try:
        with open_parquet(path, schema, "tag-rewards quality") as file:
            note = msgspec.json.decode(file.metadata[_KEY], type=_Note)
            ids, reasons = (file.read([name])[name].to_pylist() for name in schema.names)
    except (KeyError, msgspec.DecodeError) as error:
        raise InputError(
            f"{path} is no quality parquet; write it with `tag-rewards quality`"
        ) from error
    rejected = {one: reason for one, reason in zip(ids, reasons, strict=True) if reason}
    return Rejected(rejected, frozenset(ids), note.limits, note.filtered)


def without_rejected(loaded: LoadedProtocol, path: Path) -> LoadedProtocol:
    """Leave out what `tag-rewards quality` rejected.

    Rejected images are counted among `dropped`. Where images of the evaluated split are rejected,
    `mismatches` says how many and by which limits, so that every result says it too.
    """
    rejected = read_rejected(path)
    for sample in loaded.samples:
        if sample.id not in rejected.known:
            raise InputError(
                f"{path} does not know {sample.id!r} of {loaded.protocol.name}; "
                "run `tag-rewards quality` on this dataset again"
            )
    split, mismatches = loaded.protocol.split, loaded.mismatches
    n_before = len(loaded.evaluated)
    why = {name: f"quality: {reason}" for name, reason in rejected.reasons.items()}
    loaded = loaded.without(lambda sample: why.get(sample.id))
    if n_rejected := n_before - len(loaded.evaluated):
        limits = ", ".join(rejected.limits)
        mismatches += (
            f"{split}: {n_rejected} of {n_before} images left out by quality ({limits})",
        )
    return replace(loaded, mismatches=mismatches)


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
        InputError: The dataset or what a detector saw in it cannot be used, no image has a measure
            that is limited, or limits where all images are of the evaluated split and kept; or
            `out` has the name of its picture.
        NotWrittenError: The folder of `out` cannot be written.
    """
    out = Path(out)
    picture = picture_of(out)
    import_module("matplotlib.figure")  # for the picture: missing, it is said before the work
    loaded = load_protocol(protocol, dataset, allow_mismatch=allow_mismatch)
    if limit is not None:
        require_at_least(1, limit=limit)
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
        column.justify = "right"

    def add(name: str, n_images: int, counts: list[int]) -> None:
        share = f"{sum(counts) / n_images:.1%}" if n_images else "-"
        table.add_row(name, str(n_images), *map(str, counts), share)

    for label in _LABELS:
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
        column.justify = "right"
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
    labels = [label for label in _LABELS if images[label]]
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
