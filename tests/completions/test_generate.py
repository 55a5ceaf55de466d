"""generate: the file is the same however often the run was stopped, and never of two models."""

import itertools
import json
import random
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.completions.asking import GenerationConfig
from tag_rewards.completions.completion import answer_logprob, read_completions
from tag_rewards.completions.run import Model, model_fingerprint
from tag_rewards.engines.base import Reply, TokenLogprob
from tag_rewards.errors import InputError
from tag_rewards.prepare.eval_set import METADATA_KEY
from tag_rewards.prepare.rows import EvalRow, ParquetRows
from tests.builders.completions import (
    METADATA,
    FakeEngine,
    files,
    run,
    some_answer,
    trace,
    write_faces,
)
from tests.builders.kill import killed

FACES = 23


@pytest.fixture
def folder(tmp_path):
    write_faces(tmp_path / "eval.parquet", FACES)
    return tmp_path / "run"


@pytest.mark.parametrize("chunk", [None, 5, 100])
def test_completions_are_in_the_order_of_the_data(folder, chunk):
    completions = run(folder, FakeEngine(), chunk)
    assert [one.id for one in completions] == [f"face_{index:04}" for index in range(FACES)]
    lines = (folder / "completions.jsonl").read_text().splitlines()
    assert json.loads(lines[3]) == {
        "id": "face_0003",
        "completion": completions[3].completion,
        "finish_reason": "stop",
        "prompt_tokens": 40,
        "completion_tokens": completions[3].completion_tokens,
        "answer_logprob": completions[3].answer_logprob,
        "error": "",
        "model": "fake",
    }
    assert list(read_completions(folder / "completions.jsonl").values()) == completions
    assert len({one.completion for one in completions}) > 1


@pytest.mark.parametrize("chunk", [None, 4])
def test_killed_at_many_moments_the_files_are_those_of_an_undisturbed_run(tmp_path, chunk):
    """Processes killed with signal 9, in completions and in counterfactuals."""
    write_faces(tmp_path / "eval.parquet", 60)
    run(tmp_path / "undisturbed", FakeEngine(), chunk)
    folder, rng = tmp_path / "killed", random.Random()
    hits = rounds = 0
    while hits < 4 and rounds < 12:
        rounds += 1
        hit, ended, _ = killed(
            "tests.builders.completions", folder, chunk or 0, after=rng.uniform(0.5, 1.5)
        )
        hits += hit
        if ended:
            assert files(folder) == files(tmp_path / "undisturbed")
            for path in folder.iterdir():
                path.unlink()
    assert hits
    run(folder, FakeEngine(), chunk)
    assert files(folder) == files(tmp_path / "undisturbed")


@given(cut=st.integers(0, 10_000), chunk=st.sampled_from([None, 1, 4]))
def test_cut_anywhere_the_file_is_completed(tmp_path_factory, cut, chunk):
    """What a power cut leaves: any beginning of what was written."""
    folder = tmp_path_factory.mktemp("cut") / "run"
    write_faces(folder.parent / "eval.parquet", 9)
    run(folder, FakeEngine(), chunk, masked=False)
    path = folder / "completions.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    random.Random(cut).shuffle(lines)  # as they come from an engine
    path.write_bytes(b"".join(lines)[: cut % len(whole)])
    run(folder, FakeEngine(), chunk, masked=False)
    assert path.read_bytes() == whole


def test_cut_twice_the_file_is_completed(folder):
    """What is written after a line that was cut must not end up in it."""
    run(folder, FakeEngine(), masked=False)
    path = folder / "completions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError):
        run(folder, Breaking(after=2), masked=False)
    run(folder, FakeEngine(), masked=False)
    assert path.read_bytes() == whole


def test_only_what_is_missing_is_asked(folder):
    run(folder, FakeEngine(), masked=False)
    path = folder / "completions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:10] + lines[11:]) + b'{"id": "face_00')
    engine = FakeEngine()
    run(folder, engine, masked=False)
    assert engine.asked == ["face_0010"]
    assert path.read_bytes() == b"".join(lines)


