"""What a build is of and how it is done; `build.json`, which says so; and its faces.

A face is read when it is asked about, and checked against what the ledger knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tag_rewards.datasets.protocols import SPLITS, load_protocol
from tag_rewards.datasets.reading import LeftOut, image_bytes
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.evidence.of_dataset import EvidenceRows, FaceSourceError, OpenFaceCsvs
from tag_rewards.files.images import ImageError, content_hash, encode_image
from tag_rewards.files.objects import read_object
from tag_rewards.prepare.face_target import TargetConfig, canvas_image, face_on_canvas
from tag_rewards.target import Target
from tag_rewards.traces.prompts import MODES, PolicyConfig
from tag_rewards.traces.records import LeftOutSample, TraceSample
from tag_rewards.traces.verifier import VerifyConfig

if TYPE_CHECKING:
    from tag_rewards.datasets.protocols import LoadedProtocol
    from tag_rewards.datasets.reading import FaceSample
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.traces.prompts import Mode, WriterPrompt

BUILD_FILE = "build.json"
_REMEDY = "copy it again, or build into another folder"
FORMAT = 1

_FIXED = ("format", "protocol", "labels", "annotation", "mode", "prompt_hash", "seed")
"""What must not change while a ledger grows. Paths may: images and evidence are compared by
content, one by one."""


@dataclass(frozen=True, slots=True)
class BuildData:
    """Where images, labels and evidence come from.

    Attributes:
        dataset: The dataset's folder.
        protocol: Name of its protocol, such as `rafdb/basic-test`.
        evidence: Folders or files of evidence parquet; empty if `openface` is given.
        openface: Folder of OpenFace 2.x CSV files, or None.
        splits: Those to write traces for.
        allow_mismatch: Go on where the dataset's counts are not the published ones.
        annotation: Canvas, box space and thresholds.

    Raises:
        InputError: Both or none of `evidence` and `openface` are given, or a split is unknown.
    """

    dataset: Path
    protocol: str
    evidence: tuple[Path, ...] = ()
    openface: Path | None = None
    splits: tuple[str, ...] = SPLITS
    allow_mismatch: bool = False
    annotation: TargetConfig = field(default_factory=TargetConfig)

    def __post_init__(self) -> None:
        if bool(self.evidence) == (self.openface is not None):
            raise InputError("give one of evidence and openface")
        for split in self.splits:
            if split not in SPLITS:
                raise InputError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        if not self.splits:
            raise InputError(f"splits is empty; give one or more of {', '.join(SPLITS)}")

    def load(self) -> LoadedProtocol:
        """Read the list of images; none is opened.

        Raises:
            InputError: The dataset is not as its protocol says, or has no expressions.
        """
        loaded = load_protocol(
            self.protocol, self.dataset, allow_mismatch=self.allow_mismatch, splits=self.splits
        )
        if not loaded.protocol.labels:
            raise InputError(
                f"{self.protocol} has no expressions, which traces give the reasons for; give a "
                "protocol with labels (`tag-rewards datasets` lists them)"
            )
        return loaded

    def source(self, samples: Sequence[FaceSample]) -> FaceSource:
        """What a detector saw in the images.

        Raises:
            InputError: It is not as expected, or of other images; one sentence.
        """
        source: FaceSource = (
            EvidenceRows(self.evidence, self.dataset)
            if self.openface is None
            else OpenFaceCsvs(self.openface)
        )
        source.require_any(samples)
        return source


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """A build of traces.

    Attributes:
        data: Images, labels and evidence.
        mode: `blind` (the label is never shown; the paper's) or `rationalised` (it is).
        template: A jinja2 file for the writer's prompt; None is the package's own for the mode.
        verify: What an accepted trace must reach; may be changed between runs.
        policy: How often a sample is asked about; may be changed between runs.
        seed: Of the build; every attempt's seed follows from it, at least 0.
        max_tokens: Most tokens of a trace, at least 1; may be changed between runs.

    Raises:
        InputError: A value is out of range; the message names option and value.
    """

    data: BuildData
    mode: Mode = "blind"
    template: Path | None = None
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    seed: int = 0
    max_tokens: int = 768

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"mode {self.mode!r} is not one of {', '.join(MODES)}")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, not 0 or more")
        require_at_least(1, max_tokens=self.max_tokens)

    def to_record(self, labels: tuple[str, ...], prompt: WriterPrompt) -> dict[str, Any]:
        """What `build.json` holds: plain JSON values.

        Args:
            labels: The protocol's.
            prompt: The template.
        """
        data = self.data
        record = {
            "format": FORMAT,
            **asdict(data),
            "annotation": data.annotation.settings(),
            "dataset": str(data.dataset.resolve()),
            "evidence": [str(path.resolve()) for path in data.evidence],
            "openface": str(data.openface.resolve()) if data.openface else None,
            "labels": labels,
            "mode": self.mode,
            "prompt": prompt.template.text,
            "prompt_hash": prompt.hash,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "verify": asdict(self.verify),
            "policy": asdict(self.policy),
        }
        plain: dict[str, Any] = json.loads(json.dumps(record))
        return plain


def require_same_build(out: Path, record: dict[str, Any]) -> None:
    """Refuse to go on with another build's ledger."""
    if not (out / BUILD_FILE).exists():
        return
    before = read_object(out / BUILD_FILE, _REMEDY)
    for name in _FIXED:
        same = before.get(name) == record[name]
        if name == "annotation" and not same:
            same = _same_annotation(read_build_record(out).annotation, record[name])
        if not same:
            raise InputError(
                f"{out} holds a build of {name} {before.get(name)!r:.200}, not "
                f"{record[name]!r:.200}; give another --out"
            )


def _same_annotation(before: TargetConfig, record: dict[str, Any]) -> bool:
    """Whether targets are the same; limits that lead to the same size may differ."""
    now = TargetConfig.from_settings(record)
    return before.space == now.space and replace(before, model=None) == replace(now, model=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord(BuildData):
    """What `build.json` says of a build, as those need it who only read it.

    Attributes:
        labels: The protocol's.
        mode: `blind` or `rationalised`.
        prompt_hash: Of the template.
        policy: How often a sample is asked about.
    """

    labels: tuple[str, ...]
    mode: str
    prompt_hash: str
    policy: PolicyConfig


def read_build_record(out: Path) -> BuildRecord:
    """The `build.json` of a folder, as `BuildConfig.to_record` made it."""
    path = out / BUILD_FILE
    if not path.exists():
        raise InputError(f"{out} holds no build of traces; `tag-rewards traces build` makes one")
    record = read_object(path, _REMEDY)
    try:
        annotation = TargetConfig.from_settings(record.pop("annotation", {}))
        build = msgspec.convert(record, BuildRecord, dec_hook=lambda kind, value: kind(value))
        return replace(build, annotation=annotation)
    except ValueError as error:
        raise InputError(f"{path}: {error}; {_REMEDY}") from error


class BuildFace(NamedTuple):
    """What a question about a sample needs.

    Attributes:
        known: What the ledger keeps of the sample.
        target: Label, evidence and box space.
        image: The encoded canvas, PNG or JPEG.
    """

    known: TraceSample
    target: Target
    image: bytes


def read_face(
    sample: FaceSample, seen: TraceSample | FaceSource, config: TargetConfig
) -> BuildFace | LeftOutSample:
    """Read the image of a sample; its target is made when it is taken up, and stays.

    Args:
        sample: The labelled image.
        seen: What the ledger keeps of it, whose image must be the same still; of a sample that is
            taken up now, what a detector saw in the images.
        config: Canvas, box space and thresholds.

    Returns:
        The face, or why it is left out.
    """
    try:
        sha256 = content_hash(image_bytes(sample))
    except OSError as error:
        return LeftOutSample(sample.id, "image_missing", f"{sample.path}: {error.strerror}")
    try:
        if isinstance(seen, TraceSample):
            if sha256 != seen.image_sha256:
                why = f"{sample.path} is not the image that was asked about"
                return LeftOutSample(sample.id, "image_changed", why)
            image = encode_image(canvas_image(sample, config))
            return BuildFace(seen, Target.from_json(seen.target), image)
        face = face_on_canvas(sample, seen.faces(sample), config)
    except FaceSourceError as error:  # not the image that was annotated
        return LeftOutSample(sample.id, "image_changed", str(error))
    except ImageError as error:
        return LeftOutSample(sample.id, "image_unreadable", str(error))
    if isinstance(face, LeftOut):
        return LeftOutSample(sample.id, "no_evidence", face.reason)
    target, canvas = face[0].target, face[1]
    known = TraceSample(sample.id, sample.split, target.to_json(), sha256)
    return BuildFace(known, target, encode_image(canvas))
