"""TRL's contract for a reward function, as `GRPOTrainer._calculate_rewards` of 1.16 calls it."""

import dataclasses
import doctest
import importlib
import inspect
import io
import json
import multiprocessing
import pickle
import re
import runpy
from collections import defaultdict
from pathlib import Path

import pytest

from tag_rewards.geometry.boxes import BoxSpace
from tag_rewards.integrations.trl import (
    TagReward,
    accuracy_reward,
    format_reward,
    grounding_reward,
    grpo_dataset,
    tag_reward,
)
from tag_rewards.rewards import RewardConfig, score
from tag_rewards.target import AUEvidence, Target
from tests.builders.trace import honest

TARGET = Target(
    "happiness",
    (AUEvidence(12, 0.9, (20, 60, 80, 90)), AUEvidence(6, 0.7, (10, 30, 90, 60))),
    BoxSpace.pixels(112, 112),
)
TRUTH = TARGET.to_json()
NO_EVIDENCE = json.dumps({**json.loads(TRUTH), "evidence": []})
HONEST = honest(TARGET)
TEXTS = [
    HONEST,
    HONEST.replace("80,90]", "70,80]"),
    HONEST.replace("> happiness <", "> fear <"),
    HONEST + " Bye!",
    HONEST.replace("AU12 + AU6", "AU12"),
    "<answer> joy </answer>",
    "",
    "<bbox>" * 1000,
]
COMPONENTS = [format_reward, accuracy_reward, grounding_reward]
WEIGHTS = [0.2, 0.4, 0.4]


def chat(text):
    return [{"role": "assistant", "content": text}]


def call(function, completions, **columns):
    """As the trainer does: all by keyword, with columns and objects that are not for us."""
    n = len(completions)
    return function(
        prompts=[chat("Which expression?")] * n,
        completions=completions,
        completion_ids=[[1, 2]] * n,
        images=[[object()]] * n,
        data_source=["made_faces"] * n,
        trainer_state=object(),
        **columns,
    )


class Log:
    """`log_extra` and `log_metric` of a trainer."""

    def __init__(self):
        self.columns, self.metrics = defaultdict(list), defaultdict(list)

    def extra(self, column, values):
        self.columns[column].extend(values)

    def metric(self, name, value):
        self.metrics[name].append(value)

    @property
    def hooks(self):
        return {"log_extra": self.extra, "log_metric": self.metric}


@pytest.mark.parametrize(
    "form",
    [
        str,
        chat,
        lambda text: [{"role": "assistant", "content": [{"type": "text", "text": text}]}],
        lambda text: [{"role": "assistant", "content": "First ..."}, *chat(text)],
    ],
    ids=["string", "chat", "content parts", "several turns"],
)
@pytest.mark.parametrize("function", [tag_reward, *COMPONENTS], ids=lambda f: f.__name__)
def test_the_numbers_are_those_of_score(function, form):
    expected = [score(text, TARGET)[function.component] for text in TEXTS]
    completions = [form(text) for text in TEXTS]
    assert call(function, completions, ground_truth=[TRUTH] * len(TEXTS)) == expected
    assert len(set(expected)) > 1


def test_the_weighted_components_are_the_whole():
    """What TRL makes of them: reward_weights times the rewards, summed."""
    truths = [TRUTH] * len(TEXTS)
    columns = [call(function, TEXTS, ground_truth=truths) for function in COMPONENTS]
    sums = [
        sum(weight * value for weight, value in zip(WEIGHTS, row, strict=True))
        for row in zip(*columns, strict=True)
    ]
    assert sums == pytest.approx(call(tag_reward, TEXTS, ground_truth=truths))


@pytest.mark.parametrize(
    ("columns", "rewards"),
    [
        ({"ground_truth": [TRUTH, TRUTH]}, [1.0, 1.0]),
        ({"ground_truth": [TARGET, json.loads(TRUTH)]}, [1.0, 1.0]),
        ({"reward_model": [{"style": "rule", "ground_truth": TRUTH}] * 2}, [1.0, 1.0]),
        ({"ground_truth": [TRUTH, TRUTH], "reward_model": [None, None]}, [1.0, 1.0]),
        ({"ground_truth": [TRUTH, None]}, [1.0, None]),
        ({"reward_model": [{"style": "rule", "ground_truth": TRUTH}, None]}, [1.0, None]),
        ({"reward_model": [{"ground_truth": TRUTH}, {"ground_truth": None}]}, [1.0, None]),
        ({"ground_truth": [TRUTH, "sadness"]}, [1.0, None]),
        ({"ground_truth": [TRUTH, TRUTH.replace("0.9", "9")]}, [1.0, None]),
        ({"ground_truth": [None, None]}, [None, None]),
    ],
)
def test_where_the_target_comes_from(columns, rewards):
    """A row without a target belongs to another task; a broken one is left out for all."""
    for function in (tag_reward, *COMPONENTS):
        assert call(function, [chat(HONEST)] * 2, **columns) == rewards


