"""OpenRLHF's protocol: a file's `reward_func`, called in threads with prompt and completion joined.

Replayed from openrlhf 0.11.2: `openrlhf/utils/agent.py` (`SingleTurnAgentExecutor`: loading by
path, decoding with special tokens, batches of one in a thread, exceptions logged and swallowed),
`openrlhf/utils/vlm_utils.py` (the processor expands the image's placeholder in the token ids),
`openrlhf/trainer/ppo_utils/samples_generator.py` (what becomes of rewards, scores and extra_logs),
and `examples/python/reward_func.py` (the signature and the types of the result). The label is the
column `--data.label_key`. Tokens and prompts are those of the repository's own tiny Qwen2.5-VL.
"""

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import score
from tag_rewards.integrations import openrlhf
from tag_rewards.integrations.openrlhf import response_of, reward_func, score_queries
from tag_rewards.integrations.scorer import SAMPLE_KEYS
from tests.integrations.protocol import END, PROMPT, TARGET, TEXT, TRUTH

MODEL = Path(__file__).parents[2] / "recipes" / "tiny_vlm" / "base"
WRONG = TEXT.replace("> happiness <", "> anger <")
LOGGED = set(SAMPLE_KEYS) - {"score"}

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def processor():
    transformers = pytest.importorskip("transformers")
    return transformers.AutoProcessor.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def prompt(processor):
    content = [{"type": "image"}, {"type": "text", "text": "Which emotion?\nAnswer in the form."}]
    messages = [{"role": "user", "content": content}]
    return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@pytest.fixture(scope="module")
def prompt_ids(processor, prompt):
    image = np.zeros((112, 112, 3), dtype=np.uint8)
    return processor(text=[prompt], images=[image], add_special_tokens=False)["input_ids"][0]


def query_of(processor, prompt_ids, text):
    """As the executor decodes what was observed and generated."""
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    observed = [*map(int, prompt_ids), *ids, processor.tokenizer.eos_token_id]
    return processor.decode(observed, skip_special_tokens=False)


