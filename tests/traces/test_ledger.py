"""The ledger keeps what was recorded, whatever ends the process that writes it."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.errors import InputError
from tag_rewards.files.whole import writer_of
from tag_rewards.traces.ledger import open_ledger, read_ledger
from tag_rewards.traces.records import LeftOutSample, TraceSample
from tests.builders import environment
from tests.builders.ledger import KEPT, NO_TRACE, attempt


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "ledger.sqlite"


def write(path, rows, verifier="v1"):
    with open_ledger(path) as ledger:
        ledger.start_run(verifier, "{}")
        return ledger.record(rows, verifier)


def judged(path, verifier=None):
    with read_ledger(path) as ledger:
        return list(ledger.judged(verifier))


def test_what_is_recorded_is_read_by_sample_and_number(path):
    rows = [(attempt("b"), KEPT), (attempt("a", 2), KEPT), (attempt("a"), NO_TRACE)]
    assert write(path, rows) == 3
    assert judged(path) == [rows[2], rows[1], rows[0]]


def test_an_attempt_is_recorded_once_and_the_first_one_holds(path):
    first, second = (attempt("a"), KEPT), (attempt("a", text="another"), NO_TRACE)
    assert write(path, [first, second]) == 1
    assert write(path, [second]) == 0
    assert judged(path) == [first]


anything = st.text(st.characters(exclude_categories=()))


@given(sample=anything, texts=st.tuples(anything, anything, anything))
def test_any_text_survives(tmp_path_factory, sample, texts):
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    prompt, text, details = texts
    row = (
        attempt(sample, prompt=prompt, text=text, error=text),
        replace(NO_TRACE, details=details),
    )
    write(path, [row])
    assert judged(path) == [row]
    with read_ledger(path) as ledger:
        assert list(ledger.judged("v1", sample)) == [row]
        assert ledger.verdicts(sample, "v1") == [(1, row[1])]


def test_half_a_surrogate_pair_and_nul_survive(path):
    row = (attempt("\ud800", text="a\0b\udfff"), NO_TRACE)
    write(path, [row])
    assert judged(path) == [row]


def test_a_changed_verifier_judges_stored_texts(path):
    write(path, [(attempt("a"), NO_TRACE), (attempt("b"), KEPT)])
    with open_ledger(path) as ledger:
        ledger.start_run("v2", '{"min_format": 0.5}')
        old = list(ledger.unjudged("v2"))
        assert [item.sample for item in old] == ["a", "b"]
        ledger.judge([(old[0], KEPT)], "v2")
        assert [item.sample for item in ledger.unjudged("v2")] == ["b"]
        assert ledger.last_run().verifier == "v2"
        assert [verdict for _, verdict in ledger.judged()] == [KEPT]
        assert [verdict for _, verdict in ledger.judged("v1")] == [NO_TRACE, KEPT]


def test_counts(path):
    with open_ledger(path) as ledger:
        ledger.start_run("v1", "{}")
        ledger.add_samples(TraceSample(name, "train", "{}", "") for name in "abc")
        ledger.leave_out([LeftOutSample("d", "no_evidence", "no face found")])
        ledger.leave_out([LeftOutSample("c", "image_missing")])
        ledger.take_back(["c"])
        rows = [(attempt("a"), NO_TRACE), (attempt("a", 2), KEPT), (attempt("b"), KEPT)]
        ledger.record(rows, "v1")
    with read_ledger(path) as ledger:
        counts = ledger.counts()
        assert list(ledger.left_out()) == [LeftOutSample("d", "no_evidence", "no face found")]
    assert (counts.samples, counts.attempts, counts.accepted, counts.unjudged) == (3, 3, 2, 0)
    assert counts.reasons == {"accepted": 2, "format": 1}
    assert counts.accepted_at == {1: 1, 2: 1}
    assert counts.left_out == {"no_evidence": 1}
    assert (counts.prompt_tokens, counts.completion_tokens) == (270, 120)


def test_a_sample_keeps_what_was_known_of_it_first(path):
    first = TraceSample("a", "train", "{}", "one")
    with open_ledger(path) as ledger:
        ledger.add_samples([first, TraceSample("a", "test", "[]", "two")])
        assert list(ledger.samples()) == [first]
        assert ledger.sample("a") == first
        assert ledger.sample("b") is None


def test_it_can_be_read_while_it_is_written_to(path):
    with open_ledger(path) as ledger:
        ledger.start_run("v1", "{}")
        ledger.record([(attempt("a"), KEPT)], "v1")
        with read_ledger(path) as reader:
            stream = reader.judged()
            assert next(stream)[0].sample == "a"
            ledger.record([(attempt("b"), KEPT)], "v1")
            assert list(stream) == []
            assert len(list(reader.judged())) == 2


def test_a_second_writer_is_refused(path):
    with open_ledger(path):
        assert writer_of(path) == os.getpid()
        message = f"process {os.getpid()} writes to .*ledger.sqlite"
        with pytest.raises(InputError, match=message), open_ledger(path):
            pass
    assert writer_of(path) is None


UNASKED = """
import random, sys, time
from pathlib import Path
from dataclasses import replace
from tests.builders.ledger import NO_TRACE, attempt
from tag_rewards.traces.ledger import Ledger, connect
path, seed = Path(sys.argv[1]), sys.argv[2]
ledger = Ledger(path, connect(path, write=True))
names = [f"{index:04d}" for index in range(300)]
random.Random(seed).shuffle(names)
print("ready", flush=True)
sys.stdin.readline()
for name in names:
    ledger.record([(attempt(name, text=seed), replace(NO_TRACE, details=seed))], "v1")
    time.sleep(0.002)  # SQLite gives nobody a turn: without it one of the two would write all
