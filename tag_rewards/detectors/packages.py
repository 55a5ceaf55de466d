"""Packages that a detector needs and that this one does not bring: what to do when they lack."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tag_rewards.errors import InputError

class DetectorUnavailableError(InputError):
    """A detector's package or weights are missing; the message says how to get them."""


def import_for(detector: str, module: str, remedy: str) -> Any:
    """Import a detector's package when it is used.

    Args:
        detector: The detector's name.
        module: The module's dotted name.
        remedy: What to do when it is missing, such as `pip install ...`.

    Raises:
        DetectorUnavailableError: It is not installed, or lacks a package of its own.

    Example:
        >>> try:
        ...     import_for("mine", "no_such", "pip install mine")
        ... except DetectorUnavailableError as error:
        ...     print(error)
        detector mine needs no_such (No module named 'no_such'); pip install mine
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DetectorUnavailableError(
            f"detector {detector} needs {module} ({error}); {remedy}"
        ) from error


def package_folder(detector: str, package: str, remedy: str) -> Path:
    """The folder of an installed package, without importing it.

    Raises:
        DetectorUnavailableError: It is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DetectorUnavailableError(
            f"detector {detector} needs {package}, which is not installed; {remedy}"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def package_version(distribution: str) -> str:
    """An installed distribution's version, `unknown` for one that was not installed as such."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def file_digest(path: Path) -> str:
    """Twelve digits that change with a file's content."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]