def test_grounding_abstains_alone():
    truths = [NO_EVIDENCE, TRUTH]
    assert call(grounding_reward, [HONEST] * 2, ground_truth=truths) == [None, 1.0]
    for function in (tag_reward, format_reward, accuracy_reward):
        assert call(function, [HONEST] * 2, ground_truth=truths) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "the dataset needs a column 'ground_truth' .* got prompts, .* images, data_source"),
        ({"ground_truth": [TRUTH]}, "2 completions but 1 targets; each completion needs its own"),
        ({"reward_model": [TRUTH] * 3}, "2 completions but 3 targets"),
    ],
)
def test_a_dataset_that_does_not_fit(columns, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(format_reward, [HONEST, HONEST], **columns)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("boxes",), {}, "component is 'boxes', not one of score, format, accuracy, grounding"),
        ((), {"grouding_weight": 1}, "'grouding_weight' is no option of the reward"),
        ((), {"format_weight": -1}, "format_weight is -1"),
        (("grounding",), {"iou_floor": 2}, "iou_floor 2 and iou_ceiling"),
        (("grounding",), {"grounding_weight": 2}, "grounding_weight weighs the whole and not"),
        (("format",), {"accuracy_weight": 2}, "accuracy_weight weighs the whole .*reward_weights"),
    ],
)
def test_options_are_checked_when_it_is_made(arguments, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        TagReward(*arguments, **options)


def test_options_are_those_of_the_reward():
    options = {"format_weight": 1, "accuracy_weight": 0, "grounding_weight": 1, "iou_floor": 0.5}
    config = RewardConfig.from_options(options)
    expected = [score(text, TARGET, config)["score"] for text in TEXTS]
    assert call(TagReward(**options), TEXTS, ground_truth=[TRUTH] * len(TEXTS)) == expected


def test_names_under_which_trl_logs():
    """TRL takes `__name__`, and the class's name where there is none."""
    functions = (tag_reward, *COMPONENTS)
    names = ["tag_reward", "format_reward", "accuracy_reward", "grounding_reward"]
    assert [function.__name__ for function in functions] == names
    assert [TagReward(f.component, iou_floor=0.3).__name__ for f in functions] == names
    assert repr(TagReward("grounding", iou_floor=0.3)) == "TagReward('grounding', iou_floor=0.3)"


def test_it_is_synchronous():
    for function in (tag_reward, *COMPONENTS):
        assert not inspect.iscoroutinefunction(function.__call__)


@pytest.mark.parametrize("function", [*COMPONENTS, TagReward("grounding", iou_floor=0.5)])
def test_a_spawned_process_gives_the_same(function):
    """TRL's asynchronous rollout worker pickles its reward functions into such a process."""
    columns = {"ground_truth": [TRUTH] * len(TEXTS)}
    expected = function(TEXTS, **columns)
    assert pickle.loads(pickle.dumps(function))(TEXTS, **columns) == expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(function, (TEXTS,), columns) == expected


def test_diagnostics_are_logged_once_each():
    """Components together log what the whole does, none of it twice."""
    truths = [TRUTH] * len(TEXTS)
    whole, parts = Log(), Log()
    call(tag_reward, TEXTS, ground_truth=truths, **whole.hooks)
    for function in COMPONENTS:
        call(function, TEXTS, ground_truth=truths, **parts.hooks)
    of_whole = {name.partition("/")[2]: values for name, values in whole.metrics.items()}
    of_parts = {name.partition("/")[2]: values for name, values in parts.metrics.items()}
    assert {"format", "accuracy", "grounding"} == set(of_whole) - set(of_parts)
    assert set(of_parts) < set(of_whole)
    assert len(of_parts) == len(parts.metrics)
    for key, values in of_whole.items():
        if key != "invalid_target":
            assert values == [score(text, TARGET)[key] for text in TEXTS]
        assert of_parts.get(key, values) == values
    assert set(whole.metrics).isdisjoint(parts.metrics)
    for log in (whole, parts):
        assert set(log.columns) < set(log.metrics)
        assert all(len(values) == len(TEXTS) for values in log.columns.values())


def test_diagnostics_of_what_is_left_out():
    log = Log()
    call(tag_reward, [HONEST] * 4, ground_truth=[TRUTH, NO_EVIDENCE, "?", None], **log.hooks)
    assert log.metrics["tag_reward/invalid_target"] == [0, 0, 1]
    assert log.metrics["tag_reward/abstained"] == [0, 1]
    assert log.metrics["tag_reward/format"] == [1, 1]
    assert log.metrics["tag_reward/mean_iou"] == [1]
    assert log.columns["tag_reward/mean_iou"] == [1, None, None, None]


def test_the_same_twice():
    first, second = Log(), Log()
    truths = [TRUTH] * len(TEXTS)
    rewards = call(tag_reward, TEXTS, ground_truth=truths, **first.hooks)
    assert rewards == call(tag_reward, TEXTS, ground_truth=truths, **second.hooks)
    assert (first.columns, first.metrics) == (second.columns, second.metrics)


@pytest.mark.parametrize("name", ["format", "accuracy", "grounding", "consistency", "tag"])
def test_axolotl_finds_a_function_by_its_path(name):
    """As axolotl 0.19.0 does (`core/trainers/grpo/__init__.py`, `get_reward_func`)."""
    module, _, attribute = f"tag_rewards.integrations.trl.{name}_reward".rpartition(".")
    function = getattr(importlib.import_module(module), attribute)
    assert len(inspect.signature(function).parameters) >= 2
    assert function(prompts=["?"], completions=[HONEST], ground_truth=[TRUTH]) != [None]


def test_the_unsloth_example_has_settings_that_trl_knows():
    trl = pytest.importorskip("trl")
    path = Path(__file__).parents[2] / "examples" / "trl" / "unsloth_grpo.py"
    example = runpy.run_path(str(path))
    settings = example["TRAINING"]
    assert settings.keys() <= {field.name for field in dataclasses.fields(trl.GRPOConfig)}
    assert len(settings["reward_weights"]) == 3
    batch = settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"]
    assert batch % settings["num_generations"] == 0
    taken = inspect.signature(trl.GRPOTrainer).parameters
    assert {"model", "processing_class", "reward_funcs", "args", "train_dataset"} <= set(taken)


class TestPage:
    """docs/trl.md."""

    PAGE = Path(__file__).parents[2] / "docs" / "trl.md"

    def test_examples(self):
        failed, tried = doctest.testfile(str(self.PAGE), module_relative=False, encoding="utf-8")
        assert failed == 0
        assert tried > 5

    def test_table_of_what_is_logged(self):
        text = self.PAGE.read_text(encoding="utf-8")
        for function in COMPONENTS:
            log = Log()
            call(function, [HONEST], ground_truth=[TRUTH], **log.hooks)
            keys = ", ".join(f"`{name.partition('/')[2]}`" for name in log.metrics)
            assert re.search(rf"^\| `{function.__name__}` \| .* \| {keys} ?\|$", text, re.MULTILINE)


class TestDataset:
    """Our parquet as `GRPOTrainer` takes it."""

    @pytest.fixture
    def write(self, tmp_path, monkeypatch):
        datasets = pytest.importorskip("datasets")
        pq = pytest.importorskip("pyarrow.parquet")
        pa = pytest.importorskip("pyarrow")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))

        def run(rows):
            path = tmp_path / "rl_train.parquet"
            pq.write_table(pa.Table.from_pylist(rows), path)
            return path

        return run

    @staticmethod
    def picture(colour):
        image = pytest.importorskip("PIL.Image")
        file = io.BytesIO()
        image.new("L", (28, 14), colour).save(file, "PNG")
        return {"bytes": file.getvalue()}

    def test_rows(self, write):
        rows = [
            {
                "prompt": [{"role": "user", "content": content}],
                "images": [self.picture(colour)] * content.count("<image>"),
                "reward_model": {"style": "rule", "ground_truth": TRUTH},
            }
            for content, colour in (("<image>Which?", 1), ("A<image>B<image>", 2))
        ]
        data = grpo_dataset(write(rows))
        image, text = {"type": "image"}, lambda words: {"type": "text", "text": words}
        assert data[0]["prompt"] == [{"role": "user", "content": [image, text("Which?")]}]
        assert data[1]["prompt"][0]["content"] == [text("A"), image, text("B"), image]
        assert [len(row["images"]) for row in data] == [1, 2]
        picture = data[1]["images"][1]
        assert (picture.mode, picture.size, picture.getpixel((0, 0))) == ("RGB", (28, 14), (2,) * 3)
        assert data["reward_model"][0] == {"style": "rule", "ground_truth": TRUTH}
        assert pickle.loads(pickle.dumps(data))[0]["prompt"] == data[0]["prompt"]

    def test_its_rows_can_be_mapped_and_written_for_trls_command_line(self, write, tmp_path):
        datasets = pytest.importorskip("datasets")
        message = {"role": "user", "content": "<image>Which?"}
        data = grpo_dataset(write([{"prompt": [message], "images": [self.picture(1)]}]))
        mapped = data.map(dict)
        assert [part["type"] for part in mapped[0]["prompt"][0]["content"]] == ["image", "text"]
        mapped.to_parquet(str(tmp_path / "trl" / "train.parquet"))
        [row] = datasets.load_dataset(str(tmp_path / "trl"))["train"]
        assert [part["type"] for part in row["prompt"][0]["content"]] == ["image", "text"]
        assert [image.size for image in row["images"]] == [(28, 14)]

    def test_another_file_under_the_same_name_is_read_anew(self, write):
        row = {"prompt": [{"role": "user", "content": "<image>"}], "images": [self.picture(1)]}
        assert len(grpo_dataset(write([row]))) == 1
        assert len(grpo_dataset(write([row] * 3))) == 3

    def test_a_file_of_another_kind(self, write):
        path = write([{"messages": "x", "images": []}])
        with pytest.raises(ValueError, match=r"has no column 'prompt', only messages, images; wr"):
            grpo_dataset(path)
