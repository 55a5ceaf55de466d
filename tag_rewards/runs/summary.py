"""The summary of a GRPO run: the model before and after training on the same held-out faces.

`summary.md` has the figures of both, their difference and baselines beside them; `curves.png` the
reward components over the steps; `overlays.png` some of the faces with the detector's boxes and the
model's; `metrics.jsonl` what was logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.compare import (
    HOW_TESTED,
    Difference,
    mcnemar,
    p_text,
    swap_test,
    with_p_values,
)
from tag_rewards.evaluation.faithfulness import blind_iou
from tag_rewards.evaluation.measures import MEASURES, difference_figure, mean_figure, ratios
from tag_rewards.evaluation.results import read_results
from tag_rewards.facs import canonical_expression
from tag_rewards.files.images import decode_image
from tag_rewards.files.text import markdown_table, printable
from tag_rewards.files.whole import staged
from tag_rewards.pictures.marks import trace_marks
from tag_rewards.pictures.sheet import FacePicture, draw_faces, whole_image
from tag_rewards.prepare.rows import read_rl_parquet
from tag_rewards.rewards import score, score_batch
from tag_rewards.runs.baselines import baseline_completions, fit_template
from tag_rewards.runs.curves import (
    COMPONENTS,
    OVER_FACES_WITH_AUS,
    SpeedRow,
    draw_curves,
    speed_rows,
)
from tag_rewards.runs.folder import (
    align,
    read_generations,
    read_metrics,
    read_settings,
    read_timings,
    validation_files,
    write_metrics,
)
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from tag_rewards.target import Target

#: The components that are compared; the score as a whole depends on the weights.
COMPARED = tuple(name for name in COMPONENTS if name != "score")


class SummaryPaths(NamedTuple):
    """The files that make up a summary."""

    summary: Path
    curves: Path
    overlays: Path
    metrics: Path


class Face(NamedTuple):
    """A held-out face and what the model wrote about it."""

    id: str
    image: bytes
    target: Target
    before: str
    after: str


class HeldOut(NamedTuple):
    """The held-out faces that have a completion before and after training."""

    faces: list[Face]
    steps: tuple[int, int]
    n_left_out: int

    @property
    def n_with_aus(self) -> int:
        """Faces on which the detector saw an AU."""
        return sum(bool(face.target.evidence) for face in self.faces)


def write_summary(run: Path, data: Path) -> SummaryPaths:
    """Write `summary.md`, `curves.png`, `overlays.png` and `metrics.jsonl` into a run's folder.

    "Before" is the validation of the smallest step, "after" that of the largest. Completions are
    scored again, with the default `RewardConfig`, so that the figures do not depend on what was
    logged. Nothing is written when the input is refused.

    Args:
        run: The run's folder, see `tag_rewards.runs.folder`.
        data: The folder of the run's `rl_train.parquet` and `rl_test.parquet`.

    Raises:
        InputError: A file is missing or malformed, or the run was validated on other data; the
            message names file, line or row, and field.
        NotWrittenError: The run's folder cannot be written.
    """
    metrics = read_metrics(run)
    held_out = read_held_out(run / "validation", data / "rl_test.parquet")
    training = [row.target for row in read_rl_parquet(data / "rl_train.parquet")]

    text = _summary(held_out, training, run, data, speed_rows(metrics))
    curves = draw_curves(metrics)
    overlays = draw_overlays(choose_faces(held_out.faces), held_out.steps)

    names = ("summary.md", "curves.png", "overlays.png", "metrics.jsonl")
    with staged(run, last="summary.md") as scratch:
        new = SummaryPaths(*(scratch / name for name in names))
        new.summary.write_text(printable(text), encoding="utf-8")
        curves.savefig(new.curves, dpi=110, metadata={"Software": None})
        overlays.savefig(new.overlays, metadata={"Software": None})
        write_metrics(scratch, metrics)
    return SummaryPaths(*(run / name for name in names))


def read_held_out(validation: Path, parquet: Path) -> HeldOut:
    """The held-out faces with the completions of the first and the last validation."""
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
    held_out = HeldOut(faces, (first, last), n_left_out=len(rows) - len(faces))
    if not held_out.n_with_aus:
        raise InputError(
            f"{parquet}: no face with an AU has completions in {files[first]} and {files[last]}"
        )
    return held_out


# --- pictures ----------------------------------------------------------------------------------


def choose_faces(faces: Sequence[Face], count: int = 12) -> list[Face]:
    """Faces that have AUs, spread evenly over the list, so that nobody picks the good ones.

    Faces whose target occurs twice are passed over: their completions cannot be told apart.
    """
    times = Counter(face.target for face in faces)
    usable = [face for face in faces if face.target.evidence and times[face.target] == 1]
    where = np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int)
    return [usable[index] for index in where]


def draw_overlays(faces: Sequence[Face], steps: tuple[int, int]) -> Drawing:
    """Each face twice, with the detector's boxes and the model's before and after training."""
    if not faces:
        raise InputError("there is no face to draw: none has AUs and a target of its own")
    pictures = []
    for face in faces:
        image = decode_image(face.image, f"the image of face {face.id!r}")
        for step, text in zip(steps, (face.before, face.after), strict=True):
            title = f"{face.id}: {face.target.label}, step {step}"
            marks = trace_marks(image, face.target, text)
            note = _verdict(text, face.target)
            pictures.append(FacePicture(title, note, image, marks, whole_image(image)))
    return draw_faces(pictures, 2 * min(2, len(faces)))


def _verdict(text: str, target: Target) -> str:
    """What the model answered, and what its boxes earned."""
    answer = read_trace(target, text).answer
    label = canonical_expression(answer) if answer is not None else None
    scores = score(text, target)
    right = "✓" if scores["accuracy"] == 1 else "✗"
    return f"{label or 'no answer'} {right}  grounding {scores['grounding']:.2f}"


# --- figures -----------------------------------------------------------------------------------


def measure(texts: Sequence[str], targets: Sequence[Target]) -> dict[str, list[float]]:
    """The values of each of `COMPARED` on the faces that count for it, with the default reward.

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
        name: [
            one[name] for one in scores if name not in OVER_FACES_WITH_AUS or not one["abstained"]
        ]
        for name in COMPARED
    }


