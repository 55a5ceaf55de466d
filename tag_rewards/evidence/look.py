"""What is done for each image, on whichever process or machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.detectors.observation import Detection
from tag_rewards.evidence.rows import EvidenceRow, evidence_table
from tag_rewards.files.images import ImageError, content_hash, oriented_size, read_image

if TYPE_CHECKING:
    import pyarrow as pa

    from tag_rewards.detectors.observation import Detector
    from tag_rewards.evidence.cache import EvidenceCache

# What it gives follows from the name of the image, not from its content: it is not to be kept by
# content, and says nothing about whether the image can be read.
_BY_NAME = frozenset({"openface-csv"})


def looks_up_by_name(detector: Detector) -> bool:
    """Whether a detector reads what was found before, by the image's file name."""
    return detector.name in _BY_NAME


class Looked(NamedTuple):
    """What came of some images.

    Attributes:
        table: A row for each, with `EVIDENCE_SCHEMA`.
        fresh: What the cache does not have yet, as `EvidenceCache.put` takes it.
    """

    table: pa.Table
    fresh: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Looker:
    """Looks at images of a folder: reads, asks the cache, else the detector. Can be pickled.

    Attributes:
        root: The folder.
        detector: The detector; it loads its models when it is first used.
        cache: What was seen before, or None.
    """

    root: Path
    detector: Detector
    cache: EvidenceCache | None = None

    def look(self, images: Sequence[str]) -> Looked:
        """Look at images, given relative to the folder; one row for each, in order."""
        rows: dict[str, EvidenceRow] = {}
        contents: dict[str, bytes] = {}
        for image in images:
            found = self._known(image)
            if isinstance(found, bytes):
                contents[image] = found
            else:
                rows[image] = found
        detections = self.detector.detect([self.root / image for image in contents])
        fresh = []
        for (image, data), detection in zip(contents.items(), detections, strict=True):
            rows[image] = row = self._row(image, data, detection)
            if self.cache and row.status != "failed":
                fresh.append(self.cache.entry(row))
        return Looked(evidence_table([rows[image] for image in images]), tuple(fresh))

    def fail(self, image: str, reason: str) -> Looked:
        """A row for an image that cannot be looked at."""
        try:
            data = (self.root / image).read_bytes()
        except OSError:
            data = b""
        row = self._row(image, data, Detection(failure=reason))
        return Looked(evidence_table([row]))

    def _known(self, image: str) -> bytes | EvidenceRow:
        """The image's row if it needs no detector, else its bytes."""
        path = self.root / image
        try:
            data = path.read_bytes()
            if looks_up_by_name(self.detector):
                read_image(path)
        except (ImageError, OSError) as error:
            return self._row(image, b"", Detection(failure=str(error)))
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
        )
