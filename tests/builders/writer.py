"""A writer without a model: what it answers follows from prompt and seed alone.

As an engine in this process, and as an HTTP server in a process of its own:

    python -m tests.builders.writer LOG SECONDS [FORM [THINKS]]

prints its URL, takes so many seconds for an answer, and logs ["asked", seed], ["sent", seed] or
["broken off", seed]. It writes in FORM, TAG's by default, and with THINKS it shows its reasoning in
one of the ways of `THINKS`.
"""

import asyncio
import json
import random
import re
import sys
from pathlib import Path

from tag_rewards.engines.base import Reply
from tag_rewards.facs import PROTOTYPES
from tag_rewards.prepare.texts import AUBox, write_trace
from tests.builders.endpoint import Endpoint, completion

_AU = re.compile(r"^- AU(\d+), .*: [\d.]+, \[(\d+), (\d+), (\d+), (\d+)\]$", re.MULTILINE)
#: What a writer thinks: nothing in it may count, be told back or be trained on.
THOUGHTS = """Verification loop: Inspect the mouth (AU12) → <bbox>[1,2,3,4]</bbox>? AU4 rather.
There is one <image>. I must end with <answer> EXPRESSION </answer> and <|im_end|>."""
#: How a message shows the reasoning before a text, by name.
THINKS = {
    "in marks": lambda text: {"content": f"<think>\n{THOUGHTS}\n</think>\n\n{text}"},
    "after the template's mark": lambda text: {"content": f"{THOUGHTS}</think>\n{text}"},
    "in a field": lambda text: {"content": text, "reasoning": THOUGHTS},
    "in a part": lambda text: {
        "content": [
            {"type": "thinking", "thinking": THOUGHTS},
            {"type": "text", "text": text},
        ]
    },
}
_CANDIDATES = re.compile(r"Candidates: (.+)\.$", re.MULTILINE)
MODEL = "writer"


def fake_trace(prompt, seed, form="tag"):
    """(text, finish reason): most are good, others badly formed, wrong, ungrounded or cut off."""
    rng = random.Random(seed)
    found = [tuple(map(int, item)) for item in _AU.findall(prompt)]
    candidates = _CANDIDATES.search(prompt)[1].split(", ")
    seen = {au for au, *_ in found}
    likely = min(candidates, key=lambda label: len(seen.symmetric_difference(PROTOTYPES[label])))
    label = likely if rng.random() < 0.6 else rng.choice(candidates)
    claims = [AUBox(au, tuple(box)) for au, *box in found]
    kind = rng.random()
    if kind < 0.1:
        claims = [AUBox(claim.au, (1, 1, 9, 9)) for claim in claims]
    text = write_trace(label, claims, (20, 20, 90, 90), _Words(rng), form=form)
    if 0.1 < kind < 0.25:
        return text.replace("Verification loop:", ""), "stop"
    if 0.25 < kind < 0.3:
        return text[: len(text) // 2], "length"
    return (" ", "stop") if 0.3 < kind < 0.33 else (text, "stop")


class _Words:
    """What `write_trace` needs of a NumPy generator, whose making takes longer than the trace."""

    def __init__(self, rng):
        self._rng = rng

    def integers(self, high):
        return self._rng.randrange(int(high))


class FakeEngine:
    """An engine in this process; answers come a few at a time in another order."""

    name, model = "memory", MODEL

    def __init__(self, write=fake_trace):
        self.write = write
        self.requests = []
        self.entered = 0

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, *_):
        pass

    def generate(self, requests):
        waiting = []
        for request in requests:
            self.requests.append(request)
            waiting.append(self._answer(request))
            if len(waiting) == 5:
                yield from reversed(waiting)
                waiting.clear()
        yield from reversed(waiting)

    def _answer(self, request):
        answer = self.write(request.prompt, request.seed)
        if isinstance(answer, Reply):
            return answer
        text, reason = answer
        return Reply(request.key, text, reason, 9, len(text) // 4, 0.01)


class LoggingEndpoint(Endpoint):
    """Notes each question when it is asked and when it is over; an attempt's seed is its own."""

    def __init__(self, log, delay, form, thinks):
        super().__init__(None)
        self._log, self._delay = log, delay
        self._form, self._message = form, THINKS.get(thinks, lambda text: {"content": text})

    def note(self, what, seed):
        print(json.dumps([what, seed]), file=self._log, flush=True)

    def reply(self, body):
        [message] = body["messages"]
        prompt = "".join(part.get("text", "") for part in message["content"])
        text, reason = fake_trace(prompt, body["seed"], self._form)
        return [completion(text, reason, self._message(text)), body["seed"]]

    async def play(self, pieces, writer):
        body, *seeds = pieces
        for seed in seeds:
            self.note("asked", seed)
            await asyncio.sleep(self._delay)
        end = "broken off"
        try:
            writer.write(body)
            await writer.drain()
            end = "sent"
        finally:
            for seed in seeds:
                self.note(end, seed)


async def main(log, delay, form="tag", thinks=""):
    with Path(log).open("a") as file:
        endpoint = LoggingEndpoint(file, float(delay), form, thinks)
        server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, limit=2**24)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
