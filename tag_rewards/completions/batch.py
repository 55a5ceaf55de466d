"""Questions as a file for a batch API, OpenAI's or one like it; `eval` reads what comes back.

::

    {"custom_id": "test_0001", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from tag_rewards.completions.asking import GenerationConfig, request
from tag_rewards.engines.openai_protocol import OpenAIConfig, request_body
from tag_rewards.errors import InputError, require_at_least_1
from tag_rewards.files.whole import whole
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.rows import read_rl_parquet

if TYPE_CHECKING:
    from pathlib import Path


def write_batch(
    data: Path,
    model: str,
    out: Path,
    config: GenerationConfig | None = None,
    endpoint: OpenAIConfig | None = None,
    limit: int | None = None,
) -> int:
    """Write the questions about an evaluation set as a file for a batch API; nobody is asked.

    Args:
        data: `eval.parquet` of `tag-rewards prepare`.
        model: Its name on the endpoint.
        out: The file to write, one request a line.
        config: How to ask.
        endpoint: What of it is in a request's body: `logprobs`, `max_tokens_field` and `body`.
        limit: Most questions, the first; None is all.

    Returns:
        How many questions were written.

    Raises:
        InputError: The data cannot be used, or two faces have one id, by which answers are known.
        OSError: A file cannot be read or written.
    """
    require_at_least_1(limit=limit)
    config, endpoint = config or GenerationConfig(), endpoint or OpenAIConfig()
    ids = [face.id for face in read_evaluation_set(data).faces]
    if len(set(ids)) < len(ids):
        twice = next(name for at, name in enumerate(ids) if name in ids[:at])
        raise InputError(f"{data}: the id {twice!r} is there twice; each face needs its own")
    count = 0
    with whole(out) as file:
        for row in islice(read_rl_parquet(data), limit):
            asked = request(row.id, row.id, row.prompt, row.image, config)
            body = json.loads(request_body(asked, model, endpoint))
            line = {"custom_id": row.id, "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({**line, "body": body}).encode() + b"\n")
            count += 1
    return count
