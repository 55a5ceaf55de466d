"""The image and the target of one sample, checked against what the ledger knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.data.annotate import LeftOut, annotate
from tag_rewards.data.annotation.sources import content_hash
from tag_rewards.data.canvas import encode_image
from tag_rewards.data.face_sources import FaceSourceError
from tag_rewards.detectors.images import ImageError
from tag_rewards.traces.records import LeftOutSample, TraceSample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.data.annotate import AnnotationConfig
    from tag_rewards.data.datasets.sample import FaceSample
    from tag_rewards.data.face_sources import FaceSource
    from tag_rewards.target import Target

__all__ = ["PreparedFace", "SampleImages", "prepare_face"]


class PreparedFace(NamedTuple):
    """What a question about a sample needs.

    Attributes:
        known: What the ledger keeps of the sample.
        target: Label, evidence and box space.
        image: The encoded canvas, PNG or JPEG.
    """

    known: TraceSample
    target: Target
    image: bytes


def prepare_face(
    sample: FaceSample,
    source: FaceSource,
    config: AnnotationConfig,
    known: TraceSample | None = None,
) -> PreparedFace | LeftOutSample:
    """Read a sample's image and make its target.

    Args:
        sample: The labelled image.
        source: What a detector saw in it.
        config: Canvas, box space and thresholds.
        known: The sample as it was when the ledger began; the image and the evidence must be the
            same still.

    Returns:
        The face, or why it is left out.

    Raises:
        ValueError: What a detector saw cannot be trusted; one sentence.
        OSError: A file other than the image cannot be opened.
    """
    try:
        sha256 = content_hash(sample.path.read_bytes())
    except OSError as error:
        return LeftOutSample(sample.id, "image_missing", f"{sample.path}: {error.strerror}")
    if known is not None and sha256 != known.image_sha256:
        return LeftOutSample(
            sample.id, "image_changed", f"{sample.path} is not the image that was asked about"
        )
    try:
        faces = source.faces(sample)
        face = faces if isinstance(faces, LeftOut) else annotate(sample, faces, config)
    except FaceSourceError as error:  # not the image that was annotated
        return LeftOutSample(sample.id, "image_changed", str(error))
    except ImageError as error:
        return LeftOutSample(sample.id, "image_unreadable", str(error))
    if isinstance(face, LeftOut):
        return LeftOutSample(sample.id, "no_evidence", face.reason)
    found = TraceSample(sample.id, sample.split, face.target.to_json(), sha256)
    if known is not None and found != known:
        return LeftOutSample(
            sample.id, "evidence_changed", "label or evidence are not what was asked about"
        )
    return PreparedFace(found, face.target, encode_image(face.image))


class SampleImages:
    """Gives the image of a sample that the ledger knows, as the writer saw it.

    Args:
        samples: The dataset's.
        source: What a detector saw in them.
        config: Canvas, box space and thresholds.
    """

    def __init__(
        self, samples: Sequence[FaceSample], source: FaceSource, config: AnnotationConfig
    ) -> None:
        self._samples = {sample.id: sample for sample in samples}
        self._source, self._config = source, config

    def __call__(self, known: TraceSample) -> bytes | LeftOutSample:
        """The encoded canvas, or why there is none any more."""
        sample = self._samples.get(known.id)
        if sample is None:
            return LeftOutSample(known.id, "image_missing", "the dataset has it no more")
        face = prepare_face(sample, self._source, self._config, known)
        return face if isinstance(face, LeftOutSample) else face.image
