"""From a FER dataset and a detector's output to the four parquet files of SFT and RL."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from tag_rewards.data.annotate import AnnotationConfig, LeftOut, annotate
from tag_rewards.data.canvas import encode_image
from tag_rewards.data.datasets.rafdb import RAFDB_LABELS, SPLITS, read_rafdb, unlabelled_images
from tag_rewards.data.face_sources import OpenFaceCsvs
from tag_rewards.data.parquet import ParquetRows
from tag_rewards.data.prompts import PROMPT_NAMES, PromptName, render_prompt
from tag_rewards.data.report import PrepareReport
from tag_rewards.data.rows import RLRow, SFTRow
from tag_rewards.data.sft_text import AUBox, Imprecision, imprecise, write_trace
from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tag_rewards.data.annotate import Annotation
    from tag_rewards.data.datasets.sample import FaceSample
    from tag_rewards.data.face_sources import FaceSource

__all__ = ["PARQUET_FILES", "PrepareConfig", "PrepareError", "PrepareReport", "prepare"]

PARQUET_FILES = ("rl_train.parquet", "rl_test.parquet", "sft_train.parquet", "sft_test.parquet")
REPORT_FILE = "prepare.json"

LABELS = tuple(label for label in EXPRESSIONS if label in RAFDB_LABELS.values())


class PrepareError(InputError):
    """Nothing can be made of the input; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class PrepareConfig:
    """What `prepare` makes.

    Attributes:
        annotation: Canvas, box space and thresholds.
        imprecision: How far SFT traces are off; exact by default.
        prompt: Name of the prompt's template; `short` also makes the traces short.
        data_source: Name of the dataset in the files; verl groups its metrics by it.
        seed: Decides wording and imprecision, together with the sample's id.
    """

    annotation: AnnotationConfig = field(default_factory=AnnotationConfig)
    imprecision: Imprecision = field(default_factory=Imprecision)
    prompt: PromptName = "tag"
    data_source: str = "rafdb"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.prompt not in PROMPT_NAMES:
            raise ValueError(f"prompt {self.prompt!r} is not one of {', '.join(PROMPT_NAMES)}")
        if not self.data_source:
            raise ValueError("data_source is empty; name the dataset")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, not 0 or more")


def prepare(
    dataset: str | Path,
    faces: str | Path | FaceSource,
    out: str | Path,
    config: PrepareConfig | None = None,
    *,
    on_start: Callable[[int], None] | None = None,
    on_sample: Callable[[], None] | None = None,
) -> PrepareReport:
    """Write the parquet files of a dataset in RAF-DB's layout and of what a detector saw in it.

    The files are written to a temporary folder inside `out` and moved at the end, so that
    an error leaves `out`, and the folders above it, as they were. The same input, configuration
    and seed give the same rows.

    Args:
        dataset: Folder in RAF-DB's layout.
        faces: Folder of OpenFace CSV files, each named after its image's stem, or another source of
            faces, such as `EvidenceRows`.
        out: Folder to write `PARQUET_FILES` and `prepare.json` to; made if it is not there.
        config: What to make.
        on_start: Called once with the number of images.
        on_sample: Called after each image.

    Returns:
        The counts; `prepare.json` holds them too.

    Raises:
        ValueError: The input is unusable (`DatasetError`, `FaceSourceError`, `OpenFaceError`,
            `EvidenceError`, `ImageError`, `PrepareError`); one sentence that names file, row,
            field and value.
        OSError: A file cannot be read or written.
    """
    config = config or PrepareConfig()
    dataset, out = Path(dataset), Path(out)
    samples = read_rafdb(dataset).samples
    source = OpenFaceCsvs(Path(faces)) if isinstance(faces, (str, Path)) else faces
    source.require_any(samples)
    if out.exists() and not out.is_dir():
        raise PrepareError(f"{out} is a file; give a folder to write to")
    if on_start:
        on_start(len(samples))
    with _staged(out) as scratch:
        report = _write_rows(samples, source, scratch, config, on_sample)
        report.unlabelled = len(unlabelled_images(dataset, samples))
        _require_rows(report)
        _write_report(scratch / REPORT_FILE, report, config)
    return report


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A scratch folder whose files move to `out` when the block ends well, and vanish otherwise.

    It lies inside `out`, which may be a mount point of its own: only within one file system is
    moving a file atomic.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".prepare-", dir=out, ignore_cleanup_errors=True
        ) as scratch:
            yield Path(scratch)
            for name in (*PARQUET_FILES, REPORT_FILE):
                os.replace(Path(scratch, name), out / name)
    except BaseException:
        for folder in made:
            with suppress(OSError):  # never made, or somebody else's files lie there by now
                folder.rmdir()
        raise


