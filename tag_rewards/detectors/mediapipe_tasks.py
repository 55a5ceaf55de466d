"""Landmarks and AUs by MediaPipe's Face Landmarker (Tasks API): 478 points and 52 blendshapes.

The blendshapes are ARKit's. Which AU each shows is the table that py-feat publishes (2.1.5,
`feat/utils/region_maps.py`, MIT), with AU24 for `mouthPress` as its comments say. Left out are the
shapes that it gives no AU: gaze, tongue, `jawForward/Left/Right`, `mouthLeft/Right`, `mouthClose`,
`mouthRoll...`; and `cheekPuff`, an action descriptor (AD34). Nothing says that the lips part
(AU25): `jawOpen` with closed lips is AU26 as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tag_rewards.detectors.landmark_maps import mesh_to_ibug
from tag_rewards.detectors.one_by_one import (
    PREPARATION,
    OneByOne,
    Prepared,
    box_around,
    file_digest,
    import_for,
    package_version,
)
from tag_rewards.errors import InputError, require_at_least

if TYPE_CHECKING:
    from tag_rewards.detectors.observation import FaceObservation


REMEDY = "pip install 'mediapipe>=0.10.30'"
MODEL_REMEDY = (
    "give Google's face_landmarker.task, which the package does not bring: "
    "https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker"
)

BLENDSHAPE_SCALE = "blendshape_0_1"
"""What `FaceObservation.raw` calls the coefficients."""

AU_BLENDSHAPES: Mapping[int, tuple[str, ...]] = {
    1: ("browInnerUp",),
    2: ("browOuterUpLeft", "browOuterUpRight"),
    4: ("browDownLeft", "browDownRight"),
    5: ("eyeWideLeft", "eyeWideRight"),
    6: ("cheekSquintLeft", "cheekSquintRight"),
    7: ("eyeSquintLeft", "eyeSquintRight"),
    9: ("noseSneerLeft", "noseSneerRight"),
    10: ("mouthUpperUpLeft", "mouthUpperUpRight"),
    12: ("mouthSmileLeft", "mouthSmileRight"),
    14: ("mouthDimpleLeft", "mouthDimpleRight"),
    15: ("mouthFrownLeft", "mouthFrownRight"),
    16: ("mouthLowerDownLeft", "mouthLowerDownRight"),
    17: ("mouthShrugLower", "mouthShrugUpper"),
    18: ("mouthPucker",),
    20: ("mouthStretchLeft", "mouthStretchRight"),
    22: ("mouthFunnel",),
    24: ("mouthPressLeft", "mouthPressRight"),
    26: ("jawOpen",),
    45: ("eyeBlinkLeft", "eyeBlinkRight"),
}
"""AU number -> the blendshapes that show it."""


@dataclass(frozen=True, slots=True)
class MediaPipeConfig:
    """How the Face Landmarker is run.

    Attributes:
        model: The file `face_landmarker.task`.
        max_faces: Faces of an image at most, 1 or more.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    model: Path
    max_faces: int = 4

    def __post_init__(self) -> None:
        require_at_least(1, max_faces=self.max_faces)


class MediaPipeDetector(OneByOne):
    """Runs MediaPipe's Face Landmarker; a `Detector`.

    The landmarker gives no score of a face, so the confidence is 1.

    Args:
        config: How it is run.

    Attributes:
        version: mediapipe's version and the hash of the model's file.

    Raises:
        InputError: The model or the package is missing.
    """

    name = "mediapipe"

    def __init__(self, config: MediaPipeConfig) -> None:
        self.config = config
        if not config.model.is_file():
            raise InputError(f"{config.model} is no file; {MODEL_REMEDY}")
        import_for(self.name, "mediapipe.tasks.python.vision", REMEDY)
        self.version = (
            f"mediapipe {package_version('mediapipe')}, model {file_digest(config.model)}, "
            f"faces {config.max_faces} ({PREPARATION})"
        )

    def _look(self, prepared: Prepared) -> list[FaceObservation]:
        mediapipe = import_for(self.name, "mediapipe", REMEDY)
        rgb = np.ascontiguousarray(prepared.image[:, :, ::-1])
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)
        return self.faces(_landmarker(self.config).detect(image), prepared)

    def faces(self, result: Any, prepared: Prepared) -> list[FaceObservation]:
        """A `FaceLandmarkerResult` as observations.

        Args:
            result: `face_landmarks` (478 points each, x and y as fractions of the image) and
                `face_blendshapes` (52 categories each).
            prepared: The image that it is of.
        """
        height, width = prepared.image.shape[:2]
        observations = []
        for points, categories in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            # A fraction is of the image's edges; OpenCV's first pixel has its centre at 0.
            mesh = np.array([[p.x * width, p.y * height] for p in points]) - 0.5
            mesh = prepared.transform.to_original(mesh)
            aus = blendshape_aus({c.category_name: c.score for c in categories})
            observations.append(
                self._face(box_around(mesh), mesh_to_ibug(mesh), BLENDSHAPE_SCALE, aus)
            )
        return observations


def blendshape_aus(blendshapes: Mapping[str, float]) -> dict[int, float]:
    """Blendshapes as AUs: the greatest of an AU's shapes, since one side is enough for an AU.

    Example:
        >>> blendshape_aus({"mouthSmileLeft": 0.7, "mouthSmileRight": 0.5, "eyeLookInLeft": 0.9})
        {12: 0.7}
    """
    return {
        au: max(blendshapes[name] for name in names if name in blendshapes)
        for au, names in AU_BLENDSHAPES.items()
        if any(name in blendshapes for name in names)
    }


@lru_cache(maxsize=2)
def _landmarker(config: MediaPipeConfig) -> Any:
    tasks = import_for(MediaPipeDetector.name, "mediapipe.tasks.python", REMEDY)
    vision = import_for(MediaPipeDetector.name, "mediapipe.tasks.python.vision", REMEDY)
    options = vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(config.model)),
        num_faces=config.max_faces,
        output_face_blendshapes=True,
    )
    try:
        return vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{config.model} is no Face Landmarker ({error}); {MODEL_REMEDY}"
        ) from error
