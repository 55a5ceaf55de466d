"""The battery: what it passes, and what each promise catches."""

import multiprocessing
import pickle
from functools import partial

import pytest

from tag_rewards.errors import InputError
from tag_rewards.geometry.boxes import BoxSpace
from tag_rewards.target import Target
from tag_rewards.testing import (
    PROMISES,
    TARGETS,
    ContractViolation,
    RewardContract,
    assert_reward_contract,
    from_batch,
    hacks_against,
)
from tests.testing import sample_rewards

#: A bad reward for each promise; they break no other.
BAD = {
    "never_raises": "raises_on_none",
    "finite": "not_finite",
    "range": "too_large",
    "constant_keys": "keys_come_and_go",
    "deterministic": "depends_on_the_hash_seed",
    "picklable": "loses_its_state",
    "thread_safe": "shares_state",
    "no_hack_pays": "substring_of_the_label",
    "bounded_time": "backtracks",
}

#: Other ways of breaking them.
ALSO_BAD = {
    "raises_on_huge_numbers": "never_raises",
    "ends_the_process": "never_raises",
    "no_number": "finite",
    "mapping_or_number": "constant_keys",
    "random_reward": "deterministic",
    "remembers": "deterministic",
    "unpicklable": "picklable",
    "times_out_by_signal": "thread_safe",
    "waits_for_another_thread": "thread_safe",
    "constant": "no_hack_pays",
}


def broken(fn, **options):
    """The promises that a function breaks, with the example of each."""
    found = RewardContract(fn, **{"seconds": 0.5, **options}).violations()
    return {violation.promise: violation.finding for violation in found}


def test_a_good_reward_keeps_every_promise():
    assert_reward_contract(sample_rewards.good)
    assert_reward_contract(sample_rewards.good_with_parts)


def test_our_score_keeps_every_promise():
    assert_reward_contract(sample_rewards.our_score)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_bad_reward_breaks_its_promise_and_no_other(promise):
    assert list(broken(getattr(sample_rewards, BAD[promise]))) == [promise]


@pytest.mark.parametrize("name", ALSO_BAD)
def test_other_bad_rewards(name):
    fn = getattr(sample_rewards, name)
    assert list(broken(fn, leave_out=["bounded_time"])) == [ALSO_BAD[name]]


@pytest.mark.parametrize(
    ("name", "result"), [("rescans", "0.2 s of CPU time"), ("waits", "within 2 s by the clock")]
)
def test_other_slow_rewards(name, result):
    found = broken(getattr(sample_rewards, name), seconds=0.2)
    assert list(found) == ["bounded_time"]
    assert result in found["bounded_time"].result


def test_every_broken_promise_is_reported():
    with pytest.raises(ContractViolation) as caught:
        assert_reward_contract(sample_rewards.breaks_several)
    names = [violation.promise for violation in caught.value.violations]
    assert names == ["never_raises", "range", "no_hack_pays"]
    message = " ".join(str(caught.value).split())
    name = "tests.testing.sample_rewards:breaks_several"
    assert message.startswith(f"{name} breaks {', '.join(names)} ")
    for name in names:
        assert f"{name}: {PROMISES[name].claim}" in message
        assert PROMISES[name].advice in message


def test_the_example_is_as_short_as_can_be():
    sample, result = broken(sample_rewards.raises_on_huge_numbers)["never_raises"]
    assert sample.completion == "9" * 4301
    assert "4300" in result
    sample, _ = broken(sample_rewards.fails_on_a_letter_in_brackets)["never_raises"]
    assert len(sample.completion) == 2


def test_an_example_of_a_hack_shows_the_lines_that_differ():
    [violation] = RewardContract(sample_rewards.substring_of_the_label).violations()
    assert "    | <answer></answer>\n" in str(violation)
    assert "1 for 'empty answer', 1 for the honest trace" in str(violation)


def test_other_ranges_keys_and_promises_can_be_chosen():
    assert not broken(sample_rewards.too_large, high=2.0, leave_out=["bounded_time"])
    assert not broken(sample_rewards.overall, key="overall", low=-1.0, leave_out=["bounded_time"])
    assert not broken(sample_rewards.constant, leave_out=["no_hack_pays", "bounded_time"])


def test_a_reward_for_one_part_is_tried_with_the_hacks_against_this_part():
    assert not broken(sample_rewards.our_accuracy, hacks=hacks_against("accuracy"))
    assert list(broken(sample_rewards.our_accuracy)) == ["no_hack_pays"]


def test_a_reward_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr("tag_rewards.testing.isolated.START_SECONDS", 5.0)
    assert list(broken(sample_rewards.never_answers)) == ["bounded_time"]


def test_batch_functions():
    one = from_batch(sample_rewards.batch)
    assert_reward_contract(one)
    assert pickle.loads(pickle.dumps(one)) == one


def test_what_can_be_pickled_beside_functions():
    assert not broken(partial(sample_rewards.good), leave_out=["bounded_time"])


def test_no_process_is_left_behind():
    broken(sample_rewards.good)
    broken(sample_rewards.ends_the_process, leave_out=["bounded_time"])
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave_out": ["speed"]}, "'speed' is no promise; there are never_raises, finite"),
        ({"leave_out": "finite"}, "leave_out is the string 'finite'; it is a list of names"),
        ({"low": 1.0}, "low 1.0 and high 1.0 must be numbers, low < high"),
        ({"high": float("inf")}, "must be numbers"),
        ({"seconds": 0}, "seconds is 0, not between 0 and 60"),
        ({"targets": [Target("joy", (), BoxSpace.pixels(9, 9))]}, "none of the targets has evid"),
        ({"fn": "good"}, "fn is 'good', which cannot be called"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        RewardContract(**{"fn": sample_rewards.good, **options})


def test_a_key_that_is_not_there_is_named():
    with pytest.raises(InputError, match="the keys score, length, and none is 'reward'"):
        assert_reward_contract(sample_rewards.good_with_parts, key="reward")


def test_the_target_can_be_anybodys():
    assert not broken(sample_rewards.our_score, targets=TARGETS[1:2])
