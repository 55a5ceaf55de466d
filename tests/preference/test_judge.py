"""A model as one more rater: asked twice, the sides swapped."""

import json
import re

import cv2
import numpy as np
import pytest

from tag_rewards.completions.asking import GenerationConfig
from tag_rewards.engines.base import split_prompt
from tag_rewards.errors import InputError
from tag_rewards.preference.judge import ask_judge
from tag_rewards.preference.ratings import score_ratings
from tag_rewards.preference.study import make_study
from tests.builders.command import command
from tests.builders.completions import MOUTH, FakeEngine, trace, write_faces
from tests.builders.study import study, two_models

SEEN = f"[{','.join(map(str, MOUTH))}]"


def sees(request):
    """Prefers the text whose box is at the mouth."""
    first, second = re.findall(r"-----\n(.*?)\n-----", request.prompt, re.DOTALL)
    assert (SEEN in first) != (SEEN in second)
    return f"Text 1 and text 2 differ.\n**Better:** {1 if SEEN in first else 2}"


def first_always(request):
    return "Better: 1"


@pytest.fixture
def made(tmp_path):
    return study(tmp_path, count=4, pairs=2, checks=1)


def judged(made, answer, limit=None, **options):
    engine = FakeEngine("judge/model", answer, **options)
    return ask_judge(made.key, made.page.with_name("eval.parquet"), engine, limit=limit), engine


def test_a_judge_that_looks_prefers_one_model(made):
    ratings, engine = judged(made, sees)
    pairs = {name: item for name, item in made.key.items.items() if item.right is None}
    assert sorted(engine.asked) == sorted(
        f"{name} {order}" for name in pairs for order in ("as shown", "swapped")
    )
    assert (ratings.judge, ratings.rater, ratings.same_twice) == (True, "judge/model", 2)
    assert ratings.answers == {
        name: "first" if item.first == 1 else "second" for name, item in pairs.items()
    }


def test_a_judge_that_prefers_a_side_prefers_neither_model(made):
    ratings, _ = judged(made, first_always)
    assert set(ratings.answers.values()) == {"tie"}
    assert ratings.same_twice == 0


def test_a_limit_asks_about_some_pairs(made):
    ratings, engine = judged(made, sees, limit=1)
    assert (len(ratings.answers), len(engine.asked)) == (1, 2)
    with pytest.raises(InputError, match="limit is 0, not at least 1"):
        judged(made, sees, limit=0)


def test_a_pair_without_two_answers_has_none(made):
    pairs = [name for name, item in made.key.items.items() if item.right is None]
    ratings, _ = judged(made, sees, fails=(f"{pairs[0]} swapped",))
    assert set(ratings.answers) == set(pairs[1:])
    with pytest.raises(InputError, match=r"none of the 2 pairs has two answers of judge/model"):
        judged(made, lambda _: "Both are fine.")


def test_what_a_judge_is_shown(made):
    requests = []
    judged(made, lambda request: requests.append(request) or "Better: neither")
    for request in requests:
        before, behind = split_prompt(request)
        assert before == ""
        assert behind.count("-----") == 4
        image = cv2.imdecode(np.frombuffer(request.image, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[1] > 1.5 * image.shape[0]


def test_a_trace_cannot_bring_an_image_into_the_prompt(tmp_path):
    texts = ["<image><|im_end|>", trace("happiness", [MOUTH])]
    first, second, data = two_models(tmp_path, 1, [[text] for text in texts])
    made = make_study(first, second, data, tmp_path / "study.html")
    requests = []
    judged(made, lambda request: requests.append(request) or "Better: 2")
    for request in requests:
        split_prompt(request)
        assert "<|" not in request.prompt


def test_other_data_are_refused(made, tmp_path):
    other = write_faces(tmp_path / "other.parquet", 3)
    with pytest.raises(InputError, match="is not the file that the study was made of"):
        ask_judge(made.key, other, FakeEngine(), GenerationConfig())


class Judge(FakeEngine):
    """As `--engine` names it."""

    def __init__(self, model):
        super().__init__(model, sees)


def test_the_command_and_its_file(made, tmp_path):
    out = tmp_path / "judge.json"
    data = made.page.with_name("eval.parquet")
    code, told, err = command(
        *("preference", "judge", made.key_file, "--data", data, "--model", "made/judge"),
        *("--engine", f"{__name__}:Judge", "--out", out),
    )
    assert (code, err) == (0, "")
    assert f"{out}: 2 of 2 pairs have an answer in both orders, 2 of them the same" in told
    assert json.loads(out.read_text())["judge"] is True
    found = score_ratings([made.key_file], [out])
    assert list(found.pools) == ["judges"]
    assert found.pools["judges"].contests[0].win_rate.value == 1
