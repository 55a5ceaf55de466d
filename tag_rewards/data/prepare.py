"""From a FER dataset and a detector's output to the parquet files of SFT, RL and evaluation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.data.annotate import AnnotationConfig, annotated
from tag_rewards.data.datasets.rafdb import unlabelled_images
from tag_rewards.data.face_sources import OpenFaceCsvs
from tag_rewards.data.prompts import PROMPT_NAMES, PromptName
from tag_rewards.data.protocols import RAFDB_LAYOUT, Protocol, load_protocol
from tag_rewards.data.quality.apply import without_rejected
from tag_rewards.data.report import PrepareReport, SplitReport
from tag_rewards.data.sft_text import Imprecision
from tag_rewards.data.split_files import SplitFiles, parquet_files, split_names
from tag_rewards.data.staging import staged
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tag_rewards.data.face_sources import FaceSource

PARQUET_FILES = parquet_files(("train", "test"))
"""What is written of a dataset with a train and a test split."""

REPORT_FILE = "prepare.json"


class PrepareError(InputError):
    """Nothing can be made of the input; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class PrepareConfig:
    """What `prepare` makes.

    Attributes:
        annotation: Canvas, box space and thresholds.
        imprecision: How far SFT traces are off; exact by default.
        prompt: Name of the prompt's template; `short` also makes the traces short.
        data_source: Name of the dataset in the files; verl groups its metrics by it. None is the
            protocol's.
        seed: Decides wording and imprecision, together with the sample's id.
    """

    annotation: AnnotationConfig = field(default_factory=AnnotationConfig)
    imprecision: Imprecision = field(default_factory=Imprecision)
    prompt: PromptName = "tag"
    data_source: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.prompt not in PROMPT_NAMES:
            raise ValueError(f"prompt {self.prompt!r} is not one of {', '.join(PROMPT_NAMES)}")
        if self.data_source == "":
            raise ValueError("data_source is empty; name the dataset")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, not 0 or more")


def prepare(
    dataset: str | Path,
    faces: str | Path | FaceSource,
    out: str | Path,
    config: PrepareConfig | None = None,
    *,
    protocol: str | Protocol = RAFDB_LAYOUT,
    allow_mismatch: bool = False,
    quality: str | Path | None = None,
    on_start: Callable[[int], None] | None = None,
    on_sample: Callable[[], None] | None = None,
) -> PrepareReport:
    """Write the parquet files of a dataset and of what a detector saw in it.

    `rl_train` and `sft_train` hold the train split, `rl_test` and `sft_test` the evaluated one,
    without the images in which no face was found; `eval.parquet` holds all of the evaluated split.
    Where a protocol has a `val` split beside the one it evaluates, it goes to `rl_val` and
    `sft_val`.

    The files are written to a temporary folder inside `out` and moved at the end, so that
    an error leaves `out`, and the folders above it, as they were. The same input, configuration
    and seed give the same rows.

    Args:
        dataset: The dataset's folder.
        faces: Folder of OpenFace CSV files, each named after its image's stem, or another source of
            faces, such as `EvidenceRows`.
        out: Folder to write the parquet files and `prepare.json` to; made if it is not there.
        config: What to make.
        protocol: What the dataset is; by default anything in RAF-DB's layout.
        allow_mismatch: Record counts that differ from the published ones instead of refusing them.
        quality: File that `tag-rewards quality` wrote; the images that it rejects are left out, and
            `eval.parquet` says so if any of the evaluated split are.
        on_start: Called once with the number of images.
        on_sample: Called after each image.

    Returns:
        The counts; `prepare.json` holds them too.

    Raises:
        ValueError: The input is unusable (`DatasetError`, `ProtocolError`, `FaceSourceError`,
            `OpenFaceError`, `EvidenceError`, `QualityError`, `ImageError`, `PrepareError`); one
            sentence that names file, row, field and value.
        OSError: A file cannot be read or written.
    """
    dataset, out = Path(dataset), Path(out)
    loaded = load_protocol(protocol, dataset, allow_mismatch=allow_mismatch)
    n_unlabelled = len(unlabelled_images(dataset, loaded.samples))
    if quality is not None:
        loaded = without_rejected(loaded, Path(quality))
    names = split_names(loaded)
    samples = [sample for sample in loaded.samples if sample.split in names]
    config = config or PrepareConfig()
    config = replace(config, data_source=config.data_source or loaded.protocol.dataset)
    source = OpenFaceCsvs(Path(faces)) if isinstance(faces, (str, Path)) else faces
    source.require_any(samples)
    if out.exists() and not out.is_dir():
        raise PrepareError(f"{out} is a file; give a folder to write to")
    if on_start:
        on_start(len(samples))
    report = PrepareReport(
        loaded.protocol.name,
        {split: SplitReport() for split in names},
        loaded.mismatches,
        loaded.dropped,
        n_unlabelled,
    )
    with staged(out, last=REPORT_FILE) as scratch:
        with SplitFiles(scratch, loaded, config) as files:
            for sample, result in annotated(samples, source, config.annotation):
                report.count(sample, result)
                files.write(sample, result)
                if on_sample:
                    on_sample()
        _require_rows(report)
        _write_report(scratch / REPORT_FILE, report, config)
    # Files of an earlier protocol with other splits would be taken for ones of this.
    for name in set(parquet_files(("train", "val", "test"))) - set(parquet_files(names.values())):
        (out / name).unlink(missing_ok=True)
    return report


def _require_rows(report: PrepareReport) -> None:
    for split, counts in report.splits.items():
        if not counts.rows:
            reasons = "; ".join(f"{n}: {reason}" for reason, n in counts.left_out.items())
            raise PrepareError(
                f"no {split} image is left of {counts.images}"
                f"{f' ({reasons})' if reasons else ''}; every split needs at least one"
            )


def _write_report(path: Path, report: PrepareReport, config: PrepareConfig) -> None:
    content = {"config": asdict(config), **report.to_dict()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
