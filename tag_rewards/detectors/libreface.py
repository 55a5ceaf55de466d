"""AUs by LibreFace: the presence of 12 and the intensity of 12, and MediaPipe's mesh."""

from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from tag_rewards.detectors.landmark_maps import mesh_to_ibug
from tag_rewards.detectors.observation import FaceObservation
from tag_rewards.detectors.one_by_one import (
    PREPARATION,
    OneByOne,
    Prepared,
    box_around,
    import_for,
    package_version,
    png_of,
)
from tag_rewards.detectors.openface.csv import (
    INTENSITY_SCALE,
    MAX_INTENSITY,
    PRESENCE_SCALE,
    au_probability,
)
from tag_rewards.errors import InputError

REMEDY = (
    "pip install libreface 'numpy<2' 'pyarrow<26' into an environment of its own with Python 3.10 "
    "or 3.11: it pins torch 2.0.0 and mediapipe 0.10.5"
)
WEIGHTS_REMEDY = "run it once with the network, which fills the weights' folder, and give that one"


@dataclass(frozen=True, slots=True)
class LibreFaceConfig:
    """How LibreFace is run.

    Attributes:
        weights: Folder of the weights; LibreFace downloads into it what is missing.
        device: `cpu` or `cuda`.
    """

    weights: Path = Path("weights_libreface")
    device: str = "cpu"


class LibreFaceDetector(OneByOne):
    """Runs LibreFace's `get_facial_attributes_image`; a `Detector`.

    LibreFace judges one face of an image and loads its models anew for each image. It gives no
    score of a face, so the confidence is 1. Version 0.2.0 raises an `AttributeError` on an image
    with two faces, which `tag-rewards annotate` takes for that image's failure.

    Args:
        config: How it is run.

    Attributes:
        version: LibreFace's version.

    Raises:
        InputError: The package is missing.
    """

    name = "libreface"

    def __init__(self, config: LibreFaceConfig | None = None) -> None:
        self.config = config or LibreFaceConfig()
        import_for(self.name, "libreface", REMEDY)
        self.version = f"libreface {package_version('libreface')} ({PREPARATION})"

    def _look(self, prepared: Prepared) -> list[FaceObservation]:
        libreface = import_for(self.name, "libreface", REMEDY)
        # It prints the device for every image.
        with png_of(prepared.image) as path, redirect_stdout(StringIO()):
            try:
                attributes = libreface.get_facial_attributes_image(
                    str(path),
                    temp_dir=str(path.parent),
                    device=self.config.device,
                    weights_download_dir=str(self.config.weights),
                )
            except OSError as error:
                raise InputError(
                    f"detector libreface cannot load its weights ({error}); {WEIGHTS_REMEDY}"
                ) from error
            except RuntimeError as error:
                if "No face landmarks" not in str(error):
                    raise
                return []
        return [self.face(attributes, prepared)]

    def face(self, attributes: Mapping[str, Any], prepared: Prepared) -> FaceObservation:
        """LibreFace's attributes as an observation.

        Args:
            attributes: `detected_aus` (`au_1` -> 0 or 1), `au_intensities` (`au_1_intensity` -> 0
                to 5), and `lm_mp_0_x` ... `lm_mp_477_y` as fractions of the image.
            prepared: The image that they are of.
        """
        height, width = prepared.image.shape[:2]
        fractions = [[attributes[f"lm_mp_{i}_{axis}"] for axis in "xy"] for i in range(478)]
        mesh = prepared.transform.to_original(np.array(fractions) * (width, height) - 0.5)
        presences = _by_au(attributes["detected_aus"])
        intensities = _by_au(attributes["au_intensities"])
        return FaceObservation(
            box=box_around(mesh),
            landmarks=mesh_to_ibug(mesh),
            probabilities={
                au: libreface_probability(presences.get(au), intensities.get(au))
                for au in sorted({*presences, *intensities})
            },
            raw={PRESENCE_SCALE: presences, INTENSITY_SCALE: intensities},
            detector=self.name,
            version=self.version,
        )


def libreface_probability(presence: float | None, intensity: float | None) -> float:
    """How sure LibreFace is of an AU: the mean of its opinions, an intensity as a fifth of itself.

    Two opinions are joined as OpenFace's (`au_probability`). LibreFace has a single one
    on ten AUs, which then counts alone.

    Args:
        presence: 0 or 1; None where it has none.
        intensity: 0 to 5, cut where the regression leaves that; None where it has none.

    Example:
        >>> libreface_probability(1, 2.0), libreface_probability(1, None)
        (0.7, 1.0)
        >>> libreface_probability(None, 3.0)
        0.6
    """
    if intensity is None:
        return float(presence or 0)
    intensity = min(max(intensity, 0.0), MAX_INTENSITY)
    if presence is None:
        return round(intensity / MAX_INTENSITY, 3)
    return au_probability(bool(presence), intensity)


def _by_au(values: Mapping[str, float]) -> dict[int, float]:
    return {int(key.split("_")[1]): float(value) for key, value in values.items()}
