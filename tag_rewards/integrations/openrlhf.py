"""OpenRLHF: `reward_func`, loaded from this file's path.

::

    --reward.remote_url PATH --data.label_key label     (--remote_rm_url, --label_key before 0.10)

`PATH` is what `python -c "import tag_rewards.integrations.openrlhf as m; print(m.__file__)"`
prints. OpenRLHF passes a reward no options: give them in `TAG_REWARDS_OPTIONS`, a JSON object. It
calls the function from threads, mostly with batches of one, and logs every key of `extra_logs`.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from tag_rewards.errors import InputError
from tag_rewards.integrations.scorer import decoded_text, default_scorer

# A shorter piece of the prompt could stand in any completion.
_LEAST_END = 8


def reward_func(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **kwargs: Any
) -> dict[str, Any]:
    """Score completions for OpenRLHF; the numbers are those of `score_queries`.

    Args:
        queries: Prompts and completions together, decoded with their special tokens.
        prompts: The prompts, as many.
        labels: The targets as `Target.to_json` writes them, as many.
        **kwargs: Not used; OpenRLHF has passed different ones.

    Returns:
        `rewards`, `scores` and each entry of `extra_logs` as float32 tensors of shape (n,).

    Raises:
        ValueError: As `score_queries`.
        ImportError: Torch is not installed; `score_queries` does without.
    """
    import torch

    scored = score_queries(queries, prompts, labels)
    logs = {key: torch.tensor(values) for key, values in scored["extra_logs"].items()}
    rewards = torch.tensor(scored["rewards"])
    return {"rewards": rewards, "scores": rewards.clone(), "extra_logs": logs}


def score_queries(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]
) -> dict[str, Any]:
    """Score completions as plain lists: what a reward server answers OpenRLHF.

    Args:
        queries: Prompts and completions together, decoded with their special tokens.
        prompts: The prompts, as many.
        labels: The targets as `Target.to_json` writes them, as many.

    Returns:
        `rewards`, for the advantages; `scores`, the same in [0, 1], for dynamic filtering; and
        `extra_logs`, the other keys of `scorer.sample_keys`, each with a float for each completion.

    Raises:
        ValueError: The arguments are not equally long, a query does not contain its prompt, or none
            of the first labels is a target (see `Scorer.one`).

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> scored = score_queries(["Look:<answer> sad </answer><|im_end|>"], ["Look:"], [truth])
        >>> scored["extra_logs"]["accuracy"], scored["rewards"] == scored["scores"]
        ([1.0], True)
    """
    if not len(queries) == len(prompts) == len(labels):
        raise InputError(
            f"{len(queries)} queries, {len(prompts)} prompts and {len(labels)} labels; "
            "each query needs its own prompt and label"
        )
    scorer = default_scorer()
    scores = [
        scorer.one(decoded_text(response_of(query, prompt)), label)
        for query, prompt, label in zip(queries, prompts, labels, strict=True)
    ]
    return columns_of(scores)


def columns_of(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The scores of a batch as OpenRLHF reads them, described at `score_queries`."""
    rewards = [sample["score"] for sample in scores]
    logs = {key: [s[key] for s in scores] for key in scores[0] if key != "score"} if scores else {}
    return {"rewards": rewards, "scores": list(rewards), "extra_logs": logs}


def response_of(query: str, prompt: str) -> str:
    """The completion in a query.

    A query is the decoded tokens of prompt and completion. It seldom begins with the prompt as it
    was written: the processor has put many tokens in the place of the image, and a prompt that is
    too long has lost its beginning. What follows both is the same, up to the completion.

    Args:
        query: Prompt and completion.
        prompt: The prompt before the processor saw it.

    Raises:
        ValueError: The end of the prompt is not in the query.

    Example:
        >>> response_of("<img><pad><pad></img>Who? Joy. Who? Fear.", "<img><pad></img>Who?")
        ' Joy. Who? Fear.'
    """
    start = _common_length(query, prompt)
    rest = prompt[start:]
    missing = bisect_left(
        range(len(rest)), True, key=lambda cut: query.find(rest[cut:], start) >= 0
    )
    end = rest[missing:]
    if missing and len(end) < _LEAST_END:
        raise InputError(
            f"the query {query!r:.60} does not contain the end of its prompt, {rest[-60:]!r}; "
            "pass queries and prompts as OpenRLHF does"
        )
    return query[query.find(end, start) + len(end) :]


def _common_length(a: str, b: str) -> int:
    """How many characters two texts begin with in common."""
    same = (x == y for x, y in zip(a, b, strict=False))
    return next((i for i, equal in enumerate(same) if not equal), min(len(a), len(b)))
