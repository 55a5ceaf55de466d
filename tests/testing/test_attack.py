"""The adversary: it finds the holes that are made here, and none in the rewards of this library."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tag_rewards.errors import InputError
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS, UNLABELLED
from tag_rewards.rewards.prior import PRIOR_FORMULAS
from tag_rewards.rewards.score import GroundingConfig, RewardConfig
from tag_rewards.target import AUEvidence
from tag_rewards.testing import TARGETS, AttackConfig, attack_reward, honest_text
from tag_rewards.testing.attack import reward_of
from tests.builders.command import command
from tests.builders.completions import MOUTH, trace, write_faces
from tests.builders.study import write_completions
from tests.builders.trace import honest, target

OUR_REWARD = reward_of(RewardConfig())
BUDGET = 3000
AUS = (1, 4, 6, 9, 12, 15)


def faces(count=16):
    """Targets whose AUs and places are drawn."""
    rng = np.random.default_rng(3)
    found = []
    for index in range(count):
        aus = rng.choice(AUS, 1 + index % 3, replace=False).tolist()
        corners = rng.integers(0, 60, (len(aus), 2)).tolist()
        boxes = {au: (x, y, x + 30, y + 20) for au, (x, y) in zip(aus, corners, strict=True)}
        found.append(target(EXPRESSIONS[index % 3], boxes))
    return found


def attacked(fn, completions=None, budget=BUDGET, **options):
    found = attack_reward(fn, faces(), completions, AttackConfig(budget, **options))
    return found, {one.of: one for one in found.found}


@pytest.mark.parametrize("formula", ["ramp", *PRIOR_FORMULAS])
def test_nothing_beats_the_honest_trace(formula):
    """But its own score is the most that there is; the names of AUs alone tell much by label."""
    fn = reward_of(RewardConfig(grounding=GroundingConfig(formula=formula)))
    found, of = attacked(fn)
    assert found.honest == pytest.approx(1.0)
    assert of["honest traces"].gain <= 1e-9
    assert found.blind.score < 0.9


def test_what_the_detector_is_unsure_of_is_no_claim():
    """An attack that named such an AU ended; faces without an expression have no honest trace."""
    unsure = tuple(AUEvidence(au, 0.5, (0, 0, 9, 9)) for au in ACTION_UNITS if au not in AUS)
    some = [replace(one, unsure=unsure) for one in faces()]
    more = [*some, replace(some[0], label=UNLABELLED)]
    found = attack_reward(OUR_REWARD, more, config=AttackConfig(BUDGET))
    assert (found.honest, found.left_out) == (pytest.approx(1.0), 1)


@pytest.mark.parametrize(
    ("dx", "least", "most"),
    [
        ((-8, 8, 0), -0.02, 0.02),
        ((8, 8, 8), 0.02, 1.0),  # what is the same on every face can be mended without a look
    ],
)
def test_boxes_that_lie_beside_their_places(dx, least, most):
    texts = [honest(one, dx=dx[index % 3]) for index, one in enumerate(faces())]
    _, of = attacked(OUR_REWARD, texts, budget=6000)
    found = of["the model's traces"]
    assert 0.5 < found.before < 1
    assert least < found.gain < most
    if least > 0:
        assert "boxes moved by -2%" in found.earned_by


def names_a_smile(completion, _):
    return float("AU12" in completion)


def part_of_the_text(completion, truth):
    return float(json.loads(truth)["label"] in completion)


def longest(completion, _):
    return min(len(completion) / 100_000, 1.0)


def counts_good_boxes(completion, truth):
    """Every AU in its place is worth something, and nothing is lost by what else is said."""
    scores = OUR_REWARD(completion, truth)
    return {"reward": min(scores["mean_iou"], 1.0)}


@pytest.mark.parametrize(
    ("fn", "kind", "least", "said"),
    [
        (names_a_smile, "honest traces", 1.0, "AU12"),
        (names_a_smile, "one text for all faces", 1.0, "as it is"),
        (part_of_the_text, "one text for all faces", 1.0, ""),
        (longest, "honest traces", 0.5, "wall of text"),
    ],
)
def test_a_hole_is_found(fn, kind, least, said):
    _, of = attacked(fn)
    assert of[kind].score >= least
    assert said in of[kind].earned_by
    assert of[kind].example


def test_a_reward_in_a_mapping_under_its_own_key():
    _, of = attacked(counts_good_boxes, key="reward")
    assert of["honest traces"].before == 1.0
    assert of["one text for all faces"].score < 0.5


def test_what_is_told_was_measured_on_faces_that_the_search_did_not_see():
    seen, given = set(), faces()

    def fn(completion, truth):
        seen.add((completion, truth))
        return float(len(completion) % 7) / 7  # a search can only learn this by heart

    found, of = attacked(fn)
    assert found.faces == (8, 8)
    told = of["honest traces"]
    assert told.before == pytest.approx(found.honest)
    unseen = [one for one in given if (told.example, one.to_json()) in seen]
    assert len(unseen) >= 1


def test_the_same_seed_finds_the_same():
    one, same = (attack_reward(OUR_REWARD, faces(), config=AttackConfig(1000)) for _ in "ab")
    assert one == same
    assert one != attack_reward(OUR_REWARD, faces(), config=AttackConfig(1000, seed=1))


def test_the_budget_ends_the_search():
    told = []
    found = attack_reward(OUR_REWARD, faces(), None, AttackConfig(1000), told.append)
    assert sum(told) == found.calls
    assert 900 < found.calls < 1200


def test_traces_that_claim_nothing_are_texts():
    texts = [None, "", "no trace", *[honest_text(one) for one in faces()[3:]]]
    _, of = attacked(OUR_REWARD, texts)
    assert 0 < of["the model's traces"].before < 1


def raises(completion, truth):
    raise KeyError(truth[:3])


@pytest.mark.parametrize(
    ("fn", "sentence"),
    [
        (raises, "the reward gave 'KeyError: "),
        (lambda *_: float("nan"), "the reward gave 'nan' for 'Global analysis"),
        (lambda *_: {"reward": 1.0}, "and no finite number 'score'"),
    ],
)
def test_a_reward_that_gives_no_number_is_refused(fn, sentence):
    with pytest.raises(InputError) as error:
        attacked(fn)
    assert sentence in str(error.value)


def test_too_few_faces_and_a_small_budget_are_refused():
    with pytest.raises(
        InputError, match="3 faces have an AU and an expression; an attack needs at least 4"
    ):
        attack_reward(OUR_REWARD, [*faces(3), TARGETS[2]])
    with pytest.raises(InputError, match="budget is 10, not at least 1000"):
        AttackConfig(10)


attack_command = partial(command, "attack")


def test_the_command(tmp_path):
    data = write_faces(tmp_path / "eval.parquet", 8)
    texts = [trace("happiness", [MOUTH])] * 7 + [None]
    model = write_completions(tmp_path / "model.jsonl", "m", texts)
    arguments = (data, "--completions", model, "--budget", 1000)
    code, out, err = attack_command(*arguments)
    assert (code, err) == (0, "")
    # All these faces are alike: one text is honest about each of them.
    assert "The highest score without a look is 1.000 (one text for all faces)" in " ".join(
        out.split()
    )
    code, out, _ = attack_command(*arguments, "--json")
    found = json.loads(out)
    assert [one["of"] for one in found["found"]][-1] == "the model's traces"
    assert found["blind"]["score"] == 1.0


def test_a_reward_of_ones_own(tmp_path):
    data = write_faces(tmp_path / "eval.parquet", 8)
    named = f"{__name__}:counts_good_boxes"
    code, out, err = attack_command(data, "--reward", named, "--key", "reward", "--budget", 1000)
    assert (code, err) == (0, "")
    assert "honest traces earn 1.000" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--formula", "giou"), "--formula: formula is 'giou', not one of ramp, "),
        (("--formula", "tree_vgr", "--reward", "a:b"), "leave out --reward or it"),
        (("--reward", "nowhere:b"), "--reward nowhere:b: there is no module nowhere"),
        (("--budget", 5), "budget is 5, not at least 1000"),
    ],
)
def test_what_the_command_refuses(tmp_path, arguments, sentence):
    data = write_faces(tmp_path / "eval.parquet", 8)
    code, _, err = attack_command(data, *arguments)
    assert code == 2
    assert sentence in err
