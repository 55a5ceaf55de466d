"""What a build is of, and how it is done; `build.json` beside the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.datasets.protocols import load_protocol
from tag_rewards.errors import InputError
from tag_rewards.evidence.of_dataset import EvidenceRows, OpenFaceCsvs
from tag_rewards.prepare.face_target import AnnotationConfig
from tag_rewards.traces.policy import PolicyConfig
from tag_rewards.traces.records import MODES
from tag_rewards.traces.verify import VerifyConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.datasets.protocols import LoadedProtocol
    from tag_rewards.datasets.sample import FaceSample
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.traces.prompts import WriterPrompt
    from tag_rewards.traces.records import Mode

BUILD_FILE = "build.json"
FORMAT = 1
SPLITS = ("train", "val", "test")

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
        ValueError: Both or none of `evidence` and `openface` are given, or a split is unknown.
    """

    dataset: Path
    protocol: str
    evidence: tuple[Path, ...] = ()
    openface: Path | None = None
    splits: tuple[str, ...] = SPLITS
    allow_mismatch: bool = False
    annotation: AnnotationConfig = field(default_factory=AnnotationConfig)

    def __post_init__(self) -> None:
        if bool(self.evidence) == (self.openface is not None):
            raise ValueError("give one of evidence and openface")
        for split in self.splits:
            if split not in SPLITS:
                raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        if not self.splits:
            raise ValueError(f"splits is empty; give one or more of {', '.join(SPLITS)}")

    def load(self) -> LoadedProtocol:
        """Read the list of images; none is opened.

        Raises:
            ValueError: It is not as expected; one sentence that names file, row and value.
            OSError: A file cannot be opened.
        """
        return load_protocol(
            self.protocol, self.dataset, allow_mismatch=self.allow_mismatch, splits=self.splits
        )

    def faces(self, samples: Sequence[FaceSample]) -> FaceSource:
        """What a detector saw in them.

        Raises:
            ValueError: It is not as expected, or of other images; one sentence.
            OSError: A file cannot be opened.
        """
        source: FaceSource = (
            OpenFaceCsvs(self.openface)
            if self.openface is not None
            else EvidenceRows(self.evidence, self.dataset)
        )
        source.require_any(samples)
        return source


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """A build of traces.

    Attributes:
        data: Images, labels and evidence.
        mode: `blind` (the label is never shown; the paper's) or `rationalised` (it is).
        verify: What an accepted trace must reach; may be changed between runs.
        policy: How often a sample is asked about; may be changed between runs.
        seed: Of the build; every attempt's seed follows from it, at least 0.
        max_tokens: Most tokens of a trace, at least 1; may be changed between runs.

    Raises:
        ValueError: A value is out of range; the message names option and value.
    """

    data: BuildData
    mode: Mode = "blind"
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    seed: int = 0
    max_tokens: int = 768

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode {self.mode!r} is not one of {', '.join(MODES)}")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, not 0 or more")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}, not at least 1")

    def to_record(self, labels: tuple[str, ...], prompt: WriterPrompt) -> dict[str, Any]:
        """What `build.json` holds: plain JSON values.

        Args:
            labels: The protocol's.
            prompt: The template.
        """
        data = asdict(self.data)
        evidence = [str(path.resolve()) for path in self.data.evidence]
        openface = self.data.openface
        record = {
            "format": FORMAT,
            **data,
            "dataset": str(self.data.dataset.resolve()),
            "evidence": evidence,
            "openface": str(openface.resolve()) if openface else None,
            "labels": labels,
            "mode": self.mode,
            "prompt": prompt.text,
            "prompt_hash": prompt.hash,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "verify": asdict(self.verify),
            "policy": asdict(self.policy),
        }
        plain: dict[str, Any] = json.loads(json.dumps(record))
        return plain


def require_same_build(out: Path, record: dict[str, Any]) -> None:
    """Refuse to go on with another build's ledger.

    Raises:
        InputError: `out` holds another build.
    """
    path = out / BUILD_FILE
    if not path.exists():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for name in _FIXED:
        if before.get(name) != record[name]:
            raise InputError(
                f"{out} holds a build of {name} {_short(before.get(name))}, not "
                f"{_short(record[name])}; give another --out"
            )


def _short(value: object) -> str:
    return f"{value!r:.200}"


def read_build_config(out: str | Path) -> dict[str, Any]:
    """`build.json` of a folder, as `BuildConfig.to_record` made it.

    Raises:
        InputError: There is none.
    """
    path = Path(out) / BUILD_FILE
    if not path.exists():
        raise InputError(f"{out} holds no build of traces; `tag-rewards traces build` makes one")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def data_of(record: dict[str, Any]) -> BuildData:
    """The images, labels and evidence of a `build.json`."""
    openface = record["openface"]
    return BuildData(
        dataset=Path(record["dataset"]),
        protocol=record["protocol"],
        evidence=tuple(map(Path, record["evidence"])),
        openface=Path(openface) if openface else None,
        splits=tuple(record["splits"]),
        allow_mismatch=record["allow_mismatch"],
        annotation=AnnotationConfig(**record["annotation"]),
    )
