import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.facs import ACTION_UNITS
from tag_rewards.geometry import (
    AU_REGIONS,
    au_box,
    au_boxes,
    au_region,
    au_regions,
    average_face,
    box_iou,
    inner_eye_distance,
    jaa_centres,
    mirror_landmarks,
)
from tag_rewards.geometry.regions import NOSE_TIP

ALL_AUS = list(AU_REGIONS)
#: As JAA-Net's network.py has them: the two landmarks, and how far down in units of r.
JAA_TABLE = {
    1: (21, 22, -1 / 2),
    2: (18, 25, -1 / 3),
    4: (19, 24, 1 / 3),
    6: (41, 46, 1),
    7: (38, 43, 0),
    9: (32, 34, -1 / 2),
    10: (61, 63, 0),
    12: (48, 54, 0),
    14: (48, 54, 0),
    15: (48, 54, 0),
    17: (56, 58, 1 / 2),
    23: (51, 57, 0),
    24: (51, 57, 0),
    25: (51, 57, 0),
    26: (56, 58, 1 / 2),
}


@st.composite
def faces(draw):
    """Plausible upright faces: turned, nodding, with an open mouth, raised brows, uneven."""
    face = average_face()
    mouth = draw(st.floats(-0.05, 0.5))
    lower = [*range(5, 12), *range(55, 60), *range(65, 68)]
    face[lower, 1] += mouth
    face[[*range(17, 27)], 1] += draw(st.floats(-0.2, 0.12))
    face[:, 0] *= np.where(face[:, 0] < 0, draw(st.floats(0.75, 1)), draw(st.floats(0.75, 1)))
    face[:, 1] *= draw(st.floats(0.8, 1.15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    face += rng.normal(scale=0.02, size=face.shape)
    return face * draw(st.floats(30, 160)) + draw(st.floats(0, 400))


similarities = st.tuples(st.floats(-math.pi, math.pi), st.floats(0.2, 5), st.floats(-500, 500))


def similarity(angle, scale, shift):
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return lambda points: np.asarray(points) @ turn * scale + [shift, -shift / 2]


def mirror_points(points, width):
    return np.asarray(points) * [-1, 1] + [width, 0]


def same_shape(a, b, tolerance):
    return a.symmetric_difference(b).area <= tolerance


def test_every_action_unit_has_a_region_and_a_source():
    assert set(AU_REGIONS) == set(ACTION_UNITS)
    assert all(rule.source for rule in AU_REGIONS.values())


@given(faces(), st.sampled_from(ALL_AUS))
def test_regions_are_valid_and_not_empty(face, au):
    region = au_region(au, face)
    assert region.is_valid
    assert region.geom_type in ("Polygon", "MultiPolygon")
    assert region.area > 0.05 * inner_eye_distance(face) ** 2


@given(faces(), st.sampled_from(ALL_AUS))
def test_the_box_is_the_bounds_of_the_region(face, au):
    assert au_box(au, face).tolist() == list(au_region(au, face).bounds)


some_aus = st.lists(st.sampled_from(ALL_AUS), max_size=6)


@given(st.lists(faces(), min_size=1, max_size=4), some_aus)
def test_many_faces_and_aus_at_once_are_the_same_as_one_by_one(some_faces, aus):
    expected = [[au_box(au, face).tolist() for au in aus] for face in some_faces]
    boxes, regions = au_boxes(aus, some_faces), au_regions(aus, some_faces)
    assert boxes.shape == (len(some_faces), len(aus), 4)
    assert boxes.tolist() == expected
    assert au_boxes(aus, some_faces[0]).tolist() == expected[0]
    assert regions.shape == (len(some_faces), len(aus))
    for row, face in zip(regions, some_faces, strict=True):
        assert row.tolist() == [au_region(au, face) for au in aus]
    assert shapely.bounds(regions).tolist() == expected


def test_sides_that_overlap_in_one_face_of_several_are_one_polygon():
    profile = average_face()
    profile[:, 0] = np.abs(profile[:, 0])
    profile[[39, 42], 0] = -0.5, 0.5
    profile[[*range(36, 42)], 0] -= 1
    regions = au_regions([12, 17], [average_face(), profile])
    assert [region.geom_type for region in regions[:, 0]] == ["MultiPolygon", "Polygon"]
    assert regions[1, 0] == au_region(12, profile)


@given(faces(), st.sampled_from(ALL_AUS), similarities)
def test_regions_follow_a_face_that_is_rolled_scaled_and_shifted(face, au, transform):
    move = similarity(*transform)
    expected = shapely.transform(au_region(au, face), move)
    assert same_shape(au_region(au, move(face)), expected, 1e-6 * expected.area)


@given(faces(), st.sampled_from(ALL_AUS))
def test_regions_follow_a_mirrored_face(face, au):
    expected = shapely.transform(au_region(au, face), lambda points: mirror_points(points, 640))
    renumbered = au_region(au, mirror_landmarks(face, 640))
    not_renumbered = au_region(au, mirror_points(face, 640))
    assert same_shape(renumbered, expected, 1e-6 * expected.area)
    assert same_shape(not_renumbered, expected, 1e-6 * expected.area)


@given(st.floats(-60, 60), st.sampled_from(ALL_AUS))
def test_a_head_that_turns_keeps_the_height_of_its_regions(yaw, au):
    flat, depth = average_face(), np.zeros(68)
    depth[NOSE_TIP] = 1
    angle = math.radians(yaw)
    turned = flat * [math.cos(angle), 1] + np.outer(depth, [math.sin(angle), 0])
    assert np.allclose(au_box(au, turned)[1::2], au_box(au, flat)[1::2])


@given(faces(), st.sampled_from(sorted(JAA_TABLE)))
def test_the_centres_are_jaa_nets_and_lie_in_the_region(face, au):
    first, second, down = JAA_TABLE[au]
    roll = math.atan2(*(face[42:48].mean(axis=0) - face[36:42].mean(axis=0))[::-1])
    offset = down * inner_eye_distance(face) * np.array([-math.sin(roll), math.cos(roll)])
    expected = [face[first] + offset, face[second] + offset]
    centres = jaa_centres(au, face)
    assert np.allclose(sorted(centres.tolist()), sorted(np.array(expected).tolist()))
    assert all(au_region(au, face).covers(shapely.Point(centre)) for centre in centres)


@given(faces())
def test_the_lip_corner_puller_reaches_up_towards_the_cheekbone(face):
    r = inner_eye_distance(face)
    region = au_region(12, face)
    for corner, outwards in ((48, -1), (54, 1)):
        assert region.covers(shapely.Point(face[corner] + [outwards * 0.3 * r, -0.4 * r]))


@pytest.mark.parametrize("au", sorted(set(ALL_AUS) - set(JAA_TABLE)))
def test_an_au_that_jaa_net_does_not_have_has_no_centres(au):
    assert jaa_centres(au, average_face()).shape == (0, 2)


def test_boxes_look_like_those_of_the_paper():
    """A face that fills a 512 px crop, placed so that its mouth lies where the figure's lies."""
    face = average_face() * 102 + [255, 192]
    published = {14: [80, 323, 416, 407], 4: [235, 119, 345, 188], 17: [181, 410, 334, 511]}
    iou = {au: box_iou(au_box(au, face), box)[0, 0] for au, box in published.items()}
    assert iou[14] > 0.8
    assert iou[17] > 0.8
    # JAA-Net's centres lie under the middle of the brows, outside the paper's box on the glabella.
    assert iou[4] > 0.4


@pytest.mark.parametrize("au", [0, 3, 99, -1])
def test_an_unknown_au_is_an_error(au):
    with pytest.raises(ValueError, match=f"AU{au} has no region; known are 1, 2, 4"):
        au_region(au, average_face())
    with pytest.raises(ValueError, match="has no region"):
        au_box(au, average_face())


@pytest.mark.parametrize("function", [au_region, au_box, jaa_centres])
@pytest.mark.parametrize("points", [np.zeros((68, 2)), np.full((68, 2), np.nan), np.zeros((3, 2))])
def test_no_face_is_an_error(function, points):
    with pytest.raises(ValueError, match="landmark"):
        function(12, points)


@pytest.mark.parametrize("function", [au_regions, au_boxes])
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((68, 2)), "^landmarks show no face: the eyes are 0 px apart"),
        (np.zeros((68, 3)), "shape"),
        (np.zeros((2, 60, 2)), "shape"),
        ([average_face(), np.zeros((68, 2))], "^face 1: landmarks show no face: the eyes"),
        ([average_face(), average_face() * [1, 0]], "^face 1: .*eyes and mouth lie on one line"),
        ([average_face(), np.full((68, 2), np.nan)], r"^face 1: landmark 0 is \(nan, nan\)"),
    ],
)
def test_the_face_at_fault_is_named(function, points, message):
    with pytest.raises(ValueError, match=message):
        function([12], points)