def _require_rows(report: PrepareReport) -> None:
    for split in SPLITS:
        counts = report.splits[split]
        if not counts.rows:
            reasons = "; ".join(f"{n}: {reason}" for reason, n in counts.left_out.items())
            raise PrepareError(
                f"no {split} image is left of {counts.images}"
                f"{f' ({reasons})' if reasons else ''}; both splits need at least one"
            )


def _write_rows(
    samples: Sequence[FaceSample],
    source: FaceSource,
    folder: Path,
    config: PrepareConfig,
    on_sample: Callable[[], None] | None,
) -> PrepareReport:
    report = PrepareReport()
    prompt = render_prompt(config.prompt, LABELS, config.annotation.space, config.annotation.top_k)
    with ExitStack() as stack:
        rl = {
            split: stack.enter_context(ParquetRows(folder / f"rl_{split}.parquet", RLRow))
            for split in SPLITS
        }
        sft = {
            split: stack.enter_context(ParquetRows(folder / f"sft_{split}.parquet", SFTRow))
            for split in SPLITS
        }
        for sample in samples:
            faces = source.faces(sample)
            result = (
                faces if isinstance(faces, LeftOut) else annotate(sample, faces, config.annotation)
            )
            report.count(sample, result)
            if not isinstance(result, LeftOut):
                image = encode_image(result.image)
                index = rl[sample.split].n_rows
                rl[sample.split].write(_rl_row(sample, result, prompt, image, index, config))
                sft[sample.split].write(_sft_row(sample, result, prompt, image, index, config))
            if on_sample:
                on_sample()
    return report


def _rl_row(
    sample: FaceSample,
    annotation: Annotation,
    prompt: str,
    image: bytes,
    index: int,
    config: PrepareConfig,
) -> RLRow:
    return RLRow(
        data_source=config.data_source,
        prompt=prompt,
        image=image,
        target=annotation.target,
        split=sample.split,
        index=index,
        id=sample.id,
    )


def _sft_row(
    sample: FaceSample,
    annotation: Annotation,
    prompt: str,
    image: bytes,
    index: int,
    config: PrepareConfig,
) -> SFTRow:
    # By id, so that a sample keeps its trace when others are added or left out.
    rng = np.random.default_rng([config.seed, crc32(sample.id.encode())])
    target = annotation.target
    seen = [AUBox(item.au, annotation.au_boxes[item.au]) for item in target.evidence]
    claims = imprecise(seen, annotation.au_boxes, target.box_space, config.imprecision, rng)
    return SFTRow(
        data_source=config.data_source,
        prompt=prompt,
        image=image,
        trace=write_trace(sample.label, claims, annotation.face_box, rng, style=config.prompt),
        label=sample.label,
        split=sample.split,
        index=index,
        id=sample.id,
        box_jitter=config.imprecision.box_jitter,
        box_growth=config.imprecision.box_growth,
        au_error=config.imprecision.au_error,
    )


def _write_report(path: Path, report: PrepareReport, config: PrepareConfig) -> None:
    content = {"config": asdict(config), **report.to_dict()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
