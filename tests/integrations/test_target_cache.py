"""What is remembered of targets stays small, however many and however long they are."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.errors import InputError
from tag_rewards.geometry import BoxSpace
from tag_rewards.geometry.matching import MAX_CORNERS
from tag_rewards.integrations.scorer import _TARGETS, TargetCache
from tag_rewards.target import AUEvidence, Target


def text(number, aus=()):
    """The JSON of a target; these AUs have outlines of as many corners as are taken."""
    outline = [(index * 7 % 512 + 1 / 16, index * 13 % 512) for index in range(MAX_CORNERS)]
    evidence = [AUEvidence(12, 0.9, (0, 0, 9, 9 + number))] if not aus else []
    evidence += [AUEvidence(au, 0.9, (0, 0, 9, 9), (outline,)) for au in aus]
    return Target("joy", tuple(evidence), BoxSpace.pixels(2000, 2000)).to_json()


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 5), st.integers(1, 900))
def test_it_gives_what_is_read_and_holds_no_more_than_it_may(numbers, most, most_chars):
    cache = TargetCache(most, most_chars)
    for number in numbers:
        assert cache.read(text(number)) == Target.from_json(text(number))
        assert len(cache._targets) <= most
        assert cache._chars == sum(map(len, cache._targets)) <= most_chars


def test_the_ones_that_were_read_last_are_remembered():
    cache = TargetCache(most=2)
    first, second = cache.read(text(1)), cache.read(text(2))
    assert cache.read(text(1)) is first
    cache.read(text(3))  # the second is the one that was read longest ago
    assert cache.read(text(1)) is first
    assert cache.read(text(2)) is not second


def test_what_is_no_target_is_refused_each_time():
    cache = TargetCache()
    for _ in range(2):
        with pytest.raises(InputError, match="a target is a JSON object"):
            cache.read("[]")


def test_threads_share_it():
    cache = TargetCache(most=3)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: cache.read(text(number % 7)), range(700)))
    assert found == [Target.from_json(text(number % 7)) for number in range(700)]
    assert cache._chars == sum(map(len, cache._targets))


def test_what_a_scorer_remembers_is_some_dozens_of_megabytes():
    """A character of the JSON stands for so much memory at most, where a target is all outline."""
    long = text(0, range(1, 56))
    assert 50_000 < len(long) < 65_536
    tracemalloc.start()
    target = Target.from_json(long)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert target.evidence
    assert (held + len(long)) / len(long) * _TARGETS._most_chars < 40e6
