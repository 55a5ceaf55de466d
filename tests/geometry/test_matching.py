"""The matching knows no faces, and keeps its promises for names of any kind."""

import math
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import tag_rewards
from tag_rewards.geometry import MatchingConfig, Region, match
from tag_rewards.geometry.boxes import BoxSpace, box_area, box_iou
from tag_rewards.geometry.matching import MAX_CORNERS, iou, polygon_overlaps
from tag_rewards.rewards import GroundingConfig, grounding_reward
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import Step, Trace

SIDE = 1000.0
A, B = (100.0, 100.0, 200.0, 200.0), (300.0, 300.0, 400.0, 400.0)
HALF_A = (100.0, 100.0, 200.0, 150.0)  # IoU 0.5 with A
SEEN = {"car": Region(A, 0.9), "dog": Region(B, 0.3)}
LINEAR = MatchingConfig(iou_floor=0.0, iou_ceiling=1.0)

# What hashes is a name: classes, numbers, and pairs such as a side and a finding.
NAMES = ("car", "dog", "traffic light", 4, 25, ("left", "lung"), ("right", "lung"))


@st.composite
def boxes(draw, near=None):
    """A box inside [0, SIDE], near another one if it is given."""
    if near is not None:
        width, height = near[2] - near[0], near[3] - near[1]
        by = st.floats(-0.5, 0.5)
        x1, x2 = near[0] + draw(by) * width, near[2] + draw(by) * width
        y1, y2 = near[1] + draw(by) * height, near[3] + draw(by) * height
    else:
        number = st.one_of(st.integers(0, int(SIDE)), st.floats(0, SIDE, allow_subnormal=False))
        x1, x2, y1, y2 = (draw(number) for _ in range(4))
    (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))
    x1, y1 = min(max(x1, 0.0), SIDE - 8), min(max(y1, 0.0), SIDE - 8)
    return float(x1), float(y1), max(min(x2, SIDE), x1 + 8.0), max(min(y2, SIDE), y1 + 8.0)


@st.composite
def evidences(draw, names=NAMES):
    """Where some names were seen; now and then two of them share a box."""
    seen = {}
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True)):
        share = seen and draw(st.integers(0, 3)) == 0
        box = draw(st.sampled_from(list(seen.values()))).box if share else draw(boxes())
        seen[name] = Region(box, draw(st.floats(0.05, 1)))
    return seen


@st.composite
def attempts(draw, seen, names=NAMES, nameless=False):
    """What a model in training claims: boxes off, names missing, imagined, or tried repeatedly."""
    claims = []
    for name, region in draw(st.lists(st.sampled_from(list(seen.items())), max_size=6)):
        others = draw(st.lists(st.sampled_from(names), max_size=2)) if draw(st.booleans()) else []
        claims.append((draw(boxes(near=region.box)), (name, *others)))
    imagined = st.tuples(boxes(), st.tuples(st.sampled_from(names)))
    claims += draw(st.lists(imagined, min_size=0 if claims else 1, max_size=2))
    if nameless:
        claims = [(box, () if draw(st.booleans()) else of) for box, of in claims]
    return draw(st.permutations(claims))


@st.composite
def configs(draw):
    floor = draw(st.floats(0, 0.9))
    ceiling = draw(st.floats(floor, 1, exclude_min=True))
    return MatchingConfig(floor, ceiling, draw(st.booleans()))


def honest(seen):
    return [(region.box, (name,)) for name, region in seen.items()]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([], 0.0),
        ([(A, ("car",)), (B, ("dog",))], 1.0),
        ([(B, ("dog",)), (A, ("car",))], 1.0),
        ([(A, ("car",))], 0.5),
        ([(HALF_A, ("car",)), (B, ("dog",))], 0.75),
        ([(A, ("dog",)), (B, ("car",))], 0.0),
        ([(A, ("car",)), (B, ("dog",)), (B, ("cat",))], 2 / 3),
        ([(A, ("car",)), (A, ("car",))], 0.5),
        ([(HALF_A, ("car",)), (A, ("car",)), (A, ("car",))], 0.75 / 3),
        ([(B, ("car",)), (A, ("car",)), (B, ("dog",))], 1.5 / 3),
        ([(A, ("car", "dog")), (B, ("dog",))], 2 / 3),
        ([(A, ("cat", "car")), (B, ("dog",))], 2 / 3),
        ([(A, ()), (B, ())], 1.0),
        ([(B, ()), (A, ())], 1.0),
        ([(B, ())], 0.5),
        ([(A, ()), (B, ()), (B, ())], 0.0),
        ([(A, ("car",)), (B, ())], 1.0),
        ([(A, ("car",)), (B, ()), (B, ())], 1 / 3),
    ],
)
def test_claims(claims, expected):
    assert match(claims, SEEN, LINEAR, unplaced=("car", "dog")).score == pytest.approx(expected)


