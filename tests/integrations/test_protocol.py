"""What training stacks rely on, in the calls of each; verl's are those of Oumi."""

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings

from tag_rewards import RewardConfig, Target, score
from tag_rewards.integrations import scorer
from tag_rewards.integrations.scorer import decoded_text
from tag_rewards.testing.strategies import hostile_texts
from tests.integrations.protocol import END, STACKS, TARGET, TEXT, TRUTH

WRONG = TEXT.replace("> happiness <", "> anger <")
TEXTS = [TEXT, WRONG, "", "\0", "<bbox>" * 1000, TEXT.replace("82", "90")]
NO_TARGETS = ["happiness", "", None, {"label": "happiness"}, 7]

# What the plain package does not bring: fails to import, as if it were not installed.
WITHOUT_STACKS = """
import asyncio, inspect, json, pickle, sys

ABSENT = {"torch", "ray", "transformers", "verl", "openrlhf", "nemo_rl", "slime", "areal", "oumi"}
ABSENT |= {"trl", "swift", "datasets", "PIL", "cv2", "pandas", "pyarrow", "scipy"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Absent())
calls = pickle.load(sys.stdin.buffer)
results = [function(*args, **kwargs) for function, args, kwargs in calls]
results = [asyncio.run(each) if inspect.iscoroutine(each) else each for each in results]
pickle.dump(results, sys.stdout.buffer)
"""


@pytest.fixture(autouse=True)
def _fresh_scorers(monkeypatch):
    """A scorer remembers whether it has seen a valid target."""
    monkeypatch.delenv(scorer.OPTIONS_VARIABLE, raising=False)
    scorer._cached_scorer.cache_clear()


@pytest.fixture(params=STACKS, ids=lambda stack: stack.name)
def stack(request):
    return request.param


def test_the_numbers_are_those_of_score(stack):
    expected = [score(text, TARGET)["score"] for text in TEXTS]
    assert stack.rewards(TEXTS, [TRUTH] * len(TEXTS)) == expected
    assert expected[-1] == 1
    assert 0 < expected[1] < expected[0] < 1


def test_a_target_may_come_as_text_object_or_mapping(stack):
    forms = [TRUTH, Target.from_json(TRUTH), json.loads(TRUTH)]
    assert len(set(stack.rewards([TEXT] * 3, forms))) == 1


def test_a_missing_completion_scores_nothing(stack):
    assert stack.rewards([None, "", TEXT], [TRUTH] * 3)[:2] == [0, 0]


@pytest.mark.parametrize("bad", NO_TARGETS, ids=repr)
def test_a_bad_target_scores_nothing_and_stops_nothing(stack, bad):
    assert stack.rewards([TEXT] * 3, [TRUTH, bad, TRUTH])[1] == 0


def test_a_run_without_one_target_is_stopped(stack):
    many = scorer.PATIENCE + 1
    with pytest.raises(ValueError, match="is a target, so the run would train on zeros"):
        stack.rewards([TEXT] * many, ["happiness"] * many)


def test_options_come_from_the_environment(stack, monkeypatch):
    options = {"format_weight": 1, "accuracy_weight": 0, "grounding_weight": 0}
    monkeypatch.setenv(scorer.OPTIONS_VARIABLE, json.dumps(options))
    config = RewardConfig.from_options(options)
    assert stack.rewards([TEXT, ""], [TRUTH] * 2) == [
        score(text, TARGET, config)["score"] for text in (TEXT, "")
    ]
    monkeypatch.setenv(scorer.OPTIONS_VARIABLE, '{"formt_weight": 1}')
    with pytest.raises(ValueError, match="'formt_weight' is no option of the reward"):
        stack.rewards([TEXT], [TRUTH])


def test_threads_give_the_same_numbers(stack):
    texts = TEXTS * 10
    calls = stack.calls(texts, [TRUTH] * len(texts)) * 2
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda call: call(), calls))
    assert [reward for result in results for reward in stack.read(result)] == [
        score(text, TARGET)["score"] for text in texts * 2
    ]


def test_calls_are_pickled_to_a_process_that_has_no_stack_and_no_torch():
    """Every adapter scores in the plain package, in a process that knows nothing of this one."""
    calls = [(stack, call) for stack in STACKS for call in stack.calls([TEXT], [TRUTH])]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_STACKS],
        input=pickle.dumps([tuple(call) for _, call in calls]),
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr.decode()
    expected = score(TEXT, TARGET)["score"]
    for (stack, _), result in zip(calls, pickle.loads(run.stdout), strict=True):
        assert stack.read(result) == [expected], stack.name


@pytest.mark.parametrize(
    "end",
    [
        *(
            END,
            END + "\n",
            END + "<|endoftext|>" * 20,
            "<|eot_id|>",
            "</s>",
            "<end_of_turn>\n<eos>",
        ),
        *("<end_of_utterance>", "<end_of_utterance><pad><pad>", "<｜end▁of▁sentence｜>", "<eoa>\n"),
        *("<|END_OF_TURN_TOKEN|>", "<unused7>", "[EOS]", "<|return|>"),
    ],
)
def test_the_tokens_that_end_a_turn_cost_nothing(end):
    assert decoded_text(TEXT + end) == TEXT
    assert score(TEXT + end, TARGET)["format"] < score(TEXT, TARGET)["format"]


@pytest.mark.parametrize(
    "text",
    [
        *(f"a {END} b", "<|two words|>", "<|" + "x" * 50 + "|>", "<||>", "</answer>", "</bbox>"),
        *("<end of turn>", "<end_of_>", "<s", "[1,2]", "<pads>"),
    ],
)
def test_other_text_stays(text):
    assert decoded_text(text) == text


@settings(max_examples=50)
@given(hostile_texts())
def test_text_without_end_tokens_is_a_beginning_of_it(text):
    cut = decoded_text(text)
    assert text.startswith(cut)
    assert decoded_text(cut) == cut
