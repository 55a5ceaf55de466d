"""The server as users run it: processes on a port, and clients that do not behave."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tag_rewards import score
from tag_rewards.testing.traces import TARGETS, honest_text

TARGET = TARGETS[0]
HONEST = honest_text(TARGET)
SERVE = [sys.executable, "-c", "from tag_rewards.cli import main; main()", "serve"]
PATIENCE = 30  # seconds for what takes one on an idle machine
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} tag-rewards\[\d+\] [A-Z]+ \S")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@contextmanager
def serving(*arguments, folder):
    """(process, port) of a server that answers; it is ended and its last words are checked."""
    port = free_port()
    process = subprocess.Popen(
        [*SERVE, "--port", str(port), *arguments],
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(port):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process, port
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    first, *lines = said.splitlines()
    assert first.startswith("tag-rewards ")
    assert f"on http://127.0.0.1:{port} with" in first
    assert all(map(LOG_LINE.match, lines)), said
    assert lines[-1].endswith("INFO the server has ended")
    assert not os.listdir(folder)


def answers(port):
    try:
        return get(port, "/health").startswith('{"status":"ok"')
    except (URLError, ConnectionError):
        return False


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as response:
        return response.read().decode()


def post(port, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/score",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


def head(**headers):
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    kind = "content-type: application/json"
    return "\r\n".join(["POST /score HTTP/1.1", "host: a", kind, *lines, "", ""]).encode()


def reply(connection):
    """Status line and body of all that comes until the server closes the connection."""
    connection.settimeout(PATIENCE)
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    before, _, body = received.partition(b"\r\n\r\n")
    return before.split(b"\r\n")[0].decode(), body.decode()


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tmp")
    with serving("--workers", "2", "--timeout", "1", folder=folder) as (_, port):
        yield port


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def scored(port):
    families = text_string_to_metric_families(get(port, "/metrics"))
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "tag_rewards_completions_total"
    )


def test_many_clients_get_the_numbers_of_score(port):
    """And the workers' metrics are added up, whichever of them is asked."""
    before = scored(port)
    texts = [HONEST.replace("207", str(207 + index)) for index in range(40)]
    expected = [{**score(text, TARGET), "invalid_target": 0.0} for text in texts]

    def ask(client):
        for start in range(0, 40, 8):
            chosen = [(client + start + index) % 40 for index in range(8)]
            body = {"completions": [texts[i] for i in chosen], "ground_truth": TARGET.to_json()}
            assert post(port, body)["scores"] == [expected[i] for i in chosen]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(40)))
    assert {scored(port) - before for _ in range(10)} == {40 * 40}


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"GET", "408", "did not arrive in time"),
        (head(content_length=100)[:-2], "408", "did not arrive in time"),
        (head(content_length=100) + b"{", "408", "did not arrive in time"),
        (head(transfer_encoding="chunked") + b"5\r\n{", "408", "did not arrive in time"),
        (b"GET /health HTTP/1.1\r\nhost: a\r\n\r\nGET", "200", "did not arrive in time"),
        (b"", None, ""),
        (head(cookie="a" * 110_000)[:-2], "431", "the headers are too long"),
        (b"GET /" + b"a" * 110_000, "431", "the headers are too long"),
        (b"\0\1\2\3", "400", "Invalid HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "400", "Invalid HTTP request"),
        (head(content_length="x"), "400", "Invalid HTTP request"),
        (head(content_length=-1), "400", "Invalid HTTP request"),
        (head(transfer_encoding="chunked") + b"zz\r\n", "400", "Invalid HTTP request"),
        (head(content_length=10**15), "413", "the body is longer than"),
    ],
)
def test_clients_that_do_not_finish(port, sent, status, reason):
    """Each gets an answer, and the connection is closed; nobody else waits for it."""
    with connect(port) as connection:
        for start in range(0, len(sent), 40_000):
            connection.sendall(sent[start : start + 40_000])
            assert answers(port)
        line, body = reply(connection)
    assert line == "" if status is None else line.split()[1] == status
    assert reason in body


def test_a_request_that_dribbles(port):
    """A byte now and then keeps no connection open."""
    with connect(port) as connection:
        for byte in head(content_length=1000):
            connection.sendall(bytes([byte]))
            if select.select([connection], [], [], 0.05)[0]:
                break
        assert reply(connection)[0].split()[1] == "408"


