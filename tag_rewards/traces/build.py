"""`tag-rewards traces build`: ask, verify, record, and ask again, until every sample is settled.

What is asked follows from what the ledger says of a sample alone, so it does not matter to it which
engine answers, in which order answers come, or how often the build is stopped: what is recorded is
never asked again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tag_rewards import __version__
from tag_rewards.data.annotation.shards import write_whole
from tag_rewards.target import Target
from tag_rewards.traces.config import BUILD_FILE, BuildError, require_same_build
from tag_rewards.traces.faces import face_of
from tag_rewards.traces.ledger import LEDGER_FILE, open_ledger, read_ledger
from tag_rewards.traces.recorder import Recorder
from tag_rewards.traces.rounds import Progress, Rounds, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tag_rewards.engines.base import Engine
    from tag_rewards.traces.config import BuildConfig
    from tag_rewards.traces.ledger import Counts, Ledger, LedgerReader
    from tag_rewards.traces.prompts import WriterPrompt
    from tag_rewards.traces.records import Attempt, Verdict

AT_ONCE = 256
"""Stored texts that are judged anew in one transaction."""


def build_traces(
    config: BuildConfig,
    prompt: WriterPrompt,
    engine: Engine,
    out: Path,
    *,
    dropped: Mapping[str, str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Counts:
    """Build traces, or go on with a build.

    Args:
        config: What is built, and how.
        prompt: The writer's template.
        engine: Who writes; it is entered here, once there is a question.
        out: Folder for `ledger.sqlite` and `build.json`, made if needed.
        dropped: Samples to be left out, and why, such as images of low quality.
        on_progress: Called after every answer and every sample that is settled.

    Returns:
        What the ledger holds in the end.

    Raises:
        InputError: The input is unusable, another process builds here, the engine cannot go on, or
            the disk is full; one sentence. What was recorded is kept.
        OSError: A file cannot be opened.
    """
    if out.exists() and not out.is_dir():
        raise BuildError(f"{out} is a file; give a folder to write to")
    loaded = config.data.load()
    source = config.data.faces(loaded.samples)
    record = config.to_record(loaded.protocol.labels, prompt)
    require_same_build(out, record)
    path = out / LEDGER_FILE
    with open_ledger(path) as ledger, read_ledger(path) as reader:
        require_same_build(out, record)  # another process may have begun one meanwhile
        write_whole(out / BUILD_FILE, json.dumps(record, indent=2) + "\n")
        about = {
            "tag_rewards": __version__,
            "engine": engine.name,
            "model": engine.model,
            "samples": len(loaded.samples),
            "attempts": reader.n_attempts,
        }
        ledger.start_run(config.verify.hash, config.verify.to_json(), json.dumps(about))
        judge_stored(ledger, reader, config)
        with Recorder(ledger, config.verify.hash) as recorder:
            Rounds(
                config,
                prompt,
                engine,
                loaded.samples,
                loaded.protocol.labels,
                face_of(source, config.data.annotation),
                reader,
                recorder,
                dropped or {},
                on_progress or (lambda _: None),
            ).run()
        return ledger.counts()


def judge_stored(ledger: Ledger, reader: LedgerReader, config: BuildConfig) -> int:
    """Judge stored texts that this verifier has not judged, and give their number."""
    waiting: list[tuple[Attempt, Verdict]] = []
    count = 0

    def flush() -> None:
        ledger.judge(waiting, config.verify.hash)
        waiting.clear()

    for attempt in reader.unjudged(config.verify.hash):
        sample = reader.sample(attempt.sample)
        if sample is None:
            raise BuildError(
                f"{reader.path} has attempts on {attempt.sample!r}, but no such sample"
            )
        waiting.append((attempt, judge(attempt, Target.from_json(sample.target), config)))
        count += 1
        if len(waiting) == AT_ONCE:
            flush()
    flush()
    return count
