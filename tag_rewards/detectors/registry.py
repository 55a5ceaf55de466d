"""Detectors by name, with their options as text: what a command line needs."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards import detectors
from tag_rewards.errors import InputError
from tag_rewards.named import load_named

if TYPE_CHECKING:
    from tag_rewards.detectors.observation import Detector


@dataclass(frozen=True, slots=True)
class _Entry:
    """A detector of this library, imported when it is asked for.

    Attributes:
        help: What it is, in one line.
        detector: Name of the class in `tag_rewards.detectors`.
        config: Name of its configuration, made of the options; empty where it takes these itself.
        options: Name -> how its text is read.
        required: The option that it cannot do without.
    """

    help: str
    detector: str
    config: str
    options: Mapping[str, Callable[[str], Any]]
    required: str = ""


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("not true or false")
    return text == "true"


_ENTRIES = {
    "openface": _Entry(
        "runs OpenFace 2.x, your own installation",
        "OpenFaceDetector",
        "OpenFaceConfig",
        {
            "executable": Path,
            "batch_size": int,
            "processes": int,
            "seconds_per_image": float,
            "faces": str,
            "arguments": lambda text: tuple(shlex.split(text)),
        },
    ),
    "openface-csv": _Entry(
        "reads a folder of CSV files that OpenFace 2.x wrote, one for each image",
        "OpenFaceFolder",
        "",
        {"folder": Path, "au_static": _flag},
        required="folder",
    ),
    "dlib": _Entry(
        "dlib's 68 landmarks, and approximate AUs from their geometry; needs no download",
        "DlibDetector",
        "DlibConfig",
        {"predictor": Path, "min_score": float},
    ),
    "mediapipe": _Entry(
        "MediaPipe's Face Landmarker, AUs from its blendshapes; needs its model file",
        "MediaPipeDetector",
        "MediaPipeConfig",
        {"model": Path, "max_faces": int},
        required="model",
    ),
    "pyfeat": _Entry(
        "py-feat 2.x, probabilities of 20 AUs; downloads its weights",
        "PyFeatDetector",
        "PyFeatConfig",
        {"device": str},
    ),
    "libreface": _Entry(
        "LibreFace, presence and intensity of AUs; downloads its weights",
        "LibreFaceDetector",
        "LibreFaceConfig",
        {"weights": Path, "device": str},
    ),
    "openface3": _Entry(
        "OpenFace 3.0, presence of 8 AUs; needs its folder of weights",
        "OpenFace3Detector",
        "OpenFace3Config",
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
        name: One of `DETECTOR_NAMES`, or `package.module:name` of your own: a `Detector`, or what
            makes one, such as its class.
        options: Values of its `DETECTOR_OPTIONS` as text, such as `{"processes": "4"}`. A detector
            of your own is given them as keyword arguments, as text.

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
    if ":" in name:
        return _named_detector(name, dict(options or {}))
    entry = _ENTRIES.get(name)
    if entry is None:
        raise InputError(
            f"{name!r} is no detector; give one of {', '.join(_ENTRIES)}, or package.module:name"
        )
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
    make = getattr(detectors, entry.detector)
    if entry.config:
        values = {"config": getattr(detectors, entry.config)(**values)}
    return make(**values)  # type: ignore[no-any-return]


def _named_detector(name: str, options: dict[str, str]) -> Detector:
    """A detector of the user's own, of `package.module:name`."""
    found = load_named("--detector", name)
    if callable(found):
        try:
            inspect.signature(found).bind(**options)
        except TypeError as error:
            raise InputError(f"detector {name}: its options do not fit ({error})") from error
        try:
            found = found(**options)
        except ValueError as error:
            raise InputError(f"detector {name}: {error}") from error
    elif options:
        raise InputError(f"detector {name} is made already and takes no option {min(options)}")
    texts = (getattr(found, "name", None), getattr(found, "version", None))
    if not all(isinstance(text, str) for text in texts) or not hasattr(found, "detect"):
        raise InputError(
            f"detector {name} ({type(found).__name__}) lacks a name, a version (both text) or a "
            "method detect; see tag_rewards.detectors.Detector"
        )
    return found  # type: ignore[no-any-return]
