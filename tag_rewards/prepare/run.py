"""From a FER dataset and a detector's output to the parquet files of SFT, RL and evaluation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np

from tag_rewards.datasets.protocols import (
    RAFDB_LAYOUT,
    Protocol,
    load_protocol,
    some_of_each_split,
)
from tag_rewards.datasets.rafdb import unlabelled_images
from tag_rewards.datasets.reading import LeftOut, evenly
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.evidence.of_dataset import OpenFaceCsvs
from tag_rewards.facs import EXPRESSIONS
from tag_rewards.files.images import ImageError, encode_image
from tag_rewards.files.text import csv_text
from tag_rewards.files.whole import staged
from tag_rewards.forms import form_named
from tag_rewards.prepare.eval_set import evaluation_face
from tag_rewards.prepare.face_target import TargetConfig, canvas_image, face_on_canvas
from tag_rewards.prepare.placement import ALIGNED, Blind, Placement, blind_grounding
from tag_rewards.prepare.rows import EvalRow, ParquetRows, RecordFile, RLRow, SFTRow, file_metadata
from tag_rewards.prepare.texts import (
    PROMPT_NAMES,
    AUBox,
    Imprecision,
    PromptName,
    imprecise,
    render_prompt,
    write_trace,
)
from tag_rewards.quality.table import without_rejected

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from rich.table import Table

    from tag_rewards.datasets.protocols import LoadedProtocol
    from tag_rewards.datasets.reading import FaceSample
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.prepare.face_target import FaceTarget
    from tag_rewards.prepare.texts import PromptTemplate
    from tag_rewards.target import Target

    Drawn = tuple[FaceTarget, NDArray[np.uint8]]

EVAL_FILE = "eval.parquet"
COUNTS_FILE = "prepare.json"
LEFT_OUT_FILE = "left_out.csv"


def parquet_files(names: Iterable[str]) -> tuple[str, ...]:
    """The files for splits of these names, and that of the evaluation."""
    rows = [f"{kind}_{name}.parquet" for kind in ("rl", "sft") for name in names]
    return (*rows, EVAL_FILE)


PARQUET_FILES = parquet_files(("train", "test"))
"""What is written of a dataset with a train and a test split."""


@dataclass(frozen=True, slots=True)
class PrepareConfig:
    """What `prepare` makes.

    Attributes:
        annotation: Canvas, box space and thresholds.
        imprecision: How far SFT traces are off; exact by default.
        prompt: Name of the prompt's template; `short` also makes the traces short.
        template: One of yours instead, as `read_prompt` gives it; `prompt` then says the length of
            the traces alone.
        data_source: Name of the dataset in the files; verl groups its metrics by it. None is the
            protocol's.
        seed: Decides wording, imprecision and placement, together with the sample's id.
        placement: How far faces are put from where they lie, so that their place gives nothing
            away: `aligned` puts them at the usual distance if those of the training data are
            aligned, a `Placement` puts them in any case, None leaves all where they are.
        place_evaluation: Whether faces of other splits than `train` are put elsewhere too.
        keep_unseen: Whether training images without evidence are rows of `rl_train` all the same;
            the grounding reward abstains on them. SFT traces need evidence.
        limit: Most images of each split, at least 1, for a first look; None is all.
        enable_thinking: Whether the model that is asked is to reason first; None leaves it to its
            chat template. `generate` finds it in the files.
    """

    annotation: TargetConfig = field(default_factory=TargetConfig)
    imprecision: Imprecision = field(default_factory=Imprecision)
    prompt: PromptName = "tag"
    template: PromptTemplate | None = None
    data_source: str | None = None
    seed: int = 0
    placement: Placement | Literal["aligned"] | None = "aligned"
    place_evaluation: bool = False
    keep_unseen: bool = False
    limit: int | None = None
    enable_thinking: bool | None = None

    def __post_init__(self) -> None:
        if self.prompt not in PROMPT_NAMES:
            raise InputError(f"prompt {self.prompt!r} is not one of {', '.join(PROMPT_NAMES)}")
        if self.data_source == "":
            raise InputError("data_source is empty; name the dataset")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, not 0 or more")
        if isinstance(self.placement, str) and self.placement != "aligned":
            raise InputError(f"placement is {self.placement!r}, not 'aligned', a Placement or None")
        require_at_least(1, limit=self.limit)
        if self.annotation.model is not None:
            self.annotation.model.require_form(self.annotation.form)

    def settings(self) -> dict[str, Any]:
        """All of it as plain JSON values, as `prepare.json` records it.

        Placement only where faces are put elsewhere, `template` and `enable_thinking` only where
        they are said.
        """
        kept = {**asdict(self), "annotation": self.annotation.settings()}
        if not isinstance(self.placement, Placement):
            del kept["placement"], kept["place_evaluation"]
        if self.enable_thinking is None:
            del kept["enable_thinking"]
        del kept["template"]
        if self.template is not None:
            kept["template"] = self.template.record()
        return kept

    def placement_of(self, split: str) -> Placement | None:
        """How far the faces of a split are put from where they lie."""
        if split == "train" or self.place_evaluation:
            return self.placement if isinstance(self.placement, Placement) else None
        return None


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
) -> PreparedCounts:
    """Write the parquet files of a dataset and of what a detector saw in it.

    `rl_train` and `sft_train` hold the train split, `rl_test` and `sft_test` the evaluated one,
    without the images in which no face was found; `eval.parquet` holds all of the evaluated split.
    Where a protocol has a `val` split beside the one it evaluates, it goes to `rl_val` and
    `sft_val`. `left_out.csv` names the images that are not in the files of their split, and why.

    The files are written to a temporary folder inside `out` and moved together at the end: an
    error leaves `out`, and the folders above it, as they were, and a process that is killed leaves
    the old files or the new. The same input, configuration and seed give the same rows.

    Args:
        dataset: The dataset's folder.
        faces: Folder of OpenFace CSV files, each named after its image's stem, or another source of
            faces, such as `EvidenceRows`.
        out: Folder to write the parquet files and `prepare.json` to; made if it is not there.
        config: What to make.
        protocol: What the dataset is, a name or a protocol; by default anything in RAF-DB's layout.
        allow_mismatch: Record counts that differ from the published ones instead of refusing them.
        quality: File that `tag-rewards quality` wrote; the images that it rejects are left out, and
            `eval.parquet` says so if any of the evaluated split are.
        on_start: Called once with the number of images.
        on_sample: Called after each image.

    Returns:
        The counts; `prepare.json` holds them too.

    Raises:
        InputError: The input is unusable; one sentence that names file, row, field and value.
        NotWrittenError: `out` cannot be written.
    """
    dataset, out = Path(dataset), Path(out)
    loaded = load_protocol(protocol, dataset, allow_mismatch=allow_mismatch)
    n_unlabelled = len(unlabelled_images(dataset, loaded.samples))
    if quality is not None:
        loaded = without_rejected(loaded, Path(quality))
    config = config or PrepareConfig()
    if config.limit is not None:
        loaded = some_of_each_split(loaded, config.limit)
    names = split_names(loaded)
    samples = [sample for sample in loaded.samples if sample.split in names]
    config = replace(config, data_source=config.data_source or loaded.protocol.dataset)
    source = OpenFaceCsvs(Path(faces)) if isinstance(faces, (str, Path)) else faces
    source.require_any(samples)
    if config.placement == "aligned":
        usual = _place_aligned(samples, source, config.annotation)
        config = replace(config, placement=usual)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder to write to")
    if on_start:
        on_start(len(samples))
    counts = PreparedCounts(
        loaded.protocol.name,
        {split: PreparedSplit() for split in names},
        loaded.mismatches,
        loaded.dropped,
        n_unlabelled,
        placed={split: of for split in names if (of := config.placement_of(split)) is not None},
    )
    targets: dict[str, list[Target]] = {split: [] for split in names}
    looked_at = {
        sample.id
        for split in names
        for sample in evenly([one for one in samples if one.split == split], _LOOKED_AT)
    }
    # Files of an earlier protocol with other splits would be taken for ones of this.
    replaces = (*parquet_files(("train", "val", "test")), LEFT_OUT_FILE)
    left_out = [(sample, reason, "") for sample, reason in loaded.left_out if sample.split in names]
    with staged(out, COUNTS_FILE, replaces=replaces) as scratch:
        with SplitFiles(scratch, loaded, config) as files:
            for sample in samples:
                found = face_on_canvas(
                    *(sample, source.faces(sample), config.annotation),
                    *(config.placement_of(sample.split), config.seed),
                )
                face = found if isinstance(found, LeftOut) else found[0]
                if sample.id in looked_at and not isinstance(face, LeftOut):
                    targets[sample.split].append(face.target)
                still_in = files.write(sample, found)
                counts.splits[sample.split].count(sample.label, face)
                if isinstance(face, LeftOut):
                    left_out.append((sample, face.reason, still_in))
                    counts.splits[sample.split].unseen += still_in.startswith("rl")
                if on_sample:
                    on_sample()
        _require_rows(counts)
        for split, of_split in targets.items():
            counts.splits[split].blind = _blind(of_split)
        content = {"config": config.settings(), **counts.to_dict()}
        (scratch / COUNTS_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        rows = (
            (sample.id, _below(sample.path, dataset), sample.split, sample.label, reason, still_in)
            for sample, reason, still_in in left_out
        )
        (scratch / LEFT_OUT_FILE).write_text(csv_text([_LEFT_OUT, *rows]), encoding="utf-8")
    return counts


_LOOKED_AT = 3000
"""Faces of a split, taken evenly from all of it, of which is told what their place gives away."""

_TO_DECIDE = 300
"""Training faces that are looked at before anything is written."""

_TOO_FEW = 30
"""Faces of which it cannot be told."""


def _place_aligned(
    samples: Sequence[FaceSample], source: FaceSource, config: TargetConfig
) -> Placement | None:
    """How far faces are put from where they lie: nowhere, unless the training faces are aligned."""
    train = evenly([sample for sample in samples if sample.split == "train"], _TO_DECIDE)
    if len(train) < _TOO_FEW:
        return None
    found = _blind([evaluation_face(sample, source, config).target for sample in train])
    return Placement() if found is not None and found.grounding >= ALIGNED else None


def _blind(targets: Sequence[Target]) -> Blind | None:
    """What boxes earn that never looked; None with too few faces to tell."""
    if sum(bool(target.evidence) for target in targets) < _TOO_FEW:
        return None
    return blind_grounding(targets)


_LEFT_OUT = ("id", "image", "split", "label", "reason", "still_in")


def _below(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _require_rows(counts: PreparedCounts) -> None:
    for name, split in counts.splits.items():
        if not split.rows:
            reasons = "; ".join(f"{n}: {reason}" for reason, n in split.left_out.items())
            raise InputError(
                f"no {name} image is left of {split.images}"
                f"{f' ({reasons})' if reasons else ''}; every split needs at least one"
            )


def split_names(loaded: LoadedProtocol) -> dict[str, str]:
    """What the files of each split are called, for the splits that there are.

    The evaluated split is `test`, whatever the dataset calls it. A `val` split beside it is kept
    apart, for choosing a checkpoint; a `test` split beside an evaluated `val` is not written.
    """
    names = {"train": "train", "val": "val"} | {loaded.protocol.split: "test"}
    here = {sample.split for sample in loaded.samples} | {loaded.protocol.split}
    return {split: name for split, name in names.items() if split in here}


class SplitFiles:
    """RL and SFT rows of each split, and the evaluated split whole; use it with `with`."""

    def __init__(self, folder: Path, loaded: LoadedProtocol, config: PrepareConfig) -> None:
        protocol, annotation = loaded.protocol, config.annotation
        self._config, self._evaluated = config, protocol.split
        form = form_named(annotation.form)
        words = config.template or config.prompt
        labels = protocol.labels or EXPRESSIONS
        prompt = render_prompt(words, labels, annotation.space, annotation.top_k, form)
        self._row = partial(RLRow, config.data_source or protocol.dataset, prompt)
        self._files = ExitStack()
        names, settings = split_names(loaded), annotation.settings()
        enter, thinking = self._files.enter_context, config.enable_thinking
        template = config.template.record() if config.template else None
        about = {
            split: file_metadata(settings, None, config.placement_of(split), thinking, template)
            for split in names
        }
        self._rl = {
            split: enter(ParquetRows(folder / f"rl_{name}.parquet", RLRow, about[split]))
            for split, name in names.items()
        }
        self._sft = {
            split: enter(ParquetRows(folder / f"sft_{name}.parquet", SFTRow, about[split]))
            for split, name in names.items()
            if protocol.labels  # else there is no answer to learn
        }
        placed = config.placement_of(protocol.split)
        of_eval = file_metadata(settings, loaded, placed, thinking, template)
        self._eval = enter(ParquetRows(folder / EVAL_FILE, EvalRow, of_eval))

    def __enter__(self) -> SplitFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, traceback)

    def write(self, sample: FaceSample, result: Drawn | LeftOut) -> str:
        """Write what there is to write of one image.

        Returns:
            The file that an image without evidence is in all the same, if there is one.
        """
        is_evaluated = sample.split == self._evaluated
        if isinstance(result, LeftOut):
            if is_evaluated:
                self._eval.write(EvalRow(self._unseen(sample, self._eval), None, result.reason))
                return EVAL_FILE
            if not (self._config.keep_unseen and sample.split == "train"):
                return ""
            file = self._rl["train"]
            try:
                file.write(self._unseen(sample, file))
            except ImageError:  # which is why the detector failed on it, too
                return ""
            return file.path.name
        face, image = result
        rl = self._row(
            image=encode_image(image),
            target=face.target,
            split=sample.split,
            index=self._rl[sample.split].n_rows,
            id=sample.id,
        )
        self._rl[sample.split].write(rl)
        if sample.split in self._sft:
            self._sft[sample.split].write(sft_row(rl, face, self._config))
        if is_evaluated:
            self._eval.write(EvalRow(replace(rl, index=self._eval.n_rows), face.landmarks))
        return ""

    def _unseen(self, sample: FaceSample, file: RecordFile) -> RLRow:
        """The next row of a file for an image without evidence."""
        return self._row(
            image=encode_image(canvas_image(sample, self._config.annotation)),
            target=self._config.annotation.target(sample.label),
            split=sample.split,
            index=file.n_rows,
            id=sample.id,
        )


def sft_row(rl: RLRow, face: FaceTarget, config: PrepareConfig) -> SFTRow:
    """The row of SFT for the face of a row of RL."""
    # By id, so that a sample keeps its trace when others are added or left out.
    rng = np.random.default_rng([config.seed, crc32(rl.id.encode())])
    target = face.target
    seen = [AUBox(item.au, face.au_boxes[item.au]) for item in target.evidence]
    claims = imprecise(seen, face.au_boxes, target.box_space, config.imprecision, rng)
    return SFTRow(
        data_source=rl.data_source,
        prompt=rl.prompt,
        image=rl.image,
        trace=write_trace(
            target.label, claims, face.face_box, rng, style=config.prompt, form=target.form
        ),
        label=target.label,
        split=rl.split,
        index=rl.index,
        id=rl.id,
        box_jitter=config.imprecision.box_jitter,
        box_growth=config.imprecision.box_growth,
        au_error=config.imprecision.au_error,
    )


@dataclass(slots=True)
class PreparedSplit:
    """The counts of one split.

    Attributes:
        images: Labelled images.
        rows: Rows that were written, as many in RL as in SFT.
        labels: Rows by label.
        aus: Rows by AU of their target.
        without_au: Rows whose target has no AU; grounding abstains on them.
        unseen: Rows of RL beyond these, for images without evidence (`keep_unseen`).
        left_out: Images that became no row, by reason.
        boxes_outside: Active AUs left out because their box lies outside the image.
        blind: What boxes at the AUs' mean places earn on the faces with evidence, of up to 3,000
            images; None with fewer than 30.
    """

    images: int = 0
    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    aus: Counter[int] = field(default_factory=Counter)
    without_au: int = 0
    unseen: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    boxes_outside: int = 0
    blind: Blind | None = None

    def count(self, label: str, result: FaceTarget | LeftOut) -> None:
        """Count one labelled image."""
        self.images += 1
        if isinstance(result, LeftOut):
            self.left_out[result.reason] += 1
            return
        evidence = result.target.evidence
        self.rows += 1
        self.labels[label] += 1
        self.aus.update(item.au for item in evidence)
        self.without_au += not evidence
        self.boxes_outside += result.n_outside


@dataclass(slots=True)
class PreparedCounts:
    """What came in, what went out and what was left out.

    Attributes:
        protocol: Name of the protocol.
        splits: The counts of each split.
        mismatches: Where the counts differ from the published ones, one sentence each.
        dropped: Rows of the dataset that are no sample of the protocol, by split and reason.
        unlabelled: Images that the label file does not name; ignored.
        placed: How far faces were put from where they lie, for the splits where they were.
    """

    protocol: str
    splits: dict[str, PreparedSplit]
    mismatches: tuple[str, ...] = ()
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unlabelled: int = 0
    placed: Mapping[str, Placement] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values."""
        return {
            "protocol": self.protocol,
            "mismatches": list(self.mismatches),
            "dropped": {split: dict(sorted(n.items())) for split, n in self.dropped.items()},
            "unlabelled": self.unlabelled,
            **{
                split: {
                    "images": counts.images,
                    "rows": counts.rows,
                    "labels": dict(sorted(counts.labels.items())),
                    "aus": {f"AU{au}": n for au, n in sorted(counts.aus.items())},
                    "without_au": counts.without_au,
                    "unseen": counts.unseen,
                    "left_out": dict(sorted(counts.left_out.items())),
                    "boxes_outside": counts.boxes_outside,
                    **_blind_record(counts.blind),
                }
                for split, counts in self.splits.items()
            },
        }

    def sentences(self) -> Iterator[str]:
        """What was done about the place of faces, and where it says nothing."""
        for split, of in self.placed.items():
            yield (
                f"The faces of {split} were put elsewhere, so that place says nothing where nobody "
                f"looks: {of.text()}"
            )
        for split, counts in self.splits.items():
            if counts.blind is not None and counts.blind.grounding >= ALIGNED:
                yield (
                    f"The faces of {split} are aligned: boxes that never looked, at the mean place "
                    f"of their AU, earn a grounding of {counts.blind.grounding:.2f} there, so that "
                    "IoU does not tell who looks; skill and the slope of `generate --moved` do"
                )

    def to_table(self) -> Table:
        """The counts for the terminal, a column for each split."""
        from rich.table import Table

        table = Table(title="Prepared", title_justify="left")
        table.add_column("")
        for split in self.splits:
            table.add_column(split, justify="right")
        columns = list(self.splits.values())

        def add(name: str, values: list[int]) -> None:
            table.add_row(name, *(str(value) for value in values))

        add("images", [counts.images for counts in columns])
        add("rows written", [counts.rows for counts in columns])
        if any(counts.unseen for counts in columns):
            add("more in RL, without evidence", [counts.unseen for counts in columns])
        for reason in sorted({reason for counts in columns for reason in counts.left_out}):
            add(f"left out: {reason}", [counts.left_out[reason] for counts in columns])
        table.add_section()
        for label in sorted({label for counts in columns for label in counts.labels}):
            add(label, [counts.labels[label] for counts in columns])
        table.add_section()
        for au in sorted({au for counts in columns for au in counts.aus}):
            add(f"AU{au}", [counts.aus[au] for counts in columns])
        add("no active AU", [counts.without_au for counts in columns])
        if any(counts.boxes_outside for counts in columns):
            add("AU boxes outside the image", [counts.boxes_outside for counts in columns])
        blind = [counts.blind for counts in columns]
        if any(blind):
            table.add_section()
            of_all = (one and one.grounding for one in blind)
            table.add_row("grounding of mean boxes (blind)", *map(_two_digits, of_all))
            for au in sorted({au for one in blind if one for au in one.by_au}):
                of_au = (one and one.by_au.get(au) for one in blind)
                table.add_row(f"  at AU{au}", *map(_two_digits, of_au))
        dropped = self.dropped
        for reason in sorted({reason for rows in dropped.values() for reason in rows}):
            add(
                f"no sample: {reason}",
                [dropped.get(split, {}).get(reason, 0) for split in self.splits],
            )
        if self.unlabelled:
            table.caption = f"{self.unlabelled} images without a label were ignored"
        return table


def _two_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _blind_record(blind: Blind | None) -> dict[str, Any]:
    if blind is None:
        return {}
    by_au = {f"AU{au}": round(value, 4) for au, value in blind.by_au.items()}
    return {"blind": {"n": blind.n, "grounding": round(blind.grounding, 4), "by_au": by_au}}
