"""Landmarks and AUs by OpenFace 3.0 (`openface-test`): 8 presence scores and WFLW's 98 points."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tag_rewards.detectors.landmark_maps import wflw_to_ibug
from tag_rewards.detectors.one_by_one import (
    PREPARATION,
    OneByOne,
    Prepared,
    Transform,
    box_around,
    file_digest,
    import_for,
    package_version,
    png_of,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from tag_rewards.detectors.observation import FaceObservation

REMEDY = (
    "pip install openface-test 'pyarrow<26' into an environment of its own: it pins numpy 1.26.4 "
    "and scipy 1.13"
)
WEIGHTS_REMEDY = "get the weights with `openface download --output weights` and give that folder"

OPENFACE3_AUS = (1, 2, 4, 6, 9, 12, 25, 26)
"""The AUs of its scores, in its order."""

SCORE_SCALE = "presence_score"
"""What `FaceObservation.raw` calls the scores: cosines, 0 to 1."""

_FACES, _LANDMARKS, _AUS = "Alignment_RetinaFace.pth", "Landmark_98.pkl", "MTL_backbone.pth"
_MIN_SCORE = 0.5  # the package's own


@dataclass(frozen=True, slots=True)
class OpenFace3Config:
    """How OpenFace 3 is run.

    Attributes:
        weights: Folder with `Alignment_RetinaFace.pth`, `Landmark_98.pkl` and `MTL_backbone.pth`.
        device: `cpu` or `cuda`.
    """

    weights: Path = Path("weights")
    device: str = "cpu"


class OpenFace3Detector(OneByOne):
    """Runs OpenFace 3's face, landmark and AU models; a `Detector`.

    AUs are judged on each face's own crop; the package's own demonstration gives every face the AUs
    of the first.

    Args:
        config: How it is run.

    Attributes:
        version: The package's version and the hashes of the weights.

    Raises:
        InputError: A file of weights or the package is missing.
    """

    name = "openface3"

    def __init__(self, config: OpenFace3Config | None = None) -> None:
        self.config = config or OpenFace3Config()
        files = [self.config.weights / name for name in (_FACES, _LANDMARKS, _AUS)]
        for file in files:
            if not file.is_file():
                raise InputError(f"{file} is not there; {WEIGHTS_REMEDY}")
        import_for(self.name, "openface", REMEDY)
        self.version = (
            f"openface-test {package_version('openface-test')}, weights "
            f"{' '.join(map(file_digest, files))} ({PREPARATION})"
        )

    def _look(self, prepared: Prepared) -> list[FaceObservation]:
        faces, landmarks, aus = _models(self.config)
        with png_of(prepared.image) as path, redirect_stdout(StringIO()):  # it prints every face
            boxes, _ = faces.detect_faces(str(path))
            boxes = [box for box in boxes if box[4] >= _MIN_SCORE and _crop(prepared, box).size]
            image = prepared.image
            points = landmarks.detect_landmarks(image, boxes, confidence_threshold=_MIN_SCORE)
            scores = [aus.predict(_crop(prepared, box))[2].cpu().numpy()[0] for box in boxes]
        seen = zip(boxes, points, scores, strict=True)
        return [self.face(*numbers, prepared.transform) for numbers in seen]

    def face(
        self, box: ArrayLike, wflw: ArrayLike, scores: ArrayLike, transform: Transform
    ) -> FaceObservation:
        """OpenFace 3's numbers of a face as an observation.

        Args:
            box: x1, y1, x2, y2 and score, then whatever else RetinaFace gives.
            wflw: (98, 2) landmarks.
            scores: (8,) AU scores in the order of `OPENFACE3_AUS`.
            transform: Of the image that they are of.
        """
        corners, score = np.asarray(box)[:4].reshape(2, 2), float(np.asarray(box)[4])
        return self._face(
            box_around(transform.to_original(corners)),
            transform.to_original(wflw_to_ibug(wflw)),
            SCORE_SCALE,
            dict(zip(OPENFACE3_AUS, np.asarray(scores, np.float64).tolist(), strict=True)),
            score,
        )


def _crop(prepared: Prepared, box: Any) -> Any:
    x1, y1, x2, y2 = np.maximum(np.asarray(box[:4]), 0).astype(int)
    return prepared.image[y1:y2, x1:x2]


@lru_cache(maxsize=2)
def _models(config: OpenFace3Config) -> tuple[Any, Any, Any]:
    """OpenFace 3's detectors of faces, landmarks and AUs, once in each process."""

    def load(module: str) -> Any:
        return import_for(OpenFace3Detector.name, module, REMEDY)

    # It would load the backbone's weights from ./weights, only to overwrite them.
    load("openface.Pytorch_Retinaface.data").cfg_mnet["pretrain"] = False
    folder, device = config.weights, config.device
    with redirect_stdout(StringIO()):
        return (
            load("openface.face_detection").FaceDetector(str(folder / _FACES), device),
            load("openface.landmark_detection").LandmarkDetector(
                str(folder / _LANDMARKS), device, device_ids=[-1 if device == "cpu" else 0]
            ),
            load("openface.multitask_model").MultitaskPredictor(str(folder / _AUS), device),
        )
