"""From a folder of images to a folder of evidence: `annotate`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.datasets.reading import evenly
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.evidence.cache import EvidenceCache
from tag_rewards.evidence.counts import (
    EvidenceCounts,
    by_suffix,
    count_evidence,
    failed_csv,
)
from tag_rewards.evidence.look import Looker, looks_up_by_name
from tag_rewards.evidence.rows import FAILED_FILE
from tag_rewards.evidence.shards import EvidenceFolder, Manifest
from tag_rewards.evidence.workers import look_at, require_started
from tag_rewards.files.images import IMAGE_SUFFIXES
from tag_rewards.files.whole import write_whole

if TYPE_CHECKING:
    from tag_rewards.detectors.observation import Detector

BATCH_SIZE = 32
"""Images that a detector is given at a time, unless it asks for another number."""


@dataclass(frozen=True, slots=True)
class AnnotateConfig:
    """How `annotate` goes about it; nothing here changes the rows.

    Attributes:
        workers: Processes that look, at least 1. None looks in this process, where a detector that
            crashes takes the run with it; with `ray` it is one for each core of the cluster.
        ray: Whether Ray Data does it.
        cache: Folder of the cache, or None for none.
        retry_failed: Whether images that failed before are looked at again.
        batch_size: Images that a detector is given at a time, at least 1; None is its own
            `batch_size`, or 32 if it has none.
        shard_rows: Rows of a shard at most, about, at least 1.
        shard_seconds: Seconds after which a smaller shard is written, above 0.
        limit: Most images that are looked at now, at least 1, taken evenly from those that are
            left; the evidence is not finished before these are. None is all.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    workers: int | None = None
    ray: bool = False
    cache: Path | None = None
    retry_failed: bool = False
    batch_size: int | None = None
    shard_rows: int = 1024
    shard_seconds: float = 30.0
    limit: int | None = None

    def __post_init__(self) -> None:
        rows = self.shard_rows
        require_at_least(
            1, workers=self.workers, batch_size=self.batch_size, shard_rows=rows, limit=self.limit
        )
        if not self.shard_seconds > 0:
            raise InputError(f"shard_seconds is {self.shard_seconds}, not above 0")