def compare(
    before: Sequence[str], after: Sequence[str], targets: Sequence[Target]
) -> tuple[Difference, ...]:
    """Each of `COMPARED` before and after training, with 95 % intervals and verdicts.

    Args:
        before: Completions before training.
        after: Completions for the same faces after it.
        targets: Their targets, at least one of them with an AU.
    """
    first, second = measure(before, targets), measure(after, targets)
    differences = [
        Difference(
            name,
            mean_figure(first[name]),
            mean_figure(second[name]),
            difference_figure(first[name], second[name]),
        )
        for name in COMPARED
    ]
    return with_p_values(
        differences, {name: _p_value(name, first[name], second[name]) for name in COMPARED}
    )


def _p_value(name: str, before: Sequence[float], after: Sequence[float]) -> float:
    if name == "accuracy":
        return mcnemar([value == 1 for value in before], [value == 1 for value in after]).p
    first, second = (np.array(values)[:, np.newaxis] for values in (before, after))
    return float(swap_test(first, second, lambda sums: sums / len(before))[0])


# --- summary.md --------------------------------------------------------------------------------


def _summary(
    held_out: HeldOut, training: Sequence[Target], run: Path, data: Path, speed: Sequence[SpeedRow]
) -> str:
    targets = [face.target for face in held_out.faces]
    before = [face.before for face in held_out.faces]
    after = [face.after for face in held_out.faces]
    completions = {
        f"the model, step {held_out.steps[0]}": before,
        f"the model, step {held_out.steps[1]}": after,
        **baseline_completions(fit_template(training), targets),
    }
    values = {who: measure(texts, targets) for who, texts in completions.items()}
    with_aus = [target for target in targets if target.evidence]
    sections = [
        "# Summary of the run",
        comparison_section(compare(before, after, targets), held_out),
        baseline_section(values, blind_iou(with_aus).tolist()),
        slope_section(run / "eval"),
        "## Pictures\n\n![Reward components over the steps](curves.png)\n\n"
        "![Boxes on held-out faces before and after](overlays.png)",
        time_section(read_timings(run / "timings.jsonl")),
        speed_section(speed),
        settings_section(read_settings(run / "settings.txt")),
        f"## Where everything lies\n\n- data: `{data}`\n- run: `{run}`\n"
        + "\n".join(f"  - `{entry.name}`" for entry in sorted(run.iterdir())),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def comparison_section(differences: Sequence[Difference], held_out: HeldOut) -> str:
    """Before and after, with intervals, p-values and verdicts."""
    (first, last), n_left_out = held_out.steps, held_out.n_left_out
    steps = (f"before (step {first})", f"after (step {last})")
    head = ("", *steps, "difference", "p", "adjusted p", "")
    rows = [
        (
            COMPONENTS[one.name],
            one.first.text(),
            one.second.text(),
            one.change.text("+"),
            p_text(one.p),
            p_text(one.adjusted_p),
            one.verdict,
        )
        for one in differences
    ]
    text = (
        f"## Held-out faces, before and after\n\n{markdown_table(head, rows)}\n\n"
        f"{len(held_out.faces)} held-out faces, {held_out.n_with_aus} of them with AUs: grounding, "
        "mean IoU and AU F1 are means over those. In brackets the 95 % interval; that of the "
        f"difference is of the paired faces. {HOW_TESTED} All figures are from 0 to 1, and scored "
        "with the default options of the reward, whatever the run was trained with."
    )
    if n_left_out:
        text += f" {n_left_out} held-out faces have no completion in both steps and are left out."
    return text


def skill(ious: Sequence[float], blind: Sequence[float]) -> float:
    """What boxes are worth beyond those that never looked, as `MEASURES["skill"]`.

    Example:
        >>> skill([0.9, 0.7], [0.6, 0.6]), skill([0.6, 0.6], [0.6, 0.6])
        (0.5, 0.0)
    """
    gained, room = np.subtract(ious, blind).sum(), np.subtract(1.0, blind).sum()
    return round(float(ratios(gained, room, signed=True)), 12)


def baseline_section(
    values: Mapping[str, Mapping[str, Sequence[float]]], blind: Sequence[float]
) -> str:
    """The mean of each component for the model and each baseline, and the skill of its boxes."""
    rows = [
        (
            *(who, *(f"{np.mean(of[name]):.3f}" for name in COMPARED)),
            f"{skill(of['mean_iou'], blind):.3f}",
        )
        for who, of in values.items()
    ]
    head = ("", *(COMPONENTS[name] for name in COMPARED), MEASURES["skill"].words)
    return (
        f"## Beside baselines that do not look at the face\n\n{markdown_table(head, rows)}\n\n"
        "Templates and mean boxes are from the training faces. What a baseline is told (the true "
        "label, the true AUs) it cannot fail on; look at its grounding and its IoU. Skill is 0 for "
        "boxes at the AUs' mean places over the other held-out faces, and 1 for perfect ones."
    )


def slope_section(results: Path) -> str:
    """How far the boxes of the evaluated models follow a moved picture; "" if nobody was asked.

    Args:
        results: A folder with a folder of results for each model, as run_tag_eval.sh leaves it.
    """
    found = {
        path.parent.name: read_results(path.parent).moved.get("slope")
        for path in sorted(results.glob("*/results.json"))
    }
    rows = [(model, slope.text()) for model, slope in found.items() if slope]
    if not rows:
        return ""
    table = markdown_table(("model", "displacement slope"), rows)
    return (
        f"## Do the boxes follow the picture?\n\n{table}\n\n1: they follow a picture that is moved "
        "on its canvas; 0: they stay. As it was evaluated."
    )


def time_section(times: Sequence[tuple[str, float]]) -> str:
    """How long each stage took; "" if that is not known."""
    if not times:
        return ""
    rows = [(stage, _minutes(seconds)) for stage, seconds in times]
    rows.append(("all", _minutes(sum(seconds for _, seconds in times))))
    return f"## Times\n\n{markdown_table(('stage', 'time'), rows)}"


def speed_section(rows: Sequence[SpeedRow]) -> str:
    """Seconds by phase, tokens a second, MFU and peak memory; "" if none of it was logged."""
    if not rows:
        return ""
    cells = [
        (what, *("" if value is None else f"{value:,.2f}" for value in values))
        for what, *values in rows
    ]
    return (
        f"## Speed of GRPO\n\n{markdown_table(('', 'a step', 'in all'), cells)}\n\n"
        "In seconds where nothing else is said; of a step the median, of memory the peak. As verl "
        "logged it, which says 0 for what it cannot measure, and that is left out."
    )


def settings_section(settings: Mapping[str, str]) -> str:
    """The settings of the run; "" if they are not known."""
    if not settings:
        return ""
    rows = [(f"`{name}`", f"`{value}`") for name, value in settings.items()]
    return f"## Settings\n\n{markdown_table(('setting', 'value'), rows)}"


def _minutes(seconds: float) -> str:
    """A time in minutes, as times are added up and compared here."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
