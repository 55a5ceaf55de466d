"""One run of OpenFace 2.x's `FaceLandmarkImg`, and what it says of each image that it was given.

The program, as observed on a 2.2-era build: it takes images one after the other and writes
`STEM_of_details.txt` for each, and `STEM.csv` for one with a face. An image that it cannot read
ends it with exit code 1, others unseen; some abort it. It ends with exit code 0 when the disk is
full and leaves files empty or cut. So an exit code alone says nothing of an image, nor does a CSV
of a run that broke off: the last one begun may lack faces.

Whatever ends the process that started the program ends the program too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from subprocess import TimeoutExpired
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from tag_rewards.detectors.openface.csv import (
    DETAILS_SUFFIX,
    OpenFaceError,
    details_path,
    read_image_csv,
    says_no_face,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from subprocess import Popen
    from threading import Event

    from tag_rewards.detectors.openface.csv import OpenFaceRow


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

    Yields:
        The program; its exit code is one of `CANNOT_START` if it could not be started.
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


POLL_S = 0.05
"""How often a running program is looked after."""

PROGRAM = "FaceLandmarkImg"

NOT_FOR_IMAGES = ("FeatureExtraction", "FaceLandmarkVid", "FaceLandmarkVidMulti")
"""OpenFace's programs for videos, whose AU models want the frames of one person."""

NO_AU_MODELS = "no Action Unit models found"
HOG_INSTEAD = "defaulting to HOG-SVM face detector"
"""What the program says while it loads its models."""

HOME = "OPENFACE_HOME"
"""Environment variable with the folder of the installation."""

_BUILD_FOLDERS = (".", "bin", "build/bin")
_log = logging.getLogger(__name__)

_MODEL_FOLDERS = ("model", "AU_predictors")


def find_openface(executable: Path | None = None) -> Path:
    """The real path of `FaceLandmarkImg`; through a link the program would not find its models.

    Args:
        executable: The program, or the folder of an OpenFace installation; None looks at the
            environment variable `OPENFACE_HOME`, then along `PATH`.
    """
    place = executable or os.environ.get(HOME)
    if place:
        home = Path(place).expanduser().absolute()
        folders = os.pathsep.join(str(home / folder) for folder in _BUILD_FOLDERS)
        found = shutil.which(str(home)) or shutil.which(PROGRAM, path=folders)
        asked = str(executable) if executable else f"{HOME}={place}"
        problem = f"{asked} is no program {PROGRAM}, nor a folder with one that may be executed"
    else:
        found, problem = shutil.which(PROGRAM), f"{PROGRAM} is not on PATH"
    if not found:
        raise InputError(
            f"{problem}; build OpenFace 2.x and set {HOME} to its folder, or give the executable"
        )
    program = Path(found).resolve()
    if program.stem in NOT_FOR_IMAGES:
        raise InputError(f"{program} is for videos; give {PROGRAM}, which lies beside it")
    return program


def fingerprint(program: Path) -> str:
    """Twelve digits that change with the program or the list of its models."""
    digest = hashlib.sha256(program.read_bytes())
    for folder in _MODEL_FOLDERS:
        for path in sorted((program.parent / folder).rglob("*")):
            if path.is_file():
                name = path.relative_to(program.parent).as_posix()
                digest.update(f"\n{name} {path.stat().st_size}".encode())
    return digest.hexdigest()[:12]


class Look(NamedTuple):
    """What a run says of one image.

    Attributes:
        rows: The faces, none if it has none; None if the run cannot be trusted on this image.
        reason: Why it cannot; empty if the program broke off before it came near the image.
        kind: The reason in words that are the same for all of its kind.
    """

    rows: list[OpenFaceRow] | None
    reason: str = ""
    kind: str = ""


