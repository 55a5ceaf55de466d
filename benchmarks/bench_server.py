"""How `tag-rewards serve` bears a steady load: rate, latencies and errors on two cores.

    python benchmarks/bench_server.py [--seconds 60] [--rate 1000] [--completions 8]

Starts the server with two workers and keeps it, itself and the load on two cores. The load is an
open loop: requests are due at random times, as from clients that know nothing of each other, and a
latency counts from when its request was due, so that a stalled server cannot hide by delaying the
load. All completions and targets differ until the bodies are used up, and no worker remembers a
target for that long. Every 500th answer is compared with `score_batch`. If wrk is installed
(`apt-get install wrk`), it then finds the limit, in a closed loop of 16 connections.

It ends with exit code 1 if a request failed or the 99th percentile is 50 ms or more.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from bench_score import completions

from tag_rewards import score_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tag_rewards import Target

CORES = 2
WORKERS = 2
CONNECTIONS = 32
COMPARED_EVERY = 500
# More targets than the workers remember together (4096 each), so that none is met again.
BODIES = 10_000
MOST_MS = 50
PATIENCE = 30
LUA = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local next_body = math.random(#bodies)
function request()
  next_body = next_body % #bodies + 1
  return wrk.format(nil, "/score", nil, bodies[next_body])
end
"""


class Batch(NamedTuple):
    """The completions of one request, with the target that they share."""

    texts: list[str]
    target: Target

    def body(self) -> bytes:
        """As a client sends it."""
        fields = {"completions": self.texts, "ground_truth": self.target.to_json()}
        return json.dumps(fields).encode()


class Connection(asyncio.Protocol):
    """A kept connection with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.received = b""
        self.index, self.due = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be free for a request."""
        self.transport = transport
        self.load.free.append(self)

    def send(self, index: int, due: float) -> None:
        """Send the request that was due then."""
        self.index, self.due, self.received = index, due, b""
        self.transport.write(self.load.request(index))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        self.received += data
        head, _, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if length and len(body) == int(length[1]):
            self.load.answered(self, int(head[9:12]), body)


class Load:
    """An open loop of requests, and what came back."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self.port = port
        self.bodies = bodies
        self.free: deque[Connection] = deque()
        self.waiting: deque[tuple[int, float]] = deque()
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.kept: dict[int, bytes] = {}

    def request(self, index: int) -> bytes:
        """A request as it goes over the wire."""
        body = self.bodies[index % len(self.bodies)]
        return (
            b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        """Note an answer and go on."""
        self.latencies.append(time.perf_counter() - connection.due)
        if status != 200:
            self.failures.append(f"{status} {body[:200]!r}")
        elif connection.index % COMPARED_EVERY == 0:
            self.kept[connection.index] = body
        self.free.append(connection)
        self.send_waiting()

    def send_waiting(self) -> None:
        """Give waiting requests to free connections."""
        while self.free and self.waiting:
            self.free.popleft().send(*self.waiting.popleft())

    async def run(self, rate: float, seconds: float) -> int:
        """Send `rate` requests a second, wait for the answers, and say how many were due."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
        rng = random.Random(0)
        end = time.perf_counter() + seconds
        due, index = end - seconds, 0
        while due < end:
            while due < min(end, time.perf_counter()):
                self.waiting.append((index, due))
                due, index = due + rng.expovariate(rate), index + 1
            self.send_waiting()
            await asyncio.sleep(0.0005)
        while len(self.latencies) < index and time.perf_counter() < end + PATIENCE:
            await asyncio.sleep(0.01)
        return index


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """(process id, port) of a running server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from tag_rewards.cli import main; main()", "serve"]
    process = subprocess.Popen([*command, "--port", str(port), "--workers", str(WORKERS)])
    try:
        for _ in range(PATIENCE * 10):
            time.sleep(0.1)
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
        else:
            sys.exit("the server did not start")
        time.sleep(2)  # until the other worker is there too
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time so far of a process and its children."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(int(child)) for child in children)


def wrong(kept: dict[int, bytes], batches: list[Batch]) -> int:
    """How many answers differ from `score_batch`."""
    count = 0
    for index, body in kept.items():
        batch = batches[index % len(batches)]
        expected = score_batch(batch.texts, [batch.target] * len(batch.texts))
        answer = [{**scores} for scores in json.loads(body)["scores"]]
        count += answer != [{**scores, "invalid_target": 0.0} for scores in expected]
    return count


def limit(port: int, bodies: list[bytes], seconds: int) -> str:
    """What wrk reaches in a closed loop."""
    if shutil.which("wrk") is None:
        return "not measured: wrk is not installed"
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder, "bodies.lua"), Path(folder, "bodies")
        script.write_text(LUA)
        lines.write_bytes(b"\n".join(bodies))
        command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", "-s", str(script)]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"],
            env={**os.environ, "BODIES": str(lines)},
            capture_output=True,
            text=True,
            check=True,
        )
    rate = re.search(r"Requests/sec: +([0-9.]+)", done.stdout)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", done.stdout)
    assert rate
    return f"{float(rate[1]):,.0f} requests a second{f', but {failed[0]}' if failed else ''}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="of load; 5 is a quick look")
    parser.add_argument("--rate", type=int, default=1000, help="requests a second")
    parser.add_argument("--completions", type=int, default=8, help="in each request")
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    busy = os.getloadavg()[0]
    texts, targets = completions(min(BODIES, options.rate * options.seconds), options.completions)
    batches = [
        Batch(texts[start : start + options.completions], targets[start])
        for start in range(0, len(texts), options.completions)
    ]
    bodies = [batch.body() for batch in batches]
    gc.collect()
    gc.disable()  # the load's own pauses are not the server's
    with server() as (pid, port):
        load = Load(port, bodies)
        before, own = cpu_seconds(pid), time.process_time()
        due = asyncio.run(load.run(options.rate, options.seconds))
        served, own = cpu_seconds(pid) - before, time.process_time() - own
        reached = limit(port, bodies, max(options.seconds // 6, 2))
    differ = wrong(load.kept, batches)
    p50, p99, p999 = np.percentile(load.latencies, (50, 99, 99.9)) * 1000
    print(
        f"{options.seconds} s of {due / options.seconds:,.0f} requests a second with "
        f"{options.completions} completions each ({len(bodies[0]):,} bytes; {len(bodies):,} "
        f"different ones); {WORKERS} workers and the load on {CORES} cores, load average {busy:.1f}"
        f"\n  answered     {len(load.latencies):,} of {due:,}; failed {len(load.failures)}, "
        f"wrong {differ} of {len(load.kept)} compared"
        f"\n  latency      p50 {p50:.1f} ms, p99 {p99:.1f} ms, p99.9 {p999:.1f} ms, "
        f"max {max(load.latencies) * 1000:.0f} ms"
        f"\n  CPU          server {served / options.seconds:.0%} and load "
        f"{own / options.seconds:.0%} of a core"
        f"\n  limit        {reached} (wrk, closed loop)"
    )
    print(*load.failures[:3], sep="\n", end="")
    if load.failures or differ or len(load.latencies) < due or p99 >= MOST_MS:
        sys.exit(1)


if __name__ == "__main__":
    main()