def test_a_matching_says_what_it_is_made_of():
    claims = [(HALF_A, ("car",)), (A, ("car",)), (B, ("cat",))]
    matching = match(claims, SEEN, LINEAR)
    assert matching.overlaps == {"car": {HALF_A: 0.5, A: 1.0}, "dog": {}}
    assert matching.mean_iou == 0.75 / 2
    assert matching.n_claims == 3


@pytest.mark.parametrize(
    ("nameless", "unplaced", "score", "mean_iou"),
    [
        ([A], ("car", "van", "dog"), 1 / 3, 1 / 3),
        ([A, A], ("car", "van", "dog"), 2 / 3, 2 / 3),
        ([A, A], ("dog", "car"), 1 / 3, 1 / 3),
        ([B, A, A], ("car", "van", "dog"), 1, 1),
        ([B, A, A], ("van", "dog"), 0, 0),
        ([HALF_A, A], ("car", "dog", "cat"), 1 / 3, 1 / 3),
        ([HALF_A, A], ("car", "van", "cat", "cow"), 1.5 / 4, 1.5 / 3),
        ([A, B], ("cat", "cow", "pig"), 0, 0),
    ],
)
def test_nameless_boxes_stand_for_a_name_each(nameless, unplaced, score, mean_iou):
    """Two names share a box."""
    seen = {**SEEN, "van": Region(A, 0.5)}
    found = match([(box, ()) for box in nameless], seen, LINEAR, unplaced)
    assert (found.score, found.mean_iou) == pytest.approx((score, mean_iou))
    assert found.n_claims == max(len(nameless), len(unplaced))


def test_score_and_mean_iou_each_have_their_own_best():
    """The one box lies better on the dog, and the car weighs more."""
    seen = {"car": Region((0, 0, 10, 10), 0.9), "dog": Region((2, 0, 12, 10), 0.1)}
    config = MatchingConfig(0, 1, probability_weighted=True)
    found = match([((2, 0, 11, 10), ())], seen, config, ("car", "dog"))
    assert found.score == pytest.approx(0.9 * 80 / 110)
    assert found.mean_iou == pytest.approx(0.9 / 2)
    assert found.overlaps == {"car": {}, "dog": {(2, 0, 11, 10): pytest.approx(0.9)}}


@given(st.data(), evidences(), configs())
def test_nameless_boxes_are_matched_as_scipy_does(data, seen, config):
    """Different boxes; the assignment with the largest sum, by weights and by overlaps."""
    boxes_ = data.draw(st.lists(boxes(near=next(iter(seen.values())).box), min_size=1, unique=True))
    unplaced = data.draw(st.permutations([*seen, *range(100, 100 + len(boxes_))]))
    overlap = box_iou(boxes_, [region.box for region in seen.values()])
    weights = np.array([region.probability for region in seen.values()])
    if not config.probability_weighted:
        weights = np.ones(len(seen))
    floor, ceiling = config.iou_floor, config.iou_ceiling
    assume(ceiling - floor > 1e-3)
    gains = np.where(overlap >= ceiling, 1, np.clip((overlap - floor) / (ceiling - floor), 0, 1))
    gains *= weights
    found = match([(box, ()) for box in boxes_], seen, config, unplaced)
    best = gains[linear_sum_assignment(gains, maximize=True)].sum() / weights.sum()
    assert found.score == pytest.approx(best * len(seen) / len(unplaced))
    largest = overlap[linear_sum_assignment(overlap, maximize=True)].sum()
    assert found.mean_iou == pytest.approx(largest / len(seen))


@given(st.data(), evidences(), configs())
def test_no_order_of_the_text_matters_to_nameless_boxes(data, seen, config):
    claims = data.draw(attempts(seen, nameless=True))
    unplaced = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
    shuffled = data.draw(st.permutations(claims)), data.draw(st.permutations(unplaced))
    one, other = (
        match(claims, seen, config, unplaced),
        match(shuffled[0], seen, config, shuffled[1]),
    )
    assert one[:3] == other[:3]


