"""The rule of every Action Unit's region, as tables of anchors; `regions` puts them on a face.

An *anchor* is a landmark (or a point between two), moved by multiples of r, the inner-eye distance,
in the face's own frame; downwards by r as it is before the head turns. Rules are written for the
left half of the face in the image; the right half is its mirror image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point of the left half of a face.

    Attributes:
        start: Index of a landmark.
        end: Index of a landmark towards which the point is moved.
        towards: 0 at `start`, 1 at `end`.
        out: Offset away from the middle of the face, in r.
        down: Offset towards the chin, in r.
    """

    start: int
    end: int
    towards: float
    out: float
    down: float


@dataclass(frozen=True, slots=True)
class RegionRule:
    """How the region of one AU is built, and where the rule comes from.

    Attributes:
        anchors: The left half's anchors.
        paired: True for two polygons, left and right; False for one across the middle.
        source: What the rule is taken from, and what in it is ours.
    """

    anchors: tuple[Anchor, ...]
    paired: bool
    source: str


def at(
    start: int, end: int | None = None, t: float = 0.5, *, out: float = 0.0, down: float = 0.0
) -> Anchor:
    """Shorthand for the table: a landmark, or the point at `t` between two, and an offset in r."""
    return Anchor(start, start if end is None else end, 0.0 if end is None else t, out, down)


def _median(*anchors: Anchor, source: str) -> RegionRule:
    return RegionRule(anchors, paired=False, source=source)


def _paired(*anchors: Anchor, source: str) -> RegionRule:
    return RegionRule(anchors, paired=True, source=source)


_LIP_BAND = _median(
    at(48, out=0.12), at(49, out=0.05, down=-0.15), at(50, down=-0.17), at(51, down=-0.15),
    at(59, out=0.05, down=0.15), at(58, down=0.17), at(57, down=0.17),
    source="AU R-CNN group H (lips and the band round them); JAA-Net centres 51, 57 for 23 and "
    "24; the band's width ours",
)  # fmt: skip

_EYE = _paired(
    at(36, out=0.12), at(39, out=-0.1), at(37, 18, 0.4), at(38, 20, 0.4),
    at(40, down=0.12), at(41, down=0.12),
    source="AU R-CNN group I (eye and brow-eye gap), cut to the lid's part of the gap by us",
)  # fmt: skip

