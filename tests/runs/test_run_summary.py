from dataclasses import replace

import pytest

from tag_rewards.errors import InputError
from tag_rewards.evaluation import Figure, Results, classify, write_results
from tag_rewards.evaluation.results import Faces
from tag_rewards.runs.summary import (
    COMPARED,
    HeldOut,
    compare,
    comparison_section,
    settings_section,
    time_section,
    write_summary,
)
from tests.builders.trace import honest

PICTURES = ("curves.png", "overlays.png")


def test_a_summary_is_written(run):
    paths = write_summary(run.out, run.data)
    summary = paths.summary.read_text()
    assert all(path.stat().st_size > 0 for path in paths)
    assert "before (step 0) | after (step 10)" in summary
    assert "8 held-out faces, 6 of them with AUs" in summary
    assert "| accuracy reward | 0.000 [0.000, 0.324] | 1.000 [0.676, 1.000] | +1.000" in summary
    assert "| grounding reward | 0." in summary
    assert "true AUs, random boxes" in summary
    assert all(f"]({name})" in summary for name in PICTURES)
    assert "## Times" not in summary


def test_a_summary_is_the_same_when_written_again(run):
    write_summary(run.out, run.data)
    first = {path.name: path.read_bytes() for path in write_summary(run.out, run.data)}
    assert {path.name: path.read_bytes() for path in write_summary(run.out, run.data)} == first


def test_times_and_settings_are_shown(run):
    (run.out / "timings.jsonl").write_text('{"stage": "grpo", "seconds": 75}\n')
    (run.out / "settings.txt").write_text("MODEL=a|b\n")
    summary = write_summary(run.out, run.data).summary.read_text()
    assert "| grpo | 1 min 15 s |" in summary
    assert r"| `MODEL` | `a\|b` |" in summary


def test_skill_stands_beside_the_baselines(run):
    """As `eval` has it: honest completions are perfect, random boxes worse than the mean."""
    lines = write_summary(run.out, run.data).summary.read_text().splitlines()
    cells = {row[1].strip(): row for row in (line.split("|") for line in lines) if len(row) > 2}
    assert cells["the model, step 10"][-2].strip() == "1.000"
    assert float(cells["true AUs, random boxes"][-2]) < 0


def test_a_slope_that_was_evaluated_is_shown(run):
    faces = Faces(2, 0, 0, 2, 0, {})
    read = {"strict": classify(["fear", "fear"], ["fear", None], ["fear"])}
    usual = Results("made-faces/test", ("fear",), (), "", faces, read, {"model": {}}, ())
    slopes = {"sft": {"slope": Figure(0.25, 0.2, 0.3, 2)}, "grpo": {}, "base": {"slope": None}}
    for name, moved in slopes.items():
        write_results(run.out / "eval" / name, replace(usual, moved=moved))
    text = write_summary(run.out, run.data).summary.read_text()
    assert "| sft | 0.250 [0.200, 0.300] |" in text
    assert "| grpo |" not in text
    (run.out / "eval/sft/results.json").write_text("{}")
    with pytest.raises(InputError, match=r"results\.json is not of version"):
        write_summary(run.out, run.data)


def test_faces_without_a_completion_are_told(run):
    lines = run.validation(10).read_text().splitlines()
    run.validation(10).write_text("\n".join(lines[1:]) + "\n")
    summary = write_summary(run.out, run.data).summary.read_text()
    assert "7 held-out faces" in summary
    assert "default options of the reward" in summary
    assert "1 held-out faces have no completion" in summary


def break_nothing_but_one_step(run):
    run.validation(5).unlink()
    run.validation(10).unlink()


def break_components(run):
    run.metrics.write_text('{"step": 1, "data": {"actor/loss": 1}}\n')


def break_test_data(run):
    run.write_parquet("rl_test", [run.smile(20)])


def break_training_data(run):
    run.write_parquet("rl_train", [run.nothing_seen()])


def break_evidence(run):
    only = [line for line in run.validation(0).read_text().splitlines() if '\\"neutral' in line]
    run.validation(0).write_text("\n".join(only) + "\n")


def break_parquet(run):
    (run.data / "rl_test.parquet").write_bytes(b"no parquet")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (break_nothing_but_one_step, "has one step only, 0"),
        (break_components, "hold no reward component"),
        (break_test_data, "is the target of no held-out row"),
        (break_training_data, "none of the 1 training targets has an AU"),
        (break_evidence, "no face with an AU has completions"),
        (break_parquet, "is not a parquet file"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(run, break_it, message):
    break_it(run)
    before = sorted(run.out.rglob("*"))
    with pytest.raises(ValueError, match=message):
        write_summary(run.out, run.data)
    assert sorted(run.out.rglob("*")) == before


def test_comparison_counts_faces_without_aus_for_accuracy_only(run):
    targets = [run.smile(), run.nothing_seen()]
    right = [honest(target) for target in targets]
    wrong = [honest(target, label="anger") for target in targets]
    grounding = compare(["", ""], right, targets)[0]
    assert (grounding.name, grounding.second.value) == ("grounding", 1)
    accuracy = compare(wrong, right, targets)[1]
    assert (accuracy.name, accuracy.change) == ("accuracy", (1, 1, 1, 2))


def test_verdicts_are_of_tests_adjusted_for_all_components(run):
    targets = [run.smile(dx) for dx in range(20)]
    right = [honest(target) for target in targets]
    wrong = [honest(target, label="anger") for target in targets]
    differences = {one.name: one for one in compare(wrong, right, targets)}
    assert set(differences) == set(COMPARED)
    assert differences["accuracy"].p == pytest.approx(2 * 0.5**20)
    assert differences["accuracy"].adjusted_p == pytest.approx(len(COMPARED) * 2 * 0.5**20)
    assert differences["accuracy"].verdict == "better"
    assert {one.verdict for name, one in differences.items() if name != "accuracy"} == {
        "no clear change"
    }
    section = comparison_section(tuple(differences.values()), HeldOut([], (0, 1), 0))
    assert "| <0.0001 | <0.0001 | better |" in section
    assert "| 1.0000 | 1.0000 | no clear change |" in section


def test_sections_without_content_are_empty():
    assert time_section([]) == settings_section({}) == ""
