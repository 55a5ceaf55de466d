"""Do the boxes of a text lie where it was seen what the text says they show?

Nothing here knows what the boxes are of: a *claim* is a box with the names that a text gives it,
and the evidence says for each name where it was seen. Names are whatever hashes: classes of
objects, fields of a form, Action Units. The reading of the text is the caller's; what a reward
makes of the result too.

The matching is made so that the ways in which grounding rewards have been gamed do not pay: the
order of the boxes does not matter, duplicates and wrong boxes never help, the whole image earns
nothing, several tries for a name are worth their mean, and moving a box towards its target never
lowers the score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import fsum, inf, nan
from numbers import Real
from operator import itemgetter, mul
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, get_args
from warnings import warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Name = TypeVar("Name", bound="Hashable")

Overlap = Literal["box", "polygon"]
Denominator = Literal["max", "dice"]


#: x1, y1, x2, y2 with x1 < x2 and y1 < y2.
Box = tuple[float, float, float, float]


#: The outlines of a region, one for each of its parts; an outline is its corners (x, y) in order.
Polygon = tuple[tuple[tuple[float, float], ...], ...]

#: Corners of a polygon, all its outlines together. One that crosses itself costs their square.
MAX_CORNERS = 64

_FARTHEST = 1e9


class RegionLike(Protocol):
    """Where something was seen: a `Region`, an `AUEvidence`, or anything with these attributes."""

    @property
    def box(self) -> Box: ...  # noqa: D102

    @property
    def probability(self) -> float: ...  # noqa: D102

    @property
    def polygon(self) -> Polygon | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Region:
    """Where something was seen.

    Attributes:
        box: x1, y1, x2, y2 with x1 < x2 and y1 < y2, in any coordinates that the claims share.
        probability: How sure it is, in [0, 1].
        polygon: The region itself in the same coordinates, one outline of at least three corners
            for each of its parts, with at most `MAX_CORNERS` in all; None if only the box is known.

    Raises:
        ValueError: A field is out of range; the message names field and value.

    Example:
        >>> Region([80, 60, 20, 90])
        Traceback (most recent call last):
        ...
        ValueError: box: [80, 60, 20, 90] is not x1, y1, x2, y2 with x1 < x2 and y1 < y2
    """

    box: Box
    probability: float = 1.0
    polygon: Polygon | None = None

    def __post_init__(self) -> None:
        try:
            x1, y1, x2, y2 = map(float, self.box)
        except (TypeError, ValueError):
            x1 = y1 = x2 = y2 = nan
        if not _has_area((x1, y1, x2, y2)):
            raise ValueError(
                f"box: {self.box!r:.80} is not x1, y1, x2, y2 with x1 < x2 and y1 < y2"
            )
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: {self.probability!r} is not in [0, 1]")
        object.__setattr__(self, "box", (x1, y1, x2, y2))
        if self.polygon is not None:
            outlines = tuple(
                tuple((float(x), float(y)) for x, y in outline) for outline in self.polygon
            )
            require_corners(outlines)
            object.__setattr__(self, "polygon", outlines)


def require_corners(polygon: Polygon) -> None:
    """Check that a polygon has outlines that enclose something, and are not too long.

    Raises:
        ValueError: It has not; the message says "polygon: ...".

    Example:
        >>> require_corners((((0, 0), (4, 4)),))
        Traceback (most recent call last):
        ...
        ValueError: polygon: (((0, 0), (4, 4)),) has an outline of fewer than three corners
    """
    if not polygon or min(map(len, polygon)) < 3:
        raise ValueError(f"polygon: {polygon!r:.80} has an outline of fewer than three corners")
    corners = [corner for outline in polygon for corner in outline]
    if len(corners) > MAX_CORNERS:
        raise ValueError(
            f"polygon: {polygon!r:.80} has {len(corners)} corners, more than {MAX_CORNERS}; "
            "give simpler outlines"
        )
    for corner in corners:
        if not all(abs(value) <= _FARTHEST for value in corner):
            raise ValueError(f"polygon: {corner!r:.80} lies beyond ±{_FARTHEST:,.0f}")


def iou(a: Box, b: Box) -> float:
    r"""Intersection over union of two boxes, in [0, 1].

    .. math:: \mathrm{IoU}(A, B) = |A \cap B| \,/\, (|A| + |B| - |A \cap B|)

    Exactly 1 for equal boxes of positive area, and exactly 0 for disjoint ones; 0 too if one is
    reversed, has an infinite side or a NaN.

    Example:
        >>> iou((0, 0, 2, 2), (1, 0, 3, 2)) == 1 / 3
        True
    """
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    width = (ax2 if ax2 < bx2 else bx2) - (ax1 if ax1 > bx1 else bx1)
    if width <= 0:
        return 0.0
    height = (ay2 if ay2 < by2 else by2) - (ay1 if ay1 > by1 else by1)
    if height <= 0:
        return 0.0
    inner = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inner
    if inner < union:
        return inner / union
    return 1.0 if inner >= union else 0.0  # rounding must not lift it above 1; NaN earns nothing


#: A box lies in an area if at least this share of it is inside.
CONTAINED = 0.5


def contained_share(box: Box, area: Sequence[float]) -> float:
    """The share of a box's own area that lies inside another box, in [0, 1].

    Example:
        >>> contained_share((0, 0, 4, 2), (2, 0, 9, 9))
        0.5
    """
    x1, y1, x2, y2 = box
    width = min(x2, area[2]) - max(x1, area[0])
    height = min(y2, area[3]) - max(y1, area[1])
    if width <= 0 or height <= 0:
        return 0.0
    # Two quotients: the area of a tiny box may be 0 though its sides are not.
    return min(1.0, width / (x2 - x1)) * min(1.0, height / (y2 - y1))


def polygon_overlaps(boxes: Collection[Box], evidence: RegionLike) -> list[float]:
    """IoU of boxes with the region's polygon, relative to what the evidence's own box has.

    A box cannot cover a polygon exactly; dividing by the overlap of the evidence's box makes that
    box worth 1. The results lie in [0, 1]; if the polygon has no area, all others are 0.

    Along a straight line, the overlap of a box with a convex polygon rises to one best place and
    falls behind it. That need not be the middle of the evidence's box: a triangle lies off it.

    Raises:
        ValueError: The evidence has no polygon.

    Example:
        >>> triangle = (((0, 0), (4, 0), (0, 4)),)
        >>> polygon_overlaps([(0, 0, 4, 4), (0, 0, 4, 1)], Region((0, 0, 4, 4), polygon=triangle))
        [1.0, 0.8235294117647058]
    """
    if evidence.polygon is None:
        raise ValueError(
            f"{evidence!r} has no polygon; write polygons into the targets, or choose overlap='box'"
        )
    others = [box for box in boxes if box != evidence.box and _has_area(box)]
    best, *ious = _polygon_ious([evidence.box, *others], evidence.polygon)
    found = {evidence.box: 1.0}
    if best > _FLAT:
        found |= {box: min(1.0, iou / best) for box, iou in zip(others, ious, strict=True)}
    return [found.get(box, 0.0) for box in boxes]


# Share of its box up to which a polygon has no area: what there is may be rounding.
_FLAT = 1e-9


def _has_area(box: Box) -> bool:
    x1, y1, x2, y2 = box
    return x1 < x2 and y1 < y2 and 0 < (x2 - x1) * (y2 - y1) < inf


def _polygon_ious(boxes: Sequence[Box], polygon: Polygon) -> list[float]:
    """IoU of a polygon with boxes that have an area.

    What lies of it inside a box is the sum over its edges of the area between the edge and the
    line y = y1, as far as that lies inside the box: positive for edges that run to the right,
    negative for the others.
    """
    import numpy as np  # slow to import, and only this option needs it

    edges, area = _edges(polygon)
    if not len(edges):
        return [0.0] * len(boxes)
    (x, y), (to_x, to_y) = np.moveaxis(edges, 0, 2)
    corners = np.array(boxes)
    bounds = [np.array([*end, *end]) for end in (edges.min(axis=(0, 1)), edges.max(axis=(0, 1)))]
    x1, y1, x2, y2 = np.clip(corners, *bounds).T[:, :, np.newaxis]
    left, right = np.clip(x, x1, x2), np.clip(to_x, x1, x2)
    run = np.where(to_x == x, 1.0, to_x - x)
    ends = [y + np.clip((cut - x) / run, 0, 1) * (to_y - y) for cut in (left, right)]

    def mean_above(level: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each edge lies above a level on average, counting what lies below it as 0."""
        low, high = np.min(ends, axis=0) - level, np.max(ends, axis=0) - level
        partly = np.maximum(high, 0) ** 2 / (2 * np.maximum(high - low, 1e-300))
        return np.where(low < 0, partly, (low + high) / 2)

    inner = ((right - left) * (mean_above(y1) - mean_above(y2))).sum(axis=1)
    inner = np.clip(inner, 0, area)
    sides = corners[:, 2:] - corners[:, :2]
    ious: list[float] = (inner / (area + sides.prod(axis=1) - inner)).tolist()
    return ious


