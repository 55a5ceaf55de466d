"""What is installed here, and what of it each extra of the project still lacks."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

from packaging.requirements import Requirement

from tag_rewards.errors import InputError

PROJECT = "tag-rewards"

#: Packages whose versions are worth knowing when something goes wrong.
PACKAGES = (
    *(PROJECT, "numpy", "scipy", "shapely", "opencv-python-headless", "pyarrow", "matplotlib"),
    *("typer", "rich", "torch", "transformers", "verl", "vllm", "ray", "trl"),
)

#: Environment variables that the project, or what it calls, looks at.
VARIABLES = (
    *("OPENFACE_HOME", "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE"),
    "TORCH_HOME",
)

# Other packages that bring the same module.
_AS_GOOD = {
    "opencv-python-headless": (
        *("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    ),
    "dlib-bin": ("dlib",),
}

# For those who work on the project itself.
_NOT_FOR_USERS = {"dev", "docs", "light"}


class Finding(NamedTuple):
    """What was looked at, and what came of it.

    Attributes:
        name: What was looked at.
        ok: Whether it is fine; None where it could not be looked at.
        said: One sentence; of a fault also what to do.
    """

    name: str
    ok: bool | None
    said: str


class Extra(NamedTuple):
    """An extra of the project, or its core.

    Attributes:
        name: As in `tag-rewards[name]`; empty for the core.
        missing: What it lacks, a text for each package; empty if it is ready.
    """

    name: str
    missing: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """The line that brings what is missing.

        Example:
            >>> Extra("eval", ("matplotlib is not installed",)).remedy
            "pip install 'tag-rewards[eval]'"
        """
        return f"pip install '{PROJECT}[{self.name}]'" if self.name else f"pip install {PROJECT}"


def version(package: str) -> str | None:
    """The version of a package, or of one that is as good; None if it is not installed."""
    for name in (package, *_AS_GOOD.get(package, ())):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def versions() -> dict[str, str]:
    """Python's version and those of `PACKAGES` that are installed."""
    found = {name: version(name) for name in PACKAGES}
    return {"Python": platform.python_version()} | {
        name: known for name, known in found.items() if known is not None
    }


def extras() -> list[Extra]:
    """The core and every extra, with what each lacks.

    Empty where the project runs from a folder without being installed: what its extras need is
    then not recorded anywhere.
    """
    try:
        found = metadata.metadata(PROJECT)
    except metadata.PackageNotFoundError:
        return []
    needs = [Requirement(text) for text in metadata.requires(PROJECT) or ()]
    names = sorted(set(found.get_all("Provides-Extra") or ()) - _NOT_FOR_USERS)
    return [Extra(name, tuple(_missing(needs, name))) for name in ("", *names)]


def _missing(needs: list[Requirement], extra: str) -> Iterator[str]:
    for need in needs:
        marker = need.marker
        in_core = marker is None or marker.evaluate({"extra": ""})
        of_extra = marker is not None and not in_core and marker.evaluate({"extra": extra})
        if not (of_extra if extra else in_core):
            continue
        known = version(need.name)
        if known is None:
            yield f"{need.name} is not installed"
        elif not need.specifier.contains(known, prereleases=True):
            yield f"{need.name} is {known}, not {need.specifier}"


def named(found: list[Extra], name: str) -> Extra:
    """One of the extras.

    Raises:
        InputError: There is none of that name.
    """
    for extra in found:
        if extra.name == name:
            return extra
    known = ", ".join(filter(None, (extra.name for extra in found)))
    raise InputError(f"{name!r} is no extra of {PROJECT}; there are {known or 'none known here'}")


def environment() -> dict[str, str]:
    """Those of `VARIABLES` that are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def openface() -> Finding | None:
    """Whether OpenFace is where `OPENFACE_HOME` says; None if that is not set."""
    if not os.environ.get("OPENFACE_HOME"):
        return None
    from tag_rewards.detectors.openface.one_run import find_openface

    try:
        return Finding("OpenFace", True, f"{find_openface()} can be run")
    except InputError as error:
        return Finding("OpenFace", False, str(error))


def gpus() -> str:
    """The GPUs that torch sees, in words; empty without torch."""
    if find_spec("torch") is None:
        return ""
    try:
        import torch

        names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
    except (ImportError, OSError, RuntimeError) as error:  # a driver or a library that is missing
        return f"torch cannot say: {error}"
    return ", ".join(names) or "none"
