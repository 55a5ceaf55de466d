"""ARKit's blendshapes, which MediaPipe gives, as FACS Action Units.

The table is the one that py-feat publishes (2.1.5, `feat/utils/region_maps.py`, MIT), which names
the AU and the muscle of each blendshape, with AU24 for `mouthPress` as its comments say. Left out
are the shapes that it gives no AU: gaze, tongue, `jawForward/Left/Right`, `mouthLeft/Right`,
`mouthClose`, `mouthRoll...`; and `cheekPuff`, an action descriptor (AD34). Nothing says that the
lips part (AU25): `jawOpen` with closed lips is AU26 as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AU_BLENDSHAPES: Mapping[int, tuple[str, ...]] = {
    1: ("browInnerUp",),
    2: ("browOuterUpLeft", "browOuterUpRight"),
    4: ("browDownLeft", "browDownRight"),
    5: ("eyeWideLeft", "eyeWideRight"),
    6: ("cheekSquintLeft", "cheekSquintRight"),
    7: ("eyeSquintLeft", "eyeSquintRight"),
    9: ("noseSneerLeft", "noseSneerRight"),
    10: ("mouthUpperUpLeft", "mouthUpperUpRight"),
    12: ("mouthSmileLeft", "mouthSmileRight"),
    14: ("mouthDimpleLeft", "mouthDimpleRight"),
    15: ("mouthFrownLeft", "mouthFrownRight"),
    16: ("mouthLowerDownLeft", "mouthLowerDownRight"),
    17: ("mouthShrugLower", "mouthShrugUpper"),
    18: ("mouthPucker",),
    20: ("mouthStretchLeft", "mouthStretchRight"),
    22: ("mouthFunnel",),
    24: ("mouthPressLeft", "mouthPressRight"),
    26: ("jawOpen",),
    45: ("eyeBlinkLeft", "eyeBlinkRight"),
}
"""AU number -> the blendshapes that show it."""


def blendshape_aus(blendshapes: Mapping[str, float]) -> dict[int, float]:
    """Blendshapes as AUs: the greatest of an AU's shapes, since one side is enough for an AU.

    Args:
        blendshapes: Name -> coefficient, 0 to 1; AUs of which no shape is there are left out.

    Example:
        >>> blendshape_aus({"mouthSmileLeft": 0.7, "mouthSmileRight": 0.5, "eyeLookInLeft": 0.9})
        {12: 0.7}
    """
    return {
        au: max(blendshapes[name] for name in names if name in blendshapes)
        for au, names in AU_BLENDSHAPES.items()
        if any(name in blendshapes for name in names)
    }
