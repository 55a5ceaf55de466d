"""The status counts as the policy does, and tells speed and time left of a build that runs."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.traces.ledger import open_ledger, read_ledger
from tag_rewards.traces.progress import status as read_status
from tag_rewards.traces.prompts import PolicyConfig, Question, next_question
from tests.builders.command import command
from tests.builders.ledger import LABELS, WHAT_CAME, attempt, history
from tests.builders.writer import FakeEngine


@given(
    st.lists(st.lists(st.sampled_from(WHAT_CAME), max_size=6), min_size=1, max_size=6),
    st.tuples(*[st.integers(0, 3)] * 3),
)
def test_given_up_is_counted_as_the_policy_decides(tmp_path_factory, samples, retries):
    policy = PolicyConfig(*retries)
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with open_ledger(path) as ledger:
        ledger.start_run("v1", "{}")
        for name, reasons in enumerate(samples):
            rows = [(attempt(str(name), number), verdict) for number, verdict in history(*reasons)]
            ledger.record(rows, "v1")
    decisions = [next_question(history(*reasons), LABELS, "blind", policy) for reasons in samples]
    given_up = sum(
        not isinstance(decision, Question) and decision != "accepted" for decision in decisions
    )
    with read_ledger(path) as ledger:
        assert ledger.given_up(policy, len(LABELS)) == given_up


def test_a_build_that_is_over(build):
    build.run()
    status = read_status(build.out)
    assert (status.samples, status.open, status.writer, status.speed) == (40, 0, None, 0.0)
    assert status.counts.accepted + status.given_up == 40
    assert status.activity == "no process builds now (last: writer by memory)"


def test_a_build_that_runs(build):
    seen = []

    class Watched(FakeEngine):
        def generate(self, requests):
            for reply in super().generate(requests):
                yield reply
                seen.append(read_status(build.out))

    build.run(Watched())
    assert [one.counts.attempts for one in seen] == sorted(one.counts.attempts for one in seen)
    late = seen[-1]
    assert late.writer is not None
    assert late.speed > 0
    assert late.seconds_left is not None
    assert "builds now: writer by memory" in late.activity
    assert "left" in late.activity


def test_a_build_that_was_stopped(build):
    class Stopping(FakeEngine):
        def generate(self, requests):
            yield next(super().generate(requests))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.run(Stopping())
    status = read_status(build.out)
    assert status.counts.attempts == 1
    assert status.open >= 39
    assert "the same command goes on with it" in status.activity
    assert replace(status, writer=7, speed=2.0).seconds_left in (None, status.open / 2)


def test_a_status_as_json(build):
    build.run()
    code, told, _ = command("traces", "status", build.out, "--json")
    record = json.loads(told)
    assert code == 0
    assert (record["samples"], record["open"], record["seconds_left"]) == (40, 0, None)
    assert record["counts"]["accepted"] + record["given_up"] == 40
