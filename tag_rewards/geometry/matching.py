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

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum, inf, nan
from numbers import Real
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_args

Name = TypeVar("Name", bound="Hashable")

Overlap = Literal["box", "polygon"]


#: x1, y1, x2, y2 with x1 < x2 and y1 < y2.
Box = tuple[float, float, float, float]


#: The outlines of a region, one for each of its parts; an outline is its corners (x, y) in order.
Polygon = tuple[tuple[tuple[float, float], ...], ...]


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
            for each of its parts; None if only the box is known.

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
            if not outlines or min(map(len, outlines)) < 3:
                raise ValueError(
                    f"polygon: {self.polygon!r:.80} has an outline of fewer than three corners"
                )
            object.__setattr__(self, "polygon", outlines)


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


def polygon_overlap(box: Box, evidence: RegionLike) -> float:
    """IoU of `box` with the region's polygon, relative to what the evidence's own box has.

    A box cannot cover a polygon exactly; dividing by the overlap of the evidence's box makes that
    box worth 1. The result lies in [0, 1].

    Raises:
        ValueError: The evidence has no polygon.

    Example:
        >>> triangle = (((0, 0), (4, 0), (0, 4)),)
        >>> polygon_overlap((0, 0, 4, 4), Region((0, 0, 4, 4), polygon=triangle))
        1.0
    """
    if evidence.polygon is None:
        raise ValueError(
            f"{evidence!r} has no polygon; write polygons into the targets, or choose overlap='box'"
        )
    if box == evidence.box:
        return 1.0
    if not _has_area(box):
        return 0.0
    best = _polygon_iou(evidence.box, evidence.polygon)
    return min(1.0, _polygon_iou(box, evidence.polygon) / best) if best > 0 else 0.0


def _has_area(box: Box) -> bool:
    x1, y1, x2, y2 = box
    return x1 < x2 and y1 < y2 and 0 < (x2 - x1) * (y2 - y1) < inf


def _polygon_iou(box: Box, polygon: Polygon) -> float:
    import shapely  # slow to import, and only this option needs it

    shape, rectangle = _shape(polygon), shapely.box(*box)
    inner = shape.intersection(rectangle).area
    union = shape.area + rectangle.area - inner
    return float(inner / union) if union > 0 else 0.0


@lru_cache(maxsize=4096)
def _shape(polygon: Polygon) -> Any:
    import shapely

    # An outline that crosses itself would make union and intersection fail. What is left of it may
    # hold lines, which have no area; buffer(0) drops them.
    outlines = [shapely.make_valid(shapely.Polygon(outline)).buffer(0) for outline in polygon]
    return shapely.union_all(outlines)


@dataclass(frozen=True, slots=True)
class MatchingConfig:
    """How boxes are judged.

    Attributes:
        iou_floor: IoU up to which a box earns nothing, in [0, 1). 0.2 lets a roughly right box feel
            a gradient, while the whole image as a box earns nothing.
        iou_ceiling: IoU from which a box earns everything, in (iou_floor, 1]. Below 1 because
            integer coordinates of a small box cannot reach 1.
        probability_weighted: Weigh each piece of evidence by its probability.
        overlap: "box" for the IoU of two boxes; "polygon" for that of the box with the region's
            polygon, relative to what the region's own box has.

    Raises:
        ValueError: An option is out of range; the message names option and value.
    """

    iou_floor: float = 0.2
    iou_ceiling: float = 0.9
    probability_weighted: bool = False
    overlap: Overlap = "box"

    def __post_init__(self) -> None:
        if self.overlap not in get_args(Overlap):
            raise ValueError(f"overlap is {self.overlap!r}, not one of box, polygon")
        if not isinstance(self.probability_weighted, bool):
            raise ValueError(
                f"probability_weighted is {self.probability_weighted!r}, not true or false"
            )
        floor, ceiling = self.iou_floor, self.iou_ceiling
        numbers = all(isinstance(x, Real) and not isinstance(x, bool) for x in (floor, ceiling))
        if not (numbers and 0 <= floor < ceiling <= 1):
            raise ValueError(
                f"iou_floor {floor!r} and iou_ceiling {ceiling!r} must satisfy "
                "0 <= iou_floor < iou_ceiling <= 1"
            )


class Matching(NamedTuple):
    """What `match` finds.

    Attributes:
        score: How much of the evidence is shown, per claim, in [0, 1].
        mean_iou: Mean over the evidence of the overlap of the box that claims it, or of the mean
            overlap if several do; in [0, 1].
        n_claims: How many claims there are, a box with two names being two.
        overlaps: For each name of the evidence, the overlap of each different box that claims it.
    """

    score: float
    mean_iou: float
    n_claims: int
    overlaps: Mapping[Any, Mapping[Box, float]]


_DEFAULT = MatchingConfig()


