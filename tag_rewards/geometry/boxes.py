"""Axis-aligned boxes as float64 arrays of shape (n, 4): x1, y1, x2, y2 in continuous coordinates.

A box covers [x1, x2] x [y1, y2]; its width is x2 - x1 (no "+ 1 pixel"). A box whose second corner
is not to the right of and below its first, or that has a coordinate that is not finite, is
*degenerate*: it has area 0 and overlaps nothing.

The same box is written differently by different models: in pixels of the image, in thousandths of
it (Qwen3-VL), in its 1024ths (PaliGemma), or in pixels of the image after a processor resized it
(Qwen2.5-VL). A box in the wrong space scores nothing and says nothing, so a target carries its
`BoxSpace`, stated and never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from tag_rewards.errors import InputError, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def as_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """`boxes` as a float64 array of shape (n, 4).

    One box of shape (4,) becomes (1, 4), and nothing becomes (0, 4).

    Raises:
        ValueError: The values are not numbers that a float can hold, or not four to a box.

    Example:
        >>> as_boxes([1, 2, 3, 4]).shape, as_boxes([]).shape
        ((1, 4), (0, 4))
    """
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"boxes must be numbers of shape (n, 4): {error}") from None
    if array.size == 0:
        return np.empty((0, 4))
    if array.shape == (4,):
        return array[np.newaxis]
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must have shape (n, 4), not {array.shape}")
    return array


def box_area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Areas, shape (n,), in squared units of the boxes; 0 for degenerate boxes, never NaN.

    Example:
        >>> box_area([[0, 0, 2, 3], [5, 5, 4, 9]]).tolist()
        [6.0, 0.0]
    """
    array = as_boxes(boxes)
    # Coordinates near the largest float overflow here; such areas are infinite, and box_iou treats
    # them as degenerate.
    with np.errstate(over="ignore", invalid="ignore"):
        sides = np.maximum(array[:, 2:] - array[:, :2], 0.0)
        return np.where(np.isfinite(array).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    r"""Intersection over union of every box of `a` with every box of `b`.

    .. math:: \mathrm{IoU}(A, B) = |A \cap B| \,/\, (|A| + |B| - |A \cap B|)

    Args:
        a: Boxes, shape (n, 4).
        b: Boxes in the same coordinates, shape (m, 4).

    Returns:
        Shape (n, m), each in [0, 1]: exactly 1 for equal boxes, exactly 0 for disjoint or
        degenerate ones, never NaN.

    Example:
        >>> box_iou([0, 0, 2, 2], [[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]]).round(3).tolist()
        [[1.0, 0.333, 0.0]]
    """
    first, second = as_boxes(a), as_boxes(b)
    areas_first, areas_second = box_area(first), box_area(second)
    with np.errstate(over="ignore", invalid="ignore"):
        corner = np.maximum(first[:, np.newaxis, :2], second[np.newaxis, :, :2])
        opposite = np.minimum(first[:, np.newaxis, 2:], second[np.newaxis, :, 2:])
        sides = np.maximum(opposite - corner, 0.0)
        overlap = sides[..., 0] * sides[..., 1]
        union = areas_first[:, np.newaxis] + areas_second[np.newaxis, :] - overlap
    # A union that is not finite comes from a box that is degenerate by definition or too large to
    # have an area.
    usable = (
        (areas_first > 0)[:, np.newaxis]
        & (areas_second > 0)[np.newaxis, :]
        & np.isfinite(union)
        & (union > 0)
    )
    iou = np.zeros(overlap.shape)
    np.divide(overlap, union, out=iou, where=usable)
    return np.minimum(iou, 1.0)


def clip_boxes(boxes: ArrayLike, width: float, height: float) -> NDArray[np.float64]:
    """Boxes cut to [0, width] x [0, height]; a box that lies outside becomes degenerate.

    Example:
        >>> clip_boxes([-5, 10, 600, 20], 512, 512).tolist()
        [[0.0, 10.0, 512.0, 20.0]]
    """
    return np.clip(as_boxes(boxes), 0.0, [width, height, width, height])


def scale_boxes(boxes: ArrayLike, x: float, y: float) -> NDArray[np.float64]:
    """Boxes with their x coordinates multiplied by `x` and their y coordinates by `y`.

    Example:
        >>> scale_boxes([1, 2, 3, 4], 10, 100).tolist()
        [[10.0, 200.0, 30.0, 400.0]]
    """
    return as_boxes(boxes) * np.array([x, y, x, y], dtype=np.float64)


_FOREHEAD = 0.25
"""Height of the forehead, which the 68 landmarks leave out, relative to the rest of the face."""


def whole_pixels(boxes: ArrayLike, width: int, height: int) -> NDArray[np.int64]:
    """Boxes cut to an image and rounded outwards to whole pixels; without those outside it.

    Returns:
        (m, 4): x1, y1, x2, y2 with x1 < x2 and y1 < y2; pixel x2 is the first not covered.

    Example:
        >>> whole_pixels([[1.2, 2.0, 4.5, 9.0], [20, 20, 30, 30]], 10, 8).tolist()
        [[1, 2, 5, 8]]
    """
    inside = clip_boxes(boxes, width, height)
    inside = inside[box_area(inside) > 0]
    return np.asarray(np.hstack([np.floor(inside[:, :2]), np.ceil(inside[:, 2:])]), np.int64)


def means_of_others(names: ArrayLike, boxes: ArrayLike) -> NDArray[np.float64]:
    """For each box the mean of the other boxes of its name: where it would lie, not having looked.

    Args:
        names: What each box is of, shape (m,).
        boxes: Shape (m, 4).

    Returns:
        Shape (m, 4); NaN where no other box has the name.

    Example:
        >>> boxes = [[0, 0, 2, 2], [4, 0, 6, 2], [8, 0, 12, 2], [1, 1, 2, 2]]
        >>> means_of_others(["eye", "eye", "eye", "nose"], boxes)[:, 0].tolist()
        [6.0, 4.0, 2.0, nan]
    """
    own = np.asarray(boxes, np.float64).reshape(-1, 4)
    _, of, counts = np.unique(np.asarray(names), return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), 4))
    np.add.at(sums, of, own)
    others: NDArray[np.float64] = np.full(own.shape, np.nan)
    n = (counts[of] - 1)[:, np.newaxis]
    np.divide(sums[of] - own, n, out=others, where=n > 0)
    return others


