r"""Run one command of a recipe: log it, bound its time, end whatever it started, say why it died.

    python supervise.py --log run.log [--timeout SECONDS] [--show REGEX TEMPLATE] -- COMMAND...

The command's output goes to the log; of it, lines that match REGEX are shown on the screen as
TEMPLATE (`\1` is the first group). The exit code is the command's, 124 after the time limit and
128 + n after signal n.

Training starts daemons (Ray, vLLM's engine core) which leave their process group and outlive a
killed driver. So this process makes itself the reaper of its orphaned descendants: nothing that the
command starts can leave its tree, and the tree is ended with it. It runs in its own session and
asks the kernel for a signal on the death of its parent, so that even `kill -9` of the calling
script leaves nothing behind. Linux only, like vLLM; needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

TIMED_OUT = 124
_POLL = 0.2  # seconds between looks at the command
_GRACE = 10.0  # seconds between asking a process to end and killing it
_SHOW_EVERY = 5.0  # seconds between progress lines where the screen is not a terminal

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What stands in front of a worker's line, one behind the other: Ray's and vLLM's
# `(Actor pid=1, ip=...)`, torchrun's `[rank0]:`, and how vLLM begins what it logs.
_PREFIX = re.compile(
    r"^(?:\s*(?:\(\w[^)]*pid=\d+[^)]*\)|\[\w*rank\d+\]:"
    r"|ERROR \d\d-\d\d \d\d:\d\d:\d\d \[[^]]*\])\s?)+"
)
_EXCEPTION = re.compile(
    r"^(?:[\w<>]+\.)*\w*(?:Error|Exception|Exit|Interrupt|Timeout)(?:\([\w.]+\))?(?::|$)"
)
# Exceptions that only report another one.
_WRAPPER = re.compile(
    r"ChildFailedError|RayTaskError|RayActorError|ActorDiedError|EngineDeadError|"
    r"InstantiationException|[Ss]ee (?:root cause above|stack trace)|SystemExit|KeyboardInterrupt|"
    r"no materializable trajectories|Received an empty list as keys"  # verl, for want of rollouts
)


class Stopped(Exception):  # noqa: N818
    """A signal asked this process to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def reason(lines: list[str]) -> list[str]:
    """Pick from a log the exception that ended the run: the last that wraps no other.

    Its message goes on for some lines where the first ends in a colon. Empty without an exception.
    """
    found: list[str] = []
    for number, line in enumerate(lines):
        text = _PREFIX.sub("", _COLOUR.sub("", line)).rstrip()
        if _EXCEPTION.match(text) and not _WRAPPER.search(text):
            found = [text, *lines[number + 1 : number + 4]] if text.endswith(":") else [text]
    return found


def descendants(root: int) -> list[int]:
    """Ids of all living processes below `root`, children before grandchildren."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        state, parent = text.rpartition(")")[2].split()[:2]
        if state != "Z":
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = list(children.get(root, ()))
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, ()))
    return found


def _signal_all(pids: list[int], signum: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # ended meanwhile
            os.kill(pid, signum)


def _reap() -> dict[int, int]:
    """Collect ended children, orphans among them: process id -> exit code."""
    ended = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        code = os.waitstatus_to_exitcode(status)
        ended[pid] = code if code >= 0 else 128 - code


def end_descendants() -> None:
    """Ask every process below this one to end; kill those that have not after the grace time."""
    deadline = time.monotonic() + _GRACE
    asked: set[int] = set()
    while alive := descendants(os.getpid()):
        if time.monotonic() > deadline:
            _signal_all(alive, signal.SIGKILL)
        else:
            _signal_all([pid for pid in alive if pid not in asked], signal.SIGTERM)
            asked.update(alive)
        time.sleep(_POLL / 2)
        _reap()


class Progress:
    """Follows a growing log and shows the lines that match."""

    def __init__(self, log: Path, start: int, show: tuple[str, str] | None) -> None:
        self._file = log.open(errors="replace")
        self._file.seek(start)
        self._pattern, self._template = (re.compile(show[0]), show[1]) if show else (None, "")
        self._rest, self._latest, self._shown = "", "", ""
        self._began = self._shown_at = time.monotonic()

    def update(self) -> None:
        """Read what is new and show the latest match, at once on a terminal, else now and then."""
        text = self._rest + self._file.read()
        *lines, self._rest = re.split(r"[\r\n]", text)
        if self._pattern:
            for match in filter(None, map(self._pattern.search, lines)):
                self._latest = match.expand(self._template)
        if sys.stdout.isatty():
            print(f"\r\x1b[K  {self.elapsed()}  {self._latest or 'starting'}", end="", flush=True)
        elif time.monotonic() - self._shown_at >= _SHOW_EVERY:
            self.flush()

    def flush(self) -> None:
        """Show the latest match if it has not been shown, and leave the line."""
        self._shown_at = time.monotonic()
        if sys.stdout.isatty():
            print(flush=True)
        elif self._latest != self._shown:
            print(f"  {self.elapsed()}  {self._latest}", flush=True)
            self._shown = self._latest

    def elapsed(self) -> str:
        """Time since the start as minutes:seconds."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes}:{seconds:02d}"


