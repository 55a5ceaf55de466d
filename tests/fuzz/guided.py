"""The same with atheris, where it is installed: coverage says which inputs are changed further.

A target has a process of its own, which atheris ends: `python -m tests.fuzz.guided parse:tag ...`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tag_rewards"]):
    from tests.fuzz.mutations import LONGEST, mutated
    from tests.fuzz.run import failed, problem
    from tests.fuzz.targets import CORPUS, TARGETS, NotAnInput


def fuzz_guided(name: str, seconds: float, executions: int, seed: int, keep: Path) -> None:
    """Try inputs; ends the process, with code 1 if one failed.

    Args:
        name: Of the target.
        seconds: When to stop at the latest.
        executions: Inputs after which to stop.
        seed: Another one gives other inputs.
        keep: File for the shortest input that failed.
    """
    target = TARGETS[name]
    seeds = target.read_seeds()

    def change(data: bytes, longest: int, number: int) -> bytes:
        return mutated(data, seeds, target.pieces, random.Random(number))[:longest]

    def try_one(data: bytes) -> None:
        try:
            error = problem(target, data)
        except NotAnInput:
            return
        if error is not None:
            keep.write_bytes(failed(target, data, error))
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)  # an exception would have libFuzzer write a report of its own

    # libFuzzer adds what it finds worth changing to its corpus: a copy. _exit leaves no time to
    # remove it, and the parent does.
    corpus = Path(tempfile.mkdtemp(prefix="corpus-", dir=keep.parent))
    shutil.copytree(CORPUS / target.seeds, corpus, dirs_exist_ok=True)
    flags = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-runs={executions}",
        f"-seed={seed + 1}",
    ]
    flags += [f"-max_len={LONGEST}", "-print_final_stats=1", "-reduce_inputs=0"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], try_one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("seconds", type=float)
    parser.add_argument("executions", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("keep", type=Path)
    fuzz_guided(**vars(parser.parse_args()))
