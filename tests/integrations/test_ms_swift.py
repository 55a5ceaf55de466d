"""ms-swift's protocol: classes in `orms`, made with the run's arguments, called with a batch.

Replayed from ms-swift 4.6.0: `swift/rlhf_trainers/grpo_trainer.py` (`_prepare_rewards`),
`swift/rl_core/grpo_algorithm.py` (`compute_rewards_per_func`), `swift/rl_core/data.py`
(`to_reward_row`), `swift/dataset/preprocessor/core.py` (`rows_to_batched`) and
`swift/template/base.py` (`Template.special_tokens`, `_pre_tokenize`, `_simplify_context_list`).
"""

from __future__ import annotations

import inspect
import json
import math
import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tag_rewards import score
from tag_rewards.files.images import encode_image
from tag_rewards.forms import FORMS, Form
from tag_rewards.integrations import scorer
from tag_rewards.integrations.ms_swift import ORMS, register
from tests.integrations.protocol import TARGET, TEXT, TRUTH

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / "examples" / "ms_swift"
TINY = REPO / "recipes" / "tiny_vlm" / "base"
FACE = np.zeros((112, 112, 3), np.uint8)
WRONG = TEXT.replace("> happiness <", "> anger <")
NO_EVIDENCE = json.dumps({**json.loads(TRUTH), "evidence": []})
KEYS = {"tag": "score", "tag_format": "format", "tag_accuracy": "accuracy"}
KEYS["tag_grounding"] = "grounding"
# What ms-swift may replace in a text, as its `Template.special_tokens` has it.
PLACEHOLDERS = ("<image>", "<video>", "<audio>", "<bbox>", "<ref-object>")
PLACEHOLDERS += ("<cot-process>", "<start-image>")
# The run's arguments; like the real ones they may hold what cannot be pickled.
ARGS = SimpleNamespace(num_generations=2, reward_funcs=list(ORMS), optimizer=lambda: None)


@pytest.fixture(autouse=True)
def _fresh_scorers(monkeypatch):
    """A scorer remembers whether it has seen a valid target."""
    monkeypatch.delenv(scorer.OPTIONS_VARIABLE, raising=False)
    scorer._cached_scorer.cache_clear()


def sample(text, **columns):
    """The row that a reward function gets of one rollout."""
    messages = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": text}]
    return {
        "messages": messages,
        "prompt_id": "p",
        "request_id": "r",
        "finish_reason": "stop",
        "is_truncated": False,
        "rollout_infos": {},
        "images": [{"bytes": b"png", "path": None}],
        **columns,
    }


def rows_to_batched(rows):
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: [row.get(key) for row in rows] for key in keys}


def compute_rewards(name, rows):
    """None becomes NaN, and ms-swift leaves NaN out of the weighted sum."""
    function = ORMS[name](args=ARGS)
    completions = [row["messages"][-1]["content"] for row in rows]
    output = function(completions, trainer_state=object(), **rows_to_batched(rows))
    assert all(reward is None or type(reward) is float for reward in output)
    return [math.nan if reward is None else reward for reward in output]


@pytest.mark.parametrize("column", ["solution", "ground_truth"])
@pytest.mark.parametrize(("name", "key"), KEYS.items())
def test_the_numbers_are_those_of_score(name, key, column):
    texts = [TEXT, WRONG, "", None, "<bbox>" * 1000]
    rewards = compute_rewards(name, [sample(text, **{column: TRUTH}) for text in texts])
    assert rewards == [score(text, TARGET)[key] for text in texts]


def test_the_column_of_our_parquet_is_read():
    rows = [sample(TEXT, reward_model={"style": "rule", "ground_truth": TRUTH})]
    assert compute_rewards("tag", rows) == [score(TEXT, TARGET)["score"]]


def test_what_has_no_target_is_left_out():
    """A row of another task lacks the column; ms-swift fills it with None."""
    rows = [sample(TEXT, solution=TRUTH), sample("42"), sample(TEXT, solution="happiness")]
    valid, other, invalid = compute_rewards("tag_accuracy", rows)
    assert valid == 1
    assert math.isnan(other)
    assert math.isnan(invalid)


