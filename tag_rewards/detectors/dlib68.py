"""Faces and 68 landmarks by dlib, AUs from the landmarks (`geometric_aus`): needs no download.

Both models come inside packages: the face detector (HOG) in `dlib-bin`, the landmark predictor in
`face-recognition-models`. The predictor's training data (iBUG 300-W) excludes commercial use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tag_rewards.detectors import geometric_aus
from tag_rewards.detectors.one_by_one import (
    PREPARATION,
    OneByOne,
    Prepared,
    Transform,
    box_around,
    file_digest,
    import_for,
    package_version,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from tag_rewards.detectors.observation import FaceObservation

REMEDY = "pip install 'tag-rewards[detect]'"


@dataclass(frozen=True, slots=True)
class DlibConfig:
    """How dlib is run.

    Attributes:
        predictor: A 68-point shape predictor; None takes the one in `face-recognition-models`.
        min_score: Least score of a face. Of 20 photographs of faces, 18 scored from 0.18 to 2.19
            and the two others 0.11 and -0.02; something else in them 0.04.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    predictor: Path | None = None
    min_score: float = 0.15

    def __post_init__(self) -> None:
        if not math.isfinite(self.min_score):
            raise InputError(f"min_score is {self.min_score}, not a finite number")


class DlibDetector(OneByOne):
    """Finds faces and landmarks with dlib and judges AUs by them; a `Detector`.

    Faces smaller than about 80 pixels are found only in images small enough to be enlarged
    (`one_by_one.prepare`).

    Args:
        config: How it is run.

    Attributes:
        version: dlib's version, hash of the predictor's file, and the version of the AU formulas.

    Raises:
        InputError: Dlib or the predictor is not there.

    Example:
        >>> detector = DlibDetector()
        >>> detector.detect([np.zeros((200, 200, 3), np.uint8)])
        [Detection(faces=(), failure='', kind='')]
    """

    name = "dlib"

    def __init__(self, config: DlibConfig | None = None) -> None:
        self.config = config or DlibConfig()
        self._predictor = self.config.predictor or _packaged_predictor()
        if not self._predictor.is_file():
            raise InputError(f"{self._predictor} is no file; give dlib's 68-point shape predictor")
        import_for(self.name, "dlib", REMEDY)
        self.version = (
            f"dlib {package_version('dlib-bin')}, predictor {file_digest(self._predictor)}, "
            f"score {self.config.min_score:g}, AU formulas {geometric_aus.VERSION} "
            f"({PREPARATION})"
        )

    def _look(self, prepared: Prepared) -> list[FaceObservation]:
        find_faces, predict = _models(self._predictor)
        rgb = np.ascontiguousarray(prepared.image[:, :, ::-1])
        boxes, scores, _ = find_faces.run(rgb, 0, self.config.min_score)
        return [
            self._observed(box, predict(rgb, box), score, prepared.transform)
            for box, score in zip(boxes, scores, strict=True)
        ]

    def _observed(
        self, box: Any, shape: Any, score: float, transform: Transform
    ) -> FaceObservation:
        corners = [[box.left(), box.top()], [box.right(), box.bottom()]]
        points = transform.to_original([[point.x, point.y] for point in shape.parts()])
        return self._face(
            box_around(transform.to_original(corners)),
            points,
            geometric_aus.MOVEMENT_SCALE,
            geometric_aus.au_movements(points),
            score_confidence(score),
        )


def score_confidence(score: float) -> float:
    """Dlib's score of a face (a distance from its boundary) as a confidence in [0, 1].

    The logistic function of 4 (score - 0.15): ours, set so that what scored as high as the false
    faces that were seen (0.04 and 0.12) stays below one half and the faces of photographs that
    score 0.4 or more pass `observation.MIN_CONFIDENCE`.

    Example:
        >>> [round(score_confidence(score), 2) for score in (0.04, 0.12, 0.4, 1.5)]
        [0.39, 0.47, 0.73, 1.0]
    """
    return 1 / (1 + math.exp(-4 * (score - 0.15)))


def _packaged_predictor() -> Path:
    package = "face_recognition_models"
    spec = find_spec(package)  # importing it would need pkg_resources
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"detector dlib needs {package}, which is not installed; {REMEDY}")
    [folder] = spec.submodule_search_locations
    return Path(folder, "models", "shape_predictor_68_face_landmarks.dat")


@lru_cache(maxsize=2)
def _models(predictor: Path) -> tuple[Any, Any]:
    """Dlib's face detector and the landmark predictor, once in each process."""
    dlib = import_for(DlibDetector.name, "dlib", REMEDY)
    try:
        predict = dlib.shape_predictor(str(predictor))
    except RuntimeError as error:
        raise InputError(
            f"{predictor} cannot be read by dlib ({error}); give its 68-point shape predictor"
        ) from error
    blank = dlib.rectangle(0, 0, 9, 9)
    if (n := predict(np.zeros((10, 10, 3), np.uint8), blank).num_parts) != 68:
        raise InputError(f"{predictor} predicts {n} points; give one of 68")
    return dlib.get_frontal_face_detector(), predict
