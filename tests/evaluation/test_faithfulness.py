from dataclasses import replace

import numpy as np
import pytest

from tag_rewards.evaluation.faithfulness import (
    BOX_BASELINES,
    SeenAUs,
    agreement,
    area_boxes,
    areas_of_faces,
    baseline_faces,
    judge,
    other_faces,
    placed_faces,
    random_boxes,
)
from tag_rewards.evaluation.measures import MEASURES, measure_sums, resampled_sums
from tag_rewards.evaluation.results import ANOTHER_FACE, MODEL, judged_faces
from tag_rewards.evaluation.run import faithfulness_figures
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.geometry import (
    AU_REGIONS,
    BoxSpace,
    au_boxes,
    average_face,
    clip_boxes,
    convert_boxes,
)
from tag_rewards.rewards import consistency_reward
from tag_rewards.target import AUEvidence, SeenBoxes, Target
from tag_rewards.trace import Step, Trace, parse_trace
from tests.builders.results import face_row
from tests.builders.trace import loop, step

SPACE = BoxSpace.pixels(200, 200)


def face(rng, aus=(1, 4, 12, 25), spread=8.0):
    """A face somewhere near the middle: its target and its landmarks."""
    landmarks = average_face() * rng.uniform(24, 30) + rng.uniform(-spread, spread, 2) + [100, 60]
    boxes = clip_boxes(au_boxes(aus, landmarks), 200, 200).round()
    evidence = tuple(
        AUEvidence(au, 0.9, tuple(box)) for au, box in zip(aus, boxes.tolist(), strict=True)
    )
    return Target("fear", evidence, SPACE), landmarks


def faces(count, seed=0, **options):
    rng = np.random.default_rng(seed)
    some = [tuple(rng.choice(list(AU_REGIONS), 4, replace=False).tolist()) for _ in range(count)]
    return [face(rng, aus, **options) for aus in some]


def trace_of(target, boxes):
    """A trace that names the target's AUs and places those that have a box, in the usual words."""
    steps = tuple(
        Step(ACTION_UNITS[au].area, "active", tuple(box), au) for au, box in boxes.items()
    )
    return Trace("", steps, "", tuple(target.by_au), target.label)


def figures(judged, baselines=None):
    return faithfulness_figures({MODEL: columns_of(judged), **(baselines or {})}, judged, 200, 0)


def columns_of(judged):
    """Of faces that all have a completion; None is a face without evidence."""
    return judged_faces(
        [face_row(abstained=not one, **(one.columns() if one else {})) for one in judged]
    )


def parse(text, aus="AU12"):
    return parse_trace(f"{loop(text)} Final conclusion: {aus}.")


@pytest.fixture
def one():
    target, landmarks = face(np.random.default_rng(0), spread=0)
    return target, next(areas_of_faces(area_boxes([landmarks])))


def test_a_perfect_trace_is_worth_one_throughout(one):
    target, areas = one
    boxes = {au: item.box for au, item in target.by_au.items()}
    judged = judge(trace_of(target, boxes), target, areas)
    assert (judged.mean_iou, judged.hit_rate, judged.au_f1) == (1, 1, 1)
    assert judged.n_placed == 4
    assert judged.hallucinated == 0
    assert [claim.agrees for claim in judged.claims] == [True] * 4


def test_an_au_without_a_box_counts_in_the_mean_and_not_among_the_placed(one):
    target, areas = one
    boxes = {12: target.by_au[12].box}
    [found], _ = [judge(trace_of(target, boxes), target, areas)], None
    assert (found.mean_iou, found.hit_rate, found.n_placed) == (0.25, 0.25, 1)
    measured, _ = figures([found])
    assert measured[MODEL]["placed_iou"].value == 1
    assert measured[MODEL]["placed_iou"].n == 1


