"""What a model writes, from Action Units and their boxes, and what a detector saw.

A test of the exact text writes that text itself.
"""

from tag_rewards.geometry import BoxSpace
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing.traces import trace_of
from tag_rewards.trace import Step, text_of


def target(label, boxes, side=100, probability=0.9):
    """A target on a square image; `boxes` has the box in pixels of each AU."""
    evidence = tuple(AUEvidence(au, probability, box) for au, box in boxes.items())
    return Target(label, evidence, BoxSpace.pixels(side, side))


def honest(target, dx=0, dy=0, label=None, region="face"):
    """The trace of a model that sees what the detector saw, its boxes moved by (dx, dy)."""
    boxes = [(au, one.box) for au, one in target.by_au.items()]
    moved = [(au, (x1 + dx, y1 + dy, x2 + dx, y2 + dy)) for au, (x1, y1, x2, y2) in boxes]
    steps = [Step(region, "active", box, au) for au, box in moved] or [
        Step("whole face", "at rest", (0, 0, *target.box_space.extent))
    ]
    return text_of(trace_of(steps, tuple(target.by_au), label or target.label))


def smile(label, boxes):
    """A trace that answers `label` since AU12 shows in `boxes`."""
    steps = [Step("mouth corners", "up", box, 12) for box in boxes]
    return text_of(trace_of(steps, (12,), label))


def step(aus, box, region="lips", said="up"):
    """One step; `aus` is an AU, several, or None, and `box` coordinates or any text."""
    aus = (aus,) if isinstance(aus, int) else aus or ()
    named = f" ({', '.join(f'AU{au}' for au in aus)})" if aus else ""
    inside = box if isinstance(box, str) else ",".join(map(str, box))
    return f"Inspect {region}{named} → {said} → <bbox>[{inside}]</bbox>"


def loop(*steps):
    """These steps and nothing else: no well-formed trace, but one whose claims are read."""
    return "Verification loop: " + " ".join(steps)
