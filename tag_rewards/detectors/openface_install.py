"""Where OpenFace 2.x is installed, and which build it is."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tag_rewards.errors import InputError

PROGRAM = "FaceLandmarkImg"

HOME = "OPENFACE_HOME"
"""Environment variable with the folder of the installation."""

_BUILD_FOLDERS = (".", "bin", "build/bin")
_MODEL_FOLDERS = ("model", "AU_predictors")


class OpenFaceProgramError(InputError):
    """OpenFace's program is missing or does not work; the message says what to do."""


def find_openface(executable: Path | None = None) -> Path:
    """The real path of `FaceLandmarkImg`; through a link the program would not find its models.

    Args:
        executable: The program, or the folder of an OpenFace installation; None looks at the
            environment variable `OPENFACE_HOME`, then along `PATH`.

    Raises:
        OpenFaceProgramError: It is not there, or may not be executed.
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
        raise OpenFaceProgramError(
            f"{problem}; build OpenFace 2.x and set {HOME} to its folder, or give the executable"
        )
    return Path(found).resolve()


def fingerprint(program: Path) -> str:
    """Twelve digits that change with the program or the list of its models."""
    digest = hashlib.sha256(program.read_bytes())
    for folder in _MODEL_FOLDERS:
        for path in sorted((program.parent / folder).rglob("*")):
            if path.is_file():
                name = path.relative_to(program.parent).as_posix()
                digest.update(f"\n{name} {path.stat().st_size}".encode())
    return digest.hexdigest()[:12]