def test_a_chunk_that_was_cut_is_asked_again_as_a_whole(folder):
    run(folder, FakeEngine(), chunk=5, masked=False)
    path = folder / "completions.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:7]))
    engine = FakeEngine()
    run(folder, engine, chunk=5, masked=False)
    assert engine.asked == [f"face_{index:04}" for index in range(5, FACES)]


@pytest.mark.parametrize(("chunk", "first"), [(None, 6), (5, 10)])
def test_a_limit_asks_about_some_and_the_rest_follows(folder, chunk, first):
    whole = FakeEngine()
    run(folder, whole, chunk=chunk, masked=False)
    wanted = files(folder)
    for path in folder.iterdir():
        path.unlink()
    engine = FakeEngine()
    completions = run(folder, engine, chunk=chunk, masked=False, limit=6)
    assert [one.id for one in completions] == whole.asked[:first] == engine.asked
    run(folder, engine, chunk=chunk, masked=False)
    assert engine.asked == whole.asked
    assert files(folder) == wanted


def test_a_finished_run_starts_no_engine(folder):
    run(folder, FakeEngine())
    before = files(folder)
    run(folder, None, settings={"model": "fake"})
    assert files(folder) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"settings": {"model": "other"}}, 'model was "fake", is "other"'),
        ({"temperature": 0.5}, "temperature was 0.0, is 0.5"),
        ({"chunk": 3}, "chunk was null, is 3"),
    ],
)
def test_other_settings_do_not_go_on(folder, change, sentence):
    run(folder, FakeEngine(), masked=False)
    before = files(folder)
    with pytest.raises(InputError, match=f"completions.jsonl was begun with .*{sentence}"):
        run(folder, FakeEngine(), masked=False, **change)
    assert files(folder) == before


def test_other_data_do_not_go_on(folder):
    run(folder, FakeEngine(), masked=False)
    write_faces(folder.parent / "eval.parquet", FACES + 1)
    with pytest.raises(InputError, match=r"begun with other settings \(data was"):
        run(folder, FakeEngine(), masked=False)


def test_a_file_of_somebody_else_is_left_alone(folder):
    folder.mkdir()
    (folder / "completions.jsonl").write_text('{"id": "mine"}\n')
    with pytest.raises(InputError, match=r"completions\.settings\.json beside it does not say"):
        run(folder, FakeEngine(), masked=False)
    assert files(folder) == {"completions.jsonl": b'{"id": "mine"}\n'}


def test_a_file_in_use_is_left_alone(folder):
    class Impatient(FakeEngine):
        def generate(self, requests):
            run(folder, FakeEngine(), masked=False)
            yield from super().generate(requests)

    with pytest.raises(InputError, match="is being written by another process"):
        run(folder, Impatient(), masked=False)


def test_a_broken_line_is_named(folder):
    run(folder, FakeEngine(), masked=False)
    path = folder / "completions.jsonl"
    path.write_bytes(b"\0\0\n" + path.read_bytes())
    with pytest.raises(InputError, match=r"completions\.jsonl: line 1 is not JSON"):
        run(folder, FakeEngine(), masked=False)


def test_failed_requests_are_kept_and_asked_again_when_told_to(folder):
    run(folder, FakeEngine(), masked=False)
    whole = files(folder)["completions.jsonl"]
    (folder / "completions.jsonl").unlink()
    first = run(folder, FakeEngine(fails={"face_0002", "face_0009"}), masked=False)
    assert [one.id for one in first if one.error] == ["face_0002", "face_0009"]
    assert first[2].completion is None
    assert first[2].answer_logprob is None
    engine = FakeEngine()
    run(folder, engine, masked=False)
    assert engine.asked == []
    run(folder, engine, masked=False, retry_failed=True)
    assert engine.asked == ["face_0002", "face_0009"]
    assert files(folder)["completions.jsonl"] == whole