def face_area(landmarks: NDArray[np.float64] | None, width: int, height: int) -> NDArray[np.int64]:
    """The box of a face from jaw to forehead in whole pixels, (4,); the image where it is unknown.

    Example:
        >>> points = np.tile([[20.0, 40.0], [60.0, 80.0]], (34, 1))
        >>> face_area(points, 100, 100).tolist(), face_area(None, 100, 100).tolist()
        ([20, 30, 60, 80], [0, 0, 100, 100])
    """
    if landmarks is not None:
        (left, top), (right, bottom) = (
            landmarks.min(axis=0).tolist(),
            landmarks.max(axis=0).tolist(),
        )
        top -= _FOREHEAD * (bottom - top)
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if x1 < x2 and y1 < y2:
            return np.array([math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)])
    return np.array([0, 0, width, height])


Kind = Literal["pixels", "normalized_1000", "normalized_1024", "resized"]


class _KindOfSpace(NamedTuple):
    """What a kind of box space is."""

    words: str
    """What the numbers of a box are, for a prompt; `{0}` and `{1}` are the largest x and y."""
    parts: int | None = None
    """How many parts each side of the image has, whatever its size; None for pixels."""


#: Every kind of box space: the one place that lists them.
KINDS: Mapping[Kind, _KindOfSpace] = MappingProxyType(
    {
        "pixels": _KindOfSpace("pixels of {0:.0f}x{1:.0f}"),
        "normalized_1000": _KindOfSpace("thousandths of the image's width and height", 1000),
        "normalized_1024": _KindOfSpace("1024ths of the image's width and height", 1024),
        "resized": _KindOfSpace("pixels of {0:.0f}x{1:.0f}"),
    }
)

#: Processors whose models write boxes in pixels of the resized image, and what both its sides are
#: multiples of (patch size times merge size).
PROCESSOR_FACTORS: Mapping[str, int] = {"qwen2_vl": 28, "qwen2_5_vl": 28}

