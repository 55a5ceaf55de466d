"""Every target is tried a little in every test run, and the fuzzer finds what is there."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tag_rewards.errors import InputError
from tests.fuzz.mutations import LONGEST, mutated, shortest
from tests.fuzz.run import Limits, Slow, fuzz, problem
from tests.fuzz.targets import CORPUS, TARGETS, FuzzTarget, NotAnInput

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_two_hundred_inputs(name):
    outcome = fuzz(name, TARGETS[name], Limits(60, 200), seed=0, say=print)
    assert outcome.failure is None, f"{outcome.error!r} from {outcome.failure!r:.500}"
    assert outcome.executions == 200


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_right_is_read(name):
    """Else nothing behind the first check would be tried."""
    readings = [_reading(TARGETS[name], data) for data in TARGETS[name].read_seeds()]
    assert any(readings), "no seed is read to its end"


def _reading(target, data):
    try:
        target.check(data)
    except InputError:
        return False
    return True


def test_every_folder_of_the_corpus_is_somebodys():
    assert {path.name for path in CORPUS.iterdir()} == {one.seeds for one in TARGETS.values()}


def a_target(check, **options):
    return FuzzTarget(check, "text", (b"(",), **options)


def breaks_at_a_parenthesis(data):
    if b"(" in data[20:]:
        raise KeyError("(")


def test_the_shortest_input_that_fails_is_given():
    outcome = fuzz("any", a_target(breaks_at_a_parenthesis), Limits(60, 1000), 0, print)
    assert isinstance(outcome.error, KeyError)
    assert len(outcome.failure) == 21
    assert outcome.failure.endswith(b"(")


def refuse(data):
    raise InputError("no")


@pytest.mark.parametrize(("may_refuse", "found"), [(True, False), (False, True)])
def test_a_refusal_is_an_answer_where_it_is_documented(may_refuse, found):
    assert (problem(a_target(refuse, may_refuse=may_refuse), b"") is not None) == found


def test_what_takes_long_is_found():
    assert isinstance(problem(a_target(lambda data: sum(range(10**6)), seconds=1e-6), b""), Slow)


def test_what_stands_for_no_input_is_not_counted():
    def only_long(data):
        if len(data) < 400:
            raise NotAnInput

    tried = []
    outcome = fuzz(
        "any",
        a_target(lambda data: (tried.append(data), only_long(data))),
        Limits(60, 50),
        0,
        print,
    )
    assert outcome.executions == 50 == sum(len(data) >= 400 for data in tried)


def test_a_seed_decides_what_is_tried():
    def tried(seed):
        data = []
        fuzz("any", a_target(data.append), Limits(60, 50), seed, print)
        return data

    assert tried(1) == tried(1) != tried(2)


def test_inputs_end_somewhere():
    rng, data = Random(0), b"a"
    for _ in range(2000):
        data = mutated(data, [data], [b"()" * 5000], rng)
        assert len(data) <= LONGEST


@pytest.mark.parametrize(("data", "left"), [(b"", b""), (b"a", b"a"), (b"bbbab" * 9, b"a")])
def test_what_can_be_left_out_is(data, left):
    assert shortest(data, lambda shorter: (b"a" in shorter) == (b"a" in data)) == left


def run(*arguments):
    command = [sys.executable, "-m", "tests.fuzz", "--plain", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command(tmp_path):
    ended = run("--target", "target", "--executions", "20", "--out", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "target: 20 executions" in ended.stdout
    assert "nothing found" in ended.stdout


def test_the_command_tries_an_input_again(tmp_path):
    (tmp_path / "input").write_text("AU12")
    ended = run("--again", tmp_path / "input", "--target", "mentions")
    assert (ended.returncode, ended.stdout) == (0, "mentions: nothing found\n")


def test_an_unknown_target_is_refused():
    ended = run("--target", "nothing")
    assert ended.returncode == 2
    assert "there are parse:tag," in ended.stderr
