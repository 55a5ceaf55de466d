"""The grounding reward without a face: findings on chest X-rays, boxed and named in the reasoning.

    python examples/beyond_faces/chest_xray.py

The grammar is this project's own, and so are the parser and the reward; the matching is the one
that judges Action Units. The images are made up: some findings each, with boxes near the usual
place, and the share of three readers who saw them as the probability.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tag_rewards.geometry import MatchingConfig, Region, match

if TYPE_CHECKING:
    from tag_rewards.geometry import Box

# The parser: it never raises, whatever the model wrote.

FINDING = re.compile(r'<box class="([^"<>]*)">([^<>]*)</box>')


def read_claims(completion: str) -> list[tuple[Box, tuple[str, ...]]]:
    """The boxes of a completion with their classes, such as `<box class="nodule">1,2,3,4</box>`."""
    claims = []
    for name, numbers in FINDING.findall(completion):
        try:
            x1, y1, x2, y2 = map(float, numbers.split(","))
        except ValueError:  # not four numbers
            continue
        claims.append(((x1, y1, x2, y2), (name.strip().lower(),)))
    return claims


# The reward.

# No finding fills more than 0.3 of an image, so that the whole image as a box earns nothing.
CONFIG = MatchingConfig(iou_floor=0.3, iou_ceiling=0.8, probability_weighted=True)


def finding_reward(completion: str, findings: Mapping[str, Region]) -> float:
    """How well the boxes show the findings, in [0, 1]; on a normal image no box is right."""
    claims = read_claims(completion)
    if not findings:
        return float(not claims)
    return match(claims, findings, CONFIG).score


# Made-up images, and what a model might write about them.

SIDE = 1000
USUAL = {
    "cardiomegaly": (330, 480, 720, 780),
    "aortic enlargement": (430, 220, 600, 380),
    "pleural effusion": (110, 680, 330, 900),
    "atelectasis": (640, 580, 860, 720),
    "pneumothorax": (650, 110, 860, 390),
    "nodule": (220, 300, 290, 370),
}


def moved(box: Box, by: float, rng: random.Random) -> Box:
    """The box with every edge moved by up to `by` of its width or height."""
    x1, y1, x2, y2 = box
    width, height = by * (x2 - x1), by * (y2 - y1)
    return (
        round(x1 + rng.uniform(-width, width)),
        round(y1 + rng.uniform(-height, height)),
        round(x2 + rng.uniform(-width, width)),
        round(y2 + rng.uniform(-height, height)),
    )


def made_image(rng: random.Random) -> dict[str, Region]:
    """The findings of an image, at least one."""
    names = rng.sample(sorted(USUAL), rng.randint(1, 3))
    return {
        name: Region(moved(USUAL[name], 0.3, rng), probability=rng.randint(1, 3) / 3)
        for name in names
    }


def say(*shown: tuple[str, Box]) -> str:
    """The reasoning of a completion."""
    boxes = (f'<box class="{name}">{",".join(map(str, box))}</box>' for name, box in shown)
    return f"The lungs are well expanded. I see {', '.join(boxes)}."


Policy = Callable[[Mapping[str, Region], random.Random], str]


def right(seen: Mapping[str, Region]) -> list[tuple[str, Box]]:
    """What there is to show."""
    return [(name, region.box) for name, region in seen.items()]


#: What a model might have learnt: to look, or to earn without looking.
POLICIES: dict[str, Policy] = {
    "every finding in its place": lambda seen, rng: say(*right(seen)),
    "the same, edges off by up to a fifth": lambda seen, rng: say(
        *((name, moved(box, 0.2, rng)) for name, box in right(seen))
    ),
    "one finding, the others left out": lambda seen, rng: say(right(seen)[0]),
    "names without boxes": lambda seen, rng: f"I see {' and '.join(seen)}.",
    "every class at its usual place": lambda seen, rng: say(*USUAL.items()),
    "right boxes, every class for each": lambda seen, rng: say(
        *((name, box) for _, box in right(seen) for name in USUAL)
    ),
    "right boxes, wrong classes": lambda seen, rng: say(
        *((rng.choice(sorted({*USUAL} - {name})), box) for name, box in right(seen))
    ),
    "the whole image for each finding": lambda seen, rng: say(
        *((name, (0, 0, SIDE, SIDE)) for name in seen)
    ),
    "each right box ten times": lambda seen, rng: say(*right(seen) * 10),
    "five tries for each finding": lambda seen, rng: say(
        *((name, moved(box, 0.2, rng)) for name, box in right(seen) * 5)
    ),
}


def mean_rewards(n_images: int = 500) -> dict[str, float]:
    """The mean reward of each policy over made-up images."""
    rng = random.Random(0)
    images = [made_image(rng) for _ in range(n_images)]
    return {
        name: sum(finding_reward(write(seen, rng), seen) for seen in images) / n_images
        for name, write in POLICIES.items()
    }


if __name__ == "__main__":
    print("| what the model writes | mean reward |\n|---|---|")
    for name, reward in mean_rewards().items():
        print(f"| {name} | {reward:.3f} |")
