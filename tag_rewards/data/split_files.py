"""The parquet files of a protocol, written together, face by face."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from tag_rewards.data.annotate import LeftOut, canvas_image
from tag_rewards.data.canvas import encode_image
from tag_rewards.data.evaluation_set import file_metadata
from tag_rewards.data.parquet import ParquetRows
from tag_rewards.data.prompts import render_prompt
from tag_rewards.data.rows import EvalRow, RLRow, SFTRow
from tag_rewards.data.sft_text import AUBox, imprecise, write_trace
from tag_rewards.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from tag_rewards.data.annotate import Annotation
    from tag_rewards.data.datasets.sample import FaceSample
    from tag_rewards.data.prepare import PrepareConfig
    from tag_rewards.data.protocols import LoadedProtocol

EVAL_FILE = "eval.parquet"


def split_names(loaded: LoadedProtocol) -> dict[str, str]:
    """What the files of each split are called, for the splits that there are.

    The evaluated split is `test`, whatever the dataset calls it. A `val` split beside it is kept
    apart, for choosing a checkpoint; a `test` split beside an evaluated `val` is not written.
    """
    names = {"train": "train", "val": "val"} | {loaded.protocol.split: "test"}
    here = {sample.split for sample in loaded.samples} | {loaded.protocol.split}
    return {split: name for split, name in names.items() if split in here}


def parquet_files(names: Iterable[str]) -> tuple[str, ...]:
    """The files for splits of these names, and that of the evaluation."""
    rows = [f"{kind}_{name}.parquet" for kind in ("rl", "sft") for name in names]
    return (*rows, EVAL_FILE)


class SplitFiles:
    """RL and SFT rows of each split, and the evaluated split whole; use it with `with`.

    Args:
        folder: Where the files go.
        loaded: The protocol's data.
        config: What to make.
    """

    def __init__(self, folder: Path, loaded: LoadedProtocol, config: PrepareConfig) -> None:
        protocol, annotation = loaded.protocol, config.annotation
        self._config, self._evaluated = config, protocol.split
        prompt = render_prompt(config.prompt, protocol.labels, annotation.space, annotation.top_k)
        self._row = partial(RLRow, config.data_source or protocol.dataset, prompt)
        self._files = ExitStack()
        names = split_names(loaded)
        self._rl = {
            split: self._files.enter_context(ParquetRows(folder / f"rl_{name}.parquet", RLRow))
            for split, name in names.items()
        }
        self._sft = {
            split: self._files.enter_context(ParquetRows(folder / f"sft_{name}.parquet", SFTRow))
            for split, name in names.items()
        }
        self._eval = self._files.enter_context(
            ParquetRows(folder / EVAL_FILE, EvalRow, file_metadata(loaded, asdict(annotation)))
        )

    def __enter__(self) -> SplitFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, traceback)

    def write(self, sample: FaceSample, result: Annotation | LeftOut) -> None:
        """Write what there is to write of one image.

        Raises:
            ImageError: The image of a face that is left out cannot be read.
            OSError: It cannot be opened, or a file cannot be written.
        """
        is_evaluated = sample.split == self._evaluated
        if isinstance(result, LeftOut):
            if is_evaluated:
                self._eval.write(self._left_out(sample, result))
            return
        rl = self._row(
            image=encode_image(result.image),
            target=result.target,
            split=sample.split,
            index=self._rl[sample.split].n_rows,
            id=sample.id,
        )
        self._rl[sample.split].write(rl)
        self._sft[sample.split].write(sft_row(rl, result, self._config))
        if is_evaluated:
            self._eval.write(EvalRow(replace(rl, index=self._eval.n_rows), result.landmarks))

    def _left_out(self, sample: FaceSample, result: LeftOut) -> EvalRow:
        rl = self._row(
            image=encode_image(canvas_image(sample, self._config.annotation)),
            target=Target(sample.label, (), self._config.annotation.space),
            split=sample.split,
            index=self._eval.n_rows,
            id=sample.id,
        )
        return EvalRow(rl, None, result.reason)


def sft_row(rl: RLRow, annotation: Annotation, config: PrepareConfig) -> SFTRow:
    """The row of SFT for the face of a row of RL."""
    # By id, so that a sample keeps its trace when others are added or left out.
    rng = np.random.default_rng([config.seed, crc32(rl.id.encode())])
    target = annotation.target
    seen = [AUBox(item.au, annotation.au_boxes[item.au]) for item in target.evidence]
    claims = imprecise(seen, annotation.au_boxes, target.box_space, config.imprecision, rng)
    return SFTRow(
        data_source=rl.data_source,
        prompt=rl.prompt,
        image=rl.image,
        trace=write_trace(target.label, claims, annotation.face_box, rng, style=config.prompt),
        label=target.label,
        split=rl.split,
        index=rl.index,
        id=rl.id,
        box_jitter=config.imprecision.box_jitter,
        box_growth=config.imprecision.box_growth,
        au_error=config.imprecision.au_error,
    )
