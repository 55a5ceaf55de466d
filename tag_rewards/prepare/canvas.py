"""Where an image lies in what a model sees, and in which numbers its boxes are written there.

`prepare` puts an image on a square canvas. It keeps its aspect ratio and is centred on black (a
stretched face would show other AUs); RAF-DB's aligned images are square and fill it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.geometry import BoxSpace
from tag_rewards.model_images import RELEASED

if TYPE_CHECKING:
    import shapely
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.datasets.reading import Box
    from tag_rewards.geometry import Kind
    from tag_rewards.model_images import ModelImages
    from tag_rewards.target import Polygon


def box_space(kind: Kind, width: int, height: int, model: ModelImages = RELEASED) -> BoxSpace:
    """The box space of that kind for a canvas, or for an image that a model sees as it is.

    Args:
        kind: A key of `tag_rewards.geometry.KINDS`.
        width: Its width in pixels.
        height: Its height in pixels.
        model: Whose processor `resized` means; the released Qwen2.5-VL checkpoints' by default.

    Raises:
        ValueError: A side is out of range.

    Example:
        >>> box_space("resized", 1024, 1024).extent
        (1036.0, 1036.0)
    """
    if kind == "pixels":
        return BoxSpace.pixels(width, height)
    if kind == "resized":
        return BoxSpace.resized(RELEASED.family, *model.shown(width, height))
    return BoxSpace(kind)


@dataclass(frozen=True)
class Canvas:
    """A part of an image as a model sees it: in the middle of a canvas, as large as it gets.

    Coordinates are of three kinds: pixels of the image, pixels of the canvas, and those of the box
    space, which boxes are written in and which span the canvas.

    Attributes:
        part: What is shown: x1, y1, x2, y2 in whole pixels of the image.
        size: Width and height of the canvas in pixels.
        space: The box space.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> canvas = Canvas((0, 0, 200, 100), (512, 512), BoxSpace.normalized_1000())
        >>> canvas.place, canvas.box([0, 0, 100, 100])
        ((0, 128, 512, 256), (0, 250, 500, 750))
        >>> canvas.to_image([0, 250, 500, 750]).tolist()
        [[0.0, 0.0, 100.0, 100.0]]
    """

    part: Box
    size: tuple[int, int]
    space: BoxSpace

    @classmethod
    def whole(cls, width: int, height: int, space: BoxSpace) -> Canvas:
        """An image that the model sees as it is."""
        return cls((0, 0, width, height), (width, height), space)

    @cached_property
    def place(self) -> Box:
        """Where the part lies on the canvas: left, top, width and height in canvas pixels."""
        x1, y1, x2, y2 = self.part
        scale = min(self.size[0] / (x2 - x1), self.size[1] / (y2 - y1))
        width, height = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
        return (self.size[0] - width) // 2, (self.size[1] - height) // 2, width, height

    def points(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (n, 2) of the image in the box space; they can lie outside of what is shown."""
        moved: NDArray[np.float64] = self._to_canvas(points) * self._zoom
        return moved

    def boxes(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) of the image in the box space, cut to the part.

        A box outside of it comes back without area.
        """
        corners = self._to_canvas(np.reshape(boxes, (-1, 2, 2)))
        low = np.array(self.place[:2])
        cut: NDArray[np.float64] = np.clip(corners, low, low + self.place[2:]) * self._zoom
        return cut.reshape(-1, 4)

    def box(self, box: ArrayLike) -> Box | None:
        """A box of the image in the box space, in integers; None when nothing of it is left."""
        x1, y1, x2, y2 = (int(value) for value in np.rint(self.boxes(box)[0]))
        return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None

    def polygon(self, region: shapely.Geometry, box: Box) -> Polygon:
        """A region of the image in the box space, cut to the part, to one decimal.

        Args:
            region: Polygons in pixels of the image.
            box: Its box as `box` gives it, whose outline is the answer where nothing but the box is
                left: in the middle between two sides of the face that both lie outside.
        """
        import shapely  # slow to import, and boxes do without

        low = np.array(self.place[:2]) * self._zoom
        shown = shapely.box(*low, *(low + np.array(self.place[2:]) * self._zoom))
        cut = shapely.get_parts(shapely.transform(region, self.points).intersection(shown))
        # What only touches the image's edge would come back as a line or a point.
        parts = [part for part in cut if part.area > 0] or [shapely.box(*box)]
        outlines = (shapely.get_coordinates(part)[:-1].tolist() for part in parts)
        return tuple(tuple((round(x, 1), round(y, 1)) for x, y in outline) for outline in outlines)

    def to_image(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) of the box space in pixels of the image, not cut to it."""
        corners = np.reshape(boxes, (-1, 2, 2)) * np.divide(self.size, self.space.extent)
        moved: NDArray[np.float64] = (corners - self.place[:2]) / self._scale + self.part[:2]
        return moved.reshape(-1, 4)

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The canvas with the part of the image on it, (height, width, 3) uint8."""
        x1, y1, x2, y2 = self.part
        left, top, width, height = self.place
        resized = cv2.resize(
            image[y1:y2, x1:x2],
            (width, height),
            interpolation=cv2.INTER_AREA if width < x2 - x1 else cv2.INTER_CUBIC,
        )
        board = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        board[top : top + height, left : left + width] = resized
        return board

    def _to_canvas(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 2) of the image in pixels of the canvas."""
        moved: NDArray[np.float64] = (
            np.subtract(points, self.part[:2]) * self._scale + self.place[:2]
        )
        return moved

    @cached_property
    def _scale(self) -> NDArray[np.float64]:
        """Canvas pixels to one of the image, along x and y; they differ by rounding only."""
        x1, y1, x2, y2 = self.part
        return np.divide(self.place[2:], (x2 - x1, y2 - y1))

    @cached_property
    def _zoom(self) -> NDArray[np.float64]:
        """Units of the box space to a canvas pixel, along x and y."""
        return np.divide(self.space.extent, self.size)