def load(path):
    """Under a name of OpenRLHF's own, and not in `sys.modules`."""
    spec = importlib.util.spec_from_file_location("reward_func", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "reward_func" not in sys.modules
    return module.reward_func


async def execute(function, query, prompt, label):
    """What the executor keeps of a reward."""
    [result] = await asyncio.gather(asyncio.to_thread(function, [query], [prompt], [label]))
    return {
        "reward": result.get("rewards"),
        "scores": result.get("scores"),
        "extra_logs": result.get("extra_logs") or {},
    }


def logged(response):
    """What the samples generator makes of it: one number for each sample and key."""
    info = {
        "reward": torch.tensor([response["reward"]]),
        "score": torch.tensor([response["scores"]]),
    }
    for key, value in response["extra_logs"].items():
        info[key] = torch.tensor([value.flatten()[0].item()])
    return {key: value.item() for key, value in info.items()}


def test_a_rollout_with_an_image_is_scored_as_its_text(processor, prompt, prompt_ids):
    query = query_of(processor, prompt_ids, TEXT)
    assert not query.startswith(prompt)  # the image has become many tokens
    assert response_of(query, prompt).startswith(TEXT)
    response = asyncio.run(execute(load(openrlhf.__file__), query, prompt, TRUTH))
    expected = score(TEXT, TARGET)
    info = logged(response)
    assert set(info) == {"reward", "score", *LOGGED}
    assert info["reward"] == info["score"] == pytest.approx(expected["score"])
    for key in LOGGED - {"invalid_target"}:
        assert info[key] == pytest.approx(expected[key])


def test_a_batch_gives_float_tensors():
    """As OpenRLHF's example function does, for the versions that send larger batches."""
    queries = [PROMPT + text + END for text in (TEXT, WRONG, "")]
    result = reward_func(queries, [PROMPT] * 3, [TRUTH] * 3, any_later_argument=None)
    tensors = [result["rewards"], result["scores"], *result["extra_logs"].values()]
    assert {(tensor.shape, tensor.dtype) for tensor in tensors} == {((3,), torch.float32)}
    assert set(result["extra_logs"]) == LOGGED
    assert torch.equal(result["rewards"], result["scores"])
    plain = score_queries(queries, [PROMPT] * 3, [TRUTH] * 3)
    assert result["rewards"].tolist() == pytest.approx(plain["rewards"])
    assert json.loads(json.dumps(plain)) == plain  # what a reward server can answer


def test_scores_lie_in_the_range_of_dynamic_filtering():
    queries = [PROMPT + TEXT.replace("82", "90") + END, PROMPT + END]
    assert score_queries(queries, [PROMPT] * 2, [TRUTH] * 2)["scores"] == [1, 0]


@pytest.mark.parametrize(("queries", "prompts", "labels"), [(2, 1, 2), (1, 1, 2), (1, 2, 1)])
def test_unequal_lengths_are_refused(queries, prompts, labels):
    counts = f"{queries} queries, {prompts} prompts and {labels} labels"
    with pytest.raises(ValueError, match=counts):
        reward_func([PROMPT + TEXT] * queries, [PROMPT] * prompts, [TRUTH] * labels)


IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
EXPANDED = IMAGE.replace("<|image_pad|>", "<|image_pad|>" * 64)


@pytest.mark.parametrize(
    ("query", "prompt"),
    [
        (PROMPT, PROMPT),
        (PROMPT.replace("Which", EXPANDED + "Which"), PROMPT.replace("Which", IMAGE + "Which")),
        (EXPANDED + "Which?" + EXPANDED + " Who?", IMAGE + "Which?" + IMAGE + " Who?"),
        (PROMPT.replace("emotion", "e\u0301motion"), PROMPT.replace("emotion", "émotion")),
        ("", ""),
    ],
    ids=["text", "image", "two images", "normalised", "no prompt"],
)
@pytest.mark.parametrize("response", [TEXT + END, "", "a " + PROMPT + " b", IMAGE, EXPANDED])
def test_the_response_is_what_follows_the_prompt(query, prompt, response):
    assert response_of(query + response, prompt) == response


def test_a_prompt_that_was_too_long_has_lost_its_beginning():
    assert response_of(PROMPT[9:] + TEXT + END, PROMPT) == TEXT + END


def test_a_response_that_repeats_its_prompt_hides_nothing():
    """The prompt as it was written stands in the response alone."""
    prompt = PROMPT.replace("Which", IMAGE + "Which")
    query = PROMPT.replace("Which", EXPANDED + "Which")
    assert response_of(query + "a " + prompt + TEXT, prompt) == "a " + prompt + TEXT


@given(st.text(max_size=200))
def test_no_response_can_hide_a_part_of_itself(text):
    query, prompt = PROMPT.replace("Which", EXPANDED), PROMPT.replace("Which", IMAGE)
    assert response_of(query + text, prompt) == text


def test_a_query_without_its_prompt_is_refused():
    with pytest.raises(ValueError, match="does not contain the end of its prompt"):
        response_of(TEXT, PROMPT)


def test_openrlhfs_own_executor(processor, prompt, caplog):
    agent = pytest.importorskip("openrlhf.utils.agent", exc_type=ImportError)
    image = pytest.importorskip("PIL.Image").new("RGB", (112, 112))

    class Engine:
        async def generate(self, ids, params, multi_modal_data=None):
            tokens = processor.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
            output = SimpleNamespace(
                token_ids=[*tokens, processor.tokenizer.eos_token_id], finish_reason="stop"
            )
            return SimpleNamespace(outputs=[output])

    executor = agent.SingleTurnAgentExecutor([openrlhf.__file__])
    params = SimpleNamespace(max_tokens=512, logprobs=None)
    arguments = (prompt, TRUTH, params, 4096, processor, Engine())
    output = asyncio.run(executor.execute(*arguments, images=[image]))
    assert logged(output)["reward"] == pytest.approx(score(TEXT, TARGET)["score"])
