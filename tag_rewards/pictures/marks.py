"""What is drawn on a face: AUs that a detector saw, boxes that a trace claims; also in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.colours import OKABE_ITO
from tag_rewards.errors import InputError
from tag_rewards.facs import au_name
from tag_rewards.forms import form_named
from tag_rewards.geometry import BoxSpace, box_iou, clip_boxes
from tag_rewards.prepare.face_target import Canvas
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.geometry.matching import Box
    from tag_rewards.target import Polygon, Target

APPROXIMATE = "~"
"""Stands behind the name of an AU whose probability is approximate."""

NO_AU = "#bbbbbb"
"""Colour of a claimed box whose AU the trace does not tell."""


class Mark(NamedTuple):
    """Something to draw on a face, in pixels of the image.

    Attributes:
        box: x1, y1, x2, y2.
        au: The AU that it is for; None for a claimed box whose AU the trace does not tell.
        probability: The detector's; None if it did not judge the AU, and for a claim.
        polygon: The outlines of the AU's region; empty if only a box is known.
        claimed: Whether a trace claims it; else a detector saw it.
        approximate: Whether the probability was made of the geometry of landmarks alone.
    """

    box: Box
    au: int | None
    probability: float | None = None
    polygon: Polygon = ()
    claimed: bool = False
    approximate: bool = False

    @property
    def name(self) -> str:
        """Short, for a label: `AU12 ~` if it is approximate, `?` without an AU."""
        name = "?" if self.au is None else f"AU{self.au}"
        return f"{name} {APPROXIMATE}" if self.approximate else name


class ModelView(NamedTuple):
    """How what a model writes lies on an image.

    Attributes:
        space: The coordinates of its boxes.
        width: Of the image in pixels.
        height: Of the image in pixels.
        canvas: Side of the square canvas on which the model saw the image (`prepare --canvas`);
            None if it saw the image itself.
        form: The name of the form in which its boxes are written.
    """

    space: BoxSpace
    width: int
    height: int
    canvas: int | None = None
    form: str = "tag"

    @classmethod
    def of(cls, target: Target, image: NDArray[np.uint8], canvas: int | None = None) -> ModelView:
        """That of what is written about a target, on its image (height, width, 3)."""
        height, width = image.shape[:2]
        return cls(target.box_space, width, height, canvas, target.form)

    @classmethod
    def of_pixels(cls, image: NDArray[np.uint8], canvas: int | None = None) -> ModelView:
        """That of boxes in pixels of an image (height, width, 3), or of its canvas."""
        height, width = image.shape[:2]
        return cls(BoxSpace.pixels(canvas or width, canvas or height), width, height, canvas)

    def check(self) -> None:
        """See that the coordinates can be those of the image."""
        width, height = self.space.extent
        seen = (self.canvas, self.canvas) if self.canvas else (self.width, self.height)
        # A side is rounded to whole pixels.
        if self.space.kind == "pixels" and abs(width * seen[1] - height * seen[0]) > max(
            width, height, *seen
        ):
            raise InputError(
                f"the boxes are in pixels of an image of {width:g} x {height:g}, which is no other "
                f"size of {seen[0]} x {seen[1]}; give the image that the model saw, or the side "
                "of its canvas if `prepare` put the image on one"
            )

    def to_image(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes in pixels of the image, shape (n, 4), not cut to it.

        Example:
            >>> view = ModelView(BoxSpace.pixels(100, 100), 200, 100, canvas=100)
            >>> view.to_image([0, 25, 100, 75]).tolist()
            [[0.0, 0.0, 200.0, 100.0]]
        """
        part, side = (0, 0, self.width, self.height), self.canvas
        size = (side, side) if side else (self.width, self.height)
        return Canvas(part, size, self.space).to_image(boxes)


def trace_marks(image: NDArray[np.uint8], target: Target, completion: str) -> tuple[Mark, ...]:
    """What the detector saw and then what a trace claims, on the image that the model saw."""
    view = ModelView.of(target, image)
    return target_marks(target, view) + claim_marks(completion, view)


