"""What a build is exported to: files to train on, files to study, and a card that tells of both.

Into OUT/traces: `sft_train.parquet` and `sft_test.parquet` for verl, each sample's first accepted
trace without the reasoning before it; `rejected.parquet`, every attempt that was not accepted, in
full; `README.md` and its pictures. All of
them appear together, or the folder stays as it was. The same ledger and images give the same bytes.

Rows go where their sample belongs: the dataset's training split to `sft_train`, its others to
`sft_test`, which verl only measures the loss on. A build of a training split alone has no others;
then a share of its samples, chosen by their names, is held out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tag_rewards.errors import InputError
from tag_rewards.files.text import printable
from tag_rewards.files.whole import staged
from tag_rewards.forms import form_named
from tag_rewards.prepare.rows import IMAGE_TAG, SFT_SCHEMA, RecordFile, SFTRow, file_metadata
from tag_rewards.prepare.texts import PromptTemplate, render_prompt
from tag_rewards.rewards import SCORE_KEYS
from tag_rewards.sft_data.conversations import VIDEO_TAG
from tag_rewards.target import Target
from tag_rewards.trace import read_trace, without_reasoning
from tag_rewards.traces.card import CARD_FILE, PICTURES, Card, Examples, Tally, share_of, write_card
from tag_rewards.traces.config import read_build_record, read_face
from tag_rewards.traces.ledger import LEDGER_FILE, read_ledger
from tag_rewards.traces.records import Judged, LeftOutSample

if TYPE_CHECKING:
    from tag_rewards.prepare.face_target import TargetConfig
    from tag_rewards.prepare.texts import PromptName
    from tag_rewards.traces.ledger import LedgerReader, Run
    from tag_rewards.traces.records import Attempt, TraceSample
    from tag_rewards.traces.verifier import Verdict

    History = list[tuple[Attempt, Verdict]]
    """All that was asked about a sample, by number."""

TRACES_FOLDER = "traces"
"""Its name in the folder of a build."""

EXAMPLES = 8
"""Faces on each contact sheet of the card."""

_SCORES = pa.struct([(name, pa.float64()) for name in SCORE_KEYS])

TRACE_SCHEMA = pa.schema(
    [*SFT_SCHEMA, ("attempt", pa.int64()), ("prompt_hash", pa.string()), ("scores", _SCORES)]
)
"""`SFT_SCHEMA`, and how the trace came about: attempt, hash of the writer's template, scores."""

