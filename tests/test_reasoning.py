"""Reasoning: set apart in every marking, never paid, and asked for or not."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import RewardConfig, parse_trace, score
from tag_rewards.geometry import BoxSpace, convert_boxes
from tag_rewards.integrations.scorer import completion_text
from tag_rewards.rewards import suspect_space
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing import honest_text
from tag_rewards.testing.strategies import completions, targets
from tag_rewards.testing.traces import TARGETS
from tag_rewards.trace import (
    MAX_CHARS,
    MAX_REASONING,
    message_text,
    read_trace,
    without_reasoning,
)
from tag_rewards.trace.text import MARKS, MAX_MARKS, set_apart
from tests.builders.command import command

TARGET = TARGETS[0]
GOOD = honest_text(TARGET)
THOUGHTS = "I must end with <answer> EXPRESSION </answer>. <bbox>[1,2,3,4]</bbox> Fear? No."


@pytest.mark.parametrize(("before", "behind"), MARKS)
def test_what_stands_in_the_marks_is_not_read(before, behind):
    for text in (
        f"{before}{THOUGHTS}{behind}{GOOD}",
        f"{before}\n{THOUGHTS}\n{behind}\n\n{GOOD}",
        f"{THOUGHTS}{behind}{GOOD}",  # the template wrote the opening mark
        f"{before}{THOUGHTS}{behind}{before}Sure?{behind}{GOOD}",
    ):
        trace = parse_trace(text)
        assert THOUGHTS in trace.reasoning
        assert (trace.claims, trace.errors) == (parse_trace(GOOD).claims, ())
        assert score(text, TARGET) == score(GOOD, TARGET)


def test_an_empty_block_is_no_reasoning():
    assert parse_trace(f"<think>\n\n</think>\n\n{GOOD}") == parse_trace(GOOD)


def test_a_trace_in_the_marks_with_the_answer_behind_them_is_read_there():
    loop, _, answer = GOOD.rpartition("<answer>")
    for thoughts in ("", "Let me look. "):
        trace = parse_trace(f"<think>{thoughts}{loop}</think>\n<answer>{answer}")
        assert trace.reasoning == thoughts.strip()
        assert trace.steps == parse_trace(GOOD).steps
        assert (trace.answer, trace.errors) == (TARGET.label, ())


def test_a_trace_at_the_end_of_long_reasoning_is_read_there():
    loop, _, answer = GOOD.rpartition("<answer>")
    trace = parse_trace(f"<think>{'Hm. ' * 100_000}{loop}</think><answer>{answer}")
    assert (trace.steps, trace.errors) == (parse_trace(GOOD).steps, ())


def test_only_a_trace_at_the_end_of_the_reasoning_with_the_whole_answer_behind_it_is_read():
    loop, _, answer = GOOD.rpartition("<answer>")
    far = parse_trace(f"<think>{loop}{'Hm. ' * (MAX_CHARS // 4)}</think><answer>{answer}")
    assert (far.steps, far.answer) == ((), TARGET.label)
    open_ended = parse_trace(f"<think>{loop}<answer></think>{answer}")
    assert (open_ended.steps, open_ended.answer) == ((), None)


def test_a_trace_in_the_marks_does_not_make_room_for_a_longer_text():
    loop, _, answer = GOOD.rpartition("<answer>")
    behind = f"<answer>{answer}".ljust(MAX_CHARS)
    trace = parse_trace(f"<think>{loop}</think>{behind}")
    assert (trace.steps, trace.answer) == ((), None)
    [error] = trace.errors
    assert error.endswith("at most 32768 are read")


def test_a_text_with_more_marks_than_anybody_thinks_is_refused_whole():
    trace = parse_trace(f"{'<think></think>' * (MAX_MARKS // 2)}{GOOD}")
    assert trace == parse_trace(GOOD)
    trace = parse_trace(f"{'<think></think>' * (MAX_MARKS // 2)}</think>{GOOD}")
    assert trace.errors == ("the text has more than 500 marks of reasoning",)
    assert trace.steps == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, GOOD),
        (f" {GOOD}\n", f" {GOOD}\n"),
        (f"<think>\n{THOUGHTS}\n</think>\n\n{GOOD}\n", GOOD),
        (f"{THOUGHTS}</think>{GOOD}", GOOD),
        (f"<think>{GOOD.replace('<answer>', '</think><answer>')}", GOOD),
        (f"<think>{THOUGHTS}", ""),
    ],
)
def test_what_is_read_is_what_is_left_without_reasoning(text, expected):
    assert without_reasoning(text) == expected
    assert parse_trace(without_reasoning(text)).steps == parse_trace(text).steps


def test_a_trace_in_the_marks_does_not_count_beside_one_behind_them():
    wrong = GOOD.replace("disgust", "fear")
    assert score(f"<think>{GOOD}</think>{wrong}", TARGET) == score(wrong, TARGET)
    assert score(f"<think>{GOOD}</think>", TARGET)["score"] == 0


def test_reasoning_that_does_not_end_is_counted_and_earns_nothing():
    scores = score(f"<think>{GOOD}", TARGET)
    assert (scores["score"], scores["unclosed_reasoning"]) == (0, 1)
    assert scores["parse_errors"] > 0
    assert score(GOOD, TARGET)["unclosed_reasoning"] == 0


def test_reasoning_may_be_as_long_as_a_model_can_think():
    long = "the cheeks are raised. " * 50_000
    text = f"<think>{long[: MAX_REASONING - 1]}!</think>{GOOD}"
    assert score(text, TARGET) == score(GOOD, TARGET)
    endless = parse_trace(f"<think>{'a' * (MAX_REASONING + 1)}</think>{GOOD}")
    assert endless.errors == ("the reasoning has 1000001 characters; at most 1000000 are read",)


@pytest.mark.parametrize(
    ("option", "with_it", "without"),
    [("allowed", 1, 1), ("required", 1, 0), ("forbidden", 0.5, 1)],
)
def test_the_format_says_whether_a_model_should_think(option, with_it, without):
    config = RewardConfig.from_options({"reasoning": option})
    assert score(f"<think>Look.</think>{GOOD}", TARGET, config)["format"] == with_it
    for text in (GOOD, f"<think></think>{GOOD}", f"<think> ... </think>{GOOD}"):
        expected = without if "..." not in text or option != "forbidden" else 0.5
        assert score(text, TARGET, config)["format"] == expected


def test_another_option_is_refused():
    with pytest.raises(ValueError, match="reasoning is 'maybe', not one of allowed, requ"):
        RewardConfig(reasoning="maybe")


@given(st.data())
def test_reasoning_never_pays(data):
    target = data.draw(targets())
    text = data.draw(completions(target)) or ""
    thoughts = data.draw(completions(target)) or ""
    if any(mark in text + thoughts for pair in MARKS for mark in pair):
        return
    before, behind = data.draw(st.sampled_from(MARKS))
    if parse_trace(thoughts).steps and not parse_trace(text).steps:
        return  # the trace in the marks, perhaps, and the answer behind them
    assert (
        score(f"{before}{thoughts}{behind}{text}", target)["score"] <= score(text, target)["score"]
    )


@given(
    st.text(alphabet="ab<>/think◁▷ ")
    | st.lists(st.sampled_from([*sum(MARKS, ()), "a"])).map("".join)
)
def test_nothing_of_a_text_gets_lost_but_marks(text):
    parted = set_apart(text)
    kept = sorted(parted.written + parted.reasoning)
    for mark in sum(MARKS, ()):
        text = text.replace(mark, "")
    assert [sign for sign in kept if not sign.isspace()] == sorted("".join(text.split()))


T = {"type": "text", "text": "T"}
# A message, and its text.
MESSAGES = {
    "DeepSeek": ({"content": "T", "reasoning_content": "hm"}, "<think>hm</think>T"),
    "vLLM": ({"content": "T", "reasoning": "hm"}, "<think>hm</think>T"),
    "both": ({"content": "T", "reasoning": "hm", "reasoning_content": "hm"}, "<think>hm</think>T"),
    "Anthropic": ({"content": [{"type": "thinking", "thinking": "hm", "signature": "x"}, T]}, "T"),
    "Mistral": (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, T]},
        "T",
    ),
    "a part": ({"content": [{"type": "reasoning", "text": "hm"}, T]}, "T"),
    "in the middle": ({"content": [T, {"type": "thinking", "thinking": "hm"}, T]}, "TT"),
    "nothing behind": ({"content": None, "reasoning": "hm"}, "<think>hm</think>"),
    "of an object": (SimpleNamespace(content="T", reasoning="hm"), "<think>hm</think>T"),
    "none": ({"content": "T", "reasoning": None, "reasoning_content": ""}, "T"),
    "settings": ({"content": "T", "reasoning": {"effort": "low"}}, "T"),
    "withheld": ({"content": [{"type": "redacted_thinking", "data": "x"}, T]}, "T"),
    "an image": ({"content": [T, {"type": "image_url", "text": None}]}, "T"),
    "nothing": ({"content": None}, None),
    "no content": ({"content": [{"type": 3}]}, None),
}


@pytest.mark.parametrize(("message", "text"), MESSAGES.values(), ids=MESSAGES)
def test_reasoning_beside_the_content_stands_in_front_of_it(message, text):
    assert message_text(message) == completion_text([message]) == text


def test_reasoning_beside_the_content_is_read_as_that_in_the_text():
    message = {"role": "assistant", "content": GOOD, "reasoning": "Look."}
    assert parse_trace(completion_text([message])).reasoning == "Look."
    for nothing in (None, ""):
        cut = message_text({"content": nothing, "reasoning": "Look."}, cut_off=True)
        assert parse_trace(cut).unclosed
    assert not parse_trace(message_text(message, cut_off=True)).unclosed
    assert (
        score(completion_text(message), TARGET, RewardConfig(reasoning="required"))["format"] == 1
    )
    assert score(GOOD, TARGET, RewardConfig(reasoning="required"))["format"] == 0


def test_the_command_line_says_whether_to_think(tmp_path):
    (tmp_path / "target.json").write_text(TARGET.to_json())
    thinks = f"<think>{THOUGHTS}</think>{GOOD}"
    for text, option, expected in (
        (GOOD, "required", 0.0),
        (thinks, "required", 1.0),
        (GOOD, "forbidden", 1.0),
        (thinks, "forbidden", 0.5),
        (thinks, "allowed", 1.0),
    ):
        (tmp_path / "answer.txt").write_text(text)
        files = (tmp_path / "answer.txt", "--target", tmp_path / "target.json")
        code, said, _ = command("score", *files, "--reasoning", option)
        assert code == 0
        assert re.search(rf"format\W+{expected:.3f}", said), option


SPACES = {
    "thousandths": BoxSpace.normalized_1000(),
    "pixels of 224x224": BoxSpace.pixels(224, 224),
    "fractions of 1": BoxSpace.pixels(1, 1),
}
SEEN = tuple(
    AUEvidence(au, 0.9, box)
    for au, box in {
        12: (120, 330, 390, 450),
        4: (190, 90, 320, 150),
        6: (90, 210, 420, 300),
    }.items()
)


@pytest.mark.parametrize("words", SPACES)
@pytest.mark.parametrize("y_first", [False, True])
def test_boxes_that_are_all_in_another_space_or_order_are_suspect(words, y_first):
    target = Target("happiness", SEEN, BoxSpace.pixels(512, 512))
    rows = convert_boxes([item.box for item in SEEN], target.box_space, SPACES[words]).tolist()
    boxes = [[y1, x1, y2, x2] if y_first else [x1, y1, x2, y2] for x1, y1, x2, y2 in rows]
    text = honest_text(target)
    for item, box in zip(SEEN, boxes, strict=True):
        text = text.replace(str([int(side) for side in item.box]).replace(" ", ""), str(box))
    scores = score(text, target)
    assert (scores["suspect_space"], scores["grounding"] < 0.1) == (1, True)
    found = str(suspect_space(read_trace(target, text), target))
    assert found == words + (", y before x" if y_first else "")


def test_boxes_that_are_right_or_merely_wrong_are_not_suspect():
    target = Target("happiness", SEEN, BoxSpace.pixels(512, 512))
    text = honest_text(target)
    assert score(text, target)["suspect_space"] == 0
    wrong = text.replace("[120,330,390,450]", "[1,2,30,40]").replace(
        "[190,90,320,150]", "[3,4,50,60]"
    )
    assert score(wrong.replace("[90,210,420,300]", "[1,400,30,440]"), target)["suspect_space"] == 0
