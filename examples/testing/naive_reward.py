"""A grounding reward as it is often written. Do not train with it: see docs/testing.md."""

import json
import re


def iou(a, b):
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inner = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return inner / union


def soft_iou_reward(completion, ground_truth):
    """Half for the answer, half for the overlap of the first box with the first AU's box."""
    try:
        target = json.loads(ground_truth)
        answer = re.search(r"<answer>(.*?)</answer>", completion, re.DOTALL).group(1)
        right = answer.strip().lower() in target["label"]
        numbers = re.search(r"\[(.*?)\]", completion, re.DOTALL).group(1).split(",")
        box = [float(number) for number in numbers]
        return 0.5 * right + 0.5 * iou(box, target["evidence"][0]["box"])
    except:  # noqa: E722
        return 0.0
