"""The report of a GRPO run: curves, overlays, and a summary with intervals and baselines.

The text of `summary.md`: Markdown sections from values, no files read or written.

A model before and after training on the same faces, and the baselines beside it, in numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
import numpy as np
from tag_rewards.prepare.rows import read_rl_parquet
from tag_rewards.runs import summary
from tag_rewards.runs.template_baselines import (baseline_completions, fit_template)

from tag_rewards.runs.curves import draw_curves
from tag_rewards.pictures.sheet import (Face, choose_faces, draw_overlays)
from tag_rewards.runs.folder import (align, read_generations, read_metrics, read_settings, read_timings, validation_files, write_metrics)
from tag_rewards.errors import InputError
from typing import TYPE_CHECKING

from tag_rewards.evaluation.figures import (Interval, difference_interval, mean_interval)
from tag_rewards.rewards import score_batch

if TYPE_CHECKING:
    from pathlib import (Path)
    from matplotlib.figure import (Figure)
    from tag_rewards.target import (Target)
    from collections.abc import (Mapping, Sequence)
    from tag_rewards.runs.folder import (StageTime)


#: What is compared, and whether faces without any AU count: on them grounding abstains.
MEASURES: Mapping[str, bool] = {
    "grounding": False,
    "accuracy": True,
    "format": True,
    "mean_iou": False,
    "au_f1": False,
}


class Comparison(NamedTuple):
    """One measure before and after training; `difference` is that of the paired samples."""

    before: Interval
    after: Interval
    difference: Interval


def measure(texts: Sequence[str], targets: Sequence[Target]) -> dict[str, list[float]]:
    """The values of each of `MEASURES` on the faces that count for it, with the default reward.

    Args:
        texts: completions.
        targets: their targets.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> from tag_rewards.target import Target
        >>> nothing_seen = Target("neutral", (), BoxSpace.pixels(512, 512))
        >>> values = measure(["<answer> neutral </answer>"], [nothing_seen])
        >>> values["accuracy"], values["grounding"]
        ([1.0], [])
    """
    scores = score_batch(texts, targets)
    return {
        name: [one[name] for one in scores if over_all or not one["abstained"]]
        for name, over_all in MEASURES.items()
    }


def compare(
    before: Sequence[str], after: Sequence[str], targets: Sequence[Target]
) -> dict[str, Comparison]:
    """Each of `MEASURES` before and after training, with 95 % bootstrap intervals.

    Args:
        before: completions before training.
        after: completions for the same faces after it.
        targets: their targets, at least one of them with an AU.
    """
    first, second = measure(before, targets), measure(after, targets)
    return {
        name: Comparison(
            mean_interval(first[name]),
            mean_interval(second[name]),
            difference_interval(first[name], second[name]),
        )
        for name in MEASURES
    }


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
        out: the run's folder, see `tag_rewards.runs.folder`.
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
        raise InputError(
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
        raise InputError(
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


_NAMES = {
    "grounding": "grounding reward",
    "accuracy": "accuracy reward",
    "format": "format reward",
    "mean_iou": "mean IoU",
    "au_f1": "AU F1",
}


def comparison_section(
    comparison: Mapping[str, Comparison],
    steps: tuple[int, int],
    n_faces: int,
    n_with_aus: int,
    n_left_out: int,
) -> str:
    """Before and after, with intervals, and in words whether the difference is clear of zero."""
    rows = [
        (
            _NAMES[name],
            _interval(one.before),
            _interval(one.after),
            _interval(one.difference, sign="+"),
            _verdict(one.difference),
        )
        for name, one in comparison.items()
    ]
    head = ("", f"before (step {steps[0]})", f"after (step {steps[1]})", "difference", "")
    text = (
        f"## Held-out faces, before and after\n\n{_table(head, rows)}\n\n"
        f"{n_faces} held-out faces, {n_with_aus} of them with AUs: grounding, mean IoU and AU F1 "
        "are means over those. In brackets the 95 % bootstrap interval; that of the difference is "
        "of the paired samples. All figures are from 0 to 1, and scored with the default options "
        "of the reward, whatever the run was trained with."
    )
    if n_left_out:
        text += f" {n_left_out} held-out faces have no completion in both steps and are left out."
    return text


def baseline_section(means: Mapping[str, Mapping[str, float]]) -> str:
    """The mean of each measure for the model and for each baseline."""
    rows = [(who, *(f"{values[name]:.3f}" for name in MEASURES)) for who, values in means.items()]
    head = ("", *(_NAMES[name] for name in MEASURES))
    return (
        f"## Beside baselines that do not look at the face\n\n{_table(head, rows)}\n\n"
        "Templates and mean boxes are from the training faces. What a baseline is told (the true "
        "label, the true AUs) it cannot fail on; look at its grounding and its IoU."
    )


def time_section(times: Sequence[StageTime]) -> str:
    """How long each stage took; "" if that is not known."""
    if not times:
        return ""
    rows = [(time.stage, _duration(time.seconds)) for time in times]
    rows.append(("all", _duration(sum(time.seconds for time in times))))
    return f"## Times\n\n{_table(('stage', 'time'), rows)}"


def settings_section(settings: Mapping[str, str]) -> str:
    """The settings of the run; "" if they are not known."""
    if not settings:
        return ""
    rows = [(f"`{name}`", f"`{value}`") for name, value in settings.items()]
    return f"## Settings\n\n{_table(('setting', 'value'), rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells))


def _interval(interval: Interval, sign: str = "") -> str:
    mean, low, high = interval
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _verdict(difference: Interval) -> str:
    if difference.low > 0:
        return "better"
    if difference.high < 0:
        return "worse"
    return "no clear change"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