"""


def start(script, path, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_two_writers_neither_corrupt_nor_duplicate(path):
    """They go past the lock, as on a file system that has none."""
    write(path, [])
    writers = [start(UNASKED, path, seed) for seed in "12"]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    rows = judged(path)
    assert [item.sample for item, _ in rows] == [f"{index:04d}" for index in range(300)]
    assert all(item.text == verdict.details for item, verdict in rows)
    assert {item.text for item, _ in rows} == {"1", "2"}
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


WRITER = """
import sys
from tests.builders.ledger import KEPT, attempt
from tag_rewards.traces.ledger import open_ledger
with open_ledger(sys.argv[1]) as ledger:
    ledger.start_run("v1", "{}")
    for number in range(10**6):
        ledger.record([(attempt(f"{number:06d}", text="x" * (number * 37 % 3000)), KEPT)], "v1")
        print(number, flush=True)
"""


def killed_writer(path):
    """A writer that died of signal 9; the number of the last attempt that it saw recorded."""
    process = start(WRITER, path)
    assert process.stdout.readline() == "0\n"
    time.sleep(random.uniform(0.05, 0.5))
    process.send_signal(signal.SIGKILL)
    rest = process.communicate(timeout=60)[0].split("\n")
    return max((int(line) for line in rest[:-1]), default=0)


def test_what_was_recorded_survives_kill_9(path):
    last = killed_writer(path)
    assert writer_of(path) is None
    rows = judged(path)
    assert [item.sample for item, _ in rows] == [f"{number:06d}" for number in range(len(rows))]
    assert len(rows) in (last + 1, last + 2)
    assert write(path, [(attempt("more"), KEPT)]) == 1


def torn(path, tmp_path, damage):
    """A copy of a ledger as a power loss in the middle of a write leaves it."""
    copy = tmp_path / "torn"
    shutil.copytree(path.parent, copy)
    (copy / "ledger.sqlite-shm").unlink(missing_ok=True)  # it is memory, and does not survive
    log = copy / "ledger.sqlite-wal"
    data = log.read_bytes()
    log.write_bytes(damage(data))
    return copy / path.name


FRAME = 4096 + 24


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: -FRAME // 2],
        lambda data: data[:-700] + os.urandom(700),
        lambda data: data + os.urandom(1000),
        lambda data: data + data[-FRAME:][:2000] + bytes(FRAME - 2000),
        lambda data: data[: 32 + 10 * FRAME + 100],
    ],
    ids=["one byte", "half a page", "rubbish at the end", "rubbish added", "half written", "most"],
)
def test_a_torn_log_is_read_up_to_its_last_whole_transaction(tmp_path, path, damage):
    rows = [(attempt(f"{number:03d}"), KEPT) for number in range(40)]
    with open_ledger(path) as ledger:
        ledger.start_run("v1", "{}")
        for row in rows:
            ledger.record([row], "v1")
        copy = torn(path, tmp_path, damage)
    with open_ledger(copy) as ledger:
        ledger.start_run("v1", "{}")
        kept = list(ledger.judged("v1"))
        assert kept == rows[: len(kept)]
        ledger.record([*rows], "v1")
        assert list(ledger.judged()) == rows
    assert sqlite3.connect(copy).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_unknown_version_is_refused(path):
    write(path, [])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    for use in (open_ledger, read_ledger):
        message = "version 7, and this release reads version 1"
        with pytest.raises(InputError, match=message), use(path):
            pass


def test_what_is_no_ledger_is_refused_and_left_as_it_is(path):
    path.parent.mkdir()
    path.write_text("a text\n" * 1000)
    with pytest.raises(InputError, match="is no ledger"), open_ledger(path):
        pass
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (a)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="no ledger of traces"), open_ledger(path):
        pass
    assert path.read_bytes() == before


def test_a_ledger_that_is_not_there(path):
    message = "does not exist; `tag-rewards traces build` writes it"
    with pytest.raises(InputError, match=message), read_ledger(path):
        pass
    assert writer_of(path) is None
