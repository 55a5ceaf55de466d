"""From a dataset to the table of its images' quality, and the picture of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.datasets.protocols import load_protocol
from tag_rewards.errors import InputError
from tag_rewards.files.whole import staged
from tag_rewards.quality.overview import draw_quality
from tag_rewards.quality.table import judge, measure_samples, write_quality

if TYPE_CHECKING:
    from tag_rewards.datasets.protocols import Protocol
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.quality.measures import Limit
    from tag_rewards.quality.table import Judged


def picture_of(out: Path) -> Path:
    """The picture that goes beside a table.

    Raises:
        InputError: The table itself is called so, and would be overwritten.

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
        on_start: Called once with the number of images.
        on_image: Called after each.

    Raises:
        InputError: The dataset or what a detector saw in it cannot be used, or a percentile is
            asked of a measure that no image has; or `out` has the name of its picture.
        NotWrittenError: The folder of `out` cannot be written.
        OSError: A file cannot be opened.
    """
    out = Path(out)
    picture = picture_of(out)
    loaded = load_protocol(protocol, dataset, allow_mismatch=allow_mismatch)
    if source:
        source.require_any(loaded.samples)
    if on_start:
        on_start(len(loaded.samples))
    rows = measure_samples(loaded.samples, source, on_image=on_image)
    kept_whole = set() if filter_evaluated else {loaded.protocol.split}
    judged = judge(rows, limits, {sample.split for sample in loaded.samples} - kept_whole)
    with staged(out.parent, last=out.name) as scratch:
        draw_quality(judged).savefig(scratch / picture.name, dpi=110)
        write_quality(scratch / out.name, judged)
    return judged