def test_half_an_iou_is_a_hit():
    target = Target("joy", (AUEvidence(12, 1.0, (0, 0, 10, 10)),), SPACE)
    hits = [judge(parse(step(12, (0, 0, 10, y))), target, None).hit_rate for y in (5, 4.9)]
    assert hits == [1, 0]


def test_several_boxes_for_one_au_are_worth_their_mean(one):
    target, areas = one
    box = target.by_au[12].box
    far = tuple(value + 150 for value in box)
    judged = judge(parse(f"{step(12, box)} {step(12, far)}"), target, areas)
    assert judged.iou_by_au[12] == 0.5
    assert [claim.iou for claim in judged.claims] == [1, 0]


def test_boxes_without_a_name_belong_to_the_aus_of_the_conclusion(one):
    target, areas = one
    box = target.by_au[12].box
    judged = judge(parse(step(None, box)), target, areas)
    assert judged.iou_by_au[12] == 1
    assert judged.claims[0].au == 12
    nobody_knows = judge(parse(step(None, box), "AU6, AU9"), target, areas)
    assert nobody_knows.claims[0].au is None
    assert nobody_knows.claims[0].iou is None


@pytest.mark.parametrize(
    ("text", "conclusion", "mentions"),
    [
        (step(12, (1, 1, 2, 2)), "AU12", {12}),
        (step(12, (1, 1, 2, 2)), "AU12, but no AU4", {12}),
        ("", "AU12 and AU6; AU4 is absent", {6, 12}),
        (step(9, (1, 1, 2, 2)), "Nothing", {9}),
        (step(12, (1, 1, 2, 2), said="as AU17 shows"), "AU12", {12, 17}),
        (step(12, (1, 1, 2, 2), said="without AU17"), "AU12", {12}),
        (step(12, (1, 1, 2, 2), region="AU2 region"), "AU12", {2, 12}),
        ("", "No AU", set()),
    ],
)
def test_mentions_are_what_is_asserted_anywhere(one, text, conclusion, mentions):
    target, areas = one
    judged = judge(parse(text, conclusion), target, areas)
    assert judged.mentions == mentions
    assert judged.unseen == mentions - {1, 4, 12, 25}


def test_the_global_analysis_can_hallucinate_too(one):
    target, areas = one
    trace = parse_trace("Global analysis: AU45 all over. Final conclusion: AU12.")
    assert judge(trace, target, areas).unseen == {45}


AREAS = {"eye": (10, 10, 90, 40), "mouth": (30, 60, 70, 90), "chin": (40, 85, 60, 100)}


@pytest.mark.parametrize(
    ("words", "said", "box", "agrees"),
    [
        ("mouth region", "open", (30, 60, 70, 80), True),
        ("eye region", "heavy lids", (30, 60, 70, 80), False),
        # Half of the box is enough, and less is not.
        ("mouth", "open", (30, 50, 70, 70), True),
        ("mouth", "open", (30, 49, 70, 70), False),
        # One of the named areas is enough.
        ("eyes and mouth", "open", (30, 60, 70, 80), True),
        # The words of the observation, where those of the region name nothing.
        ("lower left", "the chin is raised", (42, 86, 58, 99), True),
        ("lower left", "the eyes are open", (42, 86, 58, 99), False),
        ("somewhere", "something", (30, 60, 70, 80), None),
        # The whole face does not lie in any part of it.
        ("mouth", "open", (0, 0, 100, 100), False),
    ],
)
def test_text_and_box(words, said, box, agrees):
    assert agreement(Step(words, said, box), AREAS) is agrees


def test_no_landmarks_no_agreement():
    assert agreement(Step("mouth", "open", (30, 60, 70, 80)), None) is None
    assert agreement(Step("mouth", "open", None), AREAS) is None


def test_the_disagreement_of_the_papers_own_figure():
    """ "Inspect eye region" over the band of AU14 at the mouth corners."""
    landmarks = average_face() * 76 + [245, 235]
    areas = next(areas_of_faces(area_boxes([landmarks])))
    eyes = Step("eye region", "heavy eyelids and drooping lower lid", (80, 323, 416, 407))
    corners = eyes._replace(region="mouth corners")
    assert agreement(eyes, areas) is False
    assert agreement(corners, areas) is True


def table(some, training):
    targets, landmarks = (list(part) for part in zip(*some, strict=True))
    areas = area_boxes(landmarks)
    return baseline_faces(targets, landmarks, areas, SeenBoxes.of([t for t, _ in training]).means())


def as_figures(sums):
    """Of the measures that have a value; a baseline has no words to be judged."""
    totals = {name: pair.sum(axis=0) for name, pair in measure_sums(sums).items()}
    return {
        name: part / whole for name, (part, whole) in totals.items() if whole and not np.isnan(part)
    }


def test_random_low_template_middling_oracle_one():
    held_out = faces(60)
    found = {name: as_figures(of) for name, of in table(held_out, faces(200, seed=1)).items()}
    assert tuple(found) == BOX_BASELINES
    targets = [target for target, _ in held_out]
    areas = area_boxes([landmarks for _, landmarks in held_out])
    seen = SeenAUs.of(targets, areas)
    oracle = as_figures(placed_faces(seen, seen.boxes))
    for name in ("mean_iou", "hit_rate", "placed_iou", "text_box_agreement"):
        assert oracle[name] == pytest.approx(1)
        assert found["random boxes"][name] < 0.25
        assert found["whole face"][name] < 0.25
    assert 0.3 < found["mean boxes"]["mean_iou"] < 0.8
    of_words = {"region_agreement", "observation_agreement", "conclusion_agreement", "words_judged"}
    counted = {name: measure for name, measure in MEASURES.items() if measure.count}
    assert counted.keys() - oracle.keys() == of_words
    for name, measure in counted.items():
        if name in of_words:
            continue
        best = 1 if measure.more_is_better else 0
        assert oracle[name] == pytest.approx(best)
        # What the baselines are told they get right; all else depends on where their boxes are.
        told = {who: name in of and of[name] == best for who, of in found.items()}
        assert told == {who: measure.told and who != ANOTHER_FACE for who in found}


@pytest.mark.parametrize(("unseen", "share"), [((), 0), ((9,), 1 / 3), ((9, 17), 1 / 3)])
def test_one_au_that_is_not_there_makes_a_trace_a_hallucination(unseen, share):
    target, _ = face(np.random.default_rng(0))
    others = "".join(f", AU{au}" for au in unseen)
    said = (f"AU12{others}", "AU12", "AU12")
    measured, _ = figures([judge(parse("", conclusion), target, None) for conclusion in said])
    assert measured[MODEL]["hallucination_per_trace"].value == pytest.approx(share)
    assert measured[MODEL]["hallucination_per_mention"].value == pytest.approx(
        len(unseen) / (3 + len(unseen))
    )


def test_random_boxes_are_spread_evenly():
    extents = np.tile([[100.0, 60.0]], (4000, 1))
    boxes = random_boxes(extents, np.random.default_rng(0))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= extents).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    # The ends of two even draws lie at a third and at two thirds on average.
    assert boxes.mean(axis=0) / [100, 60, 100, 60] == pytest.approx(
        [1 / 3] * 2 + [2 / 3] * 2, abs=0.02
    )
    assert np.array_equal(boxes, random_boxes(extents, np.random.default_rng(0)))


def test_where_all_faces_are_alike_the_template_is_the_oracle():
    alike = [face(np.random.default_rng(3), spread=0)] * 4
    assert as_figures(table(alike, alike)["mean boxes"])["mean_iou"] > 0.95


def test_the_baselines_figures_are_those_of_their_traces():
    """All faces at once give what judging each trace gives."""
    held_out = [*faces(30, seed=5), (Target("neutral", (), SPACE), None)]
    held_out.append((held_out[0][0], None))  # without landmarks, nothing can be located
    targets = [target for target, _ in held_out]
    areas = area_boxes([landmarks for _, landmarks in held_out])
    seen = SeenAUs.of(targets, areas)
    rng = np.random.default_rng(6)
    boxes = seen.boxes + rng.uniform(-15, 15, seen.boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    boxes[::7] = np.nan
    given = iter(boxes.tolist())
    judged = []
    for target, where in zip(targets, areas_of_faces(areas), strict=True):
        placed = {au: next(given) for au in target.by_au}
        placed = {au: box for au, box in placed.items() if not np.isnan(box[0])}
        trace = trace_of(target, placed)
        judged.append(judge(trace, target, where) if target.evidence else None)
    expected = columns_of(judged)
    found = placed_faces(seen, boxes)
    for name in set(found.__slots__) - {"words", "words_judged"}:  # a baseline says nothing
        assert getattr(found, name) == pytest.approx(getattr(expected, name), nan_ok=True), name


def test_another_face_is_worth_what_its_trace_is():
    """The next with the same label, round about; who is alone says nothing."""
    small = BoxSpace.pixels(100, 100)

    def made(label, space, boxes, unsure=()):
        items, more = (
            tuple(AUEvidence(au, 0.9, box) for au, box in of.items())
            for of in (boxes, dict(unsure))
        )
        return Target(label, items, space, unsure=more)

    targets = [
        made("joy", SPACE, {12: (20, 120, 180, 160), 6: (20, 60, 180, 100)}),
        Target("joy", (), SPACE),
        made("fear", SPACE, {1: (60, 20, 140, 60)}),
        made("joy", small, {12: (12, 60, 92, 82), 25: (30, 60, 70, 90)}),
        made("joy", SPACE, {12: (20, 100, 180, 160)}, {25: (60, 120, 140, 180), 6: (0, 0, 9, 9)}),
    ]
    areas = area_boxes([None] * len(targets))
    found = other_faces(targets, SeenAUs.of(targets, areas))
    judged = []
    for face, other in enumerate((3, None, None, 4, 0)):
        if other is None:
            judged.append(None)
            continue
        space = targets[other].box_space
        boxes = {
            au: convert_boxes([one.box], space, targets[face].box_space)[0]
            for au, one in targets[other].by_au.items()
        }
        trace = replace(trace_of(targets[other], boxes), conclusion_aus=tuple(boxes))
        judged.append(judge(trace, targets[face], None))
    expected = columns_of(judged)
    same = ("mean_iou", "hit_rate", "au_precision", "au_recall", "au_f1", "n_mentions")
    for name in (*same, "n_hallucinated", "n_placed", "written"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), nan_ok=True), name
    assert found.counted.tolist() == [1, 0, 1, 1, 1]
    assert found.mean_iou[0] > 0.3
    assert found.n_hallucinated.tolist() == [1, 0, 0, 0, 0]  # what is unsure is not counted
    assert np.isnan(found.claim_agrees).all()


def test_without_any_au_another_face_says_nothing():
    targets = [Target("joy", (), SPACE)] * 2
    found = other_faces(targets, SeenAUs.of(targets, area_boxes([None] * 2)))
    assert found.written.tolist() == found.mean_iou.tolist() == [0, 0]


def test_without_training_data_there_are_no_mean_boxes():
    target, landmarks = face(np.random.default_rng(0))
    sums = baseline_faces([target], [landmarks], area_boxes([landmarks]), None)
    assert list(sums) == ["random boxes", "whole face", ANOTHER_FACE]


def test_an_au_that_training_never_saw_is_not_placed():
    target, landmarks = face(np.random.default_rng(0), aus=(9, 12))
    other, _ = face(np.random.default_rng(0), aus=(12,))
    sums = baseline_faces(
        [target], [landmarks], area_boxes([landmarks]), SeenBoxes.of([other]).means()
    )["mean boxes"]
    assert (sums.n_aus[0], sums.n_placed[0], sums.au_f1[0]) == (2, 1, 1)


def test_without_landmarks_the_whole_image_is_the_face():
    target, _ = face(np.random.default_rng(0), aus=(12,))
    sums = baseline_faces([target], [None], area_boxes([None]), None)["whole face"]
    x1, y1, x2, y2 = target.by_au[12].box
    assert sums.mean_iou[0] == pytest.approx((x2 - x1) * (y2 - y1) / 200**2)
    assert np.isnan(sums.claim_agrees).all()


def test_faces_without_evidence_count_nowhere():
    some = [target for target, _ in faces(6)]
    placed = [{au: item.box for au, item in list(t.by_au.items())[:i]} for i, t in enumerate(some)]
    judged = [judge(trace_of(t, boxes), t, None) for t, boxes in zip(some, placed, strict=False)]
    with_others, by_au = figures([None, *judged, None])
    alone, by_au_alone = figures(judged)
    assert with_others == alone
    assert by_au == by_au_alone
    assert with_others[MODEL]["mean_iou"].n == 6
    assert with_others[MODEL]["text_box_agreement"] is None


def test_figures_by_au():
    target, _ = face(np.random.default_rng(0))
    box = target.by_au[12].box
    judged = [judge(parse(f"{step(12, box)} {step(9, box)}", "AU12, AU9"), target, None)] * 3
    _, by_au = figures(judged)
    rows = {one.au: one for one in by_au}
    assert sorted(rows) == [1, 4, 9, 12, 25]
    assert (rows[12].iou.value, rows[12].iou.n, rows[12].named_and_seen) == (1, 3, 3)
    assert (rows[1].iou.value, rows[1].named) == (0, 0)
    assert (rows[9].iou, rows[9].seen, rows[9].named) == (None, 0, 3)


def test_intervals_are_of_resampled_faces():
    """A share of mentions: faces are drawn, not mentions."""
    rng = np.random.default_rng(0)
    mentions = rng.integers(1, 9, 200)
    wrong = np.minimum(rng.integers(0, 3, 200), mentions)
    pair = np.stack([wrong, mentions], axis=1).astype(float)
    drawn = resampled_sums(pair, 4000, 1)
    spread = []
    for _ in range(4000):
        rows = rng.integers(0, 200, 200)
        spread.append(wrong[rows].sum() / mentions[rows].sum())
    ours = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    assert ours == pytest.approx(np.quantile(spread, [0.025, 0.975]), abs=0.005)


def test_resamples_of_the_same_faces_are_paired():
    values = np.random.default_rng(0).normal(size=(50, 2))
    both = resampled_sums(values, 300, 7)
    alone = resampled_sums(values[:, 1:], 300, 7)
    assert both[:, 1:] == pytest.approx(alone)
    assert not np.allclose(alone, resampled_sums(values[:, 1:], 300, 8))


def test_the_words_of_a_trace_are_measured_and_how_many_could_be_judged():
    target, _ = face(np.random.default_rng(0), aus=(4, 12))
    boxes = {au: item.box for au, item in target.by_au.items()}
    said = {
        "fits": ("lips", "a smile", "joy"),
        "nonsense": ("left ear", "a", "joy"),
        "foreign": ("le coin de la bouche", "le sourire", "la joie"),
    }
    judged = []
    for region, observation, end in said.values():
        steps = (Step(region, observation, tuple(boxes[12]), 12),)
        trace = Trace("", steps, end, (12,), "happiness")
        words = consistency_reward(trace, target)
        judged.append(judge(trace, target, None)._replace(words=words))
    measured, _ = figures(judged)
    found = {name: figure and (figure.value, figure.n) for name, figure in measured[MODEL].items()}
    assert found["region_agreement"] == found["observation_agreement"] == (0.5, 2)
    assert found["conclusion_agreement"] == (1, 2)
    assert found["words_judged"][0] == pytest.approx(2 / 3)