def test_names_without_a_box_are_each_counted_once():
    names = ("dog", "dog", "car", "cat")
    assert match([(A, ("car",)), (B, ())], SEEN, LINEAR, names).n_claims == 3


def test_weighted_by_probability():
    config = MatchingConfig(iou_floor=0, iou_ceiling=1, probability_weighted=True)
    assert match([(A, ("car",))], SEEN, config).score == pytest.approx(0.9 / 1.2)
    assert match([(B, ("dog",))], SEEN, config).score == pytest.approx(0.3 / 1.2)
    unsure = {"car": Region(A, 0), "dog": Region(B, 0)}
    assert match([(A, ("car",))], unsure, config).score == 0.5


def test_without_evidence_there_is_nothing_to_show():
    assert match([(A, ("car",)), (B, ())], {}) == (0.0, 0.0, 2, {}, {}, {})
    assert match([], {}) == (0.0, 0.0, 0, {}, {}, {})


def test_polygons():
    halves = (
        ((100, 100), (130, 100), (130, 200), (100, 200)),
        ((170, 100), (200, 100), (170, 200)),
    )
    seen = {"car": Region(A, polygon=halves)}
    config = MatchingConfig(overlap="polygon")
    assert match([(A, ("car",))], seen, config).score == 1
    assert match([(A, ())], seen, config, ("car", "dog")).score == 0.5
    assert match([(B, ("car",))], seen, config).score == 0
    with pytest.raises(ValueError, match=r"^Region\(box=\(300.* has no polygon; write polygons"):
        match([(B, ("dog",))], SEEN, config)


NO_PLACE = st.sampled_from((math.nan, math.inf, -math.inf))
WILD = st.tuples(*[st.one_of(st.floats(), st.floats(-SIDE, 2 * SIDE), NO_PLACE)] * 4)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_box_without_an_end_overlaps_nothing(at, value):
    box = (*A[:at], value, *A[at + 1 :])
    assert iou(box, A) == iou(A, box) == iou(box, box) == 0
    assert match([(box, ("car",))], SEEN).score == 0


@given(WILD, boxes())
def test_overlap_of_anything_is_in_range(wild, box):
    """Degenerate or not, it is as the array form says: 0 for what is no box."""
    assert iou(wild, box) == pytest.approx(box_iou(wild, box)[0, 0], abs=1e-12)
    assert iou(box, wild) == iou(wild, box)
    region = Region(box, polygon=[[box[:2], (box[2], box[1]), box[2:]]])
    overlap = polygon_overlaps([wild], region)[0]
    assert 0 <= overlap <= 1
    if not 0 < box_area(wild)[0] < math.inf:
        assert overlap == 0


CORNERS = st.tuples(
    *[st.one_of(st.floats(0, SIDE), st.integers(0, 10).map(lambda n: n * 100.0))] * 2
)


@given(
    st.lists(st.lists(CORNERS, min_size=3, max_size=12), min_size=1, max_size=3),
    st.lists(boxes(), max_size=4, unique=True),
)
def test_polygon_overlaps_are_those_of_shapely(outlines, others):
    """Outlines may cross themselves and each other."""
    parts = [
        shapely.make_valid(shapely.Polygon(of), method="structure").buffer(0) for of in outlines
    ]
    shape = shapely.union_all(parts)
    assume(shape.area > 1)
    region = Region((*shape.bounds,), polygon=outlines)

    def overlap(box):
        inner = shape.intersection(shapely.box(*box)).area
        return inner / (shape.area + shapely.box(*box).area - inner)

    best = overlap(region.box)
    assume(best > 1e-6)
    expected = [1.0, *(min(1.0, overlap(box) / best) for box in others)]
    assert polygon_overlaps([region.box, *others], region) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shift", [(-1000, 0), (0, -1000), (-1000, -1000), (7, 900)])
def test_polygon_overlaps_do_not_depend_on_where_the_face_is(shift):
    def moved(points):
        return [(x + shift[0], y + shift[1]) for x, y in points]

    def overlaps(at):
        outline = at([(20, 10), (90, 30), (40, 80)])
        low, high = at([(20, 10), (90, 80)])
        region = Region((*low, *high), polygon=[outline])
        corners = (((10, 10), (50, 50)), ((30, 20), (90, 70)), ((20, 10), (90, 80)))
        return polygon_overlaps([(*a, *b) for a, b in map(at, corners)], region)

    assert overlaps(moved) == pytest.approx(overlaps(list))
    assert min(overlaps(list)) > 0


