"""One face as OpenFace 2.x sees it, and as every other detector would say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.detectors.activation import au_probability
from tag_rewards.detectors.observation import FaceObservation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from tag_rewards.detectors.observation import Pose

INTENSITY_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""AUs with an intensity column `AUxx_r`, 0 to 5, in the program's order."""

PRESENCE_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)
"""AUs with a presence column `AUxx_c`, 0 or 1: the same and AU28."""

INTENSITY_SCALE = "intensity_0_5"
PRESENCE_SCALE = "presence_0_1"
"""What `FaceObservation.raw` calls the two opinions."""

LANDMARK_STEP = 0.1
"""Landmarks are written to a tenth of a pixel."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenFaceRow:
    """One face as OpenFace saw it: one row of its CSV.

    Attributes:
        landmarks: (68, 2) float64, iBUG-68 order, x and y in pixels of the image that OpenFace
            read. They can be negative or outside the image.
        intensities: AU number -> intensity, 0 (absent) to 5 (maximum).
        presences: AU number -> presence. Trained apart from the intensities, so the two can
            contradict each other.
        confidence: Confidence of the landmark fit, 0 to 1. The program calls a frame a success
            above 0.725.
        row: Row in the file, counted from 1 below the header.
        frame: Frame number in a sequence, None for an image.
        success: The program's own verdict on a sequence's row, None for an image.
        pose: Head rotation, None if the file has no `pose_R*` columns.
    """

    landmarks: NDArray[np.float64]
    intensities: Mapping[int, float]
    presences: Mapping[int, bool]
    confidence: float = 1.0
    row: int = 1
    frame: int | None = None
    success: bool | None = None
    pose: Pose | None = None

    def observation(self, detector: str = "openface-csv", version: str = "") -> FaceObservation:
        """The face in the form that every detector gives.

        An AU's probability is `au_probability` of its two opinions, a missing one counted as 0. The
        box is that of the landmarks, which the program writes to a tenth of a pixel: a side without
        any length is given that much.

        Args:
            detector: Name of the detector for the observation.
            version: Its version.

        Example:
            >>> from tag_rewards.geometry import average_face
            >>> row = OpenFaceRow(average_face() * 40 + 100, {12: 3.0}, {12: True, 28: True})
            >>> face = row.observation()
            >>> face.probabilities[12], face.probabilities[28], face.raw["intensity_0_5"]
            (0.8, 0.5, {12: 3.0})
        """
        low, high = self.landmarks.min(axis=0), self.landmarks.max(axis=0)
        grown = np.where(low < high, 0, LANDMARK_STEP / 2)
        (x1, y1), (x2, y2) = (low - grown).tolist(), (high + grown).tolist()
        aus = sorted({*self.presences, *self.intensities})
        return FaceObservation(
            box=(x1, y1, x2, y2),
            landmarks=self.landmarks,
            probabilities={
                au: au_probability(self.presences.get(au, False), self.intensities.get(au, 0.0))
                for au in aus
            },
            raw={
                INTENSITY_SCALE: dict(self.intensities),
                PRESENCE_SCALE: {au: float(there) for au, there in self.presences.items()},
            },
            confidence=self.confidence,
            pose=self.pose,
            detector=detector,
            version=version,
        )


def successful_faces(
    rows: Iterable[OpenFaceRow], detector: str = "openface-csv", version: str = ""
) -> list[FaceObservation]:
    """The rows as observations, without those that the program itself calls failed.

    Only a sequence's rows have a verdict; failed ones carry plausible numbers all the same.

    Example:
        >>> landmarks = np.zeros((68, 2))
        >>> rows = [OpenFaceRow(landmarks, {}, {}), OpenFaceRow(landmarks, {}, {}, success=False)]
        >>> len(successful_faces(rows))
        1
    """
    return [row.observation(detector, version) for row in rows if row.success is not False]
