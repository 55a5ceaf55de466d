"""How fast a GRPO run was, and its peak of a GPU's memory, from what verl logged at each step."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tag_rewards.runs.folder import StepMetrics

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
