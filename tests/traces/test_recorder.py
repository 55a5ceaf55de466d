"""What is handed to the recorder is in the ledger, in order, or its error is heard."""

import threading
import time

import pytest

from tag_rewards.errors import InputError
from tag_rewards.traces import run as module
from tag_rewards.traces.ledger import open_ledger
from tag_rewards.traces.records import Judged, LeftOutSample, TraceSample
from tag_rewards.traces.run import Recorder
from tests.builders.ledger import KEPT, NO_TRACE, attempt


def sample(name):
    return TraceSample(name, "train", "{}", "ab")


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.start_run("v1", "{}")
        yield ledger


def test_everything_is_recorded_when_the_block_ends(ledger):
    with Recorder(ledger, "v1") as recorder:
        for number in range(500):
            name = f"{number:03d}"
            recorder.put(Judged(sample(name), attempt(name), KEPT))
        recorder.put(LeftOutSample("x", "image_missing"))
        recorder.put(LeftOutSample("y", "image_missing"))
    with Recorder(ledger, "v1") as recorder:
        recorder.put("x")
    assert len(list(ledger.judged())) == len(list(ledger.samples())) == 500
    assert list(ledger.left_out()) == [LeftOutSample("y", "image_missing")]


def test_flush_waits_until_it_is_recorded(ledger):
    with Recorder(ledger, "v1") as recorder:
        for number in range(1, 6):
            recorder.put(Judged(sample("a"), attempt("a", number), NO_TRACE))
            recorder.flush()
            assert ledger.counts().attempts == number


class Slow:
    """A ledger whose disk is slow."""

    def __init__(self, ledger):
        self._ledger = ledger
        self.sizes = []

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def record(self, rows, verifier):
        rows = list(rows)
        self.sizes.append(len(rows))
        time.sleep(0.05)
        return self._ledger.record(rows, verifier)


def test_a_slow_disk_makes_transactions_larger(ledger):
    slow = Slow(ledger)
    with Recorder(slow, "v1") as recorder:
        for number in range(200):
            recorder.put(Judged(sample("a"), attempt("a", number + 1), NO_TRACE))
            time.sleep(0.001)
    assert sum(slow.sizes) == ledger.counts().attempts == 200
    assert len(slow.sizes) < 100


def test_who_brings_more_than_is_held_waits(ledger, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    slow = Slow(ledger)
    with Recorder(slow, "v1") as recorder:
        for number in range(100):
            recorder.put(Judged(sample("a"), attempt("a", number + 1), NO_TRACE))
    assert max(slow.sizes) <= 10
    assert ledger.counts().attempts == 100


class Full(Slow):
    def record(self, rows, verifier):
        self._ledger.record(rows, verifier)
        raise InputError("disk full")


def test_an_error_is_raised_at_the_next_call_and_nothing_of_its_transaction_stays(ledger):
    def record():
        with recorder:
            recorder.put(Judged(sample("a"), attempt("a"), KEPT))
            recorder.flush()

    recorder = Recorder(Full(ledger), "v1")
    for call in (record, recorder.flush, lambda: recorder.put("a")):
        with pytest.raises(InputError, match="disk full"):
            call()
    assert ledger.counts().attempts == 0
    assert list(ledger.samples()) == []


def test_an_error_is_raised_where_the_block_ends(ledger):
    with pytest.raises(InputError, match="disk full"), Recorder(Full(ledger), "v1") as recorder:
        recorder.put(Judged(sample("a"), attempt("a"), KEPT))


def test_what_has_come_is_recorded_when_the_block_is_left_by_an_error(ledger):
    def record():
        with Recorder(Slow(ledger), "v1") as recorder:
            for number in range(20):
                recorder.put(Judged(sample("a"), attempt("a", number + 1), NO_TRACE))
            raise KeyError

    with pytest.raises(KeyError):
        record()
    assert ledger.counts().attempts == 20
    assert not [thread for thread in threading.enumerate() if "recorder" in thread.name]
