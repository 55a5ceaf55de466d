"""The whole evaluation on a made set of faces, and what is written and read back."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.commands.evaluation_tables import (
    comparison_table,
    cross_dataset_table,
    results_tables,
)
from tag_rewards.completions.completion import Completion, match_faces, model_name, read_completions
from tag_rewards.errors import InputError
from tag_rewards.evaluation.classification import FERBENCH, STRICT
from tag_rewards.evaluation.compare import (
    compare_models,
    cross_dataset,
    read_model,
    row_columns,
    statistics,
)
from tag_rewards.evaluation.measures import MEASURES, Figure, Measure, measure_sums
from tag_rewards.evaluation.results import (
    FACES_OF_A_KIND,
    MODEL,
    GalleryFace,
    choose,
    judged_faces,
    read_face_rows,
    read_gallery,
    read_results,
    write_face_rows,
    write_gallery,
    write_results,
)
from tag_rewards.evaluation.run import EvaluationConfig, evaluate
from tag_rewards.geometry import BoxSpace, au_boxes, average_face
from tag_rewards.prepare.eval_set import EvaluationFace, EvaluationSet
from tag_rewards.report.tables import faithfulness_table, pairs, read_entries
from tag_rewards.rewards import score
from tag_rewards.target import AUEvidence, Target
from tests.builders.trace import honest, loop, step

LABELS = ("neutral", "happiness", "fear")
AUS = {"neutral": (), "happiness": (6, 12), "fear": (1, 4, 20)}
SPACE = BoxSpace.pixels(200, 200)
CONFIG = EvaluationConfig(resamples=200)


def face(index):
    label = LABELS[index % 3]
    landmarks = average_face() * 26 + [95 + index, 60]
    boxes = au_boxes(AUS[label], landmarks).round().tolist()
    evidence = tuple(
        AUEvidence(au, 0.9, tuple(box)) for au, box in zip(AUS[label], boxes, strict=True)
    )
    return EvaluationFace(f"face_{index}", Target(label, evidence, SPACE), landmarks)


def data(count=9):
    faces = [face(index) for index in range(count)]
    unseen = EvaluationFace("unseen", Target("fear", (), SPACE), None, "no face found")
    return EvaluationSet("made/test", LABELS, ("test: expected 9 images",), (*faces, unseen))


def words(target, shift=0, label=None):
    return honest(target, shift, shift, label, region="mouth")


def oracle(of):
    return [
        Completion(one.id, words(one.target), answer_logprob=0.0, model="oracle")
        for one in of.faces
    ]


def test_the_oracle_is_right_everywhere():
    found = evaluate(data(), oracle(data()), [one.target for one in data().faces], CONFIG, "oracle")
    results = found.results
    for parser in (STRICT, FERBENCH):
        one = results.classification[parser]
        assert (one.accuracy.value, one.uar.value, one.macro_f1.value) == (1, 1, 1)
        assert (dict(one.no_answer), one.dropped, one.n) == ({}, 0, 10)
    assert results.classification[STRICT].ece.value == 0
    measured = results.faithfulness[MODEL]
    for name in ("mean_iou", "hit_rate", "placed_iou", "au_f1"):
        assert (measured[name].value, measured[name].n) == (1, {"placed_iou": 15}.get(name, 6))
    assert measured["hallucination_per_trace"].value == 0
    assert (results.faces.total, results.faces.with_evidence) == (10, 6)
    assert results.faces.left_out == {"no active AU": 3, "no face found": 1}
    others = ["random boxes", "mean boxes", "whole face", "another face of the label"]
    assert list(results.faithfulness) == [MODEL, *others]
    for who in others:
        assert results.faithfulness[who]["mean_iou"].value < 0.95


def test_boxes_in_another_space_and_reasoning_that_does_not_end_are_counted():
    of = data()
    predictions = oracle(of)
    for index in (1, 2):  # two faces with several AUs, in thousandths instead of 200 pixels
        target = of.faces[index].target
        steps = [step(one.au, [5 * side for side in one.box]) for one in target.evidence]
        predictions[index] = replace(predictions[index], completion=loop(*steps))
    predictions[4] = replace(predictions[4], completion="<think>a smile, or")
    results = evaluate(of, predictions, None, CONFIG).results
    assert results.suspect_spaces == {"thousandths": 2}
    assert any("the boxes of 2 completions lie" in warning for warning in results.warnings)
    assert results.classification[STRICT].no_answer["unclosed"] == 1


def test_boxes_that_nothing_is_read_from_are_a_warning():
    """A stock model writes a list of boxes, and no trace: its figures are 0, and that is said."""
    of = data()
    listed = '[{"bbox_2d": [1, 2, 3, 4], "label": "mouth"}] <answer>happiness</answer>'
    told = [
        any("no box of any completion" in warning for warning in results.warnings)
        for results in (
            evaluate(of, predictions, None, CONFIG).results
            for predictions in ([Completion(one.id, listed) for one in of.faces], oracle(of))
        )
    ]
    assert told == [True, False]


def test_every_cause_of_no_answer_counts_as_wrong():
    of = data()
    predictions = oracle(of)
    predictions[0] = None
    predictions[1] = Completion("face_1", None, error="the endpoint timed out")
    predictions[2] = Completion("face_2", "Global analysis: a long", finish_reason="length")
    predictions[3] = Completion("face_3", "a face")
    predictions[4] = Completion("face_4", "<answer>unhappy</answer>")
    predictions[5] = Completion("face_5", "<answer>anger</answer>")
    found = evaluate(of, predictions, None, CONFIG)
    strict, compat = (found.results.classification[parser] for parser in (STRICT, FERBENCH))
    causes = ("missing", "error", "truncated", "no_tag", "no_label", "outside")
    assert dict(strict.no_answer) == dict.fromkeys(causes, 1)
    assert strict.n == 10
    assert strict.accuracy.value == pytest.approx(4 / 10)
    assert [row[-1] for row in strict.confusion] == [2, 2, 2]
    # The UniFER evaluator drops what has no completion, and reads "unhappy" as happiness.
    assert (compat.n, compat.dropped) == (8, 2)
    assert compat.no_answer == {"unknown": 3}
    assert compat.accuracy.value == pytest.approx(5 / 8)
    by_id = {row.id: row for row in found.rows}
    assert [by_id[f"face_{i}"].no_answer for i in range(6)] == list(causes)
    assert by_id["face_4"].answer_compat == "happiness"
    assert by_id["face_0"].completion is None
    assert found.results.faces.with_completion == 8


def test_rows_say_what_the_reward_says():
    of = data()
    predictions = [Completion(one.id, words(one.target, shift=6)) for one in of.faces]
    for row, one, prediction in zip(
        evaluate(of, predictions, None, CONFIG).rows, of.faces, predictions, strict=True
    ):
        scores = score(prediction.completion, one.target)
        names = ("score", "format", "grounding", "mean_iou", "au_precision", "au_recall", "au_f1")
        for name in names:
            assert getattr(row, name) == pytest.approx(scores[name])
        assert row.abstained == bool(scores["abstained"])
        assert Target.from_json(row.target) == one.target


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.text(max_size=40),
            st.sampled_from(
                [
                    "<answer>fear</answer>",
                    step((1, 2), "0,0,1e-300,1e-300"),
                    loop(step(12, "0,0,1e-300,1e-300")),
                    loop(step(None, "-1e6,-1e6,1e6,1e6", said="AU4")),
                    loop(step(99, (1, 1, 5, 5))),
                    "<answer>" * 20_000,
                ]
            ),
        ),
        min_size=10,
        max_size=10,
    )
)
def test_no_completion_is_an_error(texts):
    of = data()
    predictions = [
        None if text is None else Completion(one.id, text)
        for one, text in zip(of.faces, texts, strict=True)
    ]
    found = evaluate(of, predictions, None, EvaluationConfig(resamples=100))
    for name, figure in found.results.figures.items():
        if figure is not None:
            least = -1 if MEASURES[name].signed else 0
            assert least <= figure.low <= figure.high <= 1
            assert least <= figure.value <= 1
    json.dumps(found.results.config)


def mixed(of):
    """Some of everything: boxes off, AUs and labels wrong, no answers, confidences."""
    rng = np.random.default_rng(0)
    predictions = []
    for index, one in enumerate(of.faces):
        text = words(
            one.target, shift=int(rng.integers(0, 12)), label=rng.choice([*LABELS, "what"])
        )
        if index % 3 == 1:
            text = text.replace("AU6)", "AU9)")
        predictions.append(Completion(one.id, text, answer_logprob=-float(rng.random())))
    predictions[2] = Completion("face_2", words(of.faces[2].target))
    predictions[4 % len(predictions)] = None
    return predictions


def test_what_is_written_is_read_back(tmp_path):
    of = data()
    found = evaluate(of, mixed(of), [one.target for one in of.faces], CONFIG, "m", {"data": "x"})
    results = replace(found.results, counterfactual={"claimed": Figure(0.5, 0.25, 0.75, 4)})
    write_results(tmp_path / "new", results)
    write_face_rows(tmp_path / "new", found.rows)
    model = read_model(tmp_path / "new")
    assert model.results == results
    assert model.rows == found.rows
    assert read_results(tmp_path / "new").config["annotation"] == {}


def test_every_figure_can_be_recomputed_from_the_rows():
    of = data(30)
    found = evaluate(of, mixed(of), None, CONFIG)
    again = statistics(row_columns(found.rows, LABELS).sum(axis=0), len(LABELS))
    for name, figure in found.results.figures.items():
        assert figure.value == pytest.approx(float(again[name]), abs=1e-12), name
    hallucinated = found.results.faithfulness[MODEL]["hallucination_per_mention"]
    pair = measure_sums(judged_faces(found.rows))["hallucination_per_mention"]
    assert pair.sum(axis=0).tolist() == [9, hallucinated.n]


def test_the_gallery_has_the_best_the_worst_and_some(tmp_path):
    of = data(60)
    found = evaluate(of, mixed(of), None, CONFIG)
    choices = choose(found.rows)
    assert len(choices) == 3 * FACES_OF_A_KIND
    rows = [found.rows[choice.row] for choice in choices]
    assert not any(row.abstained or row.completion is None for row in rows)
    best = [row.score for row in rows[:FACES_OF_A_KIND]]
    worst = [row.score for row in rows[FACES_OF_A_KIND : 2 * FACES_OF_A_KIND]]
    eligible = [row.score for row in found.rows if not row.abstained and row.completion]
    assert best == sorted(eligible, reverse=True)[:FACES_OF_A_KIND]
    assert worst == sorted(eligible)[:FACES_OF_A_KIND]
    write_gallery(
        tmp_path, [GalleryFace(k, rank, b"%d" % row, found.rows[row]) for k, rank, row in choices]
    )
    faces = read_gallery(tmp_path)
    assert [(one.kind, one.rank) for one in faces][:2] == [("best", 1), ("best", 2)]
    assert [one.row for one in faces] == rows
    assert faces[0].image == b"%d" % choices[0].row
    assert choose(found.rows) == choices != choose(found.rows, seed=1)


def test_a_gallery_of_few_faces():
    of = data(4)
    found = evaluate(of, oracle(of), None, CONFIG)
    assert [choice.rank for choice in choose(found.rows)] == [1, 2] * 3
    nothing = evaluate(of, [None] * 5, None, CONFIG)
    assert choose(nothing.rows) == []
    assert FERBENCH not in nothing.results.classification


def test_no_faces_no_evaluation():
    with pytest.raises(InputError, match="made/test has no face to evaluate"):
        evaluate(EvaluationSet("made/test", LABELS, (), ()), [])
    with pytest.raises(InputError, match="resamples is 1, not at least 100"):
        EvaluationConfig(resamples=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is '[]', not a JSON object"),
        ('{"completion": "x"}', "line 2: field 'id' is None, not the name of a face"),
        ('{"id": 3, "completion": "x"}', "line 2: field 'id' is 3, not the name of a face"),
        ('{"id": "b"}', "line 2: field 'completion' is missing; give null for no text"),
        ('{"id": "b", "completion": 3}', "line 2: field 'completion' is 3, not a string"),
        ('{"id": "a", "completion": "x"}', "line 2: field 'id': 'a' is there a second time"),
        (
            '{"id": "b", "completion": "x", "answer_logprob": 0.7}',
            "line 2: field 'answer_logprob' is 0.7, not a number up to 0 or null",
        ),
        (
            '{"id": "b", "completion": "x", "answer_logprob": NaN}',
            "line 2: field 'answer_logprob' is nan, not a number up to 0 or null",
        ),
        ('{"id": "b", "completion": "x", "error": []}', "line 2: field 'error' is [], not a"),
    ],
)
def test_what_is_wrong_with_a_line_of_completions(line, message, tmp_path):
    path = tmp_path / "completions.jsonl"
    path.write_text('{"id": "a", "completion": "x"}\n' + line + "\n")
    with pytest.raises(InputError) as caught:
        read_completions(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_completions_from_any_script(tmp_path):
    path = tmp_path / "completions.jsonl"
    path.write_text(
        '{"id": "a", "completion": "x", "mine": 1}\n\n'
        '{"id": "b", "completion": null}\n'
        '{"id": "c", "completion": "", "error": "no answer", "model": "m", '
        '"answer_logprob": 1e-5}\n'
    )
    read = read_completions(path)
    assert read["a"] == Completion("a", "x")
    assert read["b"].completion is None
    assert read["c"] == Completion("c", None, answer_logprob=0.0, error="no answer", model="m")
    assert model_name(path, read.values()) == "m"
    path.write_text("\n")
    with pytest.raises(InputError, match="has no completions"):
        read_completions(path)


def test_completions_of_other_faces_or_models_are_refused(tmp_path):
    path, faces = tmp_path / "c.jsonl", data().faces
    with pytest.raises(InputError, match="1 of 1 are none of the 10 evaluated faces, such as 'x'"):
        match_faces(path, {"x": Completion("x", "")}, faces)
    with pytest.raises(InputError, match="'face_0' is the id of 2 evaluated faces"):
        match_faces(path, {}, (*faces, faces[0]))
    with pytest.raises(InputError, match="completions of 'm' and of 'n'"):
        model_name(path, [Completion("a", "", model="n"), Completion("b", "", model="m")])
    assert match_faces(path, {"face_1": Completion("face_1", "")}, faces)[0] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "results.json does not exist; give a folder that `tag-rewards eval` wrote"),
        ("{", "results.json is not JSON"),
        ('{"version": 9}', "results.json is not of version 1 of results"),
        ('{"version": 1}', "results.json does not have the fields of results"),
        ('{"version": 1, "new": 3}', "unknown new"),
    ],
)
def test_what_is_wrong_with_results(text, message, tmp_path):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_results(tmp_path)
    assert message in str(caught.value)


def test_what_is_wrong_with_samples(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(InputError, match=r"samples.parquet does not exist"):
        read_face_rows(tmp_path)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "samples.parquet")
    with pytest.raises(InputError, match="column 'id' is int64, not string"):
        read_face_rows(tmp_path)
    (tmp_path / "samples.parquet").write_text("no")
    with pytest.raises(InputError, match="is not a parquet file"):
        read_face_rows(tmp_path)


SHARP = Measure(
    "share of sharp boxes",
    count=lambda of: (of.claims_with(of.claim_iou >= 0.75), of.claims_with(of.claim_au > 0)),
)


@pytest.fixture
def with_one_more(tmp_path, monkeypatch):
    """Two evaluations with one measure more."""
    monkeypatch.setitem(MEASURES, "sharp_boxes", SHARP)
    of = data(30)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        results, rows = evaluate(of, mixed(of), None, CONFIG)
        write_results(folder, results)
        write_face_rows(folder, rows)
        images = [GalleryFace(kind, rank, b"", rows[row]) for kind, rank, row in choose(rows)]
        write_gallery(folder, images)
    return folders


def cells(table):
    return {cell for column in table.columns for cell in column.cells}


def test_a_measure_more_is_everywhere(with_one_more):
    figures = json.loads((with_one_more[0] / "results.json").read_text())["faithfulness"]
    assert 0 < figures["model"]["sharp_boxes"]["value"] < 1
    assert 0 <= figures["random boxes"]["sharp_boxes"]["value"] < 0.2
    assert figures["whole face"]["sharp_boxes"]["n"] == 50
    for name in ("samples", "gallery"):
        column = pq.read_table(with_one_more[0] / f"{name}.parquet")["sharp_boxes"]
        shares = [value for value in column.to_pylist() if value is not None]
        assert set(shares) <= {0, 1 / 3, 1 / 2, 2 / 3, 1}
    model, other = map(read_model, with_one_more)
    tables = [*results_tables(model.results)]
    comparison = compare_models(model, other, 200)
    tables += [comparison_table(comparison, "a", "b"), cross_dataset_table(cross_dataset([model]))]
    assert [SHARP.words in cells(table) for table in tables if not isinstance(table, str)] == [
        *(False, False, True),
        *(True, True),
    ]
    entries = read_entries(with_one_more)
    [pair] = pairs(entries).tables
    for table in (faithfulness_table(entries[0]), pair):
        assert f"{SHARP.words}\u00a0↑" in {row[0] for group in table.groups for row in group.rows}


def test_samples_have_a_column_for_each_measure_that_is_not_said_by_others(with_one_more):
    columns = pq.read_schema(with_one_more[0] / "samples.parquet").names
    assert set(MEASURES) & set(columns) == {
        *("mean_iou", "hit_rate", "au_precision", "au_recall", "au_f1", "text_box_agreement"),
        *("region_agreement", "observation_agreement", "conclusion_agreement", "words_judged"),
        "sharp_boxes",
    }


def test_results_without_it_show_it_as_absent(with_one_more, monkeypatch):
    monkeypatch.delitem(MEASURES, "sharp_boxes")
    *_, warning = read_model(with_one_more[0]).results.warnings
    assert "sharp_boxes is not known to this one" in warning
    monkeypatch.setitem(MEASURES, "later", SHARP)
    model = read_model(with_one_more[0])
    assert model.results.figures["later"] is None
    *_, faithfulness, _ = results_tables(model.results)
    assert list(faithfulness.columns[1].cells)[-1] == "-"
    compared = {
        one.name for one in compare_models(model, read_model(with_one_more[1]), 200).differences
    }
    assert "mean_iou" in compared
    assert "later" not in compared
