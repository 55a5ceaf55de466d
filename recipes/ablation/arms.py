"""The arms of the ablation: how each differs from the default, and what all of them will take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from tag_rewards.rewards import PRIOR_FORMULAS

if TYPE_CHECKING:
    from pathlib import Path

_OPTION = "+reward.custom_reward_function.reward_kwargs."


@dataclass(frozen=True, slots=True)
class Arm:
    """A way of training.

    Attributes:
        words: What it is.
        settings: Variables of run_tag_grpo.sh.
        reward: Options of the reward that have no variable there.
        faces: The made faces that it is trained on: "drawn", or "aligned" as FER datasets are.
        start: The model it starts from: "sft", or "boxless", after SFT on traces without boxes.
        trained: Whether it is trained at all, or is the model after SFT.
    """

    words: str
    settings: Mapping[str, str] = field(default_factory=dict)
    reward: Mapping[str, str] = field(default_factory=dict)
    faces: str = "drawn"
    start: str = "sft"
    trained: bool = True

    @property
    def own_data(self) -> bool:
        """Whether its files are prepared in another way than the default's."""
        return self.faces != "drawn" or not self.settings.keys().isdisjoint(("PLACEMENT", "UNSURE"))

    @property
    def overrides(self) -> list[str]:
        """What verl is told beyond the settings."""
        return [f"{_OPTION}{name}={value}" for name, value in self.reward.items()]


ARMS: Mapping[str, Arm] = {
    "sft": Arm("after SFT, without GRPO", trained=False),
    "format_accuracy": Arm("format and accuracy", {"GROUNDING_WEIGHT": "0"}),
    "grounding": Arm("and grounding: the default"),
    "consistency": Arm("and consistency", {"CONSISTENCY_WEIGHT": "0.2"}),
    "soft": Arm("unsure=soft", {"UNSURE": "present"}, {"unsure": "soft"}),
    "aligned_never": Arm("aligned faces, not placed", {"PLACEMENT": "never"}, faces="aligned"),
    "aligned_always": Arm("aligned faces, placed", {"PLACEMENT": "always"}, faces="aligned"),
    "boxless": Arm(
        "without boxes, from SFT on",
        {"FORMAT_WEIGHT": "0", "ACCURACY_WEIGHT": "1", "GROUNDING_WEIGHT": "0"},
        start="boxless",
    ),
    **{
        f"formula_{name}": Arm(f"formula={name}", reward={"formula": name})
        for name in PRIOR_FORMULAS
    },
}


def runs(names: Sequence[str], seeds: int) -> Iterator[tuple[str, int]]:
    """Arm and seed of every run: all arms with one seed before the next, so that a part is fair."""
    for seed in range(seeds):
        for name in names:
            if ARMS[name].trained or seed == 0:
                yield name, seed


@dataclass(frozen=True, slots=True)
class Size:
    """What decides how long the ablation takes."""

    n_train: int
    sft_epochs: int
    steps: int
    rollouts: int
    faces: int


class Seconds(msgspec.Struct):
    """One stage and how long it took, as the recipes note it."""

    stage: str
    seconds: float


# On two quiet cores: starting verl, Ray and vLLM; a rollout; a trace of SFT; starting vLLM to ask;
# an answer; a face in a file.
_START, _ROLLOUT, _TRACE, _ASK, _ANSWER, _FACE = 150, 0.12, 0.04, 20, 0.04, 0.01


def estimate(size: Size, noted: Sequence[Seconds] = ()) -> dict[str, float]:
    """Seconds of data, SFT, a run of GRPO and an evaluation.

    What was noted of stages that ended here says it better than what other machines took.

    Example:
        >>> size = Size(n_train=2000, sft_epochs=2, steps=20, rollouts=128, faces=512)
        >>> round(estimate(size)["run"]), estimate(size, [Seconds("run", 99.0)])["run"]
        (457, 99.0)
    """
    usual = {
        "data": 10 + _FACE * (size.n_train + size.faces),
        "sft": 40 + _TRACE * size.n_train * size.sft_epochs,
        "run": _START + _ROLLOUT * size.rollouts * size.steps,
        "evaluation": _ASK + 2 * _ANSWER * size.faces,
    }
    for stage in usual:
        if found := [one.seconds for one in noted if one.stage == stage]:
            usual[stage] = median(found)
    return usual


def plan(out: Path, names: Sequence[str], seeds: int, size: Size) -> str:
    """What is to be done and what is done already, with the time it will take."""
    notes = out / "timings.jsonl"
    lines = notes.read_bytes().splitlines() if notes.exists() else []
    seconds = estimate(size, [msgspec.json.decode(line, type=Seconds) for line in lines])
    starts = sorted({ARMS[name].start for name in names}, reverse=True)
    kinds = {name for name in names if ARMS[name].own_data}
    todo = seconds["data"] * (1 + len(kinds)) * (not (out / "faces").exists())
    todo += sum(seconds["sft"] for one in starts if not (out / one / "sft/hf").exists())
    told = [f"{len(names)} arms, {seeds} seeds, {size.steps} steps of GRPO each:"]
    for name in names:
        arm = ARMS[name]
        mine = [seed for one, seed in runs(names, seeds) if one == name]
        done = sum((out / "runs" / name / f"seed{seed}/result.json").exists() for seed in mine)
        left = (len(mine) - done) * (seconds["run"] * arm.trained + seconds["evaluation"])
        todo += left
        told.append(
            f"  {name:28} {arm.words:30} {len(mine)} runs, {done} done, {left / 60:.0f} min to go"
        )
    return "\n".join([*told, f"About {todo / 60:.0f} min in all, on two quiet cores."])
