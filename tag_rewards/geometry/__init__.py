"""Boxes, coordinate spaces, landmarks, and the regions of Action Units on a face.

`boxes`, `spaces` and `matching` know nothing of faces; `landmarks` and `regions` do.
"""

from tag_rewards.geometry.au_rules import AU_REGIONS, Anchor, RegionRule
from tag_rewards.geometry.boxes import as_boxes, box_area, box_iou, clip_boxes, scale_boxes
from tag_rewards.geometry.landmarks import (
    INNER_LIP,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    OUTER_LIP,
    RIGHT_BROW,
    RIGHT_EYE,
    as_landmarks,
    average_face,
    face_roll,
    inner_eye_distance,
    mirror_landmarks,
)
from tag_rewards.geometry.matching import Box, Matching, MatchingConfig, Polygon, Region, match
from tag_rewards.geometry.regions import au_box, au_boxes, au_region, au_regions, jaa_centres
from tag_rewards.geometry.spaces import BoxSpace, convert_boxes, smart_resize

__all__ = [
    "AU_REGIONS",
    "INNER_LIP",
    "JAW",
    "LEFT_BROW",
    "LEFT_EYE",
    "OUTER_LIP",
    "RIGHT_BROW",
    "RIGHT_EYE",
    "Anchor",
    "Box",
    "BoxSpace",
    "Matching",
    "MatchingConfig",
    "Polygon",
    "Region",
    "RegionRule",
    "as_boxes",
    "as_landmarks",
    "au_box",
    "au_boxes",
    "au_region",
    "au_regions",
    "average_face",
    "box_area",
    "box_iou",
    "clip_boxes",
    "convert_boxes",
    "face_roll",
    "inner_eye_distance",
    "jaa_centres",
    "match",
    "mirror_landmarks",
    "scale_boxes",
    "smart_resize",
]
