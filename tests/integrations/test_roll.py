"""ROLL's protocol: a reward worker gets a `DataProto` of responses and gives back three tensors.

Replayed from alibaba/ROLL at 8eb27cc (0.3.0), which has no release to install:
`roll/distributed/scheduler/protocol.py` (`DataProto.from_dict`, `concat`), `decorator.py`
(`register` marks the methods that a `Cluster` calls), `generate_scheduler.py` (one request at a
time; `collect_items_as_batch` logs the metrics), and `roll/utils/functionals.py` (`reward_norm`).
The workers of `roll/pipeline/rlvr/rewards` give the same tensors, in float16. Columns and images
are those of `roll/datasets/vlm_dataset_utils.py` (`get_vlm_dataset`, `encode_function`).
"""

import json
import runpy
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tag_rewards import RewardConfig, score
from tag_rewards.integrations import scorer
from tag_rewards.integrations.scorer import SAMPLE_KEYS, NoTargetError
from tests.integrations.protocol import END, TARGET, TEXT, TRUTH

torch = pytest.importorskip("torch")
tensordict = pytest.importorskip("tensordict")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "roll"
WRONG = TEXT.replace("> happiness <", "> anger <")
TENSORS = {"token_level_rewards", "response_level_rewards", "scores"}


class DataProto:
    """Tensors with one first dimension, arrays of objects, and what is said of them."""

    def __init__(self, batch, non_tensor_batch, meta_info):
        self.batch, self.non_tensor_batch, self.meta_info = batch, non_tensor_batch, meta_info

    @classmethod
    def from_dict(cls, tensors, non_tensors=None, meta_info=None):
        [size] = {tensor.shape[:1] for tensor in tensors.values()}
        arrays = {name: np.array(each, dtype=object) for name, each in (non_tensors or {}).items()}
        return cls(tensordict.TensorDict(tensors, batch_size=size), arrays, meta_info or {})

    @classmethod
    def concat(cls, parts):
        metrics = [part.meta_info["metrics"] for part in parts]
        joined = {key: np.concatenate([each[key] for each in metrics]) for key in metrics[0]}
        return cls(torch.cat([part.batch for part in parts]), {}, {"metrics": joined})


class Dispatch(Enum):
    ONE_TO_ALL = "one_to_all"
    DP_MP_COMPUTE = "dp_mp_compute"


def register(dispatch_mode, clear_cache=True):
    def mark(method):
        method.dispatch_mode = dispatch_mode
        return method

    return mark


class Worker:
    def __init__(self, worker_config):
        self.worker_config = worker_config


class Tokenizer:
    """Characters by their numbers; 0 pads, and is decoded as a special token, as Qwen's is."""

    def batch_decode(self, responses, skip_special_tokens):
        assert not skip_special_tokens
        return [
            "".join(chr(i) if i else "<|endoftext|>" for i in row.tolist()) for row in responses
        ]


