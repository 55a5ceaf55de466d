"""Detectors by name, with their options as text: what a command line needs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tag_rewards.detectors.observation import Detector


@dataclass(frozen=True, slots=True)
class _Entry:
    help: str
    make: Callable[..., Detector]
    options: Mapping[str, Callable[[str], Any]]
    required: str = ""


def _openface(**options: Any) -> Detector:
    from tag_rewards.detectors.openface.program import OpenFaceConfig, OpenFaceDetector

    return OpenFaceDetector(_config(OpenFaceConfig, options))


def _openface_csv(folder: Path) -> Detector:
    from tag_rewards.detectors.openface.folder import OpenFaceFolder

    return OpenFaceFolder(folder)


def _dlib(**options: Any) -> Detector:
    from tag_rewards.detectors.dlib68 import DlibConfig, DlibDetector

    return DlibDetector(_config(DlibConfig, options))


def _mediapipe(**options: Any) -> Detector:
    from tag_rewards.detectors.mediapipe_tasks import MediaPipeConfig, MediaPipeDetector

    return MediaPipeDetector(_config(MediaPipeConfig, options))


def _pyfeat(**options: Any) -> Detector:
    from tag_rewards.detectors.pyfeat import PyFeatConfig, PyFeatDetector

    return PyFeatDetector(_config(PyFeatConfig, options))


def _libreface(**options: Any) -> Detector:
    from tag_rewards.detectors.libreface import LibreFaceConfig, LibreFaceDetector

    return LibreFaceDetector(_config(LibreFaceConfig, options))


def _openface3(**options: Any) -> Detector:
    from tag_rewards.detectors.openface3 import OpenFace3Config, OpenFace3Detector

    return OpenFace3Detector(_config(OpenFace3Config, options))


def _config(kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """A detector's configuration; what it refuses, the user gave."""
    try:
        return kind(**options)
    except ValueError as error:
        raise InputError(str(error)) from error


def _words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


_ENTRIES = {
    "openface": _Entry(
        "runs OpenFace 2.x, your own installation",
        _openface,
        {
            "executable": Path,
            "batch_size": int,
            "processes": int,
            "seconds_per_image": float,
            "faces": str,
            "arguments": _words,
        },
    ),
    "openface-csv": _Entry(
        "reads a folder of CSV files that OpenFace 2.x wrote, one for each image",
        _openface_csv,
        {"folder": Path},
        required="folder",
    ),
    "dlib": _Entry(
        "dlib's 68 landmarks, and approximate AUs from their geometry; needs no download",
        _dlib,
        {"predictor": Path, "min_score": float},
    ),
    "mediapipe": _Entry(
        "MediaPipe's Face Landmarker, AUs from its blendshapes; needs its model file",
        _mediapipe,
        {"model": Path, "max_faces": int},
        required="model",
    ),
    "pyfeat": _Entry(
        "py-feat 2.x, probabilities of 24 AUs; downloads its weights",
        _pyfeat,
        {"device": str},
    ),
    "libreface": _Entry(
        "LibreFace, presence and intensity of AUs; downloads its weights",
        _libreface,
        {"weights": Path, "device": str},
    ),
    "openface3": _Entry(
        "OpenFace 3.0, presence of 8 AUs; needs its folder of weights",
        _openface3,
        {"weights": Path, "device": str},
    ),
}

DETECTOR_NAMES: Mapping[str, str] = {name: entry.help for name, entry in _ENTRIES.items()}
"""Every detector's name, with what it is in one line."""

DETECTOR_OPTIONS: Mapping[str, tuple[str, ...]] = {
    name: tuple(entry.options) for name, entry in _ENTRIES.items()
}
"""The names of every detector's options; the docs say what they mean."""


def make_detector(name: str, options: Mapping[str, str] | None = None) -> Detector:
    """A detector by its name.

    Args:
        name: One of `DETECTOR_NAMES`.
        options: Values of its `DETECTOR_OPTIONS` as text, such as `{"processes": "4"}`.

    Raises:
        InputError: The name or an option is unknown, a value is refused, or what the detector needs
            is not installed; the message says what to do.

    Example:
        >>> make_detector("dlib", {"min_score": "0.5"}).config.min_score
        0.5
        >>> make_detector("libd")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: 'libd' is no detector; give one of ...
    """
    entry = _ENTRIES.get(name)
    if entry is None:
        raise InputError(f"{name!r} is no detector; give one of {', '.join(_ENTRIES)}")
    values = {}
    for option, text in (options or {}).items():
        if option not in entry.options:
            known = ", ".join(entry.options)
            raise InputError(f"detector {name} has no option {option}; it has {known}")
        try:
            values[option] = entry.options[option](text)
        except ValueError as error:
            raise InputError(f"detector {name}: {option} is {text!r} ({error})") from error
    if entry.required and entry.required not in values:
        raise InputError(f"detector {name} needs its option {entry.required}")
    return entry.make(**values)
