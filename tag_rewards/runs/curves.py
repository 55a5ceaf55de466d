"""What a run logged at each step: its rewards as curves, its speed and memory as a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from tag_rewards.colours import OKABE_ITO
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tag_rewards.runs.folder import StepMetrics


#: What is drawn, and what it is called where people read it.
COMPONENTS = {
    "score": "score (weighted sum)",
    "grounding": "grounding reward",
    "accuracy": "accuracy reward",
    "format": "format reward",
    "mean_iou": "mean IoU",
    "au_f1": "AU F1",
}
#: Those that are means over the faces that have AUs: on the others grounding abstains.
OVER_FACES_WITH_AUS = frozenset({"grounding", "mean_iou", "au_f1"})

_TRAINING, _VALIDATION = OKABE_ITO[:2]


class Series(NamedTuple):
    """A curve: steps and values of the same length."""

    steps: list[int]
    values: list[float]


class Curve(NamedTuple):
    """A reward component over the steps, of the rollouts and of the held-out faces."""

    training: Series
    validation: Series


def training_series(metrics: Sequence[StepMetrics], component: str) -> Series:
    """Mean of a component over the rollouts of each step, from `reward/<component>/mean`."""
    return _series(metrics, component, re.compile(r"reward/(?P<key>\w+)/mean"))


def validation_series(metrics: Sequence[StepMetrics], component: str) -> Series:
    """Mean of a component over the held-out faces, from verl's `val-*/<source>/<component>/mean@N`.

    Where there are several data sources, the mean of their means.
    """
    pattern = re.compile(r"val-(?:core|aux)/.+/(?P<key>\w+)/mean@\d+")
    return _series(metrics, component, pattern)


def _series(metrics: Sequence[StepMetrics], component: str, pattern: re.Pattern[str]) -> Series:
    series = Series([], [])
    for step, data in metrics:
        found: dict[str, list[float]] = {"abstained": [], component: []}
        for name, value in data.items():
            match = pattern.fullmatch(name)
            if match and match["key"] in found:
                found[match["key"]].append(value)
        if not found[component]:
            continue
        value, abstained = _mean(found[component]), _mean(found["abstained"])
        if component in OVER_FACES_WITH_AUS:
            if abstained >= 1:
                continue
            # What was logged counts the faces without AUs as 0.
            value /= 1 - abstained
        series.steps.append(step)
        series.values.append(value)
    return series


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def logged_curves(metrics: Sequence[StepMetrics]) -> dict[str, Curve]:
    """The curve of each of `COMPONENTS` that was logged."""
    curves = {
        component: Curve(training_series(metrics, component), validation_series(metrics, component))
        for component in COMPONENTS
    }
    logged = {name: curve for name, curve in curves.items() if any(one.steps for one in curve)}
    if not logged:
        raise InputError(
            "the metrics hold no reward component (reward/<component>/mean or "
            "val-*/<source>/<component>/mean@1); train with trainer.v1.trainer_mode=tag_sync"
        )
    return logged


def draw_curve(component: str, curve: Curve) -> Drawing:
    """The curve of one of `COMPONENTS`, without a key."""
    drawing = Drawing(figsize=(4.2, 2.8), layout="constrained")
    _draw(drawing.subplots(), COMPONENTS[component], curve)
    return drawing


def draw_curves(metrics: Sequence[StepMetrics]) -> Drawing:
    """A panel for each reward component; one that was not logged is left out.

    Raises:
        InputError: No component was logged.
    """
    curves = logged_curves(metrics)
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    drawing = Drawing(figsize=(4.2 * columns, 3.0 * rows + 0.5), layout="constrained")
    panels = list(drawing.subplots(rows, columns, squeeze=False, sharex=True).flat)
    for axes, (component, curve) in zip(panels, curves.items(), strict=False):
        _draw(axes, COMPONENTS[component], curve)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    key = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(
        key.values(), key.keys(), loc="outside upper center", ncols=3, frameon=False, fontsize=10
    )
    return drawing


def _draw(axes: Axes, title: str, curve: Curve) -> None:
    (steps, values), (held_out, of_held_out) = curve
    if steps:
        axes.plot(steps, values, color=_TRAINING, alpha=0.25, linewidth=1.0)
        label = "training rollouts (smoothed)"
        axes.plot(steps, _smooth(values), color=_TRAINING, linewidth=2.0, label=label)
    if held_out:
        label = "held-out faces"
        axes.plot(
            held_out, of_held_out, "o-", color=_VALIDATION, linewidth=2.0, markersize=5, label=label
        )
        for index, side in ((0, "left"), (-1, "right")):
            axes.annotate(
                f"{of_held_out[index]:.2f}",
                (held_out[index], of_held_out[index]),
                xytext=(0, 7),
                textcoords="offset points",
                ha=side,
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
            )
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("step", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.label_outer()
    axes.set_ylim(-0.03, 1.08)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def _smooth(values: Sequence[float], weight: float = 0.7) -> list[float]:
    """Exponential moving average, started at the first value."""
    smoothed: list[float] = []
    for value in values:
        last = smoothed[-1] if smoothed else value
        smoothed.append(weight * last + (1 - weight) * value)
    return smoothed


#: The parts of a step by verl's names of their timers, in the order in which they run.
_PHASES = {
    "gen": "rollouts",
    "reward": "reward",
    "old_log_prob": "log-probabilities",
    "ref": "reference model",
    "values": "values",
    "adv": "advantages",
    "update_critic": "update of the critic",
    "update_actor": "update of the policy",
    "update_weights": "new weights to vLLM",
    "save_checkpoint": "checkpoint",
    "testing": "validation",
    "step": "a whole step, without validation",
}
_RATES = {
    "perf/throughput": "tokens a second a GPU",
    "perf/mfu/actor": "MFU of the update",
}
_PEAKS = {
    "actor/perf/max_memory_allocated_gb": "peak memory of training, GiB",
    "actor/perf/max_memory_reserved_gb": "peak memory of training with what PyTorch keeps, GiB",
}


class SpeedRow(NamedTuple):
    """One thing that was measured.

    Attributes:
        what: Its words.
        a_step: The median over the steps that logged it: seconds, or a rate; None for a peak.
        in_all: The sum of its seconds, or a peak's largest value; None for a rate.
    """

    what: str
    a_step: float | None
    in_all: float | None


def speed_rows(metrics: Sequence[StepMetrics]) -> list[SpeedRow]:
    """Seconds by phase, tokens a second a GPU, MFU and peak memory, each where it was logged.

    MFU (model FLOPs utilisation) is the share of the card's peak rate that the model's arithmetic
    takes, as verl counts both; peak memory is that of PyTorch in the training process, without
    vLLM's. verl logs 0 for what it cannot measure, such as both without a GPU: those are left out.

    Example:
        >>> from tag_rewards.runs.folder import StepMetrics
        >>> steps = [StepMetrics(step, {"timing_s/gen": 10.0 + step}) for step in (1, 2, 3)]
        >>> speed_rows(steps)
        [SpeedRow(what='rollouts', a_step=12.0, in_all=36.0)]
    """

    def logged(name: str) -> list[float]:
        return [data[name] for _, data in metrics if data.get(name, 0.0) > 0.0]

    rows = []
    for timer, words in _PHASES.items():
        if seconds := logged(f"timing_s/{timer}"):
            rows.append(SpeedRow(words, median(seconds), sum(seconds)))
    for name, words in _RATES.items():
        if rates := logged(name):
            rows.append(SpeedRow(words, median(rates), None))
    for name, words in _PEAKS.items():
        if peaks := logged(name):
            rows.append(SpeedRow(words, None, max(peaks)))
    return rows