REJECTED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("attempt", pa.int64()),
        ("reason", pa.string()),
        ("details", pa.string()),
        ("answer", pa.string()),
        ("accepted_later", pa.bool_()),
        ("text", pa.string()),
        ("error", pa.string()),
        ("scores", _SCORES),
        ("mode", pa.string()),
        ("prompt", pa.string()),
        ("prompt_hash", pa.string()),
        ("candidates", pa.list_(pa.string())),
        ("model", pa.string()),
        ("engine", pa.string()),
        ("seed", pa.int64()),
        ("temperature", pa.float64()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("seconds", pa.float64()),
        ("image_sha256", pa.string()),
    ]
)
"""One row an attempt that was not accepted, as it was asked and answered; for study."""


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What a build is exported as.

    Attributes:
        prompt: The user's message of every row, with `<image>` once: that of the training, not the
            one that the writer got.
        data_source: Name of the dataset.
        held_out: Share of the samples that goes to `sft_test` where the dataset's splits put none
            there; 0 to below 1.
        annotation: Canvas and box space of the traces, as the files to train on record them; None
            records nothing.
        template: What the prompt is written with, if it is one of yours; recorded too.
    """

    prompt: str
    data_source: str
    held_out: float = 0.05
    annotation: TargetConfig | None = None
    template: PromptTemplate | None = None

    def __post_init__(self) -> None:
        if self.prompt.count(IMAGE_TAG) != 1:
            raise InputError(f"the prompt has {IMAGE_TAG} not once: {self.prompt!r}")
        if not self.data_source:
            raise InputError("data_source is empty; name the dataset")
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out is {self.held_out}, not 0 to below 1")


def export(
    out: Path,
    prompt: PromptName | PromptTemplate = "tag",
    held_out: float = 0.05,
    *,
    on_start: Callable[[int], None] | None = None,
    on_sample: Callable[[], None] | None = None,
) -> Tally:
    """Write OUT/traces of a build, also while it runs.

    Args:
        out: Folder of the build.
        prompt: The user's message of every row, by its name, or a template of yours.
        held_out: As of `ExportConfig`.
        on_start: Called once with the number of samples.
        on_sample: Called after each sample.

    Returns:
        The counts that the card tells.

    Raises:
        InputError: There is no build, its dataset is gone, its ledger holds no sample, or
            `held_out` is out of range.
    """
    data = read_build_record(out)
    loaded, annotation = data.load(), data.annotation
    text = render_prompt(
        prompt,
        loaded.protocol.labels,
        annotation.space,
        annotation.top_k,
        form_named(annotation.form),
    )
    template = prompt if isinstance(prompt, PromptTemplate) else None
    config = ExportConfig(text, loaded.protocol.dataset, held_out, annotation, template)
    samples = {sample.id: sample for sample in loaded.samples}

    def image(known: TraceSample) -> bytes | LeftOutSample:
        if known.id not in samples:
            return LeftOutSample(known.id, "image_missing", "the dataset has it no more")
        face = read_face(samples[known.id], known, annotation)
        return face if isinstance(face, LeftOutSample) else face.image

    with read_ledger(out / LEDGER_FILE) as ledger:
        return export_ledger(out, ledger, image, config, on_start=on_start, on_sample=on_sample)


def export_ledger(
    out: Path,
    ledger: LedgerReader,
    image: Callable[[TraceSample], bytes | LeftOutSample],
    config: ExportConfig,
    *,
    on_start: Callable[[int], None] | None = None,
    on_sample: Callable[[], None] | None = None,
) -> Tally:
    """Write OUT/traces of a ledger. The verdicts are those of the verifier of the last run.

    Args:
        out: Folder of the build.
        ledger: Its ledger; it may be written to meanwhile.
        image: Gives the image of a sample as the model is to see it, encoded, or why it cannot be
            used any more. Asked for accepted traces, and for those on the card.
        config: What to make of it.
        on_start: As of `export`.
        on_sample: As of `export`.
    """
    splits = Counter(sample.split for sample in ledger.samples())
    run = ledger.last_run()
    if run is None or not splits:
        raise InputError(f"{ledger.path} has no sample; run `tag-rewards traces build` first")
    if on_start:
        on_start(splits.total())
    held_out = config.held_out if splits.keys() == {"train"} else None
    schema = TRACE_SCHEMA
    if config.annotation is not None:
        template = config.template.record() if config.template else None
        about = file_metadata(config.annotation.settings(), template=template)
        schema = schema.with_metadata(about)
    with staged(out / TRACES_FOLDER, CARD_FILE, replaces=PICTURES) as folder:
        with (
            RecordFile(folder / "sft_train.parquet", schema) as train,
            RecordFile(folder / "sft_test.parquet", schema) as test,
            RecordFile(folder / "rejected.parquet", REJECTED_SCHEMA) as rejected,
        ):
            left_out = {item.id: item for item in ledger.left_out()}
            files = {"train": train, "test": test, "rejected": rejected}
            exported = _Export(config, image, held_out, files, left_out)
            exported.tally.left_out.update(
                (item.reason, item.details) for item in left_out.values()
            )
            for sample, history in _by_sample(ledger, run.verifier):
                exported.add(sample, history)
                if on_sample:
                    on_sample()
        settled = exported.asked + len(left_out)
        exported.tally.waiting = max(0, run.about["samples"] - settled)
        write_card(folder, exported.card(run))
    return exported.tally


@dataclass(slots=True)
class _Export:
    """The files that are being written, and what is known of them so far."""

    config: ExportConfig
    image: Callable[[TraceSample], bytes | LeftOutSample]
    held_out: float | None
    files: dict[str, RecordFile]
    left_out: dict[str, LeftOutSample]
    tally: Tally = field(default_factory=Tally)
    accepted: Examples = field(default_factory=lambda: Examples(EXAMPLES))
    rejected: Examples = field(default_factory=lambda: Examples(EXAMPLES))
    asked: int = 0  # samples that were asked about, and are not left out by now

    def add(self, sample: TraceSample, history: History) -> None:
        """Write a sample's rows, and count them."""
        target = Target.from_json(sample.target)
        form = form_named(target.form)
        if history:
            self.tally.count_attempts(target, history)
            self.asked += sample.id not in self.left_out
        kept = next(
            (
                (attempt, verdict, trace)
                for attempt, verdict in history
                if verdict.accepted
                and _is_trainable(trace := without_reasoning(attempt.text, form))
            ),
            None,
        )
        for attempt, verdict in history:
            if not verdict.accepted:
                later = kept is not None and attempt.number < kept[0].number
                judged = Judged(sample, attempt, verdict)
                self.files["rejected"].write(_rejected_row(judged, target.label, later))
                if read_trace(target, attempt.text).claims:  # to be seen
                    self.rejected.add(verdict.reason, judged)
        if kept is not None:
            attempt, verdict, trace = kept
            self._keep(Judged(sample, attempt, verdict), trace, target)
        elif any(verdict.accepted for _, verdict in history):
            self.tally.lost["placeholder or half a character in the text"] += 1

    def _keep(self, judged: Judged, trace: str, target: Target) -> None:
        sample, attempt, verdict = judged
        image = self.left_out.get(sample.id) or self.image(sample)
        if isinstance(image, LeftOutSample):
            self.tally.lost[image.reason] += 1
            return
        train = sample.split == "train"
        if self.held_out is not None:
            train = share_of(sample.id) >= self.held_out
        split = "train" if train else "test"
        file = self.files[split]
        row = SFTRow(
            data_source=self.config.data_source,
            prompt=self.config.prompt,
            image=image,
            trace=trace,
            label=target.label,
            split=split,
            index=file.n_rows,
            id=printable(sample.id),
            trace_source=f"{attempt.mode}:{attempt.model}",
        )
        file.write(
            {
                **row.to_record(),
                "attempt": attempt.number,
                "prompt_hash": attempt.prompt_hash,
                "scores": dict(verdict.scores),
            }
        )
        self.tally.count_accepted(target, attempt, split)
        self.accepted.add(target.label, judged)

    def card(self, run: Run) -> Card:
        """What is told of all this, with the images that are still there."""
        accepted, rejected = self.accepted.chosen(), self.rejected.chosen()
        pictured = {
            sample.id: image
            for sample, *_ in (*accepted, *rejected)
            if isinstance(image := self.image(sample), bytes)
        }
        return Card(
            tally=self.tally,
            accepted=[item for item in accepted if item.sample.id in pictured],
            rejected=[item for item in rejected if item.sample.id in pictured],
            images=pictured,
            data_source=self.config.data_source,
            prompt=self.config.prompt,
            held_out=self.held_out,
            verifier=run.verifier,
            criteria=json.loads(run.config),
        )


