"""A real HTTP server that misbehaves as told, for the engine that asks endpoints."""

import asyncio
import json
import threading
from collections import Counter
from contextlib import contextmanager
from time import monotonic

MODEL = "writer"


class Endpoint:
    """Answers each request as `script(prompt, number)` says, the number counting from 1.

    A script returns a generator of pieces of bytes to write and pauses in seconds, or `RESET`.

    Attributes:
        asked: How often each prompt came.
        times: When each request came, of `time.monotonic`.
        bodies: What was sent.
        most: Requests that were there at a time, at most.
    """

    def __init__(self, script):
        self.script = script
        self.asked = Counter()
        self.times = []
        self.bodies = []
        self.heads = []
        self.now = self.most = 0
        self.models = answer({"object": "list", "data": [{"id": MODEL}, {"id": "other"}]})
        self.url = ""

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").lower().split("\r\n")
                length = [line.split(":")[1] for line in lines if line.startswith("content-length")]
                body = await reader.readexactly(int(length[0]) if length else 0)
                self.heads.append(head.decode("latin-1"))
                if lines[0].startswith("get "):
                    pieces = [self.models]
                else:
                    pieces = self.reply(json.loads(body))
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    await self.play(pieces, writer)
                finally:
                    self.now -= 1
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def reply(self, body):
        self.times.append(monotonic())
        self.bodies.append(body)
        prompt = "".join(part.get("text", "") for part in body["messages"][0]["content"])
        self.asked[prompt] += 1
        return self.script(prompt, self.asked[prompt])

    async def play(self, pieces, writer):
        for piece in pieces:
            if piece is RESET:
                writer.transport.abort()
                raise ConnectionResetError
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)


RESET = object()


def http(status, body, **headers):
    """A whole response; header names with `_` for `-`."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = [f"HTTP/1.1 {status} x", f"content-length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def answer(content, **headers):
    return http(200, json.dumps(content).encode(), **headers)


def completion(text, reason="stop", message=None, **headers):
    """A chat completion as vLLM writes it, of a text or of the fields of a message."""
    choice = {"index": 0, "message": {"role": "assistant", **(message or {"content": text})}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    content = {"choices": [{**choice, "finish_reason": reason}], "usage": usage}
    return answer(content, **headers)


@contextmanager
def serving(script, port=0):
    """An endpoint on a free port, in a thread; its `url` is what the engine is given."""
    endpoint = Endpoint(script)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start():
        return await asyncio.start_server(endpoint.serve, "127.0.0.1", port, limit=2**24)

    async def stop(server):
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield endpoint
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
