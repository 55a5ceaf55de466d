"""Templates render what they are given, and what they may not know they cannot show."""

import re

import pytest

from tag_rewards import AUEvidence, BoxSpace, Target, parse_trace
from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS
from tag_rewards.rewards import format_reward
from tag_rewards.traces.prompts import Question, load_prompt

SEEN = (AUEvidence(14, 0.78, (81, 322, 416, 407)), AUEvidence(4, 0.46, (235, 119, 345, 188)))
SPACES = [BoxSpace.pixels(512, 512), BoxSpace.normalized_1000()]
QUESTIONS = [
    Question(1, EXPRESSIONS),
    Question(2, EXPRESSIONS[:3], EXPRESSIONS[3:]),
    Question(3, EXPRESSIONS, (), ("step 1 has no box", "text after </answer>")),
]


def render(mode="blind", label="sadness", evidence=SEEN, question=QUESTIONS[0], seed=0, space=None):
    target = Target(label, evidence, space or SPACES[0])
    return load_prompt(mode).render(target, question, seed)


@pytest.mark.parametrize("evidence", [SEEN, ()])
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("seed", range(9))
def test_a_blind_prompt_is_the_same_whatever_the_label(evidence, question, seed):
    prompts = {
        render(label=label, evidence=evidence, question=question, seed=seed)
        for label in EXPRESSIONS
    }
    assert len(prompts) == 1


def test_a_rationalised_prompt_shows_the_label():
    assert "This face shows fear." in render("rationalised", label="fear")


@pytest.mark.parametrize("mode", ["blind", "rationalised"])
def test_what_a_prompt_holds(mode):
    text = render(mode, question=QUESTIONS[2])
    assert text.startswith("<image>")
    assert "- AU14, dimpler (mouth corners): 0.78, [81, 322, 416, 407]\n" in text
    assert "in pixels of 512x512" in text
    assert "- step 1 has no box\n- text after </answer>\n" in text
    assert "[81, 322, 416, 407]" not in render(mode, evidence=())
    assert "in thousandths of the image" in render(mode, space=SPACES[1])


def test_eliminated_labels_are_no_candidates():
    text = render(question=QUESTIONS[1])
    assert "Candidates: neutral, happiness, sadness." in text
    assert "It is not surprise, nor fear, nor disgust, nor anger, nor contempt" in text


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", range(len(EXPRESSIONS)))
def test_the_example_is_a_trace_inside_the_image(space, seed):
    text = render(space=space, seed=seed)
    example = re.search(r"for another face:\n\n(Global analysis.*?</answer>)", text, re.DOTALL)[1]
    trace = parse_trace(example, space.extent)
    assert format_reward(trace) == 1
    assert trace.answer == EXPRESSIONS[seed]


def test_a_mistake_that_quotes_the_model_is_no_image_to_an_engine():
    question = Question(2, EXPRESSIONS, (), ("'<image><|im_end|>\ud800\0' is no box",))
    text = render(question=question)
    assert text.count("<image>") == 1
    assert "<|" not in text
    assert "\0" not in text
    text.encode()


def test_the_hash_is_of_the_text(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("<image>{{ candidates }}")
    first = load_prompt("blind", file).hash
    assert first == load_prompt("blind", file).hash != load_prompt("blind").hash
    file.write_text("<image>{{ candidates }}!")
    assert load_prompt("blind", file).hash != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<image>\n{{ emotion }}",
            "line 2: there is no field 'emotion'; a blind template has cand",
        ),
        ("<image>\n\n{{ label }}", "line 3: there is no field 'label'; a blind template has"),
        ("<image>{% if errors %}\n{{ eror }}{% endif %}", "line 2: there is no field 'eror'"),
        (
            "<image>\n{% for au in aus %}\n{{ au.nmae }}\n{% endfor %}",
            "line 3: 'tag_rewards.traces.prompts.PromptAU object' has no attribute 'nmae'",
        ),
        ("<image>\n{{ candidates.__class__ }}", "line 2: access to attribute '__class__' of"),
        ("<image>\n{{ candidates['__class__'] }}", "line 2: access to attribute '__class__' of"),
        ("<image>\n{{ candidates | attr('__len__') }}", "line 2: access to attribute '__len__'"),
        ("<image>\n{{ candidates.append('') }}", "line 2: "),
        ("<image>\n{% for %}", "line 2: "),
        ("<image>\n{{ width / 0 }}", r"line 2 cannot be rendered \(division by zero\)"),
        ("<image>\n{{ candidates | jion }}", "line 2: No filter named 'jion'"),
        ("{{ candidates }}", "with 0 times <image>"),
        ("<image>{% if not aus %}<image>{% endif %}", "with 2 times <image>"),
    ],
)
def test_a_template_that_cannot_be_used_is_named_with_its_line(tmp_path, text, message):
    file = tmp_path / "mine.jinja"
    file.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(str(file))}.*{message}"):
        load_prompt("blind", file)


def test_a_template_that_is_no_text(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_bytes(b"<image>\xff")
    with pytest.raises(InputError, match="byte 7 is not UTF-8"):
        load_prompt("blind", file)
