"""EasyR1's protocol: the file loaded by its path, then called with rollout batches.

Replayed from hiyouga/EasyR1, `verl/workers/reward/function.py`: at commit 46c6c21 (batch and
sequential managers, chosen by `worker.reward.reward_type`), and as AutoRewardManager, which reads
`REWARD_TYPE` from the module. The ground truth is the column `data.answer_key`
(`verl/utils/dataset.py`), out of a NumPy array of objects.
"""

import importlib.util
import sys
from collections import defaultdict
from functools import partial

import numpy as np
import pytest

from tag_rewards import RewardConfig, score
from tag_rewards.integrations import easyr1
from tag_rewards.integrations.scorer import SAMPLE_KEYS
from tests.integrations.protocol import END, TARGET, TEXT, TRUTH

torch = pytest.importorskip("torch")

WRONG = TEXT.replace("> happiness <", "> anger <")
SPECIAL = {0: "<|endoftext|>", 1: END}


class Tokenizer:
    """One token for each character, from 2 on."""

    def decode(self, ids, skip_special_tokens):
        texts = (SPECIAL.get(int(i), chr(int(i))) for i in ids)
        kept = (text for text in texts if not (skip_special_tokens and text in SPECIAL.values()))
        return "".join(kept)


def responses(texts):
    """Right-padded token ids and their mask, as a rollout ends: with the end-of-turn token."""
    rows = [[*map(ord, text), 1] for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask


class Manager:
    """What EasyR1 does with a reward function."""

    def __init__(self, path, name, kwargs, skip_special_tokens=True):
        spec = importlib.util.spec_from_file_location("custom_reward_fn", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["custom_reward_fn"] = module
        spec.loader.exec_module(module)
        self.reward_type = getattr(module, "REWARD_TYPE", "batch")
        self.reward_fn = partial(getattr(module, name), **kwargs)
        self.skip_special_tokens = skip_special_tokens

    def compute_reward(self, ids, mask, ground_truths):
        assert self.reward_type == "batch"
        lengths = [int(length) for length in mask.sum(dim=-1)]
        inputs = [
            {
                "response": Tokenizer().decode(row[:length], self.skip_special_tokens),
                "response_length": length,
                "ground_truth": truth,
            }
            for row, length, truth in zip(ids, lengths, ground_truths, strict=True)
        ]
        rewards = torch.zeros_like(ids, dtype=torch.float32)
        metrics = defaultdict(list)
        for i, scores in enumerate(self.reward_fn(inputs)):
            rewards[i, lengths[i] - 1] = scores["overall"]
            for key, value in scores.items():
                metrics[key].append(value)
        return rewards, metrics


@pytest.fixture
def manager(monkeypatch):
    monkeypatch.setitem(sys.modules, "custom_reward_fn", None)
    return lambda **kwargs: Manager(easyr1.__file__, "compute_score", {}, **kwargs)


def test_a_batch_becomes_a_tensor_and_metrics(manager):
    ids, mask = responses([TEXT, WRONG, TEXT[:50]])
    truths = np.array([TRUTH] * 3, dtype=object)
    rewards, metrics = manager().compute_reward(ids, mask, truths)
    expected = [score(text, TARGET)["score"] for text in (TEXT, WRONG, TEXT[:50])]
    assert rewards.sum(dim=-1).tolist() == pytest.approx(expected)
    assert rewards[0, len(TEXT)] == pytest.approx(expected[0])
    assert metrics["overall"] == expected
    assert set(metrics) == {"overall", *SAMPLE_KEYS} - {"score"}
    means = {key: np.mean(values) for key, values in metrics.items()}  # EasyR1's reduce_metrics
    assert np.isfinite(list(means.values())).all()


def test_special_tokens_may_be_kept(manager):
    ids, mask = responses([TEXT])
    batch = ids, mask, np.array([TRUTH], dtype=object)
    kept, skipped = manager(skip_special_tokens=False), manager()
    assert kept.compute_reward(*batch)[1] == skipped.compute_reward(*batch)[1]


def test_one_bad_row_among_good_ones_is_counted(manager):
    ids, mask = responses([TEXT, TEXT])
    _, metrics = manager().compute_reward(ids, mask, np.array(["happy", TRUTH], dtype=object))
    assert metrics["invalid_target"] == [1, 0]
    assert metrics["overall"][0] == 0


def test_options_are_the_keyword_arguments_of_the_configuration():
    options = {"format_weight": 1, "grounding_weight": 0}
    reward = Manager(easyr1.__file__, "compute_score", options)
    ids, mask = responses([WRONG])
    rewards, _ = reward.compute_reward(ids, mask, [TRUTH])
    config = RewardConfig.from_options(options)
    assert rewards.max() == pytest.approx(score(WRONG, TARGET, config)["score"])


def test_the_sequential_manager_is_told_what_to_set():
    sample = {"response": TEXT, "response_length": 9, "ground_truth": TRUTH}
    with pytest.raises(ValueError, match="scores a batch; set"):
        easyr1.compute_score(sample)
