"""The completions that the battery tries a reward function on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.forms import form_named
from tag_rewards.testing.hostile import ODD_BOXES, fillings, fragments, frames, hostile_text
from tag_rewards.testing.traces import HONEST_TRACES, honest_text
from tag_rewards.trace import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tag_rewards.target import Target
    from tag_rewards.testing.hacks import Hack

#: Lengths of the long texts in characters: what hangs on the shortest is reported for that.
#: The longest would take a sound reward too long in every frame; it stands in these.
SIZES = (300, 30_000, 1_000_000)
FRAMES_OF_THE_LONGEST = ("alone", "in the loop")

#: How many completions Hypothesis draws for each target.
DRAWN = 60


class Sample(NamedTuple):
    """A completion to score.

    Attributes:
        name: what it is, in a few words.
        completion: the text, or None.
        ground_truth: the target as JSON.
    """

    name: str
    completion: str | None
    ground_truth: str


def samples(targets: Sequence[Target], hacks: Sequence[Hack]) -> list[Sample]:
    """Honest, hacked, malformed and hostile completions for each target; the same every time.

    Raises:
        InputError: Hypothesis is not installed.
    """
    found = []
    for target in targets:
        truth, form = target.to_json(), form_named(target.form)
        honest = [text_of(trace(target), form=form) for trace in HONEST_TRACES]
        found += [Sample("an honest trace", text, truth) for text in honest]
        found.append(Sample("no completion", None, truth))
        for hack in hacks:
            text = hack.apply(target)
            if text is not None:
                found.append(Sample(hack.name, text, truth))
        found += [Sample("a fragment", fragment, truth) for fragment in fragments(form)]
        before, _, after = honest_text(target).partition(form.box[0])
        _, _, after = after.partition(form.box[1])
        for box in ODD_BOXES:
            text = f"{before}{form.write_box(box)}{after}"
            found.append(Sample("an odd box", text, truth))
        found += [Sample("a drawn completion", text, truth) for text in _drawn(target)]
    return found


def long_samples(target: Target) -> Iterator[Sample]:
    """Repetitions of everything everywhere, the short ones first."""
    truth, form = target.to_json(), form_named(target.form)
    for size in SIZES:
        for filling in fillings(form):
            for frame in FRAMES_OF_THE_LONGEST if size == SIZES[-1] else frames(form):
                name = f"{filling} {frame}, {size:,} characters"
                yield Sample(name, hostile_text(filling, frame, size, form), truth)


@lru_cache(maxsize=16)
def _drawn(target: Target) -> list[str | None]:
    try:
        from hypothesis import HealthCheck, Phase, given, settings

        from tag_rewards.testing.strategies import completions
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise InputError(
            "the battery needs hypothesis; pip install 'tag-rewards[testing]'"
        ) from None
    found: list[str | None] = []

    @settings(
        max_examples=DRAWN,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(completions(target))
    def collect(completion: str | None) -> None:
        found.append(completion)

    collect()
    return found