def match(
    claims: Sequence[tuple[Box, tuple[Name, ...]]],
    evidence: Mapping[Name, RegionLike],
    config: MatchingConfig = _DEFAULT,
    unplaced: Iterable[Name] = (),
) -> Matching:
    r"""Match the boxes of a text with the evidence for what they are said to show.

    A claim can only be matched with the evidence for its own name.

    .. math::
        S = \frac{\sum_{a} \mathrm{mean}_{p \in P_a}\, \mathrm{ramp}(\mathrm{IoU}(p, t_a))}
                 {\max(n_\text{claims}, n_\text{evidence})}, \qquad
        \mathrm{ramp}(x) = \min\Bigl(1, \max\Bigl(0, \frac{x - f}{c - f}\Bigr)\Bigr)

    with the sum over the names of the evidence, the different boxes :math:`P_a` that claim the name
    (none: 0), its box :math:`t_a`, floor :math:`f` and ceiling :math:`c`. If the evidence is to be
    weighted, each term of the sum has its probability, in units of their mean.

    The mean is over what claims the name: who tries several boxes for one name earns on average
    what one of them does, and not the best of them. Copies of a box are one box in it, so that they
    cannot weigh in; each is a claim all the same. With one claim for each name, the score is that
    of the one-to-one matching with the largest sum.

    Two names with one and the same box are two pieces of evidence: claiming both with that box,
    once or twice, matches both. A box with names that were seen in different places stands for the
    first of them. Boxes without a name that are no more than the `unplaced` names are matched one
    to one with regions (names that share a box are one) so that the sum is largest; if there are
    more, nobody can tell which box shows what: they show nothing, and all count.

    Args:
        claims: Each box with its names, as a tuple; no name if the text does not tell. Any numbers
            are boxes: reversed, infinite or NaN, they are claims that show nothing.
        evidence: For each name where it was seen.
        config: Options.
        unplaced: The names that the text gives without a box, for the boxes without a name. Names
            that a claim has are left out.

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
    polygons = config.overlap == "polygon"
    overlaps: dict[Name, dict[Box, float]] = {name: {} for name in evidence}
    nameless = []
    n_claims = 0
    for box, names in claims:
        if not names:
            nameless.append(box)
            continue
        n_claims += len(names)
        place = None
        for name in names:
            item = evidence.get(name)
            # A box has one place. If it could stand for two, moving it towards one of them would
            # move it away from the other, and the score could fall.
            if item is None or (place is not None and item.box != place):
                continue
            place = item.box
            overlaps[name][box] = polygon_overlap(box, item) if polygons else iou(box, place)
    if nameless:
        named = {name for _, names in claims for name in names}
        left = [name for name in dict.fromkeys(unplaced) if name not in named]
        n_claims += max(len(nameless), len(left))
        if len(nameless) <= len(left):
            _match_nameless(nameless, left, evidence, overlaps, config)
    if not evidence:
        return Matching(0.0, 0.0, n_claims, overlaps)
    tries = [list(of.values()) for of in overlaps.values()]
    score = _shown(tries, n_claims, evidence.values(), config)
    return Matching(score, sum(map(_mean, tries)) / len(tries), n_claims, overlaps)


def _match_nameless(
    boxes: Sequence[Box],
    names: Sequence[Name],
    evidence: Mapping[Name, RegionLike],
    overlaps: Mapping[Name, dict[Box, float]],
    config: MatchingConfig,
) -> None:
    """Match boxes with the regions of `names` where the sum is largest; updates `overlaps`."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and few texts come here

    regions: dict[Box, list[Name]] = {}
    for name in names:
        if name in evidence:
            regions.setdefault(evidence[name].box, []).append(name)
    groups = list(regions.values())
    if not groups:
        return

    def overlap(box: Box, name: Name) -> float:
        item = evidence[name]
        return polygon_overlap(box, item) if config.overlap == "polygon" else iou(box, item.box)

    def gain(overlap: float, name: Name) -> float:
        weight = evidence[name].probability if config.probability_weighted else 1.0
        return _ramp(overlap, config.iou_floor, config.iou_ceiling) * weight

    measured = [[[overlap(box, name) for name in group] for group in groups] for box in boxes]
    gains = [
        [sum(map(gain, cell, group)) for cell, group in zip(row, groups, strict=True)]
        for row in measured
    ]
    for i, j in zip(*linear_sum_assignment(gains, maximize=True), strict=True):
        for found, name in zip(measured[i][j], groups[j], strict=True):
            overlaps[name][boxes[i]] = found


def _shown(
    tries: Sequence[Sequence[float]],
    n_claims: int,
    evidence: Collection[RegionLike],
    config: MatchingConfig,
) -> float:
    """How much of the evidence is shown, per claim; `tries` are the overlaps for each piece."""
    n_evidence = len(evidence)
    floor, ceiling = config.iou_floor, config.iou_ceiling
    worth = [_mean([_ramp(overlap, floor, ceiling) for overlap in of]) for of in tries]
    if config.probability_weighted:
        total = sum(item.probability for item in evidence)
        if total > 0:
            shown = sum(item.probability * w for item, w in zip(evidence, worth, strict=True))
            return shown / total * (n_evidence / max(n_claims, n_evidence))
    return sum(worth) / max(n_claims, n_evidence)


def _mean(values: Sequence[float]) -> float:
    """The mean, 0 of nothing; the order does not matter, not even to the last bit."""
    if len(values) == 1:
        return values[0]
    return fsum(values) / len(values) if values else 0.0


def _ramp(overlap: float, floor: float, ceiling: float) -> float:
    if overlap <= floor:
        return 0.0
    return 1.0 if overlap >= ceiling else (overlap - floor) / (ceiling - floor)