#: Least and largest area, in pixels, that the released Qwen2.5-VL checkpoints resize to.
MIN_PIXELS, MAX_PIXELS = 4 * 28 * 28, 16384 * 28 * 28

#: No image is wider or higher; the boxes of a trace are read within the same bound.
MAX_SIDE = 1_000_000


@dataclass(frozen=True, slots=True)
class BoxSpace:
    """The coordinates that boxes are written in.

    Make one with `BoxSpace.pixels`, `BoxSpace.normalized_1000`, `BoxSpace.normalized_1024` or
    `BoxSpace.resized`.

    Attributes:
        kind: A key of `KINDS`.
        width: Largest x in pixels, at most `MAX_SIDE`; None where a side has parts instead.
        height: Largest y in pixels, at most `MAX_SIDE`; None where a side has parts instead.
        processor: A key of `PROCESSOR_FACTORS` for "resized", else None.

    Raises:
        ValueError: The fields do not fit each other.

    Example:
        >>> BoxSpace.pixels(512, 384).extent, BoxSpace.normalized_1000().extent
        ((512.0, 384.0), (1000.0, 1000.0))
    """

    kind: Kind
    width: int | None = None
    height: int | None = None
    processor: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise ValueError(f"box space kind {shown(self.kind)} is not one of {', '.join(KINDS)}")
        for name, side in (("width", self.width), ("height", self.height)):
            if self.parts:
                if side is not None:
                    raise ValueError(f"box space {self.kind} has no {name}, got {shown(side)}")
            elif isinstance(side, bool) or not isinstance(side, int) or side <= 0:
                raise ValueError(
                    f"box space {self.kind} needs a positive integer {name}, got {shown(side)}"
                )
            elif side > MAX_SIDE:
                raise ValueError(f"box space {self.kind} has a {name} above {MAX_SIDE}")
        if self.kind != "resized":
            if self.processor is not None:
                raise ValueError(
                    f"box space {self.kind} has no processor, got {shown(self.processor)}"
                )
            return
        if not isinstance(self.processor, str) or self.processor not in PROCESSOR_FACTORS:
            raise ValueError(
                f"box space processor {shown(self.processor)} is not one of "
                f"{', '.join(PROCESSOR_FACTORS)}"
            )
        factor = PROCESSOR_FACTORS[self.processor]
        if (self.width or 0) % factor or (self.height or 0) % factor:
            raise ValueError(
                f"{self.width} x {self.height} is no size that {self.processor} resizes to "
                f"(multiples of {factor}); "
                "pass the size that smart_resize gives, not the size of the image"
            )

    @classmethod
    def pixels(cls, width: int, height: int) -> BoxSpace:
        """Pixels of the image as it is stored and shown to the model."""
        return cls("pixels", width, height)

    @classmethod
    def normalized_1000(cls) -> BoxSpace:
        """Thousandths of the width and of the height, 0 to 1000."""
        return cls("normalized_1000")

    @classmethod
    def normalized_1024(cls) -> BoxSpace:
        """1024ths of the width and of the height, 0 to 1024; PaliGemma's last token is 1023."""
        return cls("normalized_1024")

    @classmethod
    def resized(cls, processor: str, width: int, height: int) -> BoxSpace:
        """Pixels of the image after `processor` resized it to `width` x `height`.

        Example:
            >>> height, width = smart_resize(512, 512)
            >>> BoxSpace.resized("qwen2_5_vl", width, height).extent
            (504.0, 504.0)
        """
        return cls("resized", width, height, processor)

    @property
    def parts(self) -> int | None:
        """How many parts each side of the image has, whatever its size; None for pixels."""
        return KINDS[self.kind].parts

    @property
    def extent(self) -> tuple[float, float]:
        """Largest x and largest y of a box inside the image."""
        if parts := self.parts:
            return float(parts), float(parts)
        return float(self.width or 0), float(self.height or 0)

    @property
    def words(self) -> str:
        """What the numbers of a box are, as prompts say it.

        Example:
            >>> BoxSpace.pixels(512, 384).words, BoxSpace.normalized_1024().words
            ('pixels of 512x384', "1024ths of the image's width and height")
        """
        return KINDS[self.kind].words.format(*self.extent)

    def to_dict(self) -> dict[str, str | int]:
        """Plain fields for JSON; those that do not apply are left out.

        Example:
            >>> BoxSpace.pixels(512, 512).to_dict()
            {'kind': 'pixels', 'width': 512, 'height': 512}
        """
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in values if value is not None}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> BoxSpace:
        """Inverse of `to_dict`.

        Raises:
            ValueError: A field is missing, unknown or out of range; the message names it.
        """
        unknown = sorted(set(fields) - {"kind", "width", "height", "processor"})
        if unknown:
            raise ValueError(f"box space has an unknown field {shown(unknown[0])}")
        if "kind" not in fields:
            raise ValueError("box space has no field 'kind'")
        return cls(**fields)


