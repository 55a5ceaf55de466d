import json

import pytest

from tag_rewards.errors import InputError
from tag_rewards.runs.folder import (
    Generation,
    align,
    read_generations,
    read_metrics,
    read_settings,
    read_timings,
    validation_files,
    write_metrics,
)


def test_metrics_of_one_step_are_put_together_and_a_later_line_wins(run):
    run.metrics.write_text(
        '{"step": 2, "data": {"a": 1, "b": 1}}\n'
        '{"step": 1, "data": {"a": 0.5, "lost": null, "words": "x", "on": true}}\n'
        '{"step": 2, "data": {"b": 2}}\n'
    )
    assert read_metrics(run.out) == [(1, {"a": 0.5}), (2, {"a": 1.0, "b": 2.0})]


def test_the_launches_of_a_resumed_run_are_joined(run):
    logs = run.out / "logs"
    logs.mkdir()
    (logs / "metrics-20260101-100000.jsonl").write_text(
        '{"step": 1, "data": {"a": 0.1}}\n{"step": 2, "data": {"a": 0.2}}\n'
    )
    (logs / "metrics-20260101-110000.jsonl").write_text("")  # stopped before its first step
    (logs / "metrics-20260102-090000.jsonl").write_text(
        '{"step": 2, "data": {"a": 0.3}}\n{"step": 3, "data": {"a": 0.4}}\n'
    )
    joined = [(1, {"a": 0.1}), (2, {"a": 0.3}), (3, {"a": 0.4})]
    metrics = read_metrics(run.out)
    assert metrics == joined
    written = write_metrics(run.out, metrics)
    assert written == run.metrics
    assert [json.loads(line)["step"] for line in written.read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("cut", ['{"step": 3, "da', "{", '{"step": 3, "data": {"a": 1}', "[1"])
def test_a_last_line_that_was_cut_is_passed_over(run, cut):
    """A full disk, or a kill, leaves half a line; the launch that follows has a file of its own."""
    logs = run.out / "logs"
    logs.mkdir()
    (logs / "metrics-1.jsonl").write_text('{"step": 1, "data": {"a": 1.0}}\n' + cut)
    (logs / "metrics-2.jsonl").write_text('{"step": 3, "data": {"a": 2.0}}\n' + cut)
    assert read_metrics(run.out) == [(1, {"a": 1.0}), (3, {"a": 2.0})]
    times = run.out / "timings.jsonl"
    times.write_text('{"stage": "sft", "seconds": 12.5}\n' + cut)
    assert read_timings(times) == [("sft", 12.5)]


def test_numbers_without_end_are_not_finite(run):
    long = "9" * 5000
    run.metrics.write_text(f'{{"step": 1, "data": {{"a": {long}, "b": {long[:400]}, "c": 1}}}}\n')
    assert read_metrics(run.out) == [(1, {"c": 1.0})]
    times = run.out / "timings.jsonl"
    times.write_text(f'{{"stage": "sft", "seconds": {long}}}\n')
    with pytest.raises(InputError, match="line 1: field 'seconds' is inf, not a time"):
        read_timings(times)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", r"line 2 is '\[\]', not a JSON object"),
        ('{"data": {}}', "line 2: field 'step' is None"),
        ('{"step": true, "data": {}}', "line 2: field 'step' is True"),
        ('{"step": 1.5, "data": {}}', "line 2: field 'step' is 1.5"),
        ('{"step": 1, "data": 5}', "line 2: field 'data' is 5"),
    ],
)
def test_a_malformed_line_of_metrics_is_named(run, line, message):
    run.metrics.write_text('{"step": 0, "data": {}}\n' + line + "\n")
    with pytest.raises(InputError, match=f"metrics.jsonl: {message}"):
        read_metrics(run.out)


def test_missing_and_empty_files_are_named(run):
    run.metrics.write_text("")
    with pytest.raises(InputError, match=r"metrics\.jsonl is empty"):
        read_metrics(run.out)
    run.metrics.unlink()
    with pytest.raises(InputError, match=r"metrics\.jsonl is missing"):
        read_metrics(run.out)


def test_validation_files_are_ordered_as_numbers(run):
    (run.out / "validation" / "notes.jsonl").write_text("not verl's")
    assert list(validation_files(run.out / "validation")) == [0, 5, 10]


def test_a_folder_without_generations_says_how_to_get_them(tmp_path):
    with pytest.raises(InputError, match=r"trainer\.validation_data_dir"):
        validation_files(tmp_path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"gts": "{}"}, "field 'output' is None"),
        ({"output": "x"}, "field 'gts' is None"),
        ({"output": "x", "gts": "sad"}, "field 'gts': "),
    ],
)
def test_a_malformed_generation_is_named(run, record, message):
    run.validation(0).write_text(json.dumps(record) + "\n")
    with pytest.raises(InputError, match=f"0.jsonl: line 1: {message}"):
        read_generations(run.validation(0))


def test_completions_are_found_by_their_target(run):
    outputs = [f"completion {index}" for index in range(8)]
    run.generations(3, outputs)
    aligned = align(run.targets, read_generations(run.validation(3)), run.validation(3))
    assert aligned[:6] == outputs[:6]
    assert set(aligned[6:]) == set(outputs[6:])  # the two faces without AUs are alike


def test_a_row_without_completion_is_none(run):
    only = Generation("x", run.targets[2], 1)
    assert align(run.targets, [only], run.validation(0)) == [None, None, "x", *[None] * 5]


def test_a_completion_of_other_data_is_an_error(run):
    stranger = Generation("x", run.smile(20), 7)
    with pytest.raises(InputError, match="line 7: field 'gts' is the target of no held-out"):
        align(run.targets, [stranger], run.validation(0))


def test_several_completions_of_one_face_are_an_error(run):
    twice = [Generation("x", run.targets[0], line) for line in (1, 2)]
    with pytest.raises(InputError, match=r"line 2: .* more often .*val_kwargs\.n=1"):
        align(run.targets, twice, run.validation(0))


def test_times_and_settings_may_be_missing(tmp_path):
    assert read_timings(tmp_path / "timings.jsonl") == []
    assert read_settings(tmp_path / "settings.txt") == {}


def test_times_and_settings(tmp_path):
    times, settings = tmp_path / "timings.jsonl", tmp_path / "settings.txt"
    times.write_text(
        '{"stage": "sft", "seconds": 12.5}\n{"stage": "grpo", "seconds": 4}\n'
        '{"stage": "sft", "seconds": 1}\n'
    )
    settings.write_text("MODEL=tiny\nEXTRA=a=b\nDATA=\n# it writes boxes in pixels, k=v\n")
    assert read_timings(times) == [("sft", 13.5), ("grpo", 4.0)]
    assert read_settings(settings) == {"MODEL": "tiny", "EXTRA": "a=b", "DATA": ""}


def test_malformed_settings_are_named(tmp_path):
    path = tmp_path / "settings.txt"
    path.write_text("MODEL=tiny\nrubbish\n")
    with pytest.raises(InputError, match="line 2: 'rubbish' is not NAME=value"):
        read_settings(path)


def test_malformed_times_are_named(tmp_path):
    path = tmp_path / "timings.jsonl"
    path.write_text('{"stage": "sft", "seconds": "long"}\n')
    with pytest.raises(InputError, match="line 1: field 'seconds' is 'long'"):
        read_timings(path)