class Breaking(FakeEngine):
    def __init__(self, after):
        super().__init__()
        self.after = after

    def generate(self, requests):
        yield from itertools.islice(super().generate(requests), self.after)
        raise InputError("the endpoint is gone")


def test_an_engine_that_breaks_loses_nothing_that_came_before(folder):
    with pytest.raises(InputError, match="the endpoint is gone"):
        run(folder, Breaking(after=7), masked=False)
    engine = FakeEngine()
    run(folder, engine, masked=False)
    assert len(engine.asked) == FACES - 7


def test_a_missing_reply_is_told(folder):
    class Forgetful(FakeEngine):
        def generate(self, requests):
            return (reply for reply in super().generate(requests) if reply.key != "face_0005")

    with pytest.raises(InputError, match=r"no reply to 1 questions, .* 'face_0005'"):
        run(folder, Forgetful(), masked=False)


def test_images_are_read_as_they_are_needed(folder):
    """An engine that stops asking has not been given the rest."""
    taken = 0

    class Stopping(FakeEngine):
        def generate(self, requests):
            nonlocal taken
            for request in requests:
                taken += 1
                yield Reply(request.key, "text")
                if taken == 3:
                    raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        run(folder, Stopping(), masked=False)
    assert taken == 3


def test_the_same_id_twice_is_refused(tmp_path):
    path = write_faces(tmp_path / "eval.parquet", 2)
    [first, _] = pq.read_table(path).to_pylist()
    with ParquetRows(path, EvalRow, {METADATA_KEY: METADATA}) as rows:
        for _ in range(2):
            rows.write(EvalRow.from_record(first))
    with pytest.raises(InputError, match="row 1: the id 'face_0000' is there twice"):
        run(tmp_path / "run", FakeEngine(), masked=False)


def test_half_a_surrogate_pair_is_no_error(folder):
    completions = run(folder, FakeEngine(answer=lambda _: "\ud800 text"), masked=False)
    assert completions[0].completion == "\ud800 text"
    assert json.loads(files(folder)["completions.jsonl"].splitlines()[0])["completion"] == "? text"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(["<answer>", " fear", " </answer>"], -2.0, id="whole tokens"),
        pytest.param(["<ans", "wer>", " f", "ear", " ", "</answer>"], -12.0, id="split everywhere"),
        pytest.param(["x", "<answer>", " ", "\n", "fear", "</answer>"], -16.0, id="spaces apart"),
        pytest.param(["<answer> fear </answer>"], -1.0, id="one token"),
        pytest.param(["<answer>fe", "ar</answer>"], -3.0, id="tags and answer in one token"),
        pytest.param(["fear", "<answer>", "fear", "</answer>"], -4.0, id="the word before"),
        pytest.param(["<answer>", "", "fear", "", "</answer>"], -4.0, id="empty tokens"),
        pytest.param(["<answer>", "�", "�", "fear", "</answer>", "<end>"], -14.0, id="bytes"),
        pytest.param(["<answer>", "not", " ", "fear", "</answer>"], -14.0, id="two words"),
        pytest.param(["<answer>", " ", "</answer>"], None, id="empty"),
        pytest.param(["<answer>", "fear"], None, id="not closed"),
        pytest.param(["fear", "</answer>"], None, id="not opened"),
        pytest.param(["</answer>", "fear", "<answer>"], None, id="the wrong way round"),
        pytest.param(["<answer>", "a", "</answer>", "<answer>", "b", "</answer>"], None, id="two"),
        pytest.param([], None, id="nothing"),
    ],
)
def test_answer_logprob(texts, expected):
    """Token k has the log-probability -2^k, so that a sum tells which tokens are in it."""
    tokens = [TokenLogprob(text, -float(2**k)) for k, text in enumerate(texts)]
    assert answer_logprob(tokens) == expected