def target_marks(target: Target, view: ModelView) -> tuple[Mark, ...]:
    """The evidence of a target on the image, in its order."""
    marks = []
    for item in target.evidence:
        [[x1, y1, x2, y2]] = view.to_image(item.box).tolist()
        outlines = tuple(
            tuple((x, y) for x, y, _, _ in view.to_image([(*p, *p) for p in outline]).tolist())
            for outline in item.polygon or ()
        )
        marks.append(Mark((x1, y1, x2, y2), item.au, item.probability, outlines))
    return tuple(marks)


def claim_marks(completion: str, view: ModelView) -> tuple[Mark, ...]:
    """The boxes that a trace claims, cut to the image; any text will do.

    Boxes that lie outside the image are left out. A box with several AUs is a mark for each.
    """
    marks = []
    # Without an extent: a box that leaves the image is drawn as far as it lies on it.
    for claim in parse_trace(completion, form=form_named(view.form)).claims:
        [[x1, y1, x2, y2]] = clip_boxes(view.to_image(claim.box), view.width, view.height).tolist()
        if x1 < x2 and y1 < y2:
            box = (x1, y1, x2, y2)
            marks += [Mark(box, au, claimed=True) for au in claim.aus or (None,)]
    return tuple(dict.fromkeys(marks))


def mark_colours(groups: Iterable[Iterable[Mark]]) -> dict[int | None, str]:
    """The colour of each AU, such that the AUs of one face differ if possible; `NO_AU` for None."""
    aus = ([mark.au for mark in marks if mark.au is not None] for marks in groups)
    return dict([(None, NO_AU), *assign_colours(aus).items()])


def describe_marks(marks: Sequence[Mark]) -> list[tuple[int | None, str]]:
    """Each AU and what detector and trace say of it, in order of the marks.

    Example:
        >>> seen = Mark((0, 0, 10, 10), 12, probability=0.9)
        >>> claim = Mark((0, 0, 10, 5), 12, claimed=True)
        >>> describe_marks([seen, claim])
        [(12, 'AU12 lip corner puller: 0.90, claimed, IoU 0.50')]
        >>> describe_marks([seen._replace(approximate=True)])
        [(12, 'AU12 lip corner puller: ~ 0.90')]
    """
    by_au: dict[int | None, list[Mark]] = {}
    for mark in marks:
        by_au.setdefault(mark.au, []).append(mark)
    return [(au, f"{au_name(au)}: {_opinions(about)}") for au, about in by_au.items()]


def _opinions(marks: Sequence[Mark]) -> str:
    seen = [mark for mark in marks if not mark.claimed]
    claimed = [mark for mark in marks if mark.claimed]
    words = [
        "not judged"
        if mark.probability is None
        else f"{f'{APPROXIMATE} ' * mark.approximate}{mark.probability:.2f}"
        for mark in seen
    ]
    if claimed and not seen:
        words.append("claimed" if len(claimed) == 1 else f"claimed {len(claimed)} times")
    elif claimed:
        iou = box_iou([mark.box for mark in claimed], seen[0].box).max()
        words.append(f"claimed, IoU {iou:.2f}")
    return ", ".join(words)


def assign_colours(groups: Iterable[Iterable[int]]) -> dict[int, str]:
    """A colour of `OKABE_ITO` for each AU, such that AUs of one group share none if possible.

    Example:
        >>> assign_colours([[12, 6], [12, 4]])
        {4: '#0072b2', 6: '#0072b2', 12: '#d55e00'}
    """
    together: dict[int, set[int]] = {}
    for group in groups:
        aus = set(group)
        for au in aus:
            together.setdefault(au, set()).update(aus - {au})
    colours: dict[int, str] = {}
    for au in sorted(together):
        taken = Counter(colours[other] for other in together[au] if other in colours)
        colours[au] = min(OKABE_ITO, key=lambda colour: taken[colour])
    return colours


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` as in WCAG 2: 0 is black, 1 is white.

    Example:
        >>> luminance("#000000"), luminance("#ffffff")
        (0.0, 1.0)
    """
    values = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values
    )
    return round(0.2126 * red + 0.7152 * green + 0.0722 * blue, 6)


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read better on a colour.

    Example:
        >>> ink_on("#f0e442"), ink_on("#0072b2")
        ('#000000', '#ffffff')
    """
    light = luminance(colour)
    return "#000000" if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else "#ffffff"