@lru_cache(maxsize=4096)
def _edges(polygon: Polygon) -> tuple[NDArray[np.float64], float]:
    """The edges of a polygon, clockwise as y points up: (m, 2, 2), from and to, x and y; its area.

    Outlines may cross themselves and each other; what they enclose counts once.
    """
    import numpy as np
    import shapely  # slow to import, and only this option needs it

    # What is left of an outline may hold lines, which have no area; buffer(0) drops them.
    outlines = [
        shapely.make_valid(shapely.Polygon(outline), method="structure").buffer(0)
        for outline in polygon
    ]
    shape = shapely.orient_polygons(shapely.union_all(outlines), exterior_cw=True)
    rings = shapely.get_rings(shapely.get_parts(shape))
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    edges = np.stack([corners[:-1], corners[1:]], axis=1)[ring[:-1] == ring[1:]]
    return edges, float(shape.area)


@dataclass(frozen=True, slots=True)
class MatchingConfig:
    """How boxes are judged.

    Attributes:
        iou_floor: IoU up to which a box earns nothing, in [0, 1). 0.2 lets a roughly right box feel
            a gradient, while the whole image as a box earns nothing.
        iou_ceiling: IoU from which a box earns everything, in (iou_floor, 1]. Below 1 because
            integer coordinates of a small box cannot reach 1.
        probability_weighted: Weigh each piece of evidence by its probability. Deprecated: detectors
            give strong AUs a high probability, not sure ones, and a right claim of little weight
            can lower the score.
        overlap: "box" for the IoU of two boxes; "polygon" for that of the box with the region's
            polygon, relative to what the region's own box has.
        denominator: What the sum is divided by: "max" for the larger number of claims and evidence,
            where a wrong claim is free as long as there are fewer claims than evidence; "dice" for
            their mean, where every claim costs, and every one that is missing.

    Raises:
        ValueError: An option is out of range; the message names option and value.
    """

    iou_floor: float = 0.2
    iou_ceiling: float = 0.9
    probability_weighted: bool = False
    overlap: Overlap = "box"
    denominator: Denominator = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        if self.denominator not in get_args(Denominator):
            raise ValueError(f"denominator is {self.denominator!r}, not one of max, dice")
        if self.overlap not in get_args(Overlap):
            raise ValueError(f"overlap is {self.overlap!r}, not one of box, polygon")
        if not isinstance(self.probability_weighted, bool):
            raise ValueError(
                f"probability_weighted is {self.probability_weighted!r}, not true or false"
            )
        if self.probability_weighted:
            warn(
                "probability_weighted is deprecated: it weighs strong AUs, not sure ones, and a "
                "right claim can lower the score; give targets with unsure AUs",
                DeprecationWarning,
                stacklevel=3,
            )
        if self.probability_weighted and self.denominator == "dice":
            raise ValueError(
                "denominator is 'dice', which counts claims, and probability_weighted weighs AUs; "
                "choose one of them"
            )
        floor, ceiling = self.iou_floor, self.iou_ceiling
        numbers = all(isinstance(x, Real) and not isinstance(x, bool) for x in (floor, ceiling))
        if not (numbers and 0 <= floor < ceiling <= 1):
            raise ValueError(
                f"iou_floor {floor!r} and iou_ceiling {ceiling!r} must satisfy "
                "0 <= iou_floor < iou_ceiling <= 1"
            )

    def worth(self, overlap: float) -> float:
        """What an overlap earns, the ramp of `match`, in [0, 1].

        Example:
            >>> [round(MatchingConfig().worth(iou), 3) for iou in (0.2, 0.5, 0.9)]
            [0.0, 0.429, 1.0]
        """
        return _ramp(self.iou_floor, self.iou_ceiling, overlap)