def run_openface(
    program: Path,
    arguments: Sequence[str],
    images: Sequence[Path],
    out: Path,
    *,
    seconds_per_image: float,
    env: Mapping[str, str],
    stop: Event,
) -> list[Look]:
    """Run the program on images and wait for its end.

    Args:
        program: `FaceLandmarkImg` by its real absolute path: it looks for its models beside it.
        arguments: Further arguments.
        images: Image files with different stems.
        out: An empty folder, for what the program writes.
        seconds_per_image: The program is killed when it begins no further image for this long.
        env: Its environment.
        stop: Kills the program when it is set.

    Returns:
        One result for each image, in order. After a run that broke off, the last image begun has
        the reason, or the first if none was. It need not be to blame: where the next image cannot
        be read, the run ends before that one is begun.

    Raises:
        CancelledError: `stop` was set.
    """
    command = [str(program)]
    for image in images:
        command += ["-f", str(image)]
    command += ["-out_dir", str(out), *arguments]
    log = out.with_name(f"{out.name}.log")
    with (
        log.open("wb") as output,
        bound_program(command, output, cwd=program.parent, env=env) as process,
    ):
        in_time = _wait(process, out, log, seconds_per_image, stop)
    if process.returncode in CANNOT_START:
        raise InputError(
            f"{program} cannot be started{_last_line(log, out)}; give OpenFace's FaceLandmarkImg"
        )
    if NO_AU_MODELS in _beginning(log):
        raise InputError(
            f"{program} finds no AU models; lay its folder AU_predictors beside it, as its "
            "installation does"
        )
    if HOG_INSTEAD in _beginning(log):
        _warn_of_hog(program)
    csvs = [out / f"{image.stem}.csv" for image in images]
    if not in_time:
        kind = f"OpenFace began no further image for {seconds_per_image:g} s"
        broke_off = Look(None, f"{kind} and was stopped", kind)
    elif process.returncode:
        kind = f"OpenFace {_ending(process.returncode)}"
        broke_off = Look(None, f"{kind}{_last_line(log, out)}", kind)
    else:
        return [_look(csv) for csv in csvs]
    begun = [index for index, csv in enumerate(csvs) if details_path(csv).exists()]
    last = begun[-1] if begun else 0
    unseen = [Look(None) for _ in csvs[last + 1 :]]
    return [*map(_look, csvs[:last]), broke_off, *unseen]


def _wait(process: Popen[bytes], out: Path, log: Path, limit: float, stop: Event) -> bool:
    """Whether the program ends by itself, with no pause longer than the limit between images.

    One that says that it has no AU models is not waited for.
    """
    n_begun, since = 0, time.monotonic()
    while True:
        try:
            process.wait(POLL_S)
            return True
        except TimeoutExpired:
            if stop.is_set():
                raise CancelledError from None
            if NO_AU_MODELS in _beginning(log):
                return True
        n_now = sum(path.name.endswith(DETAILS_SUFFIX) for path in out.iterdir())
        if n_now != n_begun:
            n_begun, since = n_now, time.monotonic()
        elif time.monotonic() - since > limit:
            return False


def _look(csv: Path) -> Look:
    """What the files that a run left say of an image that it has done with."""
    if csv.exists():
        try:
            return Look(read_image_csv(csv))
        except OpenFaceError as error:
            said = str(error).removeprefix(f"{csv}: ")
            return Look(None, f"OpenFace's CSV: {said}", "OpenFace's CSV cannot be trusted")
    if says_no_face(csv):
        return Look([])
    kind = "OpenFace left no result"
    return Look(None, f"{kind}: it passed the image over, or the disk is full", kind)


def _ending(code: int) -> str:
    number = -code if code < 0 else code - 128  # as a shell in between would give it
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"ended with exit code {code}"


def _beginning(log: Path) -> str:
    """What the program said while it loaded its models."""
    with log.open(encoding="utf-8", errors="replace") as file:
        return file.read(1 << 14)


@lru_cache(maxsize=4)  # once is enough
def _warn_of_hog(program: Path) -> None:
    _log.warning(
        "%s finds no MTCNN face detector (its folder model/mtcnn_detector) and falls back to HOG, "
        "which finds fewer faces and moves AU intensities",
        program,
    )


def _last_line(log: Path, out: Path) -> str:
    """What the program said last, without the folder, which has another name every time."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last.replace(f'{out.parent}/', '')[:200]}" if last else ""
