"""What a GRPO run leaves behind, read into values: metrics, held-out generations, times.

::

    OUT/logs/metrics-*.jsonl      {"step": 3, "data": {"reward/format/mean": 0.9, ...}}
    OUT/metrics.jsonl             the same, all launches of the run put together
    OUT/validation/{step}.jsonl   {"output": "...", "gts": "...", "step": 3, ...}
    OUT/timings.jsonl             {"stage": "sft", "seconds": 12.3}; may be missing
    OUT/settings.txt              NAME=value; may be missing

The first are written by verl's file logger (`VERL_FILE_LOGGER_PATH`), the generations by its
`trainer.validation_data_dir`, times and settings by `recipes/run_tag_grpo.sh`.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.files.objects import read_objects
from tag_rewards.target import Target


class StepMetrics(NamedTuple):
    """The numbers that verl logged for one step."""

    step: int
    data: dict[str, float]


class Generation(NamedTuple):
    """A held-out completion, the target that verl scored it against, and its line in the file."""

    output: str
    target: Target
    line: int


def read_metrics(out: Path) -> list[StepMetrics]:
    """Read what verl's file logger wrote; in order of steps, finite numbers only.

    verl overwrites its file, so each launch of a run that was stopped and resumed has its own,
    `logs/metrics-*.jsonl`, named by its time; without them `metrics.jsonl` is read. One step may
    have several lines: they are put together, and where a launch repeats a step, its numbers win.

    Raises:
        InputError: There is no file, nothing is in it, or a line is malformed.
    """
    launches = sorted((out / "logs").glob("metrics-*.jsonl")) or [out / "metrics.jsonl"]
    by_step: dict[int, dict[str, float]] = defaultdict(dict)
    for path in launches:
        for line, record in _objects(path, may_be_cut=True):
            step = _field(path, line, record, "step", int)
            data = _field(path, line, record, "data", dict)
            by_step[step].update({name: float(data[name]) for name in data if _finite(data[name])})
    if not by_step:
        raise InputError(f"{launches[-1]} is empty; has the run got that far?")
    return [StepMetrics(step, by_step[step]) for step in sorted(by_step)]


def write_metrics(out: Path, metrics: Sequence[StepMetrics]) -> Path:
    """Write `metrics.jsonl`, a line for each step in verl's form, and return its path."""
    path = out / "metrics.jsonl"
    lines = [json.dumps({"step": step, "data": data}) + "\n" for step, data in metrics]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def validation_files(folder: Path) -> dict[int, Path]:
    """The files of verl's `validation_data_dir` by step, in order of steps."""
    files = {int(path.stem): path for path in folder.glob("*.jsonl") if path.stem.isdecimal()}
    if not files:
        raise InputError(
            f"{folder} has no generations ({{step}}.jsonl); train with "
            "trainer.validation_data_dir, trainer.val_before_train=True and trainer.test_freq"
        )
    return dict(sorted(files.items()))


def read_generations(path: Path) -> list[Generation]:
    """Read one file of `validation_data_dir`.

    Raises:
        InputError: The file is missing, empty or malformed.
    """
    generations = []
    for line, record in _objects(path):
        output = _field(path, line, record, "output", str)
        try:
            target = Target.from_json(_field(path, line, record, "gts", str))
        except ValueError as error:
            raise InputError(f"{path}: line {line}: field 'gts': {error}") from error
        generations.append(Generation(output, target, line))
    if not generations:
        raise InputError(f"{path} is empty; has the run got that far?")
    return generations


def align(
    targets: Sequence[Target], generations: Sequence[Generation], path: Path
) -> list[str | None]:
    """The completion of each held-out row, or None where verl has none (a prompt that it left out).

    verl writes completions in the order of random ids, so they are found by their target. Rows
    with the same target (faces without any AU) cannot be told apart and take theirs in turn; their
    scores as a whole are exact, since a score depends on nothing but completion and target.
    """
    waiting: dict[Target, deque[int]] = defaultdict(deque)
    for index, target in enumerate(targets):
        waiting[target].append(index)
    outputs: list[str | None] = [None] * len(targets)
    for generation in generations:
        if generation.target not in waiting:
            raise InputError(
                f"{path}: line {generation.line}: field 'gts' is the target of no held-out row; "
                "is the data folder the one that the run was validated on?"
            )
        if not waiting[generation.target]:
            raise InputError(
                f"{path}: line {generation.line}: field 'gts' is there more often than in the "
                "held-out rows; validate with one completion a face (val_kwargs.n=1)"
            )
        outputs[waiting[generation.target].popleft()] = generation.output
    return outputs


def read_timings(path: Path) -> list[tuple[str, float]]:
    """Read the stages and their seconds, in the order of the file; none if there is no such file.

    A stage that ran several times, in a run that was resumed, is there once, with its whole time.

    Raises:
        InputError: The file is malformed.
    """
    if not path.exists():
        return []
    times: dict[str, float] = defaultdict(float)
    for line, record in _objects(path, may_be_cut=True):
        stage = _field(path, line, record, "stage", str)
        seconds = _field(path, line, record, "seconds", (int, float))
        if not isfinite(seconds):
            raise InputError(f"{path}: line {line}: field 'seconds' is {seconds}, not a time")
        times[stage] += seconds
    return list(times.items())


def read_settings(path: Path) -> dict[str, str]:
    """Read lines of `NAME=value`; nothing if there is no such file.

    A line that begins with `#` is a note of the recipe's, on what it decided, and no setting.
    What is no UTF-8, such as a folder's name of another encoding, is read as U+FFFD.

    Raises:
        InputError: A line has another form.
    """
    if not path.exists():
        return {}
    settings = {}
    for line, text in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{path}: line {line}: {text!r:.80} is not NAME=value")
        settings[name] = value
    return settings


def _objects(path: Path, *, may_be_cut: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise InputError(f"{path} is missing; has the run got that far?")
    return read_objects(path, may_be_cut=may_be_cut)


def _field(
    path: Path, line: int, record: dict[str, Any], name: str, kind: type | tuple[type, ...]
) -> Any:
    value = record.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{path}: line {line}: field {name!r} is {value!r:.80}")
    return value


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