class Matching(NamedTuple):
    """What `match` finds.

    Attributes:
        score: How much of the evidence is shown, per claim, in [0, 1].
        mean_iou: Mean over the evidence of the overlap of the box that claims it, or of the mean
            overlap if several do, in [0, 1]; the largest that there is for boxes without a name.
            What is claimed beyond the evidence does not lower it.
        n_claims: How many claims there are, a box with two names being two.
        overlaps: For each name of the evidence, the overlap of each different box that claims it.
        weights: For each name of the evidence, the most that it adds to the sum of the formula.
        gains: For each name that a box shows, what it adds. The score is the sum of the gains by
            that of the weights, and by the denominator in units of the evidence.
    """

    score: float
    mean_iou: float
    n_claims: int
    overlaps: Mapping[Any, Mapping[Box, float]]
    weights: Mapping[Any, float]
    gains: Mapping[Any, float]


_DEFAULT = MatchingConfig()


def match(
    claims: Sequence[tuple[Box, tuple[Name, ...]]],
    evidence: Mapping[Name, RegionLike],
    config: MatchingConfig = _DEFAULT,
    unplaced: Iterable[Name] = (),
    missing: int = 0,
) -> Matching:
    r"""Match the boxes of a text with the evidence for what they are said to show.

    A claim can only be matched with the evidence for its own name.

    .. math::
        S = \frac{\sum_{a} \mathrm{mean}_{p \in P_a}\, \mathrm{ramp}(\mathrm{IoU}(p, t_a))}
                 {\max(n_\text{claims}, n_\text{evidence})}, \qquad
        \mathrm{ramp}(x) = \min\Bigl(1, \max\Bigl(0, \frac{x - f}{c - f}\Bigr)\Bigr)

    with the sum over the names of the evidence, the different boxes :math:`P_a` that claim the name
    (none: 0), its box :math:`t_a`, floor :math:`f` and ceiling :math:`c`. If the evidence is to be
    weighted, each term of the sum has its probability, in units of their mean. With the option
    `denominator="dice"` the sum is divided by the mean of both numbers, not the larger one.

    The mean is over what claims the name: who tries several boxes for one name earns on average
    what one of them does, and not the best of them. Copies of a box are one box, so that they
    cannot weigh in; each is a claim all the same. With one claim for each name, the score is that
    of the one-to-one matching with the largest sum.

    Two names with one and the same box are two pieces of evidence: claiming both with that box,
    once or twice, matches both. A box with names that were seen in different places stands for the
    first of them.

    A box without a name stands for one of the `unplaced` names, each for another one. Which for
    which does not matter: the score is that of the one-to-one matching with the largest sum, and
    `mean_iou` that of the one with the largest overlaps. Equal ones have one place, where the name
    was seen that they overlap most, and stand for names that were seen there. If there are more
    such boxes than names, nobody can tell which of them shows something: they show nothing, and all
    count.

    Args:
        claims: Each box with its names, as a tuple; no name if the text does not tell. Any numbers
            are boxes: reversed, infinite or NaN, they are claims that show nothing.
        evidence: For each name where it was seen.
        config: Options.
        unplaced: The names that the text gives without a box, for the boxes without a name. Names
            that a claim has are left out, and their order does not matter.
        missing: How many more claims there are, without a box; they show nothing, and count.

    Returns:
        The score and what it is made of. Without evidence there is nothing to show, and the score
        is 0; whether that is right, or no question, is for the caller to say.

    Raises:
        ValueError: Polygons are to be compared, and evidence that is claimed has none.

    Example:
        >>> from tag_rewards.geometry import Region
        >>> seen = {"cat": Region((20, 60, 80, 90)), "ball": Region((5, 80, 15, 90))}
        >>> match([((5, 80, 15, 90), ("ball",)), ((20, 60, 80, 90), ("cat",))], seen).score
        1.0
        >>> match([((20, 60, 80, 90), ("dog",))], seen).score
        0.0
        >>> match([((20, 60, 80, 90), ())], seen, unplaced=["ball", "cat"]).score
        0.5
        >>> tries = [((20, 60, 80, 75), ("cat",)), ((20, 60, 80, 90), ("cat",))]
        >>> tried = match(tries, seen)
        >>> tried.mean_iou, tried.n_claims, round(tried.score, 3)
        (0.375, 2, 0.357)
    """
    overlaps: dict[Name, dict[Box, float]] = {name: {} for name in evidence}
    nameless: list[Box] = []
    n_claims = missing
    for box, names in claims:
        if not names:
            nameless.append(box)
            continue
        n_claims += len(names)
        place = None
        for name in names:
            item = evidence.get(name)
            if item is None:
                continue
            # A box has one place. If it could stand for two, moving it towards one of them would
            # move it away from the other, and the score could fall.
            if place is None:
                place, overlap = item.box, iou(box, item.box)
            elif item.box != place:
                continue
            overlaps[name][box] = overlap
    if config.overlap == "polygon":
        for name, of in overlaps.items():
            if of:
                of.update(zip(of, polygon_overlaps(of, evidence[name]), strict=True))
    weights = _weights(evidence, config)
    floor, ceiling = config.iou_floor, config.iou_ceiling
    gains: dict[Name, float] = {}
    means: list[float] = []
    for name, of in overlaps.items():
        if len(of) == 1:  # nearly always
            [overlap] = of.values()
            gains[name] = weights[name] * _ramp(floor, ceiling, overlap)
            means.append(overlap)
        elif of:
            gains[name] = weights[name] * _mean([*map(config.worth, of.values())])
            means.append(_mean([*of.values()]))
    if nameless:
        free = set(unplaced).difference(*[names for _, names in claims])
        n_claims += max(len(nameless), len(free))
        left = [name for name in evidence if name in free]
        if left and len(nameless) <= len(free):
            rows = _nameless_rows(nameless, [evidence[name] for name in left], config)
            scale = [weights[name] for name in left]
            table = [[*map(mul, scale, map(config.worth, row))] for row, _ in rows]
            gains |= {left[j]: table[i][j] for i, j in best_pairs(table)}
            for i, j in best_pairs([row for row, _ in rows]):
                row, box = rows[i]
                overlaps[left[j]][box] = row[j]
                means.append(row[j])
    if not evidence:
        return Matching(0.0, 0.0, n_claims, overlaps, weights, gains)
    n_evidence = len(evidence)
    larger = max(n_claims, n_evidence)
    excess = (larger if config.denominator == "max" else (n_claims + n_evidence) / 2) / n_evidence
    score = fsum(gains.values()) / (fsum(weights.values()) * excess)
    mean_iou = fsum(means) / n_evidence
    return Matching(score, mean_iou, n_claims, overlaps, weights, gains)


def best_pairs(gains: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """The one-to-one pairs of rows and columns with the largest sum.

    Example:
        >>> best_pairs([[0.5, 0.9], [0.1, 0.8]])
        [(0, 0), (1, 1)]
    """
    if not gains:
        return []
    from scipy.optimize import linear_sum_assignment  # slow to import, and few texts come here

    rows, columns = linear_sum_assignment(gains, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _nameless_rows(
    nameless: Sequence[Box], evidence: Sequence[RegionLike], config: MatchingConfig
) -> list[tuple[tuple[float, ...], Box]]:
    """The overlaps of each box without a name, equal ones too, with all that it may stand for.

    Equal ones have one place: their overlaps with what was seen elsewhere are 0.
    """
    measure = polygon_overlaps if config.overlap == "polygon" else _box_overlaps
    places = [item.box for item in evidence]
    boxes = Counter(nameless)
    columns = [measure(boxes, item) for item in evidence]
    rows = []
    for (box, n), row in zip(boxes.items(), zip(*columns, strict=True), strict=True):
        if n > 1:
            # Rounded, so that of equal overlaps the same is the largest in any coordinates.
            _, place = max((round(x, 9), at) for x, at in zip(row, places, strict=True))
            row = tuple(x if at == place else 0.0 for x, at in zip(row, places, strict=True))
        rows += [(row, box)] * n
    return sorted(rows, key=itemgetter(0))  # so that nothing depends on the order of the text


def _box_overlaps(boxes: Collection[Box], evidence: RegionLike) -> list[float]:
    return [iou(box, evidence.box) for box in boxes]


def _weights(evidence: Mapping[Name, RegionLike], config: MatchingConfig) -> dict[Name, float]:
    if config.probability_weighted:
        weights = {name: item.probability for name, item in evidence.items()}
        if any(weights.values()):
            return weights
    return dict.fromkeys(evidence, 1.0)


def _mean(values: Sequence[float]) -> float:
    """The mean; the order does not matter, not even to the last bit."""
    return fsum(values) / len(values)


def _ramp(floor: float, ceiling: float, overlap: float) -> float:
    if overlap <= floor:
        return 0.0
    return 1.0 if overlap >= ceiling else (overlap - floor) / (ceiling - floor)
