"""A program that ends with the process that started it, whatever ends that one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

CANNOT_START = (126, 127)
"""Exit codes of a program that the system does not start, or whose libraries are missing."""

# Nothing runs before there is a watcher: if this process ends first, the line never comes.
_PROGRAM = 'read -r _ && exec "$@" </dev/null'

# Its pipe closes with this process, if that is killed too.
_WATCHER = 'read -r _; kill -9 "-$1" 2>/dev/null'


@contextmanager
def bound_program(
    command: Sequence[str], output: IO[bytes], *, cwd: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that is killed, with what it has started, when the block or this process ends.

    It has a session of its own, so that Ctrl+C in the terminal does not reach it.

    Args:
        command: The program and its arguments.
        output: Where its output and its errors go.
        cwd: The folder that it runs in.
        env: Its environment.

    Yields:
        The program; its exit code is one of `CANNOT_START` if it could not be started.

    Raises:
        OSError: There is no `/bin/sh`, or no room for a process.
    """
    program = _shell(_PROGRAM, *command, stdout=output, stderr=output, cwd=cwd, env=env)
    watcher = _shell(_WATCHER, str(program.pid))
    with _pipe_to(program) as start, _pipe_to(watcher):
        try:
            start.write(b"\n")
            start.flush()
            yield program
        finally:
            if program.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(program.pid, signal.SIGKILL)
                program.wait()
            watcher.kill()  # before its pipe closes: the program's number may be another's by now
            watcher.wait()


def _shell(script: str, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
    line = ["/bin/sh", "-c", script, "sh", *arguments]
    return subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True, **more)


def _pipe_to(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin
