"""Two models on the same faces, and one model on several protocols."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from tag_rewards.errors import InputError
from tag_rewards.evaluation.classification import classify, expected_calibration_error
from tag_rewards.evaluation.compare import (
    POOLED,
    EvaluatedModel,
    compare_models,
    cross_dataset,
    row_columns,
    statistics,
)
from tag_rewards.evaluation.measures import MEASURES, Figure, difference_figure
from tag_rewards.evaluation.results import Faces, Results
from tag_rewards.geometry import BoxSpace
from tag_rewards.target import AUEvidence, Target
from tests.builders.results import face_row

LABELS = ("happiness", "fear")


def row(index, answer, label=None, iou=0.5, **fields):
    plain = {
        "answer_compat": answer or "unknown",
        "mean_iou": iou,
        **dict.fromkeys(("hit_rate", "au_precision", "au_recall", "au_f1"), 0.5),
        **dict.fromkeys(("n_aus", "n_placed", "n_mentions"), 2),
        "hallucinated": 0.5,
    }
    return face_row(f"face_{index}", label or LABELS[index % 2], answer, **{**plain, **fields})


def model(samples, protocol="made/test", labels=LABELS, name="", folder="a"):
    sums = statistics(row_columns(samples, labels).sum(axis=0), len(labels))
    figures = {
        key: None if np.isnan(value) else Figure(float(value), 0.0, 1.0, len(samples))
        for key, value in sums.items()
    }
    one = classify([s.label for s in samples], [s.answer for s in samples], labels, n_resamples=100)
    compat = replace(
        one,
        **{key: figures[f"compat_{key}"] for key in ("accuracy", "uar", "macro_f1")},
    )
    strict = replace(one, ece=figures["ece"], brier=figures["brier"])
    faces = Faces(len(samples), len(samples), 0, len(samples), 0, {})
    results = Results(
        protocol,
        labels,
        (),
        name,
        faces,
        {"strict": strict, "ferbench-compat": compat},
        {"model": {key: figures[key] for key in list(figures)[8:]}},
        (),
    )
    return EvaluatedModel(Path(folder), results, samples)


def draw(seed, right=0.7, n=200, **fields):
    rng = np.random.default_rng(seed)
    return [
        row(
            i,
            LABELS[i % 2] if rng.random() < right else rng.choice([LABELS[1 - i % 2], None]),
            iou=float(rng.random()),
            **fields,
        )
        for i in range(n)
    ]


def test_a_model_beside_itself():
    one = model(draw(0))
    comparison = compare_models(one, one)
    assert comparison.mcnemar == (0, 0, 1.0)
    assert {d.change[:3] for d in comparison.differences} == {(0.0, 0.0, 0.0)}
    tested = [d for d in comparison.differences if MEASURES[d.name].tested]
    assert {(d.p, d.adjusted_p, d.verdict) for d in tested} == {(1.0, 1.0, "no clear change")}
    others = {d.name: d.verdict for d in comparison.differences if d not in tested}
    said_by_others = ("compat_accuracy", "compat_uar", "compat_macro_f1", "skill", "words_judged")
    assert others == dict.fromkeys(said_by_others, "not tested")
    # No confidence, no named region and no words: nothing to compare there.
    assert {d.name for d in comparison.differences} == set(MEASURES) - {
        *("ece", "brier", "text_box_agreement"),
        *("region_agreement", "observation_agreement", "conclusion_agreement"),
    }


def test_differences_and_their_intervals():
    first, second = model(draw(0)), model(draw(1, right=0.9))
    comparison = compare_models(first, second, n_resamples=4000)
    found = {d.name: d for d in comparison.differences}
    for name, of in (
        ("mean_iou", lambda s: s.mean_iou),
        ("accuracy", lambda s: float(s.answer == s.label)),
    ):
        before, after = ([of(s) for s in m.rows] for m in (first, second))
        plain = difference_figure(before, after, n_resamples=4000)
        assert found[name].change.value == pytest.approx(plain.value)
        assert found[name].change.low == pytest.approx(plain.low, abs=0.01)
        assert found[name].change.high == pytest.approx(plain.high, abs=0.01)
    assert found["accuracy"].verdict == "better"
    assert comparison.mcnemar.p < 0.001


def test_four_faces_against_none_are_no_verdict():
    """The interval of the difference is clear of 0, and chance does as much one time in eight."""
    answers = [LABELS[i % 2] for i in range(40)]
    first = model([row(i, None if i in (3, 8, 11, 20) else a) for i, a in enumerate(answers)])
    second = model([row(i, answer) for i, answer in enumerate(answers)])
    comparison = compare_models(first, second)
    accuracy = comparison.differences[0]
    assert comparison.mcnemar == (0, 4, 0.125)
    assert accuracy.change.low > 0
    assert (accuracy.p, accuracy.verdict) == (0.125, "no clear change")


def test_results_of_another_version_are_compared_by_their_rows():
    """Macro F1 was once a mean over all declared labels; rows say the same to every version."""
    rows = [row(i, "fear", "fear") for i in range(30)]
    now = model(rows)
    half = Figure(0.5, 0.4, 0.6, 30)
    strict = replace(now.results.classification["strict"], macro_f1=half, brier=None)
    old = replace(now.results, classification={**now.results.classification, "strict": strict})
    found = {d.name: d for d in compare_models(now._replace(results=old), now).differences}
    assert found["macro_f1"].change[:3] == (0, 0, 0)
    assert found["macro_f1"].first.value == 1


def test_2000_resamples_with_seed_0_unless_told_otherwise():
    first, second = model(draw(0)), model(draw(1), "other/test")
    said = {"n_resamples": 2000, "seed": 0}
    assert compare_models(first, model(draw(2))) == compare_models(first, model(draw(2)), **said)
    assert cross_dataset([first, second]) == cross_dataset([first, second], **said)


def test_less_is_better_of_hallucination():
    first, second = model(draw(0, hallucinated=0.5)), model(draw(0, hallucinated=0.0))
    found = {d.name: d for d in compare_models(first, second).differences}
    assert found["hallucination_per_mention"].change[:3] == (-0.5, -0.5, -0.5)
    assert found["hallucination_per_mention"].verdict == "better"
    worse = {d.name: d for d in compare_models(second, first).differences}
    assert worse["hallucination_per_mention"].verdict == "worse"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (model(draw(0), protocol="other/test", folder="b"), "a is of made/test (2 labels) and b"),
        (model(draw(0), labels=(*LABELS, "anger"), folder="b"), "of made/test (3 labels)"),
        (model(draw(0, n=199), folder="b"), "1 faces, 'face_199' for one, are in only one of a"),
        (model(draw(0)[::-1], folder="b"), "a and b have the same faces in another order"),
        (model(draw(0, target="[]"), folder="b"), "face 'face_0' has another target in b than in"),
    ],
)
def test_other_faces_are_refused(other, message):
    with pytest.raises(InputError) as caught:
        compare_models(model(draw(0)), other)
    assert message in str(caught.value)


def in_space(space, **changes):
    """A target of a face as it is written in a box space, in whole numbers of it."""
    shares = {6: (0.17, 0.4, 0.8, 0.57), 12: (0.23, 0.63, 0.74, 0.86)}
    evidence = tuple(
        AUEvidence(
            au,
            changes.get("probability", 0.9),
            tuple(
                round(share * side)
                for share, side in zip(box, (*space.extent, *space.extent), strict=True)
            ),
        )
        for au, box in shares.items()
        if au != changes.get("without")
    )
    target = Target(changes.get("label", "happiness"), evidence, space, changes.get("form", "tag"))
    return target.to_json()


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"form": "qwen3_vl"}, True),
        ({"probability": 0.8}, False),
        ({"label": "fear"}, False),
        ({"without": 6}, False),
    ],
)
def test_models_that_write_in_spaces_of_their_own_are_compared(changes, alike):
    pixels, other = BoxSpace.resized("qwen2_5_vl", 112, 112), BoxSpace.normalized_1000()
    first = model(draw(0, target=in_space(pixels)))
    second = model(draw(1, target=in_space(other, **changes)), folder="b")
    if alike:
        same = model(draw(1, target=in_space(pixels)), folder="b")
        assert compare_models(first, second) == compare_models(first, same)
        return
    with pytest.raises(InputError, match="has another target in b"):
        compare_models(first, second)


def test_boxes_at_another_place_are_another_target():
    elsewhere = in_space(BoxSpace.pixels(112, 112)).replace("19", "25")
    assert elsewhere != in_space(BoxSpace.pixels(112, 112))
    first = model(draw(0, target=in_space(BoxSpace.normalized_1000())))
    with pytest.raises(InputError, match="has another target in b"):
        compare_models(first, model(draw(0, target=elsewhere), folder="b"))


def test_pooled_figures_are_those_of_all_faces_together():
    first = draw(0, n=60)
    second = [
        row(i, answer, label)
        for i, (label, answer) in enumerate(
            [("fear", "anger"), ("anger", "anger"), ("anger", None), ("happiness", "happiness")] * 5
        )
    ]
    labels = ("happiness", "fear", "anger")
    rows = cross_dataset([model(first, "a/test"), model(second, "b/test", labels)])
    assert [(r.name, r.n) for r in rows] == [("a/test", 60), ("b/test", 20), (POOLED, 80)]
    both = first + second
    true, words = [s.label for s in both], [s.answer or "none" for s in both]
    pooled = rows[-1].figures
    assert pooled["accuracy"].value == pytest.approx(metrics.accuracy_score(true, words))
    assert pooled["macro_f1"].value == pytest.approx(
        metrics.f1_score(true, words, labels=list(labels), average="macro", zero_division=0)
    )
    assert pooled["accuracy"][1:3] == pytest.approx(
        stats.binomtest(sum(map(str.__eq__, true, words)), 80).proportion_ci(method="wilson")
    )
    assert pooled["mean_iou"].value == pytest.approx(np.mean([s.mean_iou for s in both]))
    assert pooled["mean_iou"].n == 80
    assert pooled["ece"] is None
    for name, figure in pooled.items():
        if figure is not None:
            assert figure.low <= figure.value + 1e-9, name
            assert figure.value <= figure.high + 1e-9, name


def test_a_figure_that_no_evaluation_has_is_not_pooled():
    """Of results that were written before there was such a measure, though the rows would tell."""
    models = []
    for one in (model(draw(0), "a/test"), model(draw(1), "b/test")):
        faithfulness = {"model": {**one.results.faithfulness["model"], "hit_rate": None}}
        models.append(one._replace(results=replace(one.results, faithfulness=faithfulness)))
    pooled = cross_dataset(models)[-1].figures
    assert pooled["hit_rate"] is None
    assert pooled["mean_iou"].n == 400


def test_the_calibration_error_is_of_the_rows_with_a_confidence():
    some = [row(i, LABELS[i % 3 == 0], confidence=(0.0, 0.3, None, 1.0)[i % 4]) for i in range(40)]
    known = [one for one in some if one.confidence is not None]
    expected = expected_calibration_error(
        [one.confidence for one in known], [one.answer == one.label for one in known]
    )
    found = statistics(row_columns(some, LABELS).sum(axis=0), len(LABELS))
    assert found["ece"] == pytest.approx(expected)


def test_one_protocol_has_no_pooled_row():
    assert [r.name for r in cross_dataset([model(draw(0))])] == ["made/test"]


def test_the_table_is_of_one_model_and_of_different_protocols():
    with pytest.raises(InputError, match="a and b are both of made/test"):
        cross_dataset([model(draw(0)), model(draw(1), folder="b")])
    some = [
        model(draw(0), name="x"),
        model(draw(1), "other/test", name="y", folder="b"),
        model(draw(2), "third/test", name="z", folder="c"),
    ]
    for of in (some[:2], some):
        with pytest.raises(InputError, match="a is of the model 'x' and b of 'y'"):
            cross_dataset(of)
