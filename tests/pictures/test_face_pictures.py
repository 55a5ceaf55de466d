import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.colours import OKABE_ITO
from tag_rewards.detectors.observation import Detection, FaceObservation
from tag_rewards.errors import InputError
from tag_rewards.geometry import AU_REGIONS, BoxSpace, au_box, average_face
from tag_rewards.pictures.detected import face_marks, picture_of_detection
from tag_rewards.pictures.marks import (
    Mark,
    ModelView,
    assign_colours,
    claim_marks,
    ink_on,
    luminance,
    target_marks,
)
from tag_rewards.pictures.sheet import PANEL, FacePicture, draw_faces, face_view
from tag_rewards.target import AUEvidence, Target
from tests.builders.trace import loop, step

# Machado, Oliveira and Fernandes (2009): what is left of linear RGB without one kind of cone.
WITHOUT_CONES = {
    "no loss": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
D65 = [0.95047, 1.0, 1.08883]


def rgb(colour):
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def lab(colour, matrix):
    value = np.array(rgb(colour)) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = SRGB_TO_XYZ @ np.clip(np.array(matrix) @ linear, 0, 1) / D65
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", WITHOUT_CONES)
def test_every_kind_of_colour_vision_tells_the_colours_apart(vision):
    seen = [lab(colour, WITHOUT_CONES[vision]) for colour in OKABE_ITO]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def test_red_and_green_would_be_noticed():
    red, green = (lab(colour, WITHOUT_CONES["deuteranopia"]) for colour in ("#c0392b", "#6b8e23"))
    assert np.linalg.norm(red - green) < 15


@pytest.mark.parametrize("colour", OKABE_ITO)
def test_text_on_a_colour_has_the_contrast_that_wcag_asks_for(colour):
    low, high = sorted((luminance(colour), luminance(ink_on(colour))))
    assert (high + 0.05) / (low + 0.05) > 4.5


@given(st.sets(st.sampled_from(list(AU_REGIONS)), max_size=7))
def test_seven_aus_of_a_face_have_seven_colours(aus):
    assert len(set(assign_colours([aus]).values())) == len(aus)


@given(st.lists(st.sets(st.sampled_from(list(AU_REGIONS)), max_size=25), max_size=5))
def test_every_au_has_one_colour_of_the_palette(groups):
    colours = assign_colours(groups)
    assert set(colours) == set().union(*groups)
    assert set(colours.values()) <= set(OKABE_ITO)


def skin(width=100, height=100):
    return np.full((height, width, 3), (140, 170, 210), np.uint8)


def pixels(figure):
    """What the PNG holds: (height, width, 3) RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def near(pixel, colour, tolerance=40):
    return np.abs(pixel.astype(int) - rgb(colour)).max() <= tolerance


# Where the panel of the only face begins.
LEFT, TOP = 12, 46


def on_panel(x, y, side=100):
    return round(LEFT + x * PANEL / side), round(TOP + y * PANEL / side)


@pytest.mark.parametrize("claimed", [False, True])
def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_au(claimed):
    mark = Mark((5, 20, 95, 80), 12, 0.8, claimed=claimed)
    shown = pixels(draw_faces([FacePicture("face", "", skin(), (mark,))]))
    for edge in (5, 95):
        x, _ = on_panel(edge, 0)
        column = shown[on_panel(0, 30)[1] : on_panel(0, 75)[1], x - 1 : x + 1].mean(axis=1)
        share = np.mean([near(pixel, OKABE_ITO[0]) for pixel in column])
        assert share == 1 if claimed else 0.4 < share < 0.9  # solid or dashed
    x, y = on_panel(50, 50)
    assert near(shown[y, x], "#d2aa8c", 2)


def test_a_region_is_filled_so_that_the_skin_shows_through():
    region = ((((30, 30), (60, 30), (60, 60))),)
    mark = Mark((30, 30, 60, 60), 12, 0.8, region)
    shown = pixels(draw_faces([FacePicture("face", "", skin(), (mark,), (0, 0, 100, 100))]))
    inside, outside = (shown[y, x] for x, y in (on_panel(55, 40), on_panel(35, 55)))
    mixed = 0.7 * np.array([210, 170, 140]) + 0.3 * np.array(rgb(OKABE_ITO[0]))
    assert np.abs(inside - mixed).max() < 3
    assert near(outside, "#d2aa8c", 2)


@pytest.mark.parametrize("side", [40, 100, 1000])
def test_text_has_the_same_readable_size_on_any_face(side):
    box = (side * 0.1, side * 0.2, side * 0.9, side * 0.8)
    marks = (Mark(box, 12, 0.8), Mark(box, 12, claimed=True))
    figure = draw_faces([FacePicture("face", "note", skin(side, side), marks, box)])
    texts = {
        text.get_text(): text.get_fontsize() * figure.dpi / 72 for text in figure.axes[0].texts
    }
    assert {"AU12 0.80", "AU12"} <= set(texts)
    assert min(texts.values()) >= 13
    assert figure.get_size_inches() * figure.dpi == pytest.approx([464, 550])


def test_detector_and_claim_are_told_apart_and_compared():
    marks = (Mark((0, 0, 50, 50), 12, 0.8), Mark((0, 0, 50, 25), 12, claimed=True))
    figure = draw_faces([FacePicture("face", "", skin(), marks)])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "AU12 lip corner puller: 0.80, claimed, IoU 0.50" in texts
    assert "dashed: detector, with its probability    solid: claimed by the trace" in texts


@pytest.mark.parametrize(
    ("marks", "line"),
    [
        ((Mark((0, 0, 9, 9), None, claimed=True),), "box without an AU: claimed"),
        ((Mark((0, 0, 9, 9), 99, claimed=True),) * 2, "AU99: claimed 2 times"),
        ((Mark((0, 0, 9, 9), 12),), "AU12 lip corner puller: not judged"),
    ],
)
def test_what_is_listed_below_a_face(marks, line):
    figure = draw_faces([FacePicture("face", "", skin(), marks)])
    assert line in [text.get_text() for text in figure.axes[0].texts]


def test_a_sheet_has_the_columns_that_are_asked_for():
    pictures = [FacePicture(f"face {index}", "no face found", skin()) for index in range(5)]
    widths = [draw_faces(pictures, columns).get_figwidth() * 100 for columns in (None, 1, 5)]
    assert widths == pytest.approx([4 * 452 + 12, 464, 5 * 452 + 12])


@pytest.mark.parametrize(
    ("pictures", "columns", "message"),
    [
        ([], None, "no face to draw"),
        ([FacePicture("a", "", skin())], 0, "columns is 0, not at least 1"),
        ([FacePicture("a", "", skin())] * 200, 1, "draw fewer at a time"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(pictures, columns, message):
    with pytest.raises(InputError, match=message):
        draw_faces(pictures, columns)


def test_names_are_no_formulas_and_long_ones_are_cut():
    long = "x" * 300 + ".jpg"
    figure = draw_faces([FacePicture("$\\nope$.jpg", long, skin())])
    pixels(figure)
    title, note = (text.get_text() for text in figure.axes[0].texts[:2])
    assert title == "$\\nope$.jpg"
    assert "…" in note
    assert note.endswith(".jpg")


@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 4), max_size=3),
)
def test_any_face_can_be_cut_out(size, boxes):
    image = skin(*size)
    view = face_view(image, boxes)
    width, height = size
    assert view.side >= 1
    assert view.left < width
    assert view.top < height
    assert view.left + view.side > 0
    assert view.top + view.side > 0


def face(probabilities, **fields):
    landmarks = average_face() * 20 + 50
    return FaceObservation((5, 5, 95, 95), landmarks, probabilities, detector="mine", **fields)


def test_active_aus_are_drawn_by_falling_probability():
    marks = face_marks(face({4: 0.7, 6: 0.9, 12: 0.3, 99: 1.0}), min_probability=0.6)
    assert [(mark.au, mark.probability) for mark in marks] == [(6, 0.9), (4, 0.7)]
    assert marks[0].box == pytest.approx(au_box(6, average_face() * 20 + 50).tolist())
    assert [len(mark.polygon) for mark in marks] == [2, 1]


def test_aus_that_are_asked_for_are_drawn_active_or_not():
    marks = face_marks(face({12: 0.3}), min_probability=0.6, aus=[17, 12])
    assert [(mark.au, mark.probability) for mark in marks] == [(17, None), (12, 0.3)]


@pytest.mark.parametrize(
    ("detection", "note", "n_marks"),
    [
        (Detection(failure="it is cut"), "it is cut", 0),
        (Detection(), "no face found", 0),
        (Detection((face({}),)), "mine, confidence 1.00, no active AU", 0),
        (
            Detection((face({12: 1}, confidence=0.5),)),
            "mine, confidence 0.50, unsure, below 0.725",
            1,
        ),
        (
            Detection((face({12: 1}), FaceObservation((0, 0, 5, 5), None))),
            "mine, confidence 1.00, largest of 2 faces",
            1,
        ),
        (
            Detection((FaceObservation((0, 0, 5, 5), None, {12: 1}),)),
            "detector, confidence 1.00, the detector gave no landmarks, so it cannot be told "
            "where the AUs are",
            0,
        ),
        (
            Detection((FaceObservation((0, 0, 5, 5), np.zeros((68, 2)), {12: 1}),)),
            "detector, confidence 1.00, landmarks show no face: the eyes are 0 px apart",
            0,
        ),
    ],
)
def test_a_note_says_what_was_seen(detection, note, n_marks):
    picture = picture_of_detection("a", skin(), detection, min_probability=0.6)
    assert picture.note == note
    assert len(picture.marks) == n_marks
    draw_faces([picture])


@pytest.mark.parametrize(
    ("space", "box", "canvas", "expected"),
    [
        (BoxSpace.pixels(200, 100), [20, 10, 40, 30], None, (20, 10, 40, 30)),
        (BoxSpace.pixels(400, 200), [20, 10, 40, 30], None, (10, 5, 20, 15)),
        (BoxSpace.normalized_1000(), [100, 100, 200, 300], None, (20, 10, 40, 30)),
        (BoxSpace.normalized_1000(), [100, 300, 200, 400], 512, (20, 10, 40, 30)),
        (BoxSpace.pixels(100, 100), [0, 25, 100, 75], 100, (0, 0, 200, 100)),
        (BoxSpace.resized("qwen2_5_vl", 196, 112), [49, 28, 98, 56], None, (50, 25, 100, 50)),
    ],
)
def test_claims_and_targets_lie_where_the_model_saw_them(space, box, canvas, expected):
    view = ModelView(space, 200, 100, canvas)
    view.check()
    [claim] = claim_marks(loop(step(12, box)), view)
    assert claim.box == pytest.approx(expected)
    assert (claim.au, claim.claimed) == (12, True)
    x1, y1, x2, y2 = box
    outline = ((x1, y1), (x2, y1), (x2, y2))
    target = Target("joy", (AUEvidence(12, 0.8, box, (outline,)),), space)
    [seen] = target_marks(target, view)
    assert seen.box == pytest.approx(expected)
    assert np.array(seen.polygon[0])[[0, 2]].ravel() == pytest.approx(expected)


@pytest.mark.parametrize("canvas", [None, 512])
def test_pixels_of_another_shape_are_an_error(canvas):
    space = BoxSpace.pixels(512, 512) if canvas is None else BoxSpace.pixels(200, 100)
    with pytest.raises(InputError, match="pixels of an image of"):
        ModelView(space, 200, 100, canvas).check()


HOSTILE = [
    "",
    "nonsense <bbox>[1,2",
    loop(step(12, "-9e9,-5,9e9,5")),
    loop(step(12, (900, 900, 999, 999))),
    loop(*[step((1, 2), (1, 2, 30, 40))] * 40),
    loop(step(None, (1, 2, 3, 4))),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_completion_can_be_drawn(text):
    marks = claim_marks(text, ModelView(BoxSpace.pixels(100, 100), 100, 100))
    assert len(marks) <= 2
    pixels(draw_faces([FacePicture("face", "", skin(), marks)]))
