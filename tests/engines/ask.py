"""A program that asks an engine, as a user's would.

    python -m tests.engines.ask ENGINE MODEL OUT NAME=VALUE...

The replies go to OUT as JSON lines, in the order in which they came.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from tag_rewards.engines.base import Request
from tag_rewards.engines.make import make_engine

PROMPT = "<image>Which expression? Inspect AUs with boxes in pixels of 112x112."
GREEDY, SAMPLED, AROUND = 6, 4, "Inspect <image>AUs."


def requests():
    yield Request("too long", PROMPT + " AU12" * 3000, png(0), 0, 0.0, 8)
    for index in range(GREEDY):  # the first has the image of the request that was refused
        yield Request(f"greedy {index}", PROMPT, png(index), index, 0.0, 48)
    for index in range(SAMPLED):
        yield Request(f"sampled {index}", PROMPT, png(0), index, 1.0, 32)
    yield Request("around", AROUND, png(0), 0, 0.0, 8)
    yield Request("no image", PROMPT, b"\xff\xd8 no JPEG", 0, 0.0, 8)


def png(index):
    """A head with a mouth, bent in one of several ways."""
    image = Image.new("RGB", (112, 112), (30 * index, 120, 200))
    image.paste((230, 180, 150), (16, 12, 96, 104))
    image.paste((150, 40, 40), (40, 70 + 2 * index, 74, 80))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def main():
    name, model, out, *options = sys.argv[1:]
    with make_engine(name, model, dict(option.split("=", 1) for option in options)) as engine:
        replies = [asdict(reply) for reply in engine.generate(requests())]
        if name == "vllm":  # a second call, and one that is left in the middle
            next(engine.generate(requests()))
            again = list(engine.generate(requests()))
            assert sorted(reply.key for reply in again) == sorted(item["key"] for item in replies)
    Path(out).write_text("\n".join(map(json.dumps, replies)))


if __name__ == "__main__":
    main()