def test_grounding_without_evidence_is_left_out():
    rows = [sample(TEXT, solution=truth) for truth in (TRUTH, NO_EVIDENCE)]
    shown, abstained = compute_rewards("tag_grounding", rows)
    assert shown > 0
    assert math.isnan(abstained)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match=r"column ground_truth or solution .* got .*messages"):
        compute_rewards("tag", [sample(TEXT, label="happiness")])


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="2 completions but 1 targets"):
        ORMS["tag"]()([TEXT, TEXT], solution=[TRUTH])


def test_each_class_has_a_name_of_its_own_for_the_log():
    """ms-swift logs `rewards/{class name}/mean`; it awaits what has an asynchronous `__call__`."""
    assert len({orm.__name__ for orm in ORMS.values()}) == len(ORMS)
    assert not any(inspect.iscoroutinefunction(orm.__call__) for orm in ORMS.values())


@pytest.mark.parametrize("name", ORMS)
def test_functions_pickle_and_threads_share_them(name):
    function = pickle.loads(pickle.dumps(ORMS[name](args=ARGS)))
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda _: function([TEXT, WRONG], solution=[TRUTH] * 2), range(50))
    assert {tuple(result) for result in results} == {
        tuple(function([TEXT, WRONG], solution=[TRUTH] * 2))
    }


def trace(form: Form) -> str:
    """A trace as SFT has it."""
    steps = [form.write_step("lips (AU12)", "corners up", form.write_box((20, 60, 80, 82), "AU12"))]
    return form.write("A smile.", steps, "AU12 shows joy.", "happiness")


def as_tokenized(text: str, boxes: list[str]) -> str:
    """A text as ms-swift tokenizes it: in one piece, a box for each `<bbox>` while they last."""
    left = iter(boxes)
    pieces = re.split(f"({'|'.join(map(re.escape, PLACEHOLDERS))})", text)
    return "".join(next(left, one) if one == "<bbox>" else one for one in pieces)


@pytest.mark.parametrize("form", FORMS)
def test_only_our_own_form_meets_its_placeholders(form):
    """docs/ms_swift.md promises it: `objects` do no harm in any other form."""
    text = trace(FORMS[form])
    assert as_tokenized(text, []) == text
    assert (as_tokenized(text, ["(1,2),(3,4)"]) == text) == (form != "tag")
    assert any(mark in text for mark in PLACEHOLDERS) == (form == "tag")


def test_the_docs_page_names_every_function_and_what_it_is_logged_as():
    page = (REPO / "docs" / "ms_swift.md").read_text(encoding="utf-8")
    for name, orm in ORMS.items():
        assert re.search(rf"\| `{name}` \| .* \| `rewards/{orm.__name__}/mean` \|", page)


def test_the_plugin_registers_every_class(monkeypatch):
    """As `--external_plugins` does: the file is executed and leaves its classes in `orms`."""
    swift, rewards = ModuleType("swift"), ModuleType("swift.rewards")
    rewards.orms = {"format": object}
    monkeypatch.setitem(sys.modules, "swift", swift)
    monkeypatch.setitem(sys.modules, "swift.rewards", rewards)
    exec(compile((EXAMPLE / "plugin.py").read_text(), "plugin.py", "exec"), {})
    assert rewards.orms == {"format": rewards.orms["format"], **ORMS}


def test_without_ms_swift_only_registering_fails():
    code = (
        "import sys; sys.modules['swift'] = None\n"
        "from tag_rewards.integrations.ms_swift import ORMS, register\n"
        f"assert ORMS['tag']()([{TEXT!r}], solution=[{TRUTH!r}])[0] > 0.9\n"
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules)\n"
        "try: register()\n"
        "except ModuleNotFoundError: print('not installed')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "not installed\n"