def _rejected_row(judged: Judged, label: str, accepted_later: bool) -> dict[str, Any]:
    """A row of `REJECTED_SCHEMA`."""
    sample, attempt, verdict = judged
    values = {
        **{name: getattr(attempt, name, None) for name in REJECTED_SCHEMA.names},
        **{name: getattr(verdict, name) for name in ("reason", "details", "answer")},
        "id": sample.id,
        "label": label,
        "split": sample.split,
        "attempt": attempt.number,
        "accepted_later": accepted_later,
        "scores": dict(verdict.scores) or None,
        "candidates": [*attempt.candidates],
    }
    return {
        name: printable(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


def _by_sample(ledger: LedgerReader, verifier: str) -> Iterator[tuple[TraceSample, History]]:
    """Every sample with its attempts: two streams in the order of names, joined."""
    groups = groupby(ledger.judged(verifier), key=lambda row: row[0].sample)
    name, rows = next(groups, (None, iter(())))
    for sample in ledger.samples():
        if sample.id == name:
            yield sample, list(rows)
            name, rows = next(groups, (None, iter(())))
        else:
            yield sample, []


def _is_trainable(text: str) -> bool:
    """Whether verl could read it: it replaces its tags wherever they stand."""
    return IMAGE_TAG not in text and VIDEO_TAG not in text and printable(text) == text
