"""How training stacks call their reward function, as one table.

Each call has the arguments, positional or by name, that the stack itself passes; where that was
read is said in the tests of the adapter, `test_<stack>.py`.
"""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tag_rewards.integrations import areal, easyr1, ms_swift, nemo_rl, openrlhf, oumi, slime, trl
from tests.builders.trace import honest, target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TARGET = target("happiness", {12: (20, 60, 80, 90)})
TRUTH = TARGET.to_json()
TEXT = honest(target("happiness", {12: (20, 60, 80, 82)}))
PROMPT = "<|im_start|>user\nWhich emotion?<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"


def ended(text: str | None) -> str | None:
    """A completion as it is decoded with its special tokens."""
    return None if text is None else text + END


class Call(NamedTuple):
    """A call of a reward function; it can be pickled."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012

    def __call__(self) -> Any:
        result = self.function(*self.args, **self.kwargs)
        return asyncio.run(result) if inspect.iscoroutine(result) else result


Calls: TypeAlias = "Callable[[Sequence[str | None], Sequence[Any]], list[Call]]"


class Stack(NamedTuple):
    """A stack: its calls for some samples, and the rewards in a call's result."""

    name: str
    calls: Calls
    read: Callable[[Any], list[float]]

    def rewards(self, texts: Sequence[str | None], truths: Sequence[Any]) -> list[float]:
        return [reward for call in self.calls(texts, truths) for reward in self.read(call())]


def each(call: Callable[[str | None, Any], Call]) -> Calls:
    return lambda texts, truths: [call(*pair) for pair in zip(texts, truths, strict=True)]


def easyr1_calls(texts: Sequence[str | None], truths: Sequence[Any]) -> list[Call]:
    batch = [
        {"response": text, "response_length": 5, "ground_truth": truth}
        for text, truth in zip(texts, truths, strict=True)
    ]
    return [Call(easyr1.compute_score, (batch,))]


def openrlhf_call(text: str | None, truth: Any) -> Call:
    return Call(openrlhf.score_queries, ([PROMPT + (ended(text) or END)], [PROMPT], [truth]))


def slime_call(text: str | None, truth: Any) -> Call:
    sample = SimpleNamespace(prompt=PROMPT, response=ended(text), label=truth, metadata={})
    return Call(slime.custom_rm, (SimpleNamespace(reward_key="score"), sample))


def areal_call(text: str | None, truth: Any) -> Call:
    columns = {"messages": PROMPT, "images": [b"jpeg"], "answer": truth}
    ids = {"prompt_ids": [1, 2], "completion_ids": [3]}
    return Call(
        areal.tag_reward, (), dict(prompt=PROMPT, completions=ended(text), **ids, **columns)
    )


def oumi_call(text: str | None, truth: Any) -> Call:
    names = ("data_source", "solution_str", "ground_truth", "extra_info")
    values = ("parquet", text, truth, {"split": "train", "index": 3})
    return Call(oumi.compute_score, (), dict(zip(names, values, strict=True)))


def trl_calls(texts: Sequence[str | None], truths: Sequence[Any]) -> list[Call]:
    columns = {"prompts": ["?"] * len(texts), "completion_ids": [[1, 2]] * len(texts)}
    columns |= {"completions": list(texts), "ground_truth": list(truths)}
    return [Call(trl.tag_reward, (), columns)]


def ms_swift_calls(texts: Sequence[str | None], truths: Sequence[Any]) -> list[Call]:
    return [Call(ms_swift.ORMS["tag"](args=None), (list(texts),), {"solution": list(truths)})]


def left_out(result: list[float | None]) -> list[float]:
    """What the stack leaves out, which then adds nothing."""
    return [reward or 0.0 for reward in result]


STACKS = [
    Stack("trl", trl_calls, left_out),
    Stack("ms_swift", ms_swift_calls, left_out),
    Stack("easyr1", easyr1_calls, lambda result: [sample["overall"] for sample in result]),
    Stack("openrlhf", each(openrlhf_call), lambda result: result["rewards"]),
    Stack(
        "nemo_rl",
        each(lambda text, truth: Call(nemo_rl.tag_reward, (truth, text))),
        lambda result: [result[0]],
    ),
    Stack("slime", each(slime_call), lambda result: [result["score"]]),
    Stack("areal", each(areal_call), lambda result: [result]),
    Stack("oumi", each(oumi_call), lambda result: [result["score"]]),
]
