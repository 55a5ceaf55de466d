"""The supervisor of the recipes: exit codes, progress, time limit, reasons, nothing left over."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = Path(__file__).parents[2] / "recipes" / "supervise.py"
spec = importlib.util.spec_from_file_location("supervise", SCRIPT)
supervise = importlib.util.module_from_spec(spec)
spec.loader.exec_module(supervise)


def start(log: Path, command: str, *options: str) -> subprocess.Popen[str]:
    line = [sys.executable, str(SCRIPT), "--log", str(log), *options, "--", "bash", "-c", command]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_is_the_commands(tmp_path: Path, code: int) -> None:
    process = start(tmp_path / "log", f"echo said; exit {code}")
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert (tmp_path / "log").read_text() == "said\n"
    assert ("error: the command failed" in err) == (code != 0)
    assert not out


def test_progress_lines(tmp_path: Path) -> None:
    process = start(
        tmp_path / "log", "echo step:7 loss:0.5", "--show", r"step:(\d+)", r"step \1 of 9"
    )
    assert "step 7 of 9" in process.communicate(timeout=30)[0]


def test_time_limit_ends_daemons_too(tmp_path: Path) -> None:
    """A daemon in a session of its own is ended with the run that started it."""
    daemon = tmp_path / "daemon"
    process = start(
        tmp_path / "log",
        f"(setsid bash -c 'echo $$ >{daemon}; exec sleep 300' &) ; sleep 300",
        "--timeout",
        "2",
    )
    _, err = process.communicate(timeout=30)
    assert process.returncode == supervise.TIMED_OUT
    assert "stopped at its time limit of 2 s" in err
    assert not alive(int(daemon.read_text()))


def test_command_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    monkeypatch.setattr(supervise, "_GRACE", 0.5)
    child = subprocess.Popen([sys.executable, "-c", stubborn])
    time.sleep(0.5)
    supervise._signal_all([child.pid], signal.SIGTERM)
    assert alive(child.pid)
    # Only this test's child: other children of the test process are none of its business.
    monkeypatch.setattr(supervise, "descendants", lambda _: [child.pid] * alive(child.pid))
    monkeypatch.setattr(supervise, "_reap", dict)
    supervise.end_descendants()
    assert child.wait(timeout=5) == -signal.SIGKILL


def test_killed_caller_leaves_nothing(tmp_path: Path) -> None:
    """Signal 9 to the process group of the calling script ends the run below it."""
    note = tmp_path / "pid"
    run = f"bash -c 'echo $$ >{note}; sleep 300'"
    script = f"{sys.executable} {SCRIPT} --log {tmp_path / 'log'} -- {run} & wait"
    caller = subprocess.Popen(["bash", "-c", script], start_new_session=True)
    assert wait_for(lambda: note.exists() and note.read_text().strip() != "")
    command = int(note.read_text())
    assert alive(command)
    os.killpg(caller.pid, signal.SIGKILL)
    caller.wait(timeout=10)
    assert wait_for(lambda: not alive(command))


def test_stop_is_passed_on(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    process = start(tmp_path / "log", f"touch {ready}; sleep 300")
    assert wait_for(ready.exists)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in err


def test_missing_command_is_named(tmp_path: Path) -> None:
    line = [sys.executable, str(SCRIPT), "--log", str(tmp_path / "log"), "--", "/no/such/command"]
    process = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert process.returncode == 127
    assert "/no/such/command" in process.stderr


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        pytest.param(
            """
            [rank0]: Traceback (most recent call last):
            [rank0]:   File "sft_trainer.py", line 1, in main
            [rank0]: ValueError: sequence_length=92 is larger than self.max_length=20
            torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
            ====
              traceback : To enable traceback see: ...
            """,
            "ValueError: sequence_length=92 is larger than self.max_length=20",
            id="torchrun",
        ),
        pytest.param(
            """
            \x1b[36m(WorkerDict pid=12, ip=10.0.0.1)\x1b[0m RuntimeError: boom
            Traceback (most recent call last):
              File "main_ppo.py", line 1, in run
            ray.exceptions.RayTaskError(RuntimeError): ray::TaskRunner.run() (pid=12)
            ray.exceptions.ActorDiedError: The actor died unexpectedly
            """,
            "RuntimeError: boom",
            id="ray",
        ),
        pytest.param(
            """
            omegaconf.errors.ConfigAttributeError: Key 'foo' is not in struct
            hydra.errors.ConfigCompositionException: Could not override 'foo.bar'.
            """,
            "hydra.errors.ConfigCompositionException: Could not override 'foo.bar'.",
            id="hydra",
        ),
        pytest.param(
            """
            (EngineCore pid=3) torch.OutOfMemoryError: CUDA out of memory.
            RuntimeError: Engine core initialization failed. See root cause above.
            """,
            "torch.OutOfMemoryError: CUDA out of memory.",
            id="vllm",
        ),
        pytest.param(
            """
            \x1b[36m(A pid=1)\x1b[0m (Worker pid=3) ERROR 11-28 09:56:35 [a.py:9] KeyError: 'x'
            \x1b[36m(A pid=1)\x1b[0m (B pid=2) Exception: W failed. See stack trace for root cause.
            RuntimeError: Engine core initialization failed. See root cause above.
            """,
            "KeyError: 'x'",
            id="vllm on ray",
        ),
        pytest.param(
            """
            \x1b[36m(Agent pid=5)\x1b[0m ValueError: Multimodal prompt produced 181 tokens
            ValueError: Received an empty list as keys.
            """,
            "ValueError: Multimodal prompt produced 181 tokens",
            id="verl without a rollout",
        ),
        pytest.param(
            """
            UserWarning: engine is not available: ModuleNotFoundError("No module named 'x'")
              warnings.warn(f"engine is not available: {e!r}")
            step:1 - train/loss:0.1
            """,
            None,
            id="warnings are no reason",
        ),
    ],
)
def test_reason(log: str, cause: str | None) -> None:
    lines = [line[12:] for line in log.splitlines()]
    assert supervise.reason(lines) == ([cause] if cause else [])