def test_a_body_without_end(port):
    """Chunks without a Content-Length are counted; the rest is thrown away until time is up."""
    chunks = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    with connect(port) as connection:
        connection.sendall(head(transfer_encoding="chunked"))
        with pytest.raises(ConnectionError):
            any(map(connection.sendall, [chunks] * 100_000))
    assert answers(port)


@pytest.mark.parametrize("size", [60_000, 70_000, 300_000, 3_000_000])
def test_long_bodies_over_a_kept_connection(port, size):
    """They come in pieces of any length, the last of which has nothing to do with a next head."""
    fields = {"completions": [HONEST, "a" * size], "ground_truth": TARGET.to_json()}
    body = json.dumps(fields).encode()
    with connect(port) as connection:
        connection.sendall(head(content_length=len(body)) + body)
        connection.settimeout(PATIENCE)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        connection.sendall(head(transfer_encoding="chunked", connection="close") + chunks)
        line, answer = reply(connection)
    assert line.split()[1] == "200"
    assert [scores["score"] for scores in json.loads(answer)["scores"]] == [1, 0]


def test_pipelined_requests_and_a_connection_that_is_used_again(port):
    body = json.dumps({"completions": ["a"], "ground_truth": TARGET.to_json()}).encode()
    request = head(content_length=len(body)) + body
    with connect(port) as connection:
        connection.sendall(request + request)
        connection.sendall(request)
        last = head(content_length=len(body), connection="close") + body
        connection.sendall(last)
        _, everything = reply(connection)
    assert everything.count('{"scores":') == 4


def test_what_is_under_way_is_finished(tmp_path):
    body = json.dumps({"completions": ["a"], "ground_truth": TARGET.to_json()}).encode()
    with serving(folder=tmp_path) as (process, port), connect(port) as connection:
        connection.sendall(head(content_length=len(body)) + body[:10])
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[10:])
        line, answer = reply(connection)
        assert line.split()[1] == "200"
        assert answer.startswith('{"scores":')


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def workers(process):
    """The processes that serve; Python's own helper is none."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(process.pid)}
    return [int(pid) for pid, command in commands.items() if b"spawn_main" in command]


def gone(pid):
    """Whether a process has ended; one that nobody has asked for its exit code has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def within_patience(found):
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def starting(*arguments, folder):
    """(process, port, log) of a server that leads a group of processes, as in a terminal."""
    port, log = free_port(), folder / "log"
    (folder / "tmp").mkdir()
    with log.open("w") as file:
        process = subprocess.Popen(
            [*SERVE, "--port", str(port), *arguments],
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process, port, log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True)],
    ids=["Ctrl+C in a terminal", "kill", "a service that is stopped"],
)
def test_the_end_is_quiet_and_leaves_nothing(tmp_path, number, whole_group, count):
    with starting("--workers", str(count), folder=tmp_path) as (process, port, log):
        within_patience(lambda: answers(port))
        running = workers(process)
        assert len(running) == (0 if count == 1 else count)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        assert process.wait(PATIENCE) == 0
        assert all(map(gone, running))
        first, *lines = log.read_text().splitlines()
        assert first.startswith("tag-rewards ")
        assert len(lines) == 1
        assert LOG_LINE.match(lines[0])
        assert lines[0].endswith("the server has ended")
        assert not os.listdir(tmp_path / "tmp")


@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_ctrl_c_while_the_workers_start(tmp_path, seconds):
    """However early it comes: no traceback of a worker that was only being imported."""
    with starting("--workers", "2", folder=tmp_path) as (process, _, log):
        within_patience(lambda: "tag-rewards " in log.read_text())
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in log.read_text()
        assert not os.listdir(tmp_path / "tmp")


@pytest.mark.parametrize("moment", ["serving", "starting"])
def test_workers_end_with_the_process_that_started_them(tmp_path, moment):
    """Killed, it cannot end them itself; the port is free again."""
    with starting("--workers", "2", folder=tmp_path) as (process, port, log):
        within_patience(lambda: len(workers(process)) == 2)
        if moment == "serving":
            within_patience(lambda: answers(port))
            time.sleep(1)
        running = workers(process)
        process.kill()
        within_patience(lambda: all(map(gone, running)))
        assert not answers(port)
        assert "Traceback" not in log.read_text()
        assert os.listdir(tmp_path / "tmp")
    # What it left is swept by the next one.
    with serving("--workers", "2", folder=tmp_path / "tmp"):
        assert len(os.listdir(tmp_path / "tmp")) == 1


def test_a_worker_that_dies_is_replaced_and_named(tmp_path):
    with starting("--workers", "2", folder=tmp_path) as (process, port, log):
        within_patience(lambda: answers(port))
        dead, other = workers(process)
        os.kill(dead, signal.SIGKILL)
        within_patience(lambda: f"WARNING worker {dead} died; worker " in log.read_text())
        within_patience(lambda: len(workers(process)) == 2)
        assert other in workers(process)
        process.terminate()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_request_and_a_warning_are_a_line_each(tmp_path, count):
    """Of whichever worker; and what the client sends does not begin another."""
    arguments = ("--workers", str(count), "--access-log", "--timeout", "1")
    with starting(*arguments, folder=tmp_path) as (process, port, log):
        within_patience(lambda: answers(port))
        with connect(port) as connection:
            connection.sendall(b"GET /a%0Ab HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            reply(connection)
        with connect(port) as connection:
            connection.sendall(b"POST /score HTTP/1.1\r\n")
            assert reply(connection)[0].split()[1] == "408"
        with connect(port) as connection:
            connection.sendall(b"\0\1")
            reply(connection)
        truths = [TARGET.to_json(), '{"a\\nb": 1}']
        post(port, {"completions": ["a", "b"], "ground_truths": truths})
        process.terminate()
        assert process.wait(PATIENCE) == 0
        _, *lines = log.read_text().splitlines()
    assert all(map(LOG_LINE.match, lines)), lines
    for told in (
        r"INFO 127\.0\.0\.1 GET /health 200 0 bytes in \d+\.\d ms",
        r"INFO 127\.0\.0\.1 GET /a\\nb 404 ",
        r"INFO 127\.0\.0\.1 - - 408 the request did not arrive in time",
        r"WARNING Invalid HTTP request received\.",
        r"WARNING the ground truth of sample 1 of the batch: version is missing",
        r"INFO 127\.0\.0\.1 POST /score 200 ",
    ):
        assert any(re.search(told, line) for line in lines), (told, lines)


def refused(*arguments, code=None):
    command = [*SERVE[:2], code or SERVE[2], "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--port", str(port))
    assert said.startswith(f"tag-rewards: cannot listen on 127.0.0.1 port {port}: ")
    assert "choose another --host or --port" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "no such host"], "cannot listen on no such host port 8000"),
        (["--workers", "0"], "workers is 0"),
        (["--grounding-weight", "-1"], "grounding_weight is -1.0; a weight must be at least 0"),
        (["--formula", "magic"], "formula is 'magic', not one of ramp"),
        (["--synonyms", "nowhere.yaml"], "nowhere.yaml: the file of synonyms cannot be read"),
        (["--api-key-env", "NOT_SET"], "the environment variable NOT_SET, for the API key"),
    ],
)
def test_wrong_arguments(arguments, message):
    assert message in refused(*arguments)


def test_without_the_extra():
    code = "import sys; sys.modules['uvicorn'] = None; " + SERVE[2]
    assert "pip install 'tag-rewards[server]'" in refused(code=code)


def test_the_key_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TAG_KEY", "secret")
    with serving("--api-key-env", "TAG_KEY", folder=tmp_path) as (_, port):
        with pytest.raises(URLError, match="401"):
            get(port, "/metrics")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics", headers={"authorization": "Bearer secret"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            assert b"tag_rewards_requests_total" in response.read()


def test_the_example_client(port):
    client = Path(__file__).parents[2] / "examples" / "server" / "client.py"
    for address in (f"http://127.0.0.1:{port}", f"http://user:key@127.0.0.1:{port}"):
        done = subprocess.run(
            [sys.executable, client, address], capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.stdout.startswith("{'score': 0.964, 'format': 1.0"), done.stderr
