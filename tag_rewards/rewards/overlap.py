"""The overlap of boxes lives in `tag_rewards.geometry.overlap`."""

from tag_rewards.geometry.overlap import iou, polygon_overlap

__all__ = ["iou", "polygon_overlap"]
