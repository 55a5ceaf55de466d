"""Seconds by phase, tokens a second, MFU and peak memory, from a step as verl 0.9.1 logged it."""

import json

import pytest

from tag_rewards.report.report import write_report
from tag_rewards.report.tables import speed_table
from tag_rewards.runs.curves import _PEAKS, _PHASES, _RATES, speed_rows
from tag_rewards.runs.folder import StepMetrics
from tag_rewards.runs.summary import speed_section, write_summary
from tests.builders.results import write_made, write_run

# Of a run without a GPU, where verl has 0 for what it cannot measure.
LOGGED = {
    "actor/perf/max_memory_allocated_gb": 0.0,
    "actor/perf/max_memory_reserved_gb": 0.0,
    "actor/perf/cpu_memory_used_gb": 10.00472640991211,
    "perf/mfu/actor": 0.0,
    "timing_s/gen": 16.838871500000096,
    "timing_s/old_log_prob": 0.09355564699944807,
    "timing_s/ref": 2.291219345999707,
    "timing_s/adv": 0.06586764899839181,
    "timing_s/update_actor": 10.565011358001357,
    "timing_s/save_checkpoint": 0.5211039380010334,
    "timing_s/update_weights": 0.5919793610009947,
    "timing_s/step": 31.023060087001795,
    "timing_s/testing": 10.956458328000735,
    "timing_per_token_ms/gen": 5.160549034630737,
    "perf/total_num_tokens": 5439,
    "perf/time_per_step": 31.023060087001795,
    "perf/throughput": 175.32119606340385,
}
ON_A_GPU = LOGGED | {
    "actor/perf/max_memory_allocated_gb": 41.5,
    "actor/perf/max_memory_reserved_gb": 52.25,
    "perf/mfu/actor": 0.375,
}


def test_a_step_without_a_gpu():
    rows = {row.what: row[1:] for row in speed_rows([StepMetrics(2, LOGGED)])}
    assert rows["rollouts"] == (LOGGED["timing_s/gen"],) * 2
    assert rows["tokens a second a GPU"] == (LOGGED["perf/throughput"], None)
    timers = {name.partition("/")[2] for name in LOGGED if name.startswith("timing_s/")}
    assert len(rows) == len(timers) + 1
    assert not any("MFU" in what or "memory" in what for what in rows)


def test_of_several_steps_the_median_the_sum_and_the_peak():
    steps = [
        StepMetrics(0, {}),  # the validation before training
        StepMetrics(1, ON_A_GPU | {"timing_s/gen": 10.0, "perf/mfu/actor": 0.25}),
        StepMetrics(2, ON_A_GPU | {"timing_s/gen": 30.0, "perf/mfu/actor": 0.375}),
        StepMetrics(3, ON_A_GPU | {"timing_s/gen": 11.0, "actor/perf/max_memory_allocated_gb": 60}),
    ]
    rows = {row.what: row[1:] for row in speed_rows(steps)}
    assert rows["rollouts"] == (11.0, 51.0)
    assert rows["MFU of the update"] == (0.375, None)
    assert rows["peak memory of training, GiB"] == (None, 60)
    assert rows["peak memory of training with what PyTorch keeps, GiB"] == (None, 52.25)


def test_the_summary_shows_what_was_logged(run):
    assert "## Speed" not in write_summary(run.out, run.data).summary.read_text()
    line = json.dumps({"step": 3, "data": ON_A_GPU}) + "\n"
    with run.metrics.open("a") as file:
        file.write(line)
    summary = write_summary(run.out, run.data).summary.read_text()
    assert "| rollouts | 16.84 | 16.84 |" in summary
    assert "| MFU of the update | 0.38 |  |" in summary
    assert "| peak memory of training, GiB |  | 41.50 |" in summary


def test_nothing_logged_is_no_table():
    steps = [StepMetrics(1, {"reward/format/mean": 1.0})]
    assert speed_rows(steps) == []
    assert speed_section([]) == ""
    assert speed_table(steps) is None


def test_the_report_has_the_same_rows():
    steps = [StepMetrics(1, ON_A_GPU)]
    [group] = speed_table(steps).groups
    assert list(group.rows) == speed_rows(steps)


def test_the_page_shows_it(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "metrics.jsonl").write_text(
        json.dumps({"step": 1, "data": ON_A_GPU | {"reward/format/mean": 1.0}}) + "\n"
    )
    written = write_report([write_made(tmp_path / "sft")], tmp_path / "report", run)
    assert "Speed and memory" in written[0].read_text()
    assert "MFU of the update,0.375," in (tmp_path / "report" / "speed.csv").read_text()


@pytest.mark.stack
def test_verl_has_these_names():
    """In the sources of what is installed: a name that verl changes would leave the table empty."""
    import importlib.util
    from pathlib import Path

    verl = importlib.util.find_spec("verl")
    if verl is None:
        pytest.skip("verl is not installed")
    root = Path(verl.origin).parent
    sources = [*(root / "trainer" / "ppo").rglob("*.py"), root / "workers" / "engine_workers.py"]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    names = [name.removeprefix("actor/") for name in (*_RATES, *_PEAKS)]
    missing = [name for name in names if f'"{name}"' not in text]
    missing += [timer for timer in _PHASES if f'marked_timer("{timer}"' not in text]
    assert not missing
