"""Look for input that breaks a promise: `python -m tests.fuzz --seconds 60 --target parse`.

Ends with 1 if it finds some; the shortest input like it is in a file, which `--again FILE` tries
once more. What was mended goes to the corpus.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.run import Limits, fuzz, problem
from tests.fuzz.targets import TARGETS, NotAnInput


def main() -> None:
    """Try each target, or those that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each target")
    parser.add_argument("--executions", type=int, default=10**9, help="for each target, at most")
    parser.add_argument("--target", action="append", help="a name, or what names begin with")
    parser.add_argument("--seed", type=int, default=0, help="another one tries other inputs")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="for what failed")
    parser.add_argument("--again", type=Path, help="an input to try on the targets, and no other")
    parser.add_argument("--plain", action="store_true", help="without atheris, if it is there")
    options = parser.parse_args()
    names = [name for name in TARGETS if name.startswith(tuple(options.target or [""]))]
    if not names:
        parser.error(f"there is no such target; there are {', '.join(TARGETS)}")
    if options.again:
        sys.exit(_again(names, options.again.read_bytes()))
    options.out.mkdir(parents=True, exist_ok=True)
    limits = Limits(options.seconds, options.executions)
    one = _one_plain if options.plain or find_spec("atheris") is None else _one_guided
    good = [one(name, limits, options.seed, options.out) for name in names]
    sys.exit(not all(good))


def _one_plain(name: str, limits: Limits, seed: int, out: Path) -> bool:
    outcome = fuzz(name, TARGETS[name], limits, seed, lambda line: print(f"{name}: {line}"))
    rate = f"{outcome.executions:,} executions, {outcome.rate:,.0f} a second"
    if outcome.failure is None:
        print(f"{name}: {rate}, nothing found", flush=True)
        return True
    kept = _kept(out, name)
    kept.write_bytes(outcome.failure)
    print(f"{name}: {rate}\n  {_told(outcome.error)}\n  {kept}", flush=True)
    return False


def _one_guided(name: str, limits: Limits, seed: int, out: Path) -> bool:
    """In a process of its own, which says how far it is."""
    kept = _kept(out, name)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, kept.name)
        numbers = map(str, (limits.seconds, limits.executions, seed))
        command = [sys.executable, "-m", "tests.fuzz.guided", name, *numbers, str(found)]
        code = subprocess.run(command, check=False).returncode
        if found.exists():
            kept.write_bytes(found.read_bytes())
    print(f"{name}: {'nothing found' if code == 0 else kept}", flush=True)
    return code == 0


def _kept(out: Path, name: str) -> Path:
    return out / name.replace(":", "-")


def _again(names: list[str], data: bytes) -> bool:
    """Whether the input fails for one of the targets."""
    failed = False
    for name in names:
        try:
            error = problem(TARGETS[name], data)
        except NotAnInput:
            print(f"{name}: no input of this target")
            continue
        print(f"{name}: {'nothing found' if error is None else _told(error)}")
        failed |= error is not None
    return failed


def _told(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"[:500]


if __name__ == "__main__":
    main()
