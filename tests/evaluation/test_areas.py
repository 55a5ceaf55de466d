import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.evaluation.faithfulness import (
    area_boxes,
    areas_of_faces,
)
from tag_rewards.facs import ACTION_UNITS, AREAS, named_areas
from tag_rewards.geometry import AU_REGIONS, au_box, average_face
from tag_rewards.geometry.matching import contained_share


@pytest.mark.parametrize(
    ("words", "areas"),
    [
        ("mouth corners", ("mouth corner",)),
        ("the left corner of the mouth", ("mouth corner",)),
        ("Lip corners", ("mouth corner",)),
        ("eye region", ("eye",)),
        ("both upper eyelids", ("upper eyelid",)),
        ("upper lids", ("upper eyelid",)),
        ("inner eyebrows", ("inner brow",)),
        ("area between the brows", ("glabella",)),
        ("eyes and mouth", ("eye", "mouth")),
        ("upper lip and chin", ("upper lip", "chin")),
        ("inner corners of the brows, eyes and upper lip", ("inner brow", "eye", "upper lip")),
        ("nasolabial folds", ("nasolabial fold",)),
        ("whole face", ("face",)),
        ("lower face", ("lower face",)),
        ("under the eyes", ("cheek",)),
        ("ears", ()),
        ("", ()),
        ("AU12", ()),
    ],
)
def test_words(words, areas):
    assert named_areas(words) == areas


@pytest.mark.parametrize("au", ACTION_UNITS)
def test_every_au_is_named_after_an_area_that_it_shows_in(au):
    [area] = named_areas(ACTION_UNITS[au].area)
    assert au in AREAS[area]


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("brow", ("inner brow", "outer brow", "glabella", "forehead")),
        ("eye", ("eyelid", "upper eyelid", "lower eyelid")),
        ("mouth", ("upper lip", "lower lip", "lip", "mouth corner")),
        ("jaw", ("chin",)),
        ("upper face", ("forehead", "brow", "eye")),
        ("lower face", ("nose", "nasolabial fold", "mouth", "jaw")),
        ("face", ("upper face", "lower face")),
    ],
)
def test_what_shows_in_a_part_shows_in_the_whole(whole, parts):
    assert set(AREAS[whole]) >= {au for part in parts for au in AREAS[part]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("upper face", "lower face"), ("brow", "eye"), ("upper eyelid", "lower eyelid")),
        *(("nose", "mouth"), ("upper lip", "lower lip"), ("lip", "mouth corner")),
        *(("lip", "jaw"), ("mouth", "chin"), ("cheek", "mouth"), ("inner brow", "outer brow")),
    ],
)
def test_no_au_shows_in_areas_that_are_apart(one, other):
    assert set(AREAS[one]).isdisjoint(AREAS[other])


def test_every_au_shows_in_one_half_of_the_face():
    assert sorted(AREAS["upper face"] + AREAS["lower face"]) == sorted(AU_REGIONS)


faces = st.builds(
    lambda scale, turn, x, y, stretch: (
        (average_face() * [stretch, 1])
        @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        * scale
        + [x, y]
    ),
    st.floats(5, 200),
    st.floats(-0.6, 0.6),
    st.floats(-100, 300),
    st.floats(-100, 300),
    st.floats(0.6, 1.4),
)


@given(faces)
def test_the_box_of_an_au_lies_in_the_area_it_is_named_after(face):
    boxes = next(areas_of_faces(area_boxes([face])))
    for au in AU_REGIONS:
        [area] = named_areas(ACTION_UNITS[au].area)
        box = tuple(au_box(au, face))
        assert contained_share(box, boxes[area]) == pytest.approx(1)
        assert contained_share(box, boxes["face"]) == pytest.approx(1)


def test_faces_without_landmarks_and_landmarks_without_a_face():
    face = average_face() * 30 + 100
    boxes = area_boxes([None, face, np.zeros((68, 2)), face + 1])
    assert [one is None for one in areas_of_faces(boxes)] == [True, False, True, False]
    assert np.allclose(boxes[3], boxes[1] + 1)
    assert area_boxes([]).shape == (0, len(AREAS), 4)


def test_many_faces_are_as_each_alone():
    many = [average_face() * (20 + i / 10) + i for i in range(1100)]
    boxes = area_boxes(many)
    for index in (0, 511, 512, 1099):
        assert np.array_equal(boxes[index], area_boxes([many[index]])[0])


def test_share_of_a_box():
    assert contained_share((0, 0, 2, 2), (-1, -1, 3, 3)) == 1
    for beside in ((2, 0, 3, 3), (5, 0, 6, 3), (0, 5, 3, 6), (5, 5, 6, 6)):
        assert contained_share((0, 0, 2, 2), beside) == 0
    assert contained_share((0, 0, 2, 4), (1, 1, 9, 9)) == 1 / 2 * 3 / 4
    assert contained_share((0, 0, 1e-200, 1e-200), (-1, -1, 3, 3)) == 1
