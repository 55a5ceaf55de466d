"""What detectors share that look at one image at a time through a Python package.

The packages are not among this one's own, so that an error says what to install.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from tag_rewards.detectors.images import MIN_SIDE, PAD, prepare, read_any
from tag_rewards.detectors.observation import Detection, FaceObservation
from tag_rewards.errors import InputError
from tag_rewards.files.images import ImageError
from tag_rewards.files.scratch import scratch_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.detectors.images import Prepared
    from tag_rewards.detectors.observation import ImageInput


PREPARATION = f"enlarged below {MIN_SIDE}, border {PAD}"
"""What is done to images (`images.prepare`), for a detector's version."""


class OneByOne:
    """A `Detector` that looks at one image at a time: a kind of it says what it sees in one.

    It can be pickled; each process loads the models for itself at its first image.

    Attributes:
        name: What it is called on the command line.
        version: Decides, with the name and the image's content, what it gives.
    """

    name: str
    version: str

    def detect(self, images: Sequence[ImageInput]) -> list[Detection]:
        """Look at images; one result for each, in order. One that cannot be read is a failure."""
        return [self._detect(image) for image in images]

    def _look(self, prepared: Prepared) -> Sequence[FaceObservation]:
        """The faces of an image, in pixels of the original."""
        raise NotImplementedError

    def _detect(self, image: ImageInput) -> Detection:
        try:
            prepared = prepare(read_any(image))
        except (ImageError, OSError) as error:
            return unreadable(error)
        return Detection(tuple(self._look(prepared)))

    def _face(
        self,
        box: tuple[float, float, float, float],
        landmarks: NDArray[np.float64],
        scale: str,
        aus: Mapping[int, float],
        confidence: float = 1.0,
    ) -> FaceObservation:
        """A face of a package that says one value of each AU, on a scale of its own."""
        return FaceObservation(
            box=box,
            landmarks=landmarks,
            probabilities=as_probabilities(aus),
            raw={scale: aus},
            confidence=min(max(confidence, 0.0), 1.0),
            detector=self.name,
            version=self.version,
        )


def as_probabilities(values: Mapping[int, float]) -> dict[int, float]:
    """Values of AUs as evidence: cut to [0, 1].

    Example:
        >>> as_probabilities({1: -0.2, 12: 0.7, 25: 1.8})
        {1: 0.0, 12: 0.7, 25: 1.0}
    """
    return {au: min(max(value, 0.0), 1.0) for au, value in values.items()}


def unreadable(error: ImageError | OSError) -> Detection:
    """The failure of an image that cannot be read."""
    kind = "no image" if isinstance(error, ImageError) else "the file cannot be opened"
    return Detection(failure=str(error), kind=kind)


@contextmanager
def png_of(image: NDArray[np.uint8]) -> Iterator[Path]:
    """An image as a file, for packages that take only paths; it is deleted at the end."""
    with scratch_folder() as folder:
        path = folder / "face.png"
        write_png(path, image)
        yield path


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image, (height, width, 3) uint8 BGR, quickly rather than small."""
    _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    path.write_bytes(data.tobytes())


def box_around(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The box of points, shape (n, 2): x1, y1, x2, y2.

    Example:
        >>> import numpy as np
        >>> box_around(np.array([[1, 5], [3, 4.0]]))
        (1.0, 4.0, 3.0, 5.0)
    """
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2


def import_for(detector: str, module: str, remedy: str) -> Any:
    """Import a detector's package when it is used.

    Example:
        >>> try:
        ...     import_for("mine", "no_such", "pip install mine")
        ... except InputError as error:
        ...     print(error)
        detector mine needs no_such (No module named 'no_such'); pip install mine
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"detector {detector} needs {module} ({error}); {remedy}") from error


def package_version(distribution: str) -> str:
    """An installed distribution's version, `unknown` for one that was not installed as such."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def file_digest(path: Path) -> str:
    """Twelve digits that change with a file's content."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