@pytest.mark.stack
class TestWithMsSwift:
    """The same through ms-swift's own code; it is installed in an environment of its own."""

    @pytest.fixture
    def orms(self, monkeypatch):
        rewards = pytest.importorskip("swift.rewards")
        known = dict(rewards.orms)
        register()
        yield rewards.orms
        rewards.orms.clear()
        rewards.orms.update(known)

    def test_its_reward_computation(self, orms):
        import torch
        from swift.rl_core.data import GRPOSample
        from swift.rl_core.grpo_algorithm import score_completions

        rows = [
            {"messages": sample(text)["messages"], "solution": truth}
            for text, truth in ((TEXT, TRUTH), (WRONG, TRUTH), ("", TRUTH), (TEXT, NO_EVIDENCE))
        ]
        rewards = score_completions(
            [GRPOSample.from_row(row) for row in rows],
            reward_funcs=[orms[name](args=ARGS) for name in KEYS],
            reward_model_plugins=[None] * len(KEYS),
            use_gym_env=False,
            device=torch.device("cpu"),
        )
        for row, text in zip(rewards.tolist(), (TEXT, WRONG, ""), strict=False):
            scores = score(text, TARGET)
            assert row == pytest.approx([scores[key] for key in KEYS.values()])
        assert torch.isnan(rewards[3]).tolist() == [False, False, False, True]

    @pytest.mark.parametrize("form", ["tag", "qwen3_vl"])
    def test_sft_trains_the_tokens_of_verl(self, form, tmp_path, monkeypatch):
        """`<bbox>` is text there as here, but for rows with `objects`."""
        pytest.importorskip("swift.template")
        pq = pytest.importorskip("pyarrow.parquet")
        verl = pytest.importorskip("verl.utils.dataset.multiturn_sft_dataset")
        import pyarrow as pa
        from swift.model import get_processor
        from swift.template import get_template
        from swift.template.base import Template
        from swift.template.templates.qwen import Qwen2VLTemplate
        from transformers import AutoProcessor

        messages = [
            {"role": "user", "content": "<image>Which expression?"},
            {"role": "assistant", "content": trace(FORMS[form])},
        ]
        row = {"messages": messages, "images": [{"bytes": encode_image(FACE), "path": None}]}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "sft.parquet")
        processor = AutoProcessor.from_pretrained(TINY)
        [wanted] = verl.MultiTurnSFTDataset(
            [str(tmp_path / "sft.parquet")],
            processor.tokenizer,
            {"pad_mode": "no_padding"},
            processor=processor,
        )

        token = json.loads((TINY / "config.json").read_text())["image_token_id"]
        monkeypatch.setattr(Qwen2VLTemplate, "image_token_id", token)
        theirs = get_processor(str(TINY), model_type="qwen2_5_vl")
        template = get_template(theirs, template_type="qwen2_5_vl", default_system="")
        template.set_mode("train")
        plain = template.encode(row)
        assert plain["input_ids"] == wanted["input_ids"].tolist()
        assert [label != -100 for label in plain["labels"]] == wanted["loss_mask"].bool().tolist()
        replaced = template.encode({**row, "objects": {"bbox": [[20, 60, 80, 82]], "ref": []}})
        assert (replaced["input_ids"] == plain["input_ids"]) == (form != "tag")
        assert tuple(Template.special_tokens) == PLACEHOLDERS

    @pytest.mark.timeout(600)
    def test_the_example_trains(self, orms, tmp_path):
        """`grpo.sh`: two steps of GRPO on two processors, from made faces to logged rewards."""
        environment = {**os.environ, "OUT": str(tmp_path), "FACES": "8"}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        environment["PYTHONPATH"] = str(REPO)
        done = subprocess.run(
            ["bash", str(EXAMPLE / "grpo.sh"), "--max_steps", "2"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        [log] = tmp_path.glob("run/*/logging.jsonl")
        steps = [json.loads(line) for line in log.read_text().splitlines()]
        steps = [step for step in steps if "reward" in step]
        assert len(steps) == 2
        for step in steps:
            for orm in ("TagFormat", "TagAccuracy", "TagGrounding"):
                assert 0 <= float(step[f"rewards/{orm}/mean"]) <= 1
