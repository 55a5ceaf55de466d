"""Landmarks and AUs by py-feat 2.x (`Detectorv2`): scores of 20 AUs and MediaPipe's mesh.

`FaceRect*` is not the face but the square that its models see, 1.2 times the longer side of the
detected box; the box here is the one around the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tag_rewards.detectors.landmark_maps import mesh_to_ibug
from tag_rewards.detectors.one_by_one import (
    PREPARATION,
    OneByOne,
    Prepared,
    Transform,
    box_around,
    import_for,
    package_version,
    png_of,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from tag_rewards.detectors.observation import FaceObservation

REMEDY = "pip install 'py-feat>=2.1'"
WEIGHTS_REMEDY = (
    "run it once where the Hugging Face hub can be reached: it keeps its weights in the folder "
    "feat/resources of its installation, which can be copied to where the hub cannot be reached"
)

PROBABILITY_SCALE = "probability_0_1"
"""What `FaceObservation.raw` calls py-feat's AU columns: cosines, cut to 0 to 1."""


@dataclass(frozen=True, slots=True)
class PyFeatConfig:
    """How py-feat is run.

    Attributes:
        device: `cpu`, `cuda` or `mps`.
    """

    device: str = "cpu"


class PyFeatDetector(OneByOne):
    """Runs py-feat's `Detectorv2`; a `Detector`.

    The 68 landmarks are taken from the 478 mesh points by `landmark_maps`, not from py-feat's own
    `x_0` ... `y_67`, whose jaw does not fit (see `docs/detectors.md`).

    Args:
        config: How it is run.

    Attributes:
        version: py-feat's version; it downloads its weights by itself.

    Raises:
        InputError: The package is missing.
    """

    name = "pyfeat"

    def __init__(self, config: PyFeatConfig | None = None) -> None:
        self.config = config or PyFeatConfig()
        import_for(self.name, "feat", REMEDY)
        self.version = (
            f"py-feat {package_version('py-feat')}, Detectorv2, box of the mesh ({PREPARATION})"
        )

    def _look(self, prepared: Prepared) -> list[FaceObservation]:
        detector = _detector(self.config)
        with png_of(prepared.image) as path:
            fex = detector.detect([str(path)], data_type="image", progress_bar=False)
        return self.faces(fex.to_dict("records"), prepared.transform)

    def faces(
        self, rows: Sequence[Mapping[str, Any]], transform: Transform
    ) -> list[FaceObservation]:
        """The rows of a `Fex` as observations; an image without a face has one row of NaN.

        Args:
            rows: Column -> value: `FaceRectX`, `FaceScore`, `AU01` ..., `mesh_x_0` ...
                `mesh_y_477`.
            transform: Of the image that they are of.
        """
        return [self._observed(row, transform) for row in rows if np.isfinite(row["FaceRectX"])]

    def _observed(self, row: Mapping[str, Any], transform: Transform) -> FaceObservation:
        mesh = transform.to_original(
            [[row[f"mesh_{axis}_{i}"] for axis in "xy"] for i in range(478)]
        )
        aus = {
            int(column[2:]): float(value)
            for column, value in row.items()
            if column[:2] == "AU" and column[2:].isdigit() and np.isfinite(value)
        }
        confidence = float(row["FaceScore"])
        return self._face(box_around(mesh), mesh_to_ibug(mesh), PROBABILITY_SCALE, aus, confidence)


@lru_cache(maxsize=2)
def _detector(config: PyFeatConfig) -> Any:
    detector_v2 = import_for(PyFeatDetector.name, "feat.detector_v2", REMEDY)
    try:
        return detector_v2.Detectorv2(device=config.device, identity_model=None)
    except OSError as error:  # such as huggingface_hub's LocalEntryNotFoundError
        raise InputError(
            f"detector pyfeat cannot load its weights ({error}); {WEIGHTS_REMEDY}"
        ) from error