def convert_boxes(boxes: ArrayLike, source: BoxSpace, target: BoxSpace) -> NDArray[np.float64]:
    """`boxes` of `source` in the coordinates of `target`, for one and the same image; shape (n, 4).

    Example:
        >>> pixels, thousandths = BoxSpace.pixels(512, 512), BoxSpace.normalized_1000()
        >>> convert_boxes([0, 128, 256, 512], pixels, thousandths).tolist()
        [[0.0, 250.0, 500.0, 1000.0]]
    """
    source_x, source_y = source.extent
    target_x, target_y = target.extent
    return scale_boxes(boxes, target_x / source_x, target_y / source_y)


def smart_resize(
    height: int,
    width: int,
    factor: int = 28,
    min_pixels: int = MIN_PIXELS,
    max_pixels: int = MAX_PIXELS,
) -> tuple[int, int]:
    """The size to which the image processor of Qwen's models brings an image.

    Both sides become multiples of `factor`, their product lies in [min_pixels, max_pixels], and the
    aspect ratio is kept as far as that allows. The formula is that of `transformers`'
    Qwen2VLImageProcessor; rounding is Python's (half to even), as there. The limits are those of
    the released Qwen2.5-VL checkpoints, and not the class's, whose max_pixels is 1,003,520.

    Returns:
        (height, width), in this order.

    Raises:
        ValueError: A side is not positive, or one side is more than 200 times the other.

    Example:
        >>> smart_resize(512, 512), smart_resize(100, 30), smart_resize(1024, 1024)
        ((504, 504), (112, 28), (1036, 1036))
    """
    if min(height, width) <= 0:
        raise ValueError(f"image sides must be positive, got height {height} and width {width}")
    if max(height, width) / min(height, width) > 200:
        raise ValueError(f"one side may be at most 200 times the other, got {height} x {width}")
    new_height = round(height / factor) * factor
    new_width = round(width / factor) * factor
    if new_height * new_width > max_pixels:
        shrink = math.sqrt((height * width) / max_pixels)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return new_height, new_width


@dataclass(frozen=True, slots=True)
class Resizing:
    """The settings with which an image processor of Qwen's models resizes images.

    Attributes:
        factor: Both sides become multiples of it: patch size times merge size; 28 in Qwen2-VL and
            Qwen2.5-VL, 32 in Qwen3-VL. 1 or more.
        min_pixels: Least area in pixels, 1 or more.
        max_pixels: Largest area in pixels, at least `min_pixels`.

    Raises:
        InputError: A value is out of range; the message names field and value.

    Example:
        >>> Resizing().size(1024, 768), Resizing(max_pixels=401_408).size(1024, 768)
        ((1036, 756), (728, 532))
    """

    factor: int = 28
    min_pixels: int = MIN_PIXELS
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        for name in ("factor", "min_pixels", "max_pixels"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r:.80}, not a whole number above 0")
        if self.max_pixels < self.min_pixels:
            raise InputError(
                f"max_pixels is {self.max_pixels}, which is below min_pixels {self.min_pixels}"
            )

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height, in this order, to which an image of `width` x `height` is brought.

        Raises:
            ValueError: As `smart_resize`.
        """
        height, width = smart_resize(height, width, self.factor, self.min_pixels, self.max_pixels)
        return width, height
