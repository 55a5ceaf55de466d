"""The form in which every detector gives a face: what it accepts and what it refuses."""

import pickle

import numpy as np
import pytest

from tag_rewards.detectors.observation import Detection, FaceObservation, Pose
from tag_rewards.geometry import average_face

BOX = (10.0, 10.0, 90.0, 90.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"box": (10, 10, 10, 90)}, "box is"),
        ({"box": (10, 90, 90, 10)}, "box is"),
        ({"box": (10, 10, float("inf"), 90)}, "box is"),
        ({"box": (float("nan"), 10, 90, 90)}, "box is"),
        ({"landmarks": np.zeros((67, 2))}, r"shape \(67, 2\), not \(68, 2\)"),
        ({"probabilities": {12: 1.01}}, "probability of AU12 is 1.01"),
        ({"probabilities": {12: float("nan")}}, "probability of AU12 is nan"),
        ({"confidence": -0.1}, "confidence is -0.1"),
    ],
)
def test_values_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        FaceObservation(**{"box": BOX, "landmarks": None, **fields})


def test_faces_share_no_mapping():
    one, other = (FaceObservation(BOX, None) for _ in range(2))
    assert one.probabilities == {}
    assert one.probabilities is not other.probabilities


def test_a_detection_travels_between_processes():
    face = FaceObservation(BOX, average_face(), {12: 0.5}, {"x": {12: 3.0}}, 0.9, Pose(1, 2, 3))
    [copy] = pickle.loads(pickle.dumps(Detection((face,)))).faces
    assert (copy.box, copy.probabilities, copy.raw, copy.pose) == (
        face.box,
        face.probabilities,
        face.raw,
        face.pose,
    )
    assert (copy.landmarks == face.landmarks).all()


def test_an_empty_detection_is_no_face():
    assert Detection() == ((), "", "")
