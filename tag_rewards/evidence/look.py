"""What is done for each image, on whichever process or machine."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.detectors.observation import Detection
from tag_rewards.detectors.one_by_one import unreadable
from tag_rewards.detectors.openface.csv import OpenFaceFolder
from tag_rewards.errors import InputError
from tag_rewards.evidence.rows import EvidenceRow, evidence_table
from tag_rewards.files.images import ImageError, content_hash, oriented_size, read_image

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import TypeIs

    from tag_rewards.detectors.observation import Detector
    from tag_rewards.evidence.cache import EvidenceCache

MOST_FAILURES = 10
"""Images in a row that a detector may raise on before it, and not an image, is held at fault."""


def looks_up_by_name(detector: Detector) -> TypeIs[OpenFaceFolder]:
    """Whether a detector reads what was found before, by the image's file name.

    What it gives is not to be kept by content, and says nothing about whether the image can be
    read.
    """
    return isinstance(detector, OpenFaceFolder)


class Looked(NamedTuple):
    """What came of some images.

    Attributes:
        table: A row for each, with `EVIDENCE_SCHEMA`.
        fresh: What the cache does not have yet, as `EvidenceCache.put` takes it.
        stop: Why no further image is to be looked at; empty if nothing speaks against it.
    """

    table: pa.Table
    fresh: tuple[tuple[bytes, bytes], ...] = ()
    stop: str = ""


@dataclass(slots=True)
class Looker:
    """Looks at images of a folder: reads, asks the cache, else the detector. Can be pickled."""

    root: Path
    detector: Detector
    cache: EvidenceCache | None = None
    n_raised: int = 0

    def look(self, images: Sequence[str]) -> Looked:
        """Look at images, given relative to the folder.

        Whatever the detector raises on an image is that image's failure.

        Returns:
            One row for each image, in order; of the first ones alone if the detector has raised on
            `MOST_FAILURES` in a row.
        """
        rows: dict[str, EvidenceRow] = {}
        contents: dict[str, bytes] = {}
        for image in images:
            found = self._known(image)
            if isinstance(found, bytes):
                contents[image] = found
            else:
                rows[image] = found
        fresh = []
        for image, detection in zip(contents, self._detect(list(contents)), strict=False):
            rows[image] = row = self._row(image, contents[image], detection)
            if self.cache and row.status != "failed":
                fresh.append(self.cache.entry(row))
        table = evidence_table([rows[image] for image in images if image in rows])
        stop = ""
        if self.n_raised >= MOST_FAILURES:
            stop = (
                f"detector {self.detector.name} failed on {self.n_raised} images in a row, on the "
                f"last because {list(rows.values())[-1].reason}; see to that, then go on with "
                "--retry-failed"
            )
        return Looked(table, tuple(fresh), stop)

    def _detect(self, images: Sequence[str]) -> list[Detection]:
        """What the detector says of images, and of each alone if it raises on all together."""
        if not images:
            return []
        try:
            detections = self.detector.detect([self.root / image for image in images])
        except Exception as error:  # a detector is foreign code, and may raise anything
            if isinstance(error, InputError) and not isinstance(error, ImageError):
                raise
            failure = _raised(error)
        else:
            if len(detections) != len(images):
                raise InputError(
                    f"detector {self.detector.name} gave {len(detections)} results for "
                    f"{len(images)} images; it has to give one for each"
                )
            self.n_raised = 0
            return detections
        if len(images) == 1:
            self.n_raised += 1
            return [failure]
        alone: list[Detection] = []
        for image in images:
            if self.n_raised < MOST_FAILURES:
                alone += self._detect([image])
        return alone

    def fail(self, image: str, reason: str, kind: str = "") -> Looked:
        """A row for an image that cannot be looked at."""
        try:
            data = (self.root / image).read_bytes()
        except OSError:
            data = b""
        row = self._row(image, data, Detection(failure=reason, kind=kind))
        return Looked(evidence_table([row]))

    def _known(self, image: str) -> bytes | EvidenceRow:
        """The image's row if it needs no detector, else its bytes."""
        path, data = self.root / image, b""
        try:
            data = path.read_bytes()
            if looks_up_by_name(self.detector):
                read_image(path)
        except (ImageError, OSError) as error:
            return self._row(image, data, unreadable(error))
        if self.cache:
            name, version = self.detector.name, self.detector.version
            return self.cache.get(content_hash(data), name, version, image) or data
        return data

    def _row(self, image: str, data: bytes, detection: Detection) -> EvidenceRow:
        path = self.root / image
        width, height = oriented_size(path, data) if data else (0, 0)
        # Without the folder, so that it means the same elsewhere.
        reason = re.sub(r"\s+", " ", detection.failure.replace(str(path), image)).strip()
        return EvidenceRow(
            image=image,
            sha256=content_hash(data) if data else "",
            status="failed" if reason else "observed" if detection.faces else "no_face",
            reason=reason,
            width=width,
            height=height,
            detector=self.detector.name,
            version=self.detector.version,
            faces=() if reason else tuple(detection.faces),
            kind=detection.kind if reason else "",
        )


def _raised(error: Exception) -> Detection:
    """What a detector raised, in one line, with the place."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    kind = f"the detector raised {type(error).__name__}"
    said = " ".join(str(error).split())[:200]
    where = f"({Path(place.filename).name}, line {place.lineno})"
    return Detection(failure=" ".join(filter(None, (f"{kind}:", said, where))), kind=kind)