@given(
    before=st.text(alphabet="ab <>", max_size=20),
    answer=st.sampled_from(["fear", "very sad", "é→"]),
    cuts=st.sets(st.integers(1, 60)),
)
def test_answer_logprob_counts_the_tokens_that_touch_the_answer(before, answer, cuts):
    text = f"{before}<answer> {answer} </answer>"
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    begin = text.rindex(answer)
    inside = {
        k
        for k, (a, b) in enumerate(itertools.pairwise(places))
        if a < begin + len(answer) and b > begin
    }
    tokens = [TokenLogprob(piece, -float(2**k)) for k, piece in enumerate(pieces)]
    assert answer_logprob(tokens) == -sum(2.0**k for k in inside)


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), float("inf")])
def test_a_log_probability_that_is_not_finite_costs_no_answer(folder, odd):
    class Odd(FakeEngine):
        def _reply(self, request):
            reply = super()._reply(request)
            return replace(reply, logprobs=(TokenLogprob(reply.text, odd),))

    completions = run(folder, Odd(), masked=False)
    assert {one.answer_logprob for one in completions} == {None}
    assert list(read_completions(folder / "completions.jsonl").values()) == completions


def test_a_reply_without_logprobs_has_no_answer_logprob(folder):
    class Plain(FakeEngine):
        def _reply(self, request):
            return Reply(request.key, some_answer(request), "stop")

    assert run(folder, Plain(), masked=False)[0].answer_logprob is None


def test_every_face_has_its_own_seed(folder):
    seeds = []

    def note(request):
        seeds.append(request.seed)
        return trace("fear")

    run(folder, FakeEngine(answer=note), masked=False)
    assert len(set(seeds)) == FACES


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_tokens": 0}, "max_tokens is 0, not at least 1"),
        ({"chunk": 0}, "chunk is 0, not at least 1"),
        ({"temperature": -1}, "temperature is -1, not at least 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_senseless_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        GenerationConfig(**options)


def test_a_model_that_was_trained_further_has_another_fingerprint(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=500_000).astype(np.float32)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(values.tobytes())
    before = model_fingerprint(str(tmp_path))
    (tmp_path / "notes.txt").write_text("nothing to do with the model")
    assert model_fingerprint(str(tmp_path)) == before
    # One value in a thousand changed: in bfloat16 a step at a small learning rate does no more.
    values[rng.integers(0, len(values), 500)] += 1e-3
    weights.write_bytes(values.tobytes())
    assert model_fingerprint(str(tmp_path)) != before
    assert model_fingerprint("Qwen/Qwen2.5-VL-7B-Instruct") is None


@pytest.mark.parametrize(
    ("engine", "said", "prepared", "asked"),
    [
        ("vllm", {}, None, {}),
        ("vllm", {}, False, {"enable_thinking": "false"}),
        ("openai", {"url": "x"}, True, {"url": "x", "enable_thinking": "true"}),
        ("vllm", {"enable_thinking": "True"}, True, {"enable_thinking": "true"}),
        ("vllm", {"enable_thinking": "true"}, None, {"enable_thinking": "true"}),
        ("my.module:ENGINE", {}, True, {}),
        ("vllm", {"enable_thinking": "true"}, False, None),
    ],
)
def test_the_data_say_whether_the_model_is_to_reason(tmp_path, engine, said, prepared, asked):
    path = tmp_path / "eval.parquet"
    write_faces(path, 2)
    if prepared is not None:
        about = {METADATA_KEY: json.dumps({"enable_thinking": prepared})}
        pq.write_table(pq.read_table(path).replace_schema_metadata(about), path)
    model = Model("some/model", engine, said)
    if asked is None:
        with pytest.raises(
            InputError, match=r"enable_thinking is true, but .* was prepared for fa"
        ):
            model.asked_as(path)
        return
    assert model.asked_as(path).options == asked