def _explain(log: Path, span: slice, what: str, code: int, own_end: bool) -> None:
    """Say on the screen why a run ended: from what it logged, if it ended by itself."""
    lines = log.read_bytes()[span].decode(errors="replace").splitlines()
    shown = (reason(lines) if own_end else []) or [line for line in lines if line.strip()][-5:]
    print(f"error: {what} (exit code {code}); the last it said:", file=sys.stderr)
    for line in shown or ["nothing"]:
        print(f"  {line[:600]}", file=sys.stderr)
    print(f"log: {log}", file=sys.stderr)


def _become_guardian() -> None:
    """Own session, reaper of orphans, SIGTERM when the parent dies."""
    parent = os.getppid()
    if os.getpgrp() != os.getpid():
        os.setsid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGTERM), (_PR_SET_CHILD_SUBREAPER, 1)):
        if prctl(option, int(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")
    if os.getppid() != parent:  # it died before the kernel knew that we care
        raise Stopped(signal.SIGTERM)


def _on_signal(signum: int, _frame: object) -> None:
    raise Stopped(signum)


def _start(command: list[str], output: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run(command: list[str], log: Path, timeout: float, show: tuple[str, str] | None) -> int:
    """Run the command as the module says and return the exit code."""
    for signum in _STOPPING:
        signal.signal(signum, _on_signal)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        start = output.tell()
        progress = Progress(log, start, show)
        deadline = time.monotonic() + timeout
        code, own_end, what = None, True, "the command failed"
        try:
            _become_guardian()
            # Kept to the end: a Popen that is thrown away reaps its process, exit code and all.
            child = _start(command, output)
            while code is None:
                time.sleep(_POLL)
                code = child.returncode = _reap().get(child.pid)
                progress.update()
                if code is None and time.monotonic() > deadline:
                    code, own_end = TIMED_OUT, False
                    what = f"stopped at its time limit of {timeout:.0f} s,"
            progress.flush()
        except FileNotFoundError as error:
            code, what = 127, f"cannot start ({error})"
        except Stopped as stop:
            code, own_end, what = 128 + stop.signum, False, f"stopped by {stop}"
        finally:
            for signum in _STOPPING:  # ending is bounded, so a second signal can wait
                signal.signal(signum, signal.SIG_IGN)
            said = slice(start, os.fstat(output.fileno()).st_size)
            end_descendants()
    if own_end and code > 128:
        what = f"the command was ended by {signal.Signals(code - 128).name}"
    if code:
        _explain(log, said, f"{what} after {progress.elapsed()}", code, own_end)
    return code


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--timeout", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--show", nargs=2, metavar=("REGEX", "TEMPLATE"))
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    return run(args.command, args.log, args.timeout, tuple(args.show) if args.show else None)


if __name__ == "__main__":
    sys.exit(main())
