"""The text of `summary.md`: Markdown sections from values, no files read or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.evaluation.comparison import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tag_rewards.evaluation.bootstrap import Interval
    from tag_rewards.evaluation.comparison import Comparison
    from tag_rewards.evaluation.run_folder import StageTime

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
