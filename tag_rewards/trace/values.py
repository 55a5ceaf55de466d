"""A trace as values: its steps, what they claim, and what is wrong with its text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.looks import Grid, html_lines

if TYPE_CHECKING:
    from tag_rewards.geometry.matching import Box as Box

#: A longer text is not read at all, reasoning aside: cutting it would let a model hide boxes behind
#: the cut.
MAX_CHARS = 32_768

#: Longer reasoning is not read, and neither is what stands behind it.
MAX_REASONING = 1_000_000


class Step(NamedTuple):
    """One step of the verification loop.

    Attributes:
        region: The part of the face, in words, e.g. "mouth corners".
        observation: What is seen there.
        box: Where, or None if the step has no well-formed box.
        au: The AU that the step names, or None.
        other_aus: Further AUs that it names in the same place.
        unsure: Whether it says an AU and names none: it denies it, or it cannot be told which it
            is. Its box is nobody's.
    """

    region: str
    observation: str
    box: Box | None = None
    au: int | None = None
    other_aus: tuple[int, ...] = ()
    unsure: bool = False

    @property
    def aus(self) -> tuple[int, ...]:
        """All AUs that the step names."""
        return () if self.au is None else (self.au, *self.other_aus)


class Claim(NamedTuple):
    """A box and the AUs that it is said to show; none if the trace does not tell."""

    box: Box
    aus: tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A parsed trace.

    Attributes:
        global_analysis: Text of the first section, "" if it is missing.
        steps: The steps of the verification loop, in order.
        conclusion: Text of the last section, "" if it is missing.
        conclusion_aus: The AUs that the conclusion asserts (see `mentioned_aus`).
        answer: What stands in the one pair of answer tags; None if there is not exactly one.
        errors: What is wrong with the text, one sentence each; empty for a well-formed trace.
        reasoning: What the model thought before it wrote the trace; "" if it did not, or not aloud.
        unclosed: Whether the text ends in the reasoning, so that there is no more to read.
    """

    global_analysis: str
    steps: tuple[Step, ...]
    conclusion: str
    conclusion_aus: tuple[int, ...]
    answer: str | None
    errors: tuple[str, ...] = ()
    reasoning: str = ""
    unclosed: bool = False

    @cached_property
    def unplaced_aus(self) -> tuple[int, ...]:
        """The AUs that boxes without a name may show: all of the conclusion, or none.

        Where a step says which AU it is about, so must the others; what they leave out is not for
        the reader to give away.
        """
        named = any(step.au is not None or step.unsure for step in self.steps)
        return () if named else self.conclusion_aus

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Every well-formed box with its AUs, in order.

        Where no step says an AU, the boxes take those of the conclusion in their order, if there
        are as many; else it cannot be told which box shows which, and they have no AU.

        Example:
            >>> steps = (Step("lips", "up", (1, 2, 3, 4)),)
            >>> Trace("A smile.", steps, "AU12 shows happiness.", (12,), "happiness").claims
            (Claim(box=(1, 2, 3, 4), aus=(12,)),)
        """
        claims = [Claim(step.box, step.aus) for step in self.steps if step.box is not None]
        if len(claims) == len(self.unplaced_aus):
            claims = [
                Claim(claim.box, (au,)) for claim, au in zip(claims, self.unplaced_aus, strict=True)
            ]
        return tuple(claims)

    def _repr_html_(self) -> str:
        steps = [
            (
                *(step.region, ", ".join(f"AU{au}" for au in step.aus), step.observation),
                "" if step.box is None else ", ".join(f"{side:g}" for side in step.box),
            )
            for step in self.steps
        ]
        grid = Grid(("region", "AUs", "observation", "box"), steps)
        answer = "no single answer" if self.answer is None else f"Answer: {self.answer}"
        errors = [f"Form: {error}" for error in self.errors]
        return (
            html_lines([self.global_analysis])
            + grid.html()
            + html_lines([self.conclusion, answer, *errors])
        )