@pytest.fixture
def worker_class(monkeypatch):
    """The example, with the parts of ROLL that it imports."""
    monkeypatch.delenv(scorer.OPTIONS_VARIABLE, raising=False)
    scorer._cached_scorer.cache_clear()
    contents = {
        "roll": {},
        "roll.distributed": {},
        "roll.distributed.executor": {},
        "roll.distributed.executor.worker": {"Worker": Worker},
        "roll.distributed.scheduler": {},
        "roll.distributed.scheduler.decorator": {"Dispatch": Dispatch, "register": register},
        "roll.distributed.scheduler.protocol": {"DataProto": DataProto},
        "roll.models": {},
        "roll.models.model_providers": {
            "default_tokenizer_provider": lambda model_args: Tokenizer()
        },
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    yield runpy.run_path(str(EXAMPLE / "tag_reward_worker.py"))["TagRewardWorker"]
    scorer._cached_scorer.cache_clear()


@pytest.fixture
def worker(worker_class):
    worker = worker_class(worker_config=SimpleNamespace(model_args=SimpleNamespace()))
    assert worker.initialize(SimpleNamespace()) is None
    return worker


def request(texts, truths):
    """A request with its responses, padded on the right."""
    ids = [torch.tensor([ord(char) for char in text + END]) for text in texts]
    responses = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    return DataProto.from_dict({"responses": responses}, {"ground_truth": truths})


def test_it_marks_the_methods_that_a_cluster_calls(worker_class):
    assert worker_class.initialize.dispatch_mode is Dispatch.ONE_TO_ALL
    assert worker_class.compute_rewards.dispatch_mode is Dispatch.DP_MP_COMPUTE


def test_the_responses_of_a_request_are_scored(worker):
    data = request([TEXT, WRONG, ""], [TRUTH] * 3)
    output = worker.compute_rewards(data)
    assert set(output.batch.keys()) == TENSORS
    expected = [score(text, TARGET)["score"] for text in (TEXT, WRONG, "")]
    for name in ("response_level_rewards", "scores"):
        assert output.batch[name].tolist() == pytest.approx(expected)
    of_tokens = output.batch["token_level_rewards"]
    assert of_tokens.shape == data.batch["responses"].shape
    assert not of_tokens.any()


def test_requests_come_one_by_one_and_every_component_is_logged(worker):
    parts = [worker.compute_rewards(request([text], [TRUTH])) for text in (TEXT, WRONG)]
    for part in parts:
        part.batch.pop("token_level_rewards")  # ROLL pads responses to one length
    batch = DataProto.concat(parts)
    assert tuple(batch.meta_info["metrics"]) == SAMPLE_KEYS
    logged = {
        f"scheduler/tag/{key}/mean": np.mean(values).item()
        for key, values in batch.meta_info["metrics"].items()
    }
    assert logged["scheduler/tag/accuracy/mean"] == 0.5
    assert logged["scheduler/tag/score/mean"] == pytest.approx(batch.batch["scores"].mean().item())
    rewards = batch.batch["response_level_rewards"].reshape(-1, 2)
    advantages = (rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-6)
    assert advantages.tolist() == [pytest.approx([0.5**0.5, -(0.5**0.5)], abs=1e-3)]


def test_a_float16_worker_beside_it_is_no_trouble(worker):
    output = worker.compute_rewards(request([TEXT], [TRUTH]))
    halves = output.batch.apply(lambda tensor: tensor.half())
    both = torch.cat([halves, output.batch])["scores"]
    assert both.tolist() == pytest.approx([score(TEXT, TARGET)["score"]] * 2, abs=1e-3)


@pytest.mark.parametrize("bad", [None, "happiness", "{}"], ids=repr)
def test_a_row_without_a_target_is_counted(worker, bad):
    output = worker.compute_rewards(request([TEXT, TEXT], [TRUTH, bad]))
    assert output.batch["scores"].tolist() == pytest.approx([score(TEXT, TARGET)["score"], 0])
    assert output.meta_info["metrics"]["invalid_target"] == [0, 1]


def test_a_run_without_targets_stops(worker):
    for _ in range(scorer.PATIENCE):
        worker.compute_rewards(request([TEXT], ["happiness"]))
    with pytest.raises(NoTargetError, match="none of the first 33 ground truths is a target"):
        worker.compute_rewards(request([TEXT], ["happiness"]))


def test_the_configuration_names_the_worker_and_the_default_options(worker_class, monkeypatch):
    settings = pytest.importorskip("yaml").safe_load((EXAMPLE / "tag_grpo.yaml").read_text())
    [(domain, reward)] = settings["rewards"].items()
    package, _, name = reward["worker_cls"].rpartition(".")
    assert package == "roll.pipeline.rlvr.rewards.tag_reward_worker"
    assert name == worker_class.__name__
    assert set(settings["actor_train"]["data_args"]["domain_interleave_probs"]) == {domain}
    [(variable, options)] = reward["system_envs"].items()
    assert RewardConfig.from_options(json.loads(options)) == RewardConfig()
    monkeypatch.setenv(variable, '{"format_weight": 0, "grounding_weight": 0}')
    worker = worker_class(worker_config=SimpleNamespace(model_args=None))
    output = worker.compute_rewards(request([TEXT, WRONG], [TRUTH] * 2))
    assert output.batch["scores"].tolist() == [1, 0]
    monkeypatch.setenv(variable, '{"weight": 1}')
    with pytest.raises(ValueError, match="'weight' is no option of the reward"):
        worker_class(worker_config=SimpleNamespace(model_args=None))