#: The rule of every AU, by number.
AU_REGIONS: Mapping[int, RegionRule] = MappingProxyType(
    {
        1: _median(
            at(21, out=0.28, down=0.08), at(21, out=0.28, down=-0.72), at(21, down=0.12),
            source="JAA-Net centres 21, 22 (r/2 up); py-feat medial frontalis; extent ours",
        ),
        2: _paired(
            at(17, out=0.08, down=0.08), at(17, out=0.08, down=-0.45), at(18, down=-0.62),
            at(19, out=-0.05, down=-0.55), at(19, out=-0.05, down=0.08),
            source="JAA-Net centres 18, 25 (r/3 up); py-feat lateral frontalis; extent ours",
        ),
        4: _median(
            at(19, out=0.06, down=-0.12), at(19, out=0.06, down=0.38), at(21, down=-0.15),
            at(27, down=0.1),
            source="JAA-Net centres 19, 24 (r/3 down); AU R-CNN group B (brows and glabella); "
            "extent ours",
        ),
        5: _paired(
            at(36, out=0.1), at(39, out=-0.08), at(37, 18, 0.8), at(38, 20, 0.8),
            at(40, down=0.04), at(41, down=0.04),
            source="AU R-CNN group A (eye and brow-eye gap) without the strip above the brow",
        ),
        6: _paired(
            at(36, out=0.25), at(36, out=0.35, down=0.35), at(41, out=0.3, down=1.1),
            at(41, out=-0.2, down=1.1), at(39, down=0.3), at(39),
            source="JAA-Net centres 41, 46 (r down); AU R-CNN group C (infra-orbital cheek); "
            "extent ours",
        ),
        7: _paired(
            at(36, out=0.15), at(37, down=-0.15), at(38, down=-0.15), at(39, out=-0.12),
            at(40, down=0.15), at(41, down=0.15),
            source="JAA-Net centres 38, 43; py-feat orbicularis oculi ring; ring's width ours",
        ),
        9: _median(
            at(27, out=0.38, down=-0.2), at(29, out=0.45), at(31, out=0.15), at(33, down=0.05),
            source="JAA-Net centres 32, 34 (r/2 up); AU R-CNN group D (nose and its sides); "
            "extent ours",
        ),
        10: _median(
            at(31, out=0.25, down=-0.05), at(49, out=0.15, down=0.05), at(61, down=0.08),
            at(62, down=0.08),
            source="JAA-Net centres 61, 63; EAC-Net centres 49, 53; extent ours",
        ),
        11: _paired(
            at(31, down=-0.3), at(31, out=0.5, down=-0.3), at(48, out=0.2, down=-0.1),
            at(49, down=0.05),
            source="ours: along the nasolabial fold (zygomaticus minor), in AU R-CNN group E",
        ),
        12: _paired(
            at(48, out=-0.25, down=-0.15), at(48, out=-0.25, down=0.2), at(48, out=0.15, down=0.2),
            at(48, 3, 0.7), at(48, 2, 0.7), at(48, 36, 0.4, out=0.3),
            source="JAA-Net centres 48, 54; py-feat zygomaticus major (48, 3, 2), 0.7 of its "
            "length, and the same towards the cheekbone, where the muscle begins; extent ours",
        ),
        14: _paired(
            at(48, out=-0.2, down=-0.4), at(48, out=-0.2, down=0.4), at(48, down=-0.4),
            at(48, down=0.4), at(48, 3, 0.95), at(48, 4, 0.95),
            source="JAA-Net centres 48, 54; py-feat buccinator (48 to the jaw at its height); "
            "height after TAG's published box",
        ),
        15: _paired(
            at(48, out=-0.25, down=-0.1), at(48, out=0.15, down=-0.15), at(48, 6, 0.6),
            at(48, 7, 0.6),
            source="JAA-Net centres 48, 54; py-feat depressor anguli oris (48, 7, 6), 0.6 of its "
            "length; extent ours",
        ),
        16: _median(
            at(60), at(59, out=0.15), at(59, out=0.1, down=0.35), at(58, down=0.4),
            at(57, down=0.4),
            source="ours: below the lower lip (depressor labii), in AU R-CNN group F",
        ),
        17: _median(
            at(58, out=0.35, down=0.12), at(57, down=0.12), at(58, out=0.1, down=0.6),
            at(7, out=0.3, down=-0.1), at(7), at(8),
            source="JAA-Net centres 56, 58 (r/2 down); AU R-CNN group G (lower lip to jaw), "
            "narrowed to TAG's published box",
        ),
        18: _LIP_BAND,
        20: _paired(
            at(48, out=-0.25, down=-0.1), at(48, out=0.1, down=-0.2), at(48, 4, 0.75),
            at(48, 5, 0.75), at(59, down=0.15),
            source="py-feat risorius (4, 5, 48), 0.75 of its length; extent ours",
        ),
        22: _LIP_BAND,
        23: _LIP_BAND,
        24: _LIP_BAND,
        25: _median(
            at(48), at(50, down=-0.06), at(51, down=-0.06), at(59, down=0.2), at(58, down=0.3),
            at(57, down=0.3),
            source="JAA-Net centres 51, 57; the lips of AU R-CNN group F; extent ours",
        ),
        26: _median(
            at(48, out=0.1, down=-0.05), at(48, 6, 0.5), at(58, out=0.1, down=0.6),
            at(6, out=-0.1, down=-0.05), at(7), at(8),
            source="JAA-Net centres 56, 58 (r/2 down); AU R-CNN group F (mouth and lower face to "
            "the jaw), from the mouth's line down",
        ),
        27: _median(
            at(48, out=0.15), at(49, down=-0.1), at(50, down=-0.1), at(51, down=-0.1),
            at(5), at(6), at(7), at(8),
            source="AU R-CNN group F (mouth and lower face to the jaw, 5 to 11)",
        ),
        28: _LIP_BAND,
        43: _EYE,
        45: _EYE,
    }
)  # fmt: skip

#: JAA-Net's two centres of an AU: two landmarks, and how far below them in r. From `network.py` of
#: ZhiwenShao/PyTorch-JAANet (a fact of the method; none of its code is used).
JAA_CENTRES: Mapping[int, tuple[int, int, float]] = MappingProxyType(
    {
        1: (21, 22, -1 / 2),
        2: (18, 25, -1 / 3),
        4: (19, 24, 1 / 3),
        6: (41, 46, 1),
        7: (38, 43, 0),
        9: (32, 34, -1 / 2),
        10: (61, 63, 0),
        12: (48, 54, 0),
        14: (48, 54, 0),
        15: (48, 54, 0),
        17: (56, 58, 1 / 2),
        23: (51, 57, 0),
        24: (51, 57, 0),
        25: (51, 57, 0),
        26: (56, 58, 1 / 2),
    }
)
