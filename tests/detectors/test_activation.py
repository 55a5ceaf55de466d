"""The activated list: which AUs are active, how sure, in which order and where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.detectors.observation import FaceObservation, activated_aus, main_face
from tag_rewards.detectors.openface.csv import (
    INTENSITY_AUS,
    PRESENCE_AUS,
    OpenFaceRow,
    au_probability,
    successful_faces,
)
from tag_rewards.geometry import AU_REGIONS, au_box, average_face

LANDMARKS = average_face() * 40 + 200


def row(intensities=None, presences=None, **fields):
    return OpenFaceRow(
        fields.pop("landmarks", LANDMARKS), intensities or {}, presences or {}, **fields
    )


def face(intensities=None, presences=None, **fields):
    return row(intensities, presences, **fields).observation()


@pytest.mark.parametrize(
    ("presence", "intensity", "probability", "active"),
    [
        (True, 5.0, 1.0, True),
        (True, 2.0, 0.7, True),
        (True, 1.0, 0.6, True),
        (True, 0.99, 0.599, False),
        (True, 0.0, 0.5, False),  # they contradict each other
        (False, 1.0, 0.1, False),
        (False, 5.0, 0.5, False),
        (False, 0.0, 0.0, False),
    ],
)
def test_an_au_is_active_when_both_opinions_call_it_visible(
    presence, intensity, probability, active
):
    assert au_probability(presence, intensity) == probability
    found = activated_aus(face({12: intensity}, {12: presence}))
    assert [item.au for item in found] == ([12] if active else [])


def test_au28_without_intensity_needs_a_lower_threshold():
    seen = face(presences={28: True})
    assert activated_aus(seen) == ()
    [found] = activated_aus(seen, min_probability=0.5)
    assert (found.au, found.probability) == (28, 0.5)


@given(
    st.fixed_dictionaries({au: st.floats(0, 5) for au in INTENSITY_AUS}),
    st.fixed_dictionaries({au: st.booleans() for au in PRESENCE_AUS}),
    st.integers(1, 20),
    st.floats(0.01, 1),
)
def test_the_list_is_sorted_cut_and_above_the_threshold(intensities, presences, top_k, threshold):
    found = activated_aus(face(intensities, presences), top_k=top_k, min_probability=threshold)
    order = [(-item.probability, item.au) for item in found]
    assert order == sorted(order)
    assert len(found) <= top_k
    assert all(item.probability >= threshold for item in found)
    assert all(item.box == pytest.approx(au_box(item.au, LANDMARKS)) for item in found)


def test_every_au_of_openface_has_a_region():
    assert set(PRESENCE_AUS) <= set(AU_REGIONS)


def test_an_au_without_a_region_is_left_out():
    seen = FaceObservation((0, 0, 9, 9), LANDMARKS, {12: 0.9, 99: 1.0})
    assert [item.au for item in activated_aus(seen)] == [12]


def test_polygons_fill_their_boxes_where_they_are_asked_for():
    seen = face(dict.fromkeys(INTENSITY_AUS, 4.0), dict.fromkeys(INTENSITY_AUS, True))
    plain, outlined = activated_aus(seen, top_k=99), activated_aus(seen, top_k=99, polygons=True)
    assert {item.polygon for item in plain} == {None}
    assert [item.box for item in outlined] == [item.box for item in plain]
    for item in outlined:
        corners = np.concatenate([np.array(outline) for outline in item.polygon])
        assert [*corners.min(axis=0), *corners.max(axis=0)] == pytest.approx(item.box)
        assert len(item.polygon) == (2 if AU_REGIONS[item.au].paired else 1)


@pytest.mark.parametrize("argument", [{"top_k": 0}, {"min_probability": 0}, {"min_probability": 2}])
def test_arguments_out_of_range_are_refused(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        activated_aus(face(), **argument)


def test_landmarks_without_a_face_are_refused():
    with pytest.raises(ValueError, match="no face"):
        activated_aus(face({12: 3.0}, {12: True}, landmarks=np.zeros((68, 2))))


def test_a_face_without_landmarks_is_refused():
    with pytest.raises(ValueError, match="no landmarks"):
        activated_aus(FaceObservation((0, 0, 9, 9), None, {12: 0.9}))


def test_the_main_face_is_the_largest_sure_one():
    small = row(landmarks=average_face() * 10, confidence=0.983, row=1)
    large = row(landmarks=average_face() * 30, confidence=0.917, row=2)
    largest = row(landmarks=average_face() * 60, confidence=0.717, row=3)
    failed = row(landmarks=average_face() * 90, confidence=0.983, row=4, success=False)
    faces = successful_faces([small, large, largest, failed])
    assert main_face(faces).landmarks is large.landmarks
    assert main_face(faces, min_confidence=0.7).landmarks is largest.landmarks
    assert main_face(successful_faces([failed]), min_confidence=0) is None
    assert main_face([]) is None


def test_the_main_face_needs_no_landmarks():
    small, large = (FaceObservation((0, 0, side, side), None) for side in (5, 6))
    assert main_face([large, small]) is large