def test_polygon_overlaps_in_coordinates_of_any_size():
    """A part of the image, as from 0 to 1, or of a picture with a billion pixels."""
    outline = [(0.2, 0.1), (0.9, 0.3), (0.4, 0.8)]
    boxes_ = [(0.1, 0.1, 0.5, 0.5), (0.3, 0.2, 0.9, 0.7), (0.2, 0.1, 0.9, 0.8)]
    found = []
    for scale in (1e-3, 1.0, 1e6):
        region = Region(
            (0.2 * scale, 0.1 * scale, 0.9 * scale, 0.8 * scale),
            polygon=[[(x * scale, y * scale) for x, y in outline]],
        )
        found.append(polygon_overlaps([tuple(v * scale for v in box) for box in boxes_], region))
    assert found[0] == pytest.approx(found[1])
    assert found[2] == pytest.approx(found[1])


def test_a_polygon_without_an_area_shows_nothing_but_its_own_box():
    for flat in ([(100, 100), (150, 100), (200, 100)], [(100, 100), (150, 150), (200, 200 + 1e-9)]):
        assert polygon_overlaps([HALF_A, A, B], Region(A, polygon=[flat])) == [0, 1, 0]


def test_a_polygon_costs_little_whatever_its_outline():
    """The most corners in the worst order, with many boxes: milliseconds."""
    rng = random.Random(0)
    times = []
    for _ in range(3):
        outline = [(rng.uniform(0, 100), rng.uniform(0, 100)) for _ in range(MAX_CORNERS)]
        region = Region((0, 0, 100, 100), polygon=[outline])
        many = [(0.0, 0.0, rng.uniform(1, 100), rng.uniform(1, 100)) for _ in range(1000)]
        started = time.process_time()
        assert max(polygon_overlaps(many, region)) <= 1
        times.append(time.process_time() - started)
    assert min(times) < 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"box": (0, 0, 0, 9)}, r"box: \(0, 0, 0, 9\) is not x1, y1, x2, y2 with x1 < x2 and"),
        ({"box": (0, 0, math.nan, 9)}, "box: "),
        ({"box": (0, 0, math.inf, 9)}, "box: "),
        ({"box": (0, 0, 9)}, r"box: \(0, 0, 9\) is not x1, y1, x2, y2"),
        ({"box": "abcd"}, "box: 'abcd' is not"),
        ({"box": None}, "box: None is not"),
        ({"box": A, "probability": 1.5}, r"probability: 1.5 is not in \[0, 1\]"),
        ({"box": A, "probability": math.nan}, "probability: nan is not in"),
        ({"box": A, "polygon": ()}, r"polygon: \(\) has an outline of fewer than three corners"),
        ({"box": A, "polygon": [[(0, 0), (1, 1)]]}, "polygon: .* fewer than three corners"),
        (
            {"box": A, "polygon": [[(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 1)]]},
            "polygon: .* fewer than three corners",
        ),
        (
            {"box": A, "polygon": [[(0, 0), (1, 0), (1, 2e9)]]},
            r"polygon: \(1.0, 2000000000.0\) lies",
        ),
        ({"box": A, "polygon": [[(0, 0), (1, 0), (1, math.nan)]]}, r"polygon: \(1.0, nan\) lies"),
        (
            {"box": A, "polygon": [[(0, 0), (1, 0), (1, 1)]] * 22},
            r"polygon: \(\(\(0.* has 66 corners, more than 64; give simpler outlines",
        ),
    ],
)
def test_wrong_regions(fields, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Region(**fields)


def test_a_region_may_come_from_json():
    region = Region([1, 2, 3, 4], 0.5, [[[1, 2], [3, 2], [3, 4]]])
    assert region == Region((1.0, 2.0, 3.0, 4.0), 0.5, (((1, 2), (3, 2), (3, 4)),))
    assert hash(region) == hash(Region((1, 2, 3, 4), 0.5, (((1, 2), (3, 2), (3, 4)),)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou_floor": 0.9}, "iou_floor 0.9 and iou_ceiling 0.9 must satisfy"),
        ({"iou_floor": math.nan}, "iou_floor nan and iou_ceiling 0.9 must satisfy"),
        ({"iou_ceiling": "0.9"}, "iou_floor 0.2 and iou_ceiling '0.9' must satisfy"),
        ({"iou_ceiling": True}, "iou_floor 0.2 and iou_ceiling True must satisfy"),
        ({"overlap": "circle"}, "overlap is 'circle', not one of box, polygon"),
        ({"probability_weighted": 1}, "probability_weighted is 1, not true or false"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MatchingConfig(**options)


# The promises, for names of any kind.


@given(st.data(), evidences(), configs())
def test_anything_scores_in_range_and_alike(data, seen, config):
    anything = st.tuples(st.one_of(WILD, boxes()), st.lists(st.sampled_from(NAMES)).map(tuple))
    claims = data.draw(st.one_of(st.lists(anything, max_size=5), attempts(seen, nameless=True)))
    unplaced = data.draw(st.lists(st.sampled_from(NAMES)))
    matching = match(claims, seen, config, unplaced)
    assert 0 <= matching.score <= 1
    assert 0 <= matching.mean_iou <= 1
    assert matching.n_claims >= len(claims)
    assert match(claims, seen, config, unplaced) == matching


@given(st.data(), evidences(), configs())
def test_order_of_boxes_does_not_matter(data, seen, config):
    claims = data.draw(attempts(seen))
    shuffled = data.draw(st.permutations(claims))
    assert match(shuffled, seen, config) == match(claims, seen, config)


@given(evidences(), configs())
def test_perfect_claims_score_exactly_one(seen, config):
    assert match(honest(seen), seen, config)[:2] == (1, 1)
    places = {}
    for name, region in seen.items():
        places.setdefault(region.box, []).append(name)
    once = [(box, tuple(names)) for box, names in places.items()]
    assert match(once, seen, config)[:2] == (1, 1)
    assert match([(region.box, ()) for region in seen.values()], seen, config, seen)[:2] == (1, 1)


@given(st.data(), evidences(), configs())
def test_duplicates_never_help(data, seen, config):
    """Of boxes without a name, where no names share a place."""
    places = [region.box for region in seen.values()]
    nameless = len(set(places)) == len(places)
    claims = data.draw(attempts(seen, nameless=nameless))
    unplaced = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
    copies = data.draw(st.lists(st.sampled_from(claims), min_size=1, max_size=3))
    more, before = (match(of, seen, config, unplaced) for of in ([*claims, *copies], claims))
    assert more.score <= before.score + 1e-12
    assert more.mean_iou <= before.mean_iou + 1e-12


@given(st.data(), evidences(), configs())
def test_an_extra_wrong_box_never_helps(data, seen, config):
    """Wrong: it lies on no region, or its name was not seen."""
    claims = data.draw(attempts(seen, nameless=True))
    if data.draw(st.booleans()):
        box, names = data.draw(boxes()), data.draw(st.sampled_from(((), *((n,) for n in NAMES))))
        assume(all(iou(box, region.box) <= config.iou_floor for region in seen.values()))
    else:
        box, names = (
            data.draw(boxes(near=data.draw(st.sampled_from(list(seen.values()))).box)),
            (data.draw(st.sampled_from(NAMES)),),
        )
        assume(names[0] not in seen)
    unplaced = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
    at = data.draw(st.integers(0, len(claims)))
    more = match([*claims[:at], (box, names), *claims[at:]], seen, config, unplaced)
    assert more.score <= match(claims, seen, config, unplaced).score


@given(st.data(), evidences(), configs())
def test_further_tries_for_a_name_never_help_on_average(data, seen, config):
    (name, region), *others = seen.items()
    rest = [
        (data.draw(boxes(near=other.box)), (of,))
        for of, other in others
        if data.draw(st.booleans())
    ]
    tries = data.draw(st.lists(boxes(near=region.box), min_size=2, max_size=4, unique=True))
    alone = [match([*rest, (box, (name,))], seen, config).score for box in tries]
    together = match([*rest, *((box, (name,)) for box in tries)], seen, config).score
    assert together <= sum(alone) / len(alone) + 1e-12
    assert together <= max(alone)


@given(st.data(), evidences(), configs())
def test_the_whole_image_as_a_box_earns_nothing(data, seen, config):
    """Unless the region itself fills more than `iou_floor` of the image."""
    everything = (0.0, 0.0, SIDE, SIDE)
    assume(all(iou(everything, region.box) <= config.iou_floor for region in seen.values()))
    claims = data.draw(st.one_of(st.just(honest(seen)), attempts(seen, nameless=True)))
    assert match([(everything, names) for _, names in claims], seen, config, seen).score == 0


@given(st.data(), evidences(), configs(), st.booleans())
def test_moving_a_box_towards_its_target_never_lowers_the_score(data, seen, config, nameless):
    """Moved, not resized, along the line from centre to centre."""
    (name, region), *others = seen.items()
    goal, start = region.box, data.draw(boxes())
    rest = [(data.draw(boxes(near=other.box)), (of,)) for of, other in others]
    if data.draw(st.booleans()):  # a second box for the same name
        rest.append((data.draw(boxes(near=goal)), (name,)))
        nameless = False
    away = [(goal[k] + goal[k + 2] - start[k] - start[k + 2]) / 2 for k in (0, 1)]
    last = -1.0
    for part in sorted(data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=4))):
        dx, dy = away[0] * part, away[1] * part
        box = (start[0] + dx, start[1] + dy, start[2] + dx, start[3] + dy)
        names, unplaced = ((), (name,)) if nameless else ((name,), ())
        score = match([(box, names), *rest], seen, config, unplaced).score
        assert score >= last - 1e-9
        last = score


@given(st.data(), evidences())
def test_one_claim_for_each_name_is_the_best_matching(data, seen):
    """The score is that of SciPy's assignment of claims to names, where only equal names pair."""
    claims = list({names[0]: (box, names[:1]) for box, names in data.draw(attempts(seen))}.values())
    gains = np.zeros((len(claims), len(seen)))
    for i, (box, (claimed,)) in enumerate(claims):
        for j, (name, region) in enumerate(seen.items()):
            if claimed == name:
                gains[i, j] = np.clip((box_iou(box, region.box)[0, 0] - 0.2) / 0.7, 0, 1)
    best = gains[linear_sum_assignment(gains, maximize=True)].sum() / max(gains.shape)
    assert match(claims, seen).score == pytest.approx(best)


AUS = {"brow": 4, "cheek": 6, "lid": 7, "nose": 9, "lips": 12, "chin": 17, "jaw": 26}


@given(st.data(), evidences(tuple(AUS)), configs())
def test_classes_score_as_action_units_do(data, seen, config):
    """The same boxes, named by class or by Action Unit: the same numbers to the last bit."""
    claims = data.draw(attempts(seen, tuple(AUS), nameless=True))
    unplaced = data.draw(st.lists(st.sampled_from(list(AUS)), unique=True))
    by_class = match(claims, seen, config, unplaced)
    by_number = match(
        [(box, tuple(AUS[name] for name in names)) for box, names in claims],
        {AUS[name]: region for name, region in seen.items()},
        config,
        [AUS[name] for name in unplaced],
    )
    assert by_number[:3] == by_class[:3]
    assert by_number.overlaps == {AUS[name]: of for name, of in by_class.overlaps.items()}


@given(st.data(), evidences(tuple(AUS)), configs())
def test_the_grounding_reward_of_aus_is_this_matching(data, seen, config):
    claims = data.draw(attempts(seen, tuple(AUS)))
    steps = [
        Step("face", "movement", box, AUS[names[0]], tuple(AUS[name] for name in names[1:]))
        for box, names in claims
    ]
    target = Target(
        "fear",
        tuple(AUEvidence(AUS[name], item.probability, item.box) for name, item in seen.items()),
        BoxSpace.pixels(int(SIDE), int(SIDE)),
    )
    options = GroundingConfig(
        iou_floor=config.iou_floor,
        iou_ceiling=config.iou_ceiling,
        probability_weighted=config.probability_weighted,
        au_weight=0.0,
    )
    reward = grounding_reward(Trace("", tuple(steps), "", (), None), target, options)
    assert reward[:2] == match(claims, seen, config)[:2]


def test_it_loads_nothing_of_faces():
    """The modules themselves, without what the packages around them offer for convenience."""
    code = """
import sys, types
for name, path in (("tag_rewards", sys.argv[1]), ("tag_rewards.geometry", sys.argv[2])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from tag_rewards.geometry.matching import Region, match
assert match([((0, 0, 9, 9), ("cat",))], {"cat": Region((0, 0, 9, 9))}).score == 1
print(*(name for name in sys.modules if name.partition(".")[0] in ("tag_rewards", "numpy")))
"""
    root = Path(tag_rewards.__file__).parent
    command = [sys.executable, "-c", code, str(root), str(root / "geometry")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        *("tag_rewards", "tag_rewards.geometry"),
        "tag_rewards.geometry.matching",
    }
