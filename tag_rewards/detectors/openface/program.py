"""AUs and landmarks of images by running OpenFace 2.x (`FaceLandmarkImg`).

The program is the user's own installation; `docs/openface.md` says how to point to it. Every image
ends as observed, without a face, or failed with a reason. The image at which a run broke off is run
again alone, and fails when that breaks off too; those behind it are run again together. An image
without a sure face is looked at once more with a border: of 26 faces that were cut out tightly and
scaled to 224 and 320 pixels a 2.2 build found 16 and 15, and 25 with a border of 48 pixels.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import ceil, isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np

from tag_rewards.detectors.observation import Detection, main_face
from tag_rewards.detectors.one_by_one import (
    MIN_SIDE,
    PAD,
    Transform,
    prepare,
    read_any,
    unreadable,
    with_border,
)
from tag_rewards.detectors.openface.one_run import find_openface, fingerprint, run_openface
from tag_rewards.errors import InputError, require_at_least, require_one_of
from tag_rewards.files.images import ImageError, read_image
from tag_rewards.files.scratch import scratch_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.detectors.observation import ImageInput
    from tag_rewards.detectors.openface.csv import OpenFaceRow
    from tag_rewards.detectors.openface.one_run import Look

CONTENT = ("-2Dfp", "-pose", "-aus")
"""What the program is asked to write."""

_OURS = {"-f", "-fdir", "-out_dir", "-of"}

REFUSED = {
    "-bboxdir": "takes faces from files and turns the face detector off",
    "-validate_detections": "decides whether the fit is judged, without which the confidence "
    "means nothing",
}
"""Arguments that no evidence can be made with, and why."""

MOST_BYTES = 256 << 20
"""Bytes of pictures that a batch lays on the disk at most, about: of large ones it holds fewer."""

Faces = Literal["all", "largest"]


@dataclass(frozen=True, slots=True)
class OpenFaceConfig:
    """How OpenFace is run.

    Attributes:
        executable: `FaceLandmarkImg`, or the folder of an OpenFace installation; None looks at the
            environment variable `OPENFACE_HOME`, then along `PATH`.
        batch_size: Images a run at most, 1 to 500. A run loads the models anew, which takes as long
            as about 40 crops of 224 pixels.
        processes: Runs at a time, 1 or more.
        seconds_per_image: A run that begins no further image for this long is killed, above 0; the
            first image's time holds the loading of the models.
        faces: `all` faces of an image, or only the `largest`: of those of at least
            `observation.MIN_CONFIDENCE`, or of all where there are none.
        arguments: Further arguments of the program, such as
            `("-mloc", "model/main_clnf_general.txt")`. It runs in the folder where it lies. Those
            that the detector gives itself are refused, and those that `REFUSED` names.

    Raises:
        InputError: A value is out of range; the message names field and value.

    Example:
        >>> OpenFaceConfig(processes=4, faces="largest").batch_size
        320
    """

    executable: Path | None = None
    batch_size: int = 320
    processes: int = 1
    seconds_per_image: float = 60.0
    faces: Faces = "all"
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= 500:
            raise InputError(f"batch_size is {self.batch_size}, not 1 to 500")
        require_at_least(1, processes=self.processes)
        if not (self.seconds_per_image > 0 and isfinite(self.seconds_per_image)):
            raise InputError(f"seconds_per_image is {self.seconds_per_image}, not above 0")
        require_one_of(Faces, faces=self.faces)
        if ours := _OURS.intersection(self.arguments):
            raise InputError(f"arguments hold {min(ours)}, which the detector gives itself")
        if refused := REFUSED.keys() & set(self.arguments):
            raise InputError(
                f"arguments hold {min(refused)}, which {REFUSED[min(refused)]}; leave it out"
            )


class _Item(NamedTuple):
    """An image of a batch as the program gets it."""

    position: int
    path: Path
    transform: Transform


class OpenFaceDetector:
    """Runs OpenFace's `FaceLandmarkImg`; a `Detector`.

    Args:
        config: How it is run.

    Attributes:
        version: Hash of the program and of its models' names and sizes, with the arguments.
        batch_size: Images to give to `detect` at a time, so that every process has a full run.

    Raises:
        InputError: The program is not found.
    """

    name = "openface"

    def __init__(self, config: OpenFaceConfig | None = None) -> None:
        self.config = config or OpenFaceConfig()
        self.program = find_openface(self.config.executable)
        arguments = " ".join((*CONTENT, *self.config.arguments))
        self.version = (
            f"{fingerprint(self.program)} {arguments} "
            f"(faces {self.config.faces}, enlarged below {MIN_SIDE}, border {PAD}, "
            "unsure ones again with a border)"
        )
        self.batch_size = self.config.batch_size * self.config.processes
        self._is_known_to_work = False
        self._env = dict(os.environ)
        if self.config.processes > 1:  # else each process would take every core for itself
            self._env = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | self._env

    def detect(self, images: Sequence[ImageInput]) -> list[Detection]:
        """Look at images; one result for each, in order.

        Raises:
            InputError: The program does not even work on a plain grey image, or has no AU models.
            OSError: The temporary folder cannot be written to.
        """
        stop = Event()
        size = min(self.config.batch_size, max(1, ceil(len(images) / self.config.processes)))
        with ThreadPoolExecutor(self.config.processes) as pool:
            batches = [
                pool.submit(self._detect_batch, images[start : start + size], stop)
                for start in range(0, len(images), size)
            ]
            try:
                return [detection for batch in batches for detection in batch.result()]
            finally:  # an error or an interrupt ends the other processes too
                stop.set()
                for batch in batches:
                    batch.cancel()

    def _detect_batch(self, images: Sequence[ImageInput], stop: Event) -> list[Detection]:
        detections: dict[int, Detection] = {}
        with scratch_folder() as folder:
            items, size = [], 0
            for position, image in enumerate(images):
                if stop.is_set():
                    raise CancelledError
                try:
                    pixels, transform = prepare(read_any(image))
                except (ImageError, OSError) as error:
                    detections[position] = unreadable(error)
                    continue
                items.append(_Item(position, folder / f"{position}.bmp", transform))
                _write(items[-1].path, pixels)
                size += items[-1].path.stat().st_size
                if size > MOST_BYTES:
                    detections |= self._look_twice(items, folder, stop)
                    items, size = [], 0
            detections |= self._look_twice(items, folder, stop)
        return [detections[position] for position in range(len(images))]

    def _look_twice(
        self, items: Sequence[_Item], folder: Path, stop: Event
    ) -> dict[int, Detection]:
        """What is in pictures, by position; they are deleted."""
        found = dict(self._settle(items, folder, stop))
        again = []
        for item in items:
            seen = found[item.position]
            if item.transform.border or seen.failure or main_face(seen.faces):
                continue
            pixels, transform = with_border(read_image(item.path))
            _write(item.path, pixels)
            again.append(item._replace(transform=transform))
        for position, seen in self._settle(again, folder, stop):
            found[position] = max(found[position], seen, key=_surest)
        for item in items:
            item.path.unlink()
        return found

    def _settle(
        self, items: Sequence[_Item], folder: Path, stop: Event
    ) -> Iterator[tuple[int, Detection]]:
        """Run the program until every image has its end."""
        pending, suspects = deque([list(items)] if items else []), set()
        while pending:
            batch, unseen = pending.popleft(), []
            looks = self._run([item.path for item in batch], folder, stop)
            for item, look in zip(batch, looks, strict=True):
                if look.rows is not None:
                    yield item.position, self._detection(look.rows, item.transform)
                elif not look.reason:
                    unseen.append(item)
                elif item not in suspects:
                    suspects.add(item)
                    pending.append([item])
                else:
                    self._require_that_it_works(folder, stop)
                    yield item.position, Detection(failure=look.reason, kind=look.kind)
            if unseen:
                pending.append(unseen)

    def _run(self, images: Sequence[Path], folder: Path, stop: Event) -> list[Look]:
        with TemporaryDirectory(dir=folder, prefix="run-") as out:  # an old CSV would pass for new
            return run_openface(
                self.program,
                (*CONTENT, *self.config.arguments),
                images,
                Path(out),
                seconds_per_image=self.config.seconds_per_image,
                env=self._env,
                stop=stop,
            )

    def _detection(self, rows: Sequence[OpenFaceRow], transform: Transform) -> Detection:
        faces = [
            replace(row, landmarks=transform.to_original(row.landmarks)).observation(
                self.name, self.version
            )
            for row in rows
        ]
        if self.config.faces == "largest" and faces:
            largest = main_face(faces) or main_face(faces, min_confidence=0)
            faces = [face for face in faces if face is largest]
        return Detection(tuple(faces))

    def _require_that_it_works(self, folder: Path, stop: Event) -> None:
        """Tell a program that fails on one image from one that fails on every image."""
        if self._is_known_to_work:
            return
        grey = folder / "grey.bmp"
        _write(grey, np.full((MIN_SIDE, MIN_SIDE, 3), 128, np.uint8))
        [look] = self._run([grey], folder, stop)
        if look.rows is None:
            raise InputError(
                f"{self.program} does not work: on a plain grey image, {look.reason}; run it on "
                "one image by hand, and see that its folders model and AU_predictors lie beside it"
            )
        self._is_known_to_work = True


def _write(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image, (height, width, 3) uint8 BGR, as BMP: a PNG costs a tenth of the look."""
    _, data = cv2.imencode(".bmp", image)
    path.write_bytes(data.tobytes())


def _surest(detection: Detection) -> float:
    """The confidence of a look's surest face; of a look that failed below that of no face."""
    if detection.failure:
        return -1.0
    return max((face.confidence for face in detection.faces), default=0.0)
