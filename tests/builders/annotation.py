"""A detector for the tests of annotation, which other processes can import, and its images."""

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from tag_rewards.detectors.observation import Detection, FaceObservation
from tag_rewards.errors import InputError
from tag_rewards.evidence.rows import evidence_files, read_evidence
from tag_rewards.evidence.run import AnnotateConfig, annotate
from tag_rewards.geometry import average_face


@dataclass
class FakeDetector:
    """Sees a face whose AU12 is as strong as the first pixel is bright; black shows no face.

    A name says more: `crash` ends the process, `flaky` ends it the first time, `broken` is the
    detector's own refusal, `bug` an exception until it is `mended`.
    `log` has the images, or with `batches` how many come together.
    """

    name: str = "fake"
    version: str = "1"
    seconds: float = 0.0
    log: Path | None = None
    batches: bool = False
    mended: bool = False

    def detect(self, images):
        if self.batches:
            with self.log.open("a") as log:
                log.write(f"{len(images)}\n")
            return [replace(self, log=None, batches=False)._detect(image) for image in images]
        return [self._detect(image) for image in images]

    def _detect(self, image):
        if self.log:
            with self.log.open("a") as log:
                log.write(f"{image.name}\n")
        time.sleep(self.seconds)
        if "crash" in image.name or ("flaky" in image.name and self._is_first(image)):
            os.kill(os.getpid(), signal.SIGKILL)
        if "broken" in image.name:
            raise InputError("the model file is missing; give another")
        if "bug" in image.name and not self.mended:
            raise KeyError("landmarks")
        pixels = cv2.imread(str(image))
        if pixels is None:
            return Detection(failure=f"{image} is not an image; replace it", kind="no image")
        bright = float(pixels[0, 0, 0]) / 255
        if not bright:
            return Detection()
        height, width = pixels.shape[:2]
        face = FaceObservation(
            (1.5, 2.25, width, height),
            average_face() * 8 + np.array([width, height]) / 2,
            {12: bright},
            {"brightness": {12: 255 * bright}},
            detector=self.name,
            version=self.version,
        )
        return Detection((face,))

    def _is_first(self, image):
        mark = image.with_suffix(".seen")
        if mark.exists():
            return False
        mark.touch()
        return True


def write_images(folder, count, size=(32, 24)):
    """`count` images, each of another content, in two folders."""
    for index in range(count):
        path = folder / "ab"[index % 2] / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((size[1], size[0], 3), 100 + index % 100, np.uint8)
        pixels[0, 1] = index % 256, index // 256, 7
        cv2.imwrite(str(path), pixels)


def run(folder, out, detector=None, **config):
    return annotate(folder, out, detector or FakeDetector(), AnnotateConfig(**config))


def records(out):
    """Image -> row; an image with two rows is an error."""
    files = evidence_files(out)
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    list(read_evidence(out))  # checks them
    by_image = {row["image"]: row for row in rows}
    assert len(by_image) == len(rows)
    return by_image


def statuses(out):
    return {image: row["status"] for image, row in sorted(records(out).items())}
