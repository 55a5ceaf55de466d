"""Every adapter as one function of a completion and a ground truth, called as its stack calls it.

Imports an adapter when it is called, and nothing but the library, so that the test of the wheel can
run it where no stack is installed.
"""

import asyncio
import json
import threading
from types import SimpleNamespace

from tag_rewards.rewards import score
from tag_rewards.target import Target


def library(completion, ground_truth):
    return score(completion, Target.from_json(ground_truth))


def verl(completion, ground_truth):
    from tag_rewards.integrations.verl import compute_score

    return compute_score(
        data_source="rafdb", solution_str=completion, ground_truth=ground_truth, extra_info={}
    )


def trl(completion, ground_truth):
    from tag_rewards.integrations.trl import tag_reward

    return tag_reward(
        prompts=["?"], completions=[completion], completion_ids=[[]], ground_truth=[ground_truth]
    )[0]


def trl_messages(completion, ground_truth):
    return trl([{"role": "assistant", "content": completion}], ground_truth)


def call_trl(function, completions, ground_truths):
    """One of the functions for a component, which TRL and ms-swift call in the same way."""
    return function(completions=completions, ground_truth=ground_truths)


def ms_swift(completion, ground_truth):
    from tag_rewards.integrations.ms_swift import ORMS

    return ORMS["tag"](args=None)([completion], solution=[ground_truth])[0]


def easyr1(completion, ground_truth):
    from tag_rewards.integrations.easyr1 import compute_score

    sample = {"response": completion, "response_length": 9, "ground_truth": ground_truth}
    return compute_score([sample])[0]


def openrlhf(completion, ground_truth):
    from tag_rewards.integrations.openrlhf import score_queries

    prompt = "Which expression is it?"
    query = prompt + (completion or "")
    return score_queries(queries=[query], prompts=[prompt], labels=[ground_truth])["rewards"][0]


def nemo_rl(completion, ground_truth):
    from tag_rewards.integrations.nemo_rl import tag_reward

    return tag_reward(ground_truth, completion)[0]


def slime(completion, ground_truth):
    from tag_rewards.integrations.slime import custom_rm

    sample = SimpleNamespace(response=completion, label=ground_truth)
    return asyncio.run(custom_rm(SimpleNamespace(reward_key="score"), sample))


def areal(completion, ground_truth):
    from tag_rewards.integrations.areal import tag_reward

    return tag_reward("?", completion, [], [], answer=ground_truth)


def verifiers(completion, ground_truth):
    from tag_rewards.integrations.verifiers import tag_reward

    task, trace = SimpleNamespace(answer=ground_truth), SimpleNamespace(last_reply=completion)
    return asyncio.run(tag_reward(task, trace))


def oumi(completion, ground_truth):
    """verl's function, under Oumi's name."""
    return verl(completion, ground_truth)


_client = threading.local()


def server(completion, ground_truth):
    if not hasattr(_client, "own"):
        from fastapi.testclient import TestClient

        from tag_rewards.integrations.server import create_app

        _client.own = TestClient(create_app())
    body = {"completions": [completion], "ground_truth": ground_truth}
    # Escaped, since httpx cannot write half of a surrogate pair.
    response = _client.own.post(
        "/score", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    response.raise_for_status()
    return response.json()["scores"][0]


#: Those that score without their stack.
ADAPTERS = {
    function.__name__: function
    for function in (
        *(library, verl, trl, trl_messages, ms_swift, easyr1, openrlhf, nemo_rl, slime, areal),
        *(verifiers, oumi),
    )
}

#: Where the reward stands, if not under "score".
KEYS = {"easyr1": "overall"}
