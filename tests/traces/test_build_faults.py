"""Whatever goes wrong around a build, there is a clear sentence and no row is lost."""

import os
import resource
import subprocess
import sys
from collections import Counter

import pytest

from tag_rewards.engines.make import make_engine
from tag_rewards.errors import InputError
from tag_rewards.traces.ledger import open_ledger, read_ledger
from tag_rewards.traces.prompts import PolicyConfig, attempt_seed
from tests.builders import environment
from tests.builders.endpoint import RESET, answer, completion, http, serving
from tests.builders.writer import MODEL, FakeEngine, fake_trace


def engine(url, **options):
    given = {"concurrency": "4", "backoff_seconds": "0.01", "patience_seconds": "1", **options}
    return make_engine("openai", MODEL, {"url": url, **given})


def good(body):
    prompt = "".join(part.get("text", "") for part in body["messages"][0]["content"])
    return completion(*fake_trace(prompt, body["seed"]))


class Misbehaving:
    """Answers well, but for every third question, by its seed, as `fault` says."""

    def __init__(self, fault):
        self.fault = fault
        self.endpoint = None

    def __call__(self, prompt, number):
        body = self.endpoint.bodies[-1]
        if body["seed"] % 3 == 0:
            yield from self.fault(body)
        else:
            yield good(body)


FAULTS = {
    "500": lambda body: [http(500, b"oops")],
    "429": lambda body: [http(429, b"slow down", retry_after="0")],
    "malformed JSON": lambda body: [http(200, b'{"choices": [')],
    "no choices": lambda body: [answer({"choices": []})],
    "empty text": lambda body: [completion("")],
    "endless text": lambda body: [completion("Inspect " * 40_000, "length")],
    "slow": lambda body: [5.0, good(body)],
    "reset": lambda body: [RESET],
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_endpoint_that_misbehaves_costs_no_row(build, fault):
    """Each question has its row, with its answer or with what went wrong."""
    script = Misbehaving(fault)
    with serving(script) as endpoint:
        endpoint.models = answer({"object": "list", "data": [{"id": MODEL}]})
        script.endpoint = endpoint
        once = PolicyConfig(0, 0, 0)
        asking = engine(endpoint.url, attempts="2", request_seconds="0.5")
        if fault is FAULTS["429"]:  # without end: the engine has no patience left
            with pytest.raises(InputError):
                build.run(asking, policy=once)
        else:
            build.run(asking, policy=once)
    build.run(policy=once)  # what is missing, if anything
    rows = build.rows()
    assert len(rows) == 40
    reasons = Counter()
    for attempt, verdict in rows:
        assert attempt.seed == attempt_seed(0, attempt.sample, 1)
        bad = attempt.seed % 3 == 0 and attempt.engine == "openai"
        reasons[verdict.reason] += bad
        if not bad:
            assert attempt.text == fake_trace(attempt.prompt, attempt.seed)[0]
        assert bool(attempt.error) == (verdict.reason == "engine_error")
    bad = {reason for reason, count in reasons.items() if count}
    assert bad <= {"engine_error", "empty", "truncated"}
    assert bad or fault is FAULTS["429"]


def test_an_endpoint_that_is_not_there(build):
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9"):
        build.run(engine("http://127.0.0.1:9/v1"))
    assert build.rows() == []


def test_a_model_that_the_endpoint_does_not_have(build):
    with serving(lambda prompt, number: []) as endpoint:
        endpoint.models = answer({"object": "list", "data": [{"id": "another"}]})
        with pytest.raises(InputError, match="another"):
            build.run(engine(endpoint.url))
    assert build.rows() == []


def test_an_endpoint_that_goes_down_in_the_middle_loses_nothing(build):
    build.run()
    expected = [(row.sample, row.number, row.text) for row, _ in build.rows()]
    script = Misbehaving(lambda body: [good(body)])
    down = []

    def dying(prompt, number):
        if len(endpoint.bodies) > 12:
            down.append(prompt)
            return [RESET]
        return script(prompt, number)

    other = type(build)(build.faces, build.out.with_name("other"))
    with serving(dying) as endpoint:
        endpoint.models = answer({"object": "list", "data": [{"id": MODEL}]})
        script.endpoint = endpoint
        with pytest.raises(InputError):
            other.run(engine(endpoint.url, attempts="1", give_up_after="3"))
    done = [row for row in other.rows() if not row[0].error]
    assert len(done) == 12
    other.run()
    texts = [(row.sample, row.text) for row, _ in other.rows() if not row.error]
    assert {sample for sample, _ in texts} == {sample for sample, _, _ in expected}
    assert {row[0] for row in done} <= {row[0] for row in other.rows()}


def test_a_second_build_is_refused_and_the_first_goes_on(build):
    with (
        open_ledger(build.path),
        pytest.raises(InputError, match=f"process {os.getpid()} writes to"),
    ):
        build.run()
    build.run()
    assert len({attempt.sample for attempt, _ in build.rows()}) == 40


LIMITED = """
import resource, signal, sys
from pathlib import Path
from tests.builders.build import Build
build = Build(Path(sys.argv[1]), Path(sys.argv[2]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
from tag_rewards.errors import InputError
try:
    build.run()
except InputError as error:
    print(error)
    sys.exit(2)
"""


def test_a_disk_that_is_full_is_named_and_loses_nothing(build):
    """The size of a file is limited for a process, which SQLite sees as a full disk."""
    sizes = []
    for _ in range(3):
        run = subprocess.run(
            [sys.executable, "-c", LIMITED, str(build.faces), str(build.out), "130000"],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(),
        )
        assert run.returncode == 2, run.stderr
        assert run.stdout.startswith(f"{build.path} cannot be used (")
        assert "what was recorded is kept" in run.stdout
        assert run.stdout.count("\n") == 1
        sizes.append(len(build.rows()))
    assert 0 < sizes[0] <= sizes[1] <= sizes[2] < 40
    before = build.rows()
    asked = FakeEngine()
    build.run(asked)
    after = build.rows()
    assert [row for row in after if row in before] == before
    assert {request.seed for request in asked.requests}.isdisjoint(row.seed for row, _ in before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system of its own")
def test_a_file_system_that_is_full(build, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        small = type(build)(build.faces, place / "out")
        with pytest.raises(InputError, match=r"disk is full.*free space"):
            small.run()
        before = small.rows()
        assert before
        subprocess.run(["mount", "-o", "remount,size=16m", str(place)], check=True)
        small.run()
        build.run()
        assert small.rows() == build.rows()
        assert [row for row in small.rows() if row in before] == before
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_ledger_whose_log_is_torn_goes_on(build):
    build.run()
    expected = build.rows()
    torn = type(build)(build.faces, build.out.with_name("torn"))

    class Stopping(FakeEngine):
        def generate(self, requests):
            for count, reply in enumerate(super().generate(requests)):
                yield reply
                if count == 20:
                    torn.saved = {
                        path.name: path.read_bytes() for path in torn.out.glob("ledger.sqlite*")
                    }
                    raise InputError("stopped")

    with pytest.raises(InputError):
        torn.run(Stopping())
    for path in torn.out.glob("ledger.sqlite*"):
        path.unlink()
    log = torn.saved["ledger.sqlite-wal"]
    torn.path.write_bytes(torn.saved["ledger.sqlite"])
    torn.path.with_name("ledger.sqlite-wal").write_bytes(log[: len(log) * 2 // 3 + 11])
    with read_ledger(torn.path) as ledger:
        assert ledger.counts().attempts <= 21
    torn.run()
    assert torn.rows() == expected


def test_limits_of_this_process_are_as_they_were():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
