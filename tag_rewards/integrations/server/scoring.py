"""Scoring a request on the event loop, without keeping the other requests waiting."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from tag_rewards.integrations.scorer import NoTargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.integrations.scorer import Scorer

__all__ = ["score_all"]

#: A request with fewer characters is scored in one go.
SMALL_CHARS = 32_768
#: Seconds after which a longer one lets others go first.
SLICE = 0.005


async def score_all(
    scorer: Scorer, texts: Sequence[str | None], ground_truths: Sequence[Any], timeout: float
) -> list[dict[str, float]]:
    """The scores of each completion.

    Args:
        scorer: what scores.
        texts: the completions; None if there is none.
        ground_truths: their targets, as many.
        timeout: seconds until the request is given up.

    Raises:
        HTTPException: no ground truth so far was a target (422), or the time is up (503).
    """
    small = sum(map(len, filter(None, texts))) <= SMALL_CHARS
    try:
        if small and len(texts) > 1:
            return scorer.many(texts, ground_truths)
        return await _in_slices(scorer, texts, ground_truths, timeout)
    except NoTargetError as error:
        raise HTTPException(422, str(error)[:1000]) from None


async def _in_slices(
    scorer: Scorer, texts: Sequence[str | None], ground_truths: Sequence[Any], timeout: float
) -> list[dict[str, float]]:
    results = []
    started = slice_started = perf_counter()
    for index, (text, ground_truth) in enumerate(zip(texts, ground_truths, strict=True)):
        results.append(scorer.one(text, ground_truth, f"sample {index} of a request"))
        now = perf_counter()
        if now - slice_started > SLICE:
            if now - started > timeout:
                raise HTTPException(
                    503, f"not scored within {timeout:g} s; send fewer completions at a time"
                )
            await asyncio.sleep(0)
            slice_started = perf_counter()
    return results
