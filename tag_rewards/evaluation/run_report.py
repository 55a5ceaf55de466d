"""The report of a GRPO run: curves, overlays, and a summary with intervals and baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.data.parquet import read_rl_parquet
from tag_rewards.evaluation import summary
from tag_rewards.evaluation.baselines import baseline_completions, fit_template
from tag_rewards.evaluation.comparison import compare, measure
from tag_rewards.evaluation.curves import draw_curves
from tag_rewards.evaluation.overlays import Face, choose_faces, draw_overlays
from tag_rewards.evaluation.run_folder import (
    RunFolderError,
    align,
    read_generations,
    read_metrics,
    read_settings,
    read_timings,
    validation_files,
    write_metrics,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from tag_rewards.target import Target

class ReportPaths(NamedTuple):
    """The files that make up a report."""

    summary: Path
    curves: Path
    overlays: Path
    metrics: Path


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """The held-out faces that have a completion before and after training.

    Attributes:
        faces: the faces.
        steps: the steps of before and after.
        n_left_out: faces without a completion in one of them.
    """

    faces: list[Face]
    steps: tuple[int, int]
    n_left_out: int


def write_report(out: Path, data: Path) -> ReportPaths:
    """Write `summary.md`, `curves.png`, `overlays.png` and `metrics.jsonl` into a run's folder.

    "Before" is the validation of the smallest step, "after" that of the largest. Completions are
    scored again, with the default `RewardConfig`, so that the figures do not depend on what was
    logged. Nothing is written when the input is refused.

    Args:
        out: the run's folder, see `tag_rewards.evaluation.run_folder`.
        data: the folder of the run's `rl_train.parquet` and `rl_test.parquet`.

    Raises:
        InputError: a file is missing or malformed, or the run was validated on other data; the
            message names file, line or row, and field.
        OSError: a file cannot be read or written.
    """
    metrics = read_metrics(out)
    held_out = _read_held_out(out / "validation", data / "rl_test.parquet")
    training = [row.target for row in read_rl_parquet(data / "rl_train.parquet")]

    text = _summary(held_out, training, out, data)
    curves = draw_curves(metrics)
    overlays = draw_overlays(choose_faces(held_out.faces), held_out.steps)

    paths = ReportPaths(
        summary=out / "summary.md",
        curves=out / "curves.png",
        overlays=out / "overlays.png",
        metrics=write_metrics(out, metrics),
    )
    _save(curves, paths.curves)
    _save(overlays, paths.overlays)
    paths.summary.write_text(text, encoding="utf-8")
    return paths


def _read_held_out(validation: Path, parquet: Path) -> _HeldOut:
    files = validation_files(validation)
    first, last = min(files), max(files)
    if first == last:
        raise RunFolderError(
            f"{validation} has one step only, {first}; before and after need two "
            "(trainer.val_before_train=True)"
        )
    rows = list(read_rl_parquet(parquet))
    targets = [row.target for row in rows]
    before, after = (
        align(targets, read_generations(files[step]), files[step]) for step in (first, last)
    )
    faces = [
        Face(row.id, row.image, row.target, old, new)
        for row, old, new in zip(rows, before, after, strict=True)
        if old is not None and new is not None
    ]
    if not any(face.target.evidence for face in faces):
        raise RunFolderError(
            f"{parquet}: no face with an AU has completions in {files[first]} and {files[last]}"
        )
    return _HeldOut(faces, (first, last), n_left_out=len(rows) - len(faces))


def _summary(held_out: _HeldOut, training: list[Target], out: Path, data: Path) -> str:
    targets = [face.target for face in held_out.faces]
    before, after = (list(texts) for texts in zip(*(f[3:5] for f in held_out.faces), strict=True))
    completions = {
        f"the model, step {held_out.steps[0]}": before,
        f"the model, step {held_out.steps[1]}": after,
        **baseline_completions(fit_template(training), targets),
    }
    means = {
        who: {name: float(np.mean(values)) for name, values in measure(texts, targets).items()}
        for who, texts in completions.items()
    }
    sections = [
        "# Summary of the run",
        summary.comparison_section(
            compare(before, after, targets),
            held_out.steps,
            n_faces=len(targets),
            n_with_aus=sum(bool(target.evidence) for target in targets),
            n_left_out=held_out.n_left_out,
        ),
        summary.baseline_section(means),
        "## Pictures\n\n![Reward components over the steps](curves.png)\n\n"
        "![Boxes on held-out faces before and after](overlays.png)",
        summary.time_section(read_timings(out / "timings.jsonl")),
        summary.settings_section(read_settings(out / "settings.txt")),
        f"## Where everything lies\n\n- data: `{data}`\n- run: `{out}`\n"
        + "\n".join(f"  - `{entry.name}`" for entry in sorted(out.iterdir())),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
