"""AReaL's protocol: a function found by its import path, called in a process pool by keyword.

Replayed from areal 1.0.4: `areal/workflow/vision_rlvr.py` (the call, with every column of the row),
`areal/api/reward_api.py` (`AsyncRewardWrapper`: process pool, 15 seconds, retries; after the last
timeout the reward is 0) and `areal/utils/dynamic_import.py`.
"""

import asyncio
import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from tag_rewards import score
from tag_rewards.integrations.areal import tag_reward
from tests.integrations.protocol import END, PROMPT, TARGET, TEXT, TRUTH

TIMEOUT_SECONDS = 15
EXPECTED = score(TEXT, TARGET)["score"]
ROW = {"messages": PROMPT, "messages_chat": [{"role": "user"}], "images": [b"j" * 9], "id": 7}


def import_from_string(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


class Workflow:
    """How the workflow gets a reward."""

    def __init__(self, reward_fn, executor):
        self.reward_fn = import_from_string(reward_fn)
        self.executor = executor

    async def reward(self, completion, **row):
        call = partial(
            self.reward_fn,
            prompt=PROMPT,
            completions=completion,
            prompt_ids=[1, 2],
            completion_ids=[3, 4],
            **row,
        )
        future = asyncio.get_running_loop().run_in_executor(self.executor, call)
        return await asyncio.wait_for(future, TIMEOUT_SECONDS)


@pytest.fixture(scope="module", params=["spawn", "fork"])
def workflow(request):
    context = multiprocessing.get_context(request.param)
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as executor:
        yield Workflow("tag_rewards.integrations.areal.tag_reward", executor)


def test_rewards_come_back_from_the_pool_in_time(workflow):
    async def episode():
        texts = [TEXT + END, TEXT, "", "<bbox>" * 100_000]
        return await asyncio.gather(*[workflow.reward(each, answer=TRUTH, **ROW) for each in texts])

    rewards = asyncio.run(episode())
    assert rewards == [EXPECTED, EXPECTED, 0, 0]
    assert all(type(reward) is float for reward in rewards)


def test_a_bad_answer_scores_nothing(workflow):
    assert asyncio.run(workflow.reward(TEXT, answer=TRUTH)) == EXPECTED
    assert asyncio.run(workflow.reward(TEXT, answer="happiness")) == 0


def test_a_missing_column_is_said_through_the_pool(workflow):
    with pytest.raises(
        ValueError, match=r"no column 'answer'.*only messages, messages_chat, images"
    ):
        asyncio.run(workflow.reward(TEXT, **ROW))


def test_the_first_arguments_may_be_positional():
    """As in AReaL before 1.0."""
    assert tag_reward(PROMPT, TEXT + END, [1], [2], answer=TRUTH, **ROW) == EXPECTED


def test_areals_own_wrapper():
    reward_api = pytest.importorskip("areal.api.reward_api", exc_type=ImportError)

    async def reward():
        wrapped = reward_api.AsyncRewardWrapper(tag_reward, max_workers=1)
        return await wrapped(
            prompt=PROMPT,
            completions=TEXT + END,
            prompt_ids=[1],
            completion_ids=[2],
            answer=TRUTH,
            **ROW,
        )

    assert asyncio.run(reward()) == EXPECTED