def annotate(
    folder: str | Path,
    out: str | Path,
    detector: Detector,
    config: AnnotateConfig | None = None,
    *,
    options: Mapping[str, str] | None = None,
    on_start: Callable[[int, int], None] | None = None,
    on_images: Callable[[int], None] | None = None,
) -> EvidenceCounts:
    """Look at every image below a folder and write what the detector saw.

    Started again, it goes on where it was stopped, whatever stopped it, and looks again at images
    that have changed since. Every image has exactly one row in the end.

    With `workers` it starts processes, which import the script that calls it: put the call below
    `if __name__ == "__main__":`.

    Args:
        folder: The folder; images below it in other folders count too.
        out: Folder for `evidence-*.parquet` and `failed.csv`, made if needed. It holds the evidence
            of one folder, detector and version.
        detector: The detector; processes get it by pickle.
        config: How it is done.
        options: What the detector was made with, to be noted beside the evidence.
        on_start: Called once with the number of images, and of those done before.
        on_images: Called with the number of images that were done since.

    Returns:
        The counts of all rows, those of earlier runs included.

    Raises:
        InputError: There is no image, `out` holds something else or another run writes to it, the
            detector says that it cannot work, it raises on many images in a row, or its processes
            die on every image or cannot start; or CSVs are of none of the images.
        OSError: Evidence cannot be written.

    Example:
        >>> import tempfile, cv2, numpy as np
        >>> from tag_rewards.detectors.registry import make_detector
        >>> with tempfile.TemporaryDirectory() as name:
        ...     image = Path(name, "images", "grey.png")
        ...     image.parent.mkdir()
        ...     _ = cv2.imwrite(str(image), np.full((200, 200), 99, np.uint8))
        ...     dlib = make_detector("dlib")
        ...     counts = annotate(image.parent, Path(name, "evidence"), dlib)
        >>> dict(counts.statuses)
        {'no_face': 1}
    """
    config = config or AnnotateConfig()
    require_started()
    root, out = Path(folder), Path(out)
    found = ImageFolder.scan(root, leave_out=out)
    root = root.resolve()
    cache = None
    if looks_up_by_name(detector):
        detector.require_any([root / image for image in found.images])
    elif config.cache:
        cache = EvidenceCache(config.cache)
        cache.create()
    batch_size = config.batch_size or int(getattr(detector, "batch_size", BATCH_SIZE))
    looker = Looker(root, detector, cache)
    manifest = Manifest(str(root), detector.name, detector.version, dict(options or {}))
    with EvidenceFolder(out, manifest, config.shard_rows, config.shard_seconds) as evidence:
        (out / FAILED_FILE).unlink(missing_ok=True)
        evidence.forget(root, found.images, failed=config.retry_failed)
        refused = _refused(found, detector)
        left = [image for image in found.images if image not in evidence.done | refused.keys()]
        todo = evenly(left, config.limit)
        if on_start:
            new = len(todo) + len(refused.keys() - evidence.done)
            total = len(found.images) + len(found.unnameable) - len(left) + len(todo)
            on_start(total, total - new)
        for image in refused.keys() - evidence.done:
            evidence.add(looker.fail(image, *refused[image]).table)
        for looked in look_at(looker, todo, config.workers, batch_size, ray=config.ray):
            if cache and looked.fresh:
                cache.put(looked.fresh)
            new = evidence.add(looked.table)
            if on_images:
                on_images(new)
            if looked.stop:
                raise InputError(looked.stop)
        evidence.flush()
        if missing := len(set(todo) - evidence.done):
            raise InputError(f"{missing} images were not looked at; start it again")
        if len(todo) == len(left):
            write_whole(out / FAILED_FILE, failed_csv(evidence.shards()))
        counts = count_evidence(evidence.shards())
        return replace(counts, passed_over=found.passed_over, waiting=len(left) - len(todo))


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The images below a folder.

    Attributes:
        root: The folder.
        images: Path of each relative to it, with `/` between parts, in order.
        unnameable: Those whose name is no UTF-8 text, as text with escapes; no table can name them.
        passed_over: Files that are no image that is read, by what their names end with.
    """

    root: Path
    images: tuple[str, ...]
    unnameable: tuple[str, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def scan(cls, root: Path, leave_out: Path | None = None) -> ImageFolder:
        """List the images of a folder and of those below it, through links too.

        Hidden files and folders (`.name`) are passed over.

        Args:
            root: The folder.
            leave_out: A folder that is passed over if it lies below, such as the one written to.

        Raises:
            InputError: There is no such folder, or no image in it.
        """
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; give the folder with the images")
        images, unnameable, passed_over = [], [], Counter[str]()
        for name in _files(root, leave_out):
            if (suffix := os.path.splitext(name)[1].lower()) not in IMAGE_SUFFIXES:
                passed_over[suffix or "no ending"] += 1
            elif (text := os.fsencode(name).decode(errors="backslashreplace")) != name:
                unnameable.append(text)
            else:
                images.append(name)
        if not images and not unnameable:
            others = by_suffix(passed_over) or "no other files"
            raise InputError(f"{root} holds no image that is read ({others})")
        return cls(root, tuple(sorted(images)), tuple(sorted(unnameable)), passed_over)


def _files(root: Path, leave_out: Path | None) -> Iterator[str]:
    """Files below a folder, relative to it; a folder that is linked into itself only once."""
    omitted = leave_out.resolve() if leave_out else None
    above: dict[str, frozenset[str]] = {str(root): frozenset()}
    for folder, folders, files in os.walk(root, followlinks=True):
        real, parents = os.path.realpath(folder), above.pop(folder)
        if real in parents or (omitted and Path(real) == omitted):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        above.update((os.path.join(folder, name), parents | {real}) for name in folders)
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()


def _refused(found: ImageFolder, detector: Detector) -> dict[str, tuple[str, str]]:
    """Images that no detector is asked about, and why: the reason and its kind."""
    unnameable = ("its name is not UTF-8 text; rename it", "its name is not UTF-8 text")
    refused = dict.fromkeys(found.unnameable, unnameable)
    if looks_up_by_name(detector):
        stems = Counter(Path(image).stem for image in found.images)
        for image in found.images:
            if stems[stem := Path(image).stem] > 1:
                refused[image] = (
                    f"{stems[stem]} images are called {stem}, so that {stem}.csv may be of any; "
                    "annotate each folder with a CSV folder of its own",
                    "its CSV may be of another image",
                )
    return refused
