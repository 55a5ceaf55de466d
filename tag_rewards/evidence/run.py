"""From a folder of images to a folder of evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.evidence.cache import EvidenceCache
from tag_rewards.evidence.image_folder import ImageFolder
from tag_rewards.evidence.look import Looker, looks_up_by_name
from tag_rewards.evidence.on_ray import look_on_ray
from tag_rewards.evidence.shards import EvidenceFolder, Manifest
from tag_rewards.evidence.summary import EvidenceSummary, failed_csv, summarize
from tag_rewards.evidence.workers import WorkerPool
from tag_rewards.files.whole import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tag_rewards.detectors.observation import Detector
    from tag_rewards.evidence.look import Looked

FAILED_FILE = "failed.csv"


@dataclass(frozen=True, slots=True)
class AnnotateConfig:
    """How a folder is annotated; nothing here changes the rows.

    Attributes:
        workers: Processes, at least 1; None is one, and with `ray` one for each core of the
            cluster.
        ray: Whether Ray Data does it.
        cache: Folder of the cache, or None for none.
        retry_failed: Whether images that failed before are looked at again.
        batch_size: Images that a detector is given at a time, at least 1.
        shard_rows: Rows of a shard at most, about, at least 1.
        shard_seconds: Seconds after which a smaller shard is written, above 0.

    Raises:
        ValueError: A value is out of range; the message names field and value.
    """

    workers: int | None = None
    ray: bool = False
    cache: Path | None = None
    retry_failed: bool = False
    batch_size: int = 32
    shard_rows: int = 1024
    shard_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("workers", "batch_size", "shard_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, not at least 1")
        if not self.shard_seconds > 0:
            raise ValueError(f"shard_seconds is {self.shard_seconds}, not above 0")


def annotate_folder(
    folder: str | Path,
    out: str | Path,
    detector: Detector,
    config: AnnotateConfig | None = None,
    *,
    options: Mapping[str, str] | None = None,
    on_start: Callable[[int, int], None] | None = None,
    on_images: Callable[[int], None] | None = None,
) -> EvidenceSummary:
    """Look at every image below a folder and write what the detector saw.

    Started again, it goes on where it was stopped, whatever stopped it, and looks again at images
    that have changed since. Every image has exactly one row in the end.

    Args:
        folder: The folder; images below it in other folders count too.
        out: Folder for `evidence-*.parquet` and `failed.csv`, made if needed. It holds the evidence
            of one folder, detector and version.
        detector: The detector; it must be possible to pickle it.
        config: How it is done.
        options: What the detector was made with, to be noted beside the evidence.
        on_start: Called once with the number of images, and of those done before.
        on_images: Called with the number of images that were done since.

    Returns:
        The counts of all rows, those of earlier runs included.

    Raises:
        InputError: There is no image, `out` holds something else or another run writes to it, or
            the detector's processes die on every image.
        InputError: The detector says that it cannot work.
        OSError: Evidence cannot be written.

    Example:
        >>> import tempfile, cv2, numpy as np
        >>> from tag_rewards.detectors.registry import make_detector
        >>> with tempfile.TemporaryDirectory() as name:
        ...     image = Path(name, "images", "grey.png")
        ...     image.parent.mkdir()
        ...     _ = cv2.imwrite(str(image), np.full((200, 200), 99, np.uint8))
        ...     dlib = make_detector("dlib")
        ...     summary = annotate_folder(image.parent, Path(name, "evidence"), dlib)
        >>> dict(summary.statuses)
        {'no_face': 1}
    """
    config = config or AnnotateConfig()
    root, out = Path(folder), Path(out)
    found = ImageFolder.scan(root, leave_out=out)
    root = root.resolve()
    cache = None
    if config.cache and not looks_up_by_name(detector):
        cache = EvidenceCache(config.cache)
        cache.create()
    looker = Looker(root, detector, cache)
    manifest = Manifest(str(root), detector.name, detector.version, dict(options or {}))
    with EvidenceFolder(out, manifest, config.shard_rows, config.shard_seconds) as evidence:
        evidence.forget(root, found.images, failed=config.retry_failed)
        refused = _refused(found, detector)
        todo = [image for image in found.images if image not in evidence.done | refused.keys()]
        if on_start:
            total = len(found.images) + len(found.unnameable)
            left = len(todo) + len(refused.keys() - evidence.done)
            on_start(total, total - left)
        for image in refused.keys() - evidence.done:
            evidence.add(looker.fail(image, refused[image]).table)
        for looked in _look(looker, todo, config):
            if cache and looked.fresh:
                cache.put(looked.fresh)
            new = evidence.add(looked.table)
            if on_images:
                on_images(new)
        evidence.flush()
        if missing := len(set(todo) - evidence.done):
            raise InputError(f"{missing} images were not looked at; start it again")
        write_whole(out / FAILED_FILE, failed_csv(evidence.shards()))
        return summarize(evidence.shards())


def _look(looker: Looker, images: Sequence[str], config: AnnotateConfig) -> Iterator[Looked]:
    if not images:
        return
    if config.ray:
        yield from look_on_ray(looker, images, config.batch_size, config.workers)
        return
    workers = config.workers or 1
    # Every process gets some of a small folder.
    size = min(config.batch_size, -(-len(images) // workers))
    batches = (tuple(images[start : start + size]) for start in range(0, len(images), size))
    with WorkerPool(looker, min(workers, -(-len(images) // size))) as pool:
        yield from pool.run(batches)


def _refused(found: ImageFolder, detector: Detector) -> dict[str, str]:
    """Images that no detector is asked about, and why."""
    refused = dict.fromkeys(found.unnameable, "its name is not UTF-8 text; rename it")
    if looks_up_by_name(detector):
        stems = Counter(Path(image).stem for image in found.images)
        for image in found.images:
            if stems[stem := Path(image).stem] > 1:
                refused[image] = (
                    f"{stems[stem]} images are called {stem}, so that {stem}.csv may be of any; "
                    "annotate each folder with a CSV folder of its own"
                )
    return refused
