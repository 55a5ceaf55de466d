import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.errors import InputError
from tag_rewards.geometry import box_iou
from tag_rewards.pictures.sheet import place_labels
from tag_rewards.runs.curves import draw_curves, training_series, validation_series
from tag_rewards.runs.folder import StepMetrics
from tag_rewards.runs.summary import Face, choose_faces, draw_overlays
from tests.builders.trace import loop, step


def test_series_are_read_from_the_names_that_verl_logs():
    metrics = [
        StepMetrics(0, {"val-core/made/acc/mean@1": 0.5, "val-aux/made/format/mean@1": 0.2}),
        StepMetrics(1, {"reward/format/mean": 0.4, "val-aux/made/format/best@4/mean": 0.9}),
        StepMetrics(2, {"reward/format/mean": 0.6, "val-aux/made/format/mean@1": 0.8}),
    ]
    assert training_series(metrics, "format") == ([1, 2], [0.4, 0.6])
    assert validation_series(metrics, "format") == ([0, 2], [0.2, 0.8])
    assert training_series(metrics, "grounding") == ([], [])


def test_grounding_is_the_mean_over_faces_that_have_aus():
    metrics = [
        StepMetrics(1, {"reward/grounding/mean": 0.3, "reward/abstained/mean": 0.5}),
        StepMetrics(2, {"reward/grounding/mean": 0.0, "reward/abstained/mean": 1.0}),
        StepMetrics(3, {"reward/grounding/mean": 0.3}),
    ]
    assert training_series(metrics, "grounding") == ([1, 3], [0.6, 0.3])


def test_a_panel_for_each_component_that_was_logged():
    metrics = [StepMetrics(s, {"reward/format/mean": 0.5, "reward/score/mean": s}) for s in (0, 1)]
    titled = [axes.get_title() for axes in draw_curves(metrics).axes]
    assert titled == ["score (weighted sum)", "format reward"]


def test_metrics_without_components_say_how_to_get_them():
    with pytest.raises(InputError, match=r"trainer\.v1\.trainer_mode=tag_sync"):
        draw_curves([StepMetrics(1, {"actor/loss": 1.0})])


boxes = st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(50, 100)] * 2)


@given(st.lists(boxes, max_size=6))
def test_labels_stay_inside_the_image(some):
    places = place_labels(some, [(12, 6)] * len(some), 100, 100)
    assert all(0 <= x <= 88 and 0 <= y <= 94 for x, y in places)


def test_labels_of_crowded_boxes_do_not_overlap():
    crowd = [(40, 60, 70, 75)] * 5 + [(38, 58, 72, 80)] * 3
    corners = np.array(place_labels(crowd, [(12, 6)] * 8, 100, 100))
    labels = np.hstack([corners, corners + np.array([12, 6])])
    iou = box_iou(labels, labels)
    assert (iou - np.eye(8) <= 1e-9).all()


def faces(run, texts):
    return [
        Face(f"face_{index}", run.image(), run.smile(index), text, text)
        for index, text in enumerate(texts)
    ]


def test_faces_are_spread_over_the_list_and_have_aus_of_their_own(run):
    many = faces(run, [""] * 9)
    unusable = [Face("calm", run.image(), run.nothing_seen(), "", ""), many[0], many[0]]
    chosen = choose_faces([*unusable, *many[1:]], count=3)
    assert [face.id for face in chosen] == ["face_1", "face_5", "face_8"]
    assert len(choose_faces(many)) == 9


HOSTILE = [
    "",
    "nonsense <bbox>[1,2",
    loop(step(None, "-9e9,-5,9e9,5")),
    loop(step(None, (900, 900, 999, 999))),
    loop(step(99, (1, 2, 3, 4))),
    loop(*[step((1, 2), (1, 2, 30, 40))] * 40),
]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_any_completion_can_be_drawn(run, tmp_path, count):
    drawing = draw_overlays(faces(run, HOSTILE[-count:]), (0, 10))
    drawing.savefig(tmp_path / "overlays.png", dpi=30)
    assert len(drawing.axes[0].images) == 2 * count


def test_an_image_that_cannot_be_read_is_named(run):
    broken = faces(run, [""])[0]._replace(image=b"no image")
    with pytest.raises(ValueError, match="face 'face_0' cannot be read"):
        draw_overlays([broken], (0, 1))
    with pytest.raises(ValueError, match="no face to draw"):
        draw_overlays([], (0, 1))
