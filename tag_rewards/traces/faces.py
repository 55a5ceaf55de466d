"""The image and the target of one sample, checked against what the ledger knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.datasets.sample import LeftOut
from tag_rewards.evidence.of_dataset import FaceSourceError
from tag_rewards.files.images import ImageError, content_hash, encode_image
from tag_rewards.prepare.face_target import annotate, canvas_image
from tag_rewards.target import Target
from tag_rewards.traces.records import LeftOutSample, TraceSample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tag_rewards.datasets.sample import FaceSample
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.prepare.face_target import AnnotationConfig

    FaceOf = Callable[[FaceSample, TraceSample | None], "PreparedFace | LeftOutSample"]


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
    sample: FaceSample, source: FaceSource, config: AnnotationConfig
) -> PreparedFace | LeftOutSample:
    """Read the image of a sample that is taken up now, and make its target.

    Args:
        sample: The labelled image.
        source: What a detector saw in it.
        config: Canvas, box space and thresholds.

    Returns:
        The face, or why it is left out.

    Raises:
        ValueError: What a detector saw cannot be trusted; one sentence.
        OSError: A file other than the image cannot be opened.
    """
    sha256 = _content_hash(sample)
    if isinstance(sha256, LeftOutSample):
        return sha256
    try:
        faces = source.faces(sample)
        face = faces if isinstance(faces, LeftOut) else annotate(sample, faces, config)
    except FaceSourceError as error:  # not the image that was annotated
        return LeftOutSample(sample.id, "image_changed", str(error))
    except ImageError as error:
        return LeftOutSample(sample.id, "image_unreadable", str(error))
    if isinstance(face, LeftOut):
        return LeftOutSample(sample.id, "no_evidence", face.reason)
    known = TraceSample(sample.id, sample.split, face.target.to_json(), sha256)
    return PreparedFace(known, face.target, encode_image(face.image))


def known_face(
    sample: FaceSample, known: TraceSample, config: AnnotationConfig
) -> PreparedFace | LeftOutSample:
    """Read the image of a sample that the ledger knows; its target is as it was taken up.

    Args:
        sample: The labelled image.
        known: What the ledger keeps of it; the image must be the same still.
        config: Canvas, box space and thresholds.

    Returns:
        The face, or why it is left out.
    """
    sha256 = _content_hash(sample)
    if isinstance(sha256, LeftOutSample):
        return sha256
    if sha256 != known.image_sha256:
        return LeftOutSample(
            sample.id, "image_changed", f"{sample.path} is not the image that was asked about"
        )
    try:
        image = encode_image(canvas_image(sample, config))
    except ImageError as error:
        return LeftOutSample(sample.id, "image_unreadable", str(error))
    return PreparedFace(known, Target.from_json(known.target), image)


def _content_hash(sample: FaceSample) -> str | LeftOutSample:
    try:
        return content_hash(sample.path.read_bytes())
    except OSError as error:
        return LeftOutSample(sample.id, "image_missing", f"{sample.path}: {error.strerror}")


def face_of(source: FaceSource, config: AnnotationConfig) -> FaceOf:
    """`known_face` for samples that the ledger knows, and `prepare_face` for others."""

    def face(sample: FaceSample, known: TraceSample | None) -> PreparedFace | LeftOutSample:
        if known is None:
            return prepare_face(sample, source, config)
        return known_face(sample, known, config)

    return face


class SampleImages:
    """Gives the image of a sample that the ledger knows, as the writer saw it.

    Args:
        samples: The dataset's.
        config: Canvas, box space and thresholds.
    """

    def __init__(self, samples: Sequence[FaceSample], config: AnnotationConfig) -> None:
        self._samples = {sample.id: sample for sample in samples}
        self._config = config

    def __call__(self, known: TraceSample) -> bytes | LeftOutSample:
        """The encoded canvas, or why there is none any more."""
        sample = self._samples.get(known.id)
        if sample is None:
            return LeftOutSample(known.id, "image_missing", "the dataset has it no more")
        face = known_face(sample, known, self._config)
        return face if isinstance(face, LeftOutSample) else face.image
