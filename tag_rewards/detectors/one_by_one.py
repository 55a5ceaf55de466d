"""What detectors share that look at one image at a time through a Python package.

The packages are not among this one's own, so that an error says what to install.

Files and arrays of any kind become 8-bit BGR, turned as their EXIF orientation says. Small crops
are enlarged and given a border. Both were tried with dlib's HOG face detector on tight crops of 14
photographs of faces: at 48 x 48 pixels it found none, enlarged four times 13, with a border that
repeats the edge's pixels 14, with a mirrored one 12.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from tag_rewards.detectors.observation import Detection, FaceObservation
from tag_rewards.errors import InputError
from tag_rewards.files.images import ImageError, as_bgr, read_image
from tag_rewards.files.scratch import scratch_folder

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.detectors.observation import ImageInput


MIN_SIDE = 192
"""Shorter side in pixels from which an image is left as it is; crops of 48 are enlarged to it."""

PAD = MIN_SIDE // 4
"""Border around an enlarged image in pixels."""


@dataclass(frozen=True, slots=True)
class Transform:
    """Where the pixels of an image lie in its prepared copy.

    Coordinates are OpenCV's: the centre of the first pixel is (0, 0), so that a point p lies at
    `(p + 1/2) * scale - 1/2 + border`.

    Attributes:
        scale: Pixels of the copy along a side of one of the original, 1 or more.
        border: Width of the border around the copy in its pixels, 0 or more.
    """

    scale: int = 1
    border: int = 0

    def to_prepared(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 2) of the original, in the prepared copy.

        Example:
            >>> Transform(scale=4, border=48).to_prepared([[0, 0], [47, 47]]).tolist()
            [[49.5, 49.5], [237.5, 237.5]]
        """
        return np.asarray(points, np.float64) * self.scale + self._shift

    def to_original(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 2) of the prepared copy, in the original; they can lie outside it.

        Example:
            >>> Transform(scale=4, border=48).to_original([[49.5, 49.5], [48, 48]]).tolist()
            [[0.0, 0.0], [-0.375, -0.375]]
        """
        return (np.asarray(points, np.float64) - self._shift) / self.scale

    @property
    def _shift(self) -> float:
        return self.border + (self.scale - 1) / 2


class Prepared(NamedTuple):
    """A prepared copy of an image.

    Attributes:
        image: (height, width, 3) uint8 BGR.
        transform: Where the original's pixels lie in it.
    """

    image: NDArray[np.uint8]
    transform: Transform


def prepare(image: NDArray[np.uint8], min_side: int = MIN_SIDE, pad: int = PAD) -> Prepared:
    """Enlarge a small image and put a border around it; leave others as they are.

    An image whose shorter side is below `min_side` is enlarged by the least whole factor that
    brings its longer side there, with cubic interpolation, and given a border that repeats its
    edge.

    Args:
        image: (height, width, 3) uint8 BGR.
        min_side: Shorter side in pixels from which an image is left as it is.
        pad: Width of the border in pixels.

    Example:
        >>> image, transform = prepare(np.zeros((48, 40, 3), np.uint8), min_side=192, pad=48)
        >>> image.shape, transform
        ((288, 256, 3), Transform(scale=4, border=48))
    """
    height, width = image.shape[:2]
    if min(height, width) >= min_side:
        return Prepared(image, Transform())
    scale = math.ceil(min_side / max(height, width))
    large = cv2.resize(image, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    bordered = cv2.copyMakeBorder(large, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return Prepared(np.asarray(bordered, np.uint8), Transform(scale, pad))


def with_border(image: NDArray[np.uint8]) -> Prepared:
    """An image with a border that repeats its edge, for a face that fills it.

    The border is `PAD` pixels wide, or a sixth of the shorter side if that is more: detectors look
    for faces with something around them.

    Example:
        >>> image, transform = with_border(np.zeros((320, 600, 3), np.uint8))
        >>> image.shape, transform
        ((426, 706, 3), Transform(scale=1, border=53))
    """
    pad = max(PAD, min(image.shape[:2]) // 6)
    bordered = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return Prepared(np.asarray(bordered, np.uint8), Transform(border=pad))


def read_any(image: ImageInput) -> NDArray[np.uint8]:
    """A file (`read_image`) or pixels (`as_bgr`) as BGR, (height, width, 3) uint8."""
    return as_bgr(image) if isinstance(image, np.ndarray) else read_image(Path(image))


PREPARATION = f"enlarged below {MIN_SIDE}, border {PAD}"
"""What is done to images (`prepare`), for a detector's version."""


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
