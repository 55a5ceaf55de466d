"""The parts of the report: tables as CSV, faces as vectors, figures as SVG, packaged templates."""

import base64
import csv
import importlib.util
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure as Picture

from tag_rewards.errors import InputError
from tag_rewards.evaluation.measures import Figure
from tag_rewards.evaluation.results import AUFigures
from tag_rewards.files.images import decode_image
from tag_rewards.files.text import visible
from tag_rewards.pictures.marks import trace_marks
from tag_rewards.pictures.sheet import PANEL
from tag_rewards.report.drawings import (
    COLOURS,
    MAX_CLAIMS,
    draw_au_iou,
    draw_confusion,
    draw_face,
    inline_svg,
)
from tag_rewards.report.tables import Change, Group, Table, to_csv
from tag_rewards.target import Target
from tests.builders.page_reader import read_page
from tests.builders.results import SPACE, smile
from tests.builders.trace import honest, loop, step

REPO = Path(__file__).resolve().parents[2]
GREY = np.full((96, 96, 3), 128, np.uint8)

numbers = st.floats(0, 1)
cells = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=5),
    st.integers(0, 99),
    numbers,
    st.builds(Figure, numbers, numbers, numbers, st.integers(0, 9)),
    st.builds(Change, numbers, numbers, numbers, st.integers(0, 9)),
)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=4), st.booleans())
def test_every_line_of_a_csv_file_has_as_many_cells(some, titled):
    table = Table("t", "", ("a", "b", "c"), (Group("one" if titled else "", tuple(some)),))
    head, *lines = csv.reader(io.StringIO(to_csv(table), newline=""))
    assert len(lines) == len(some)
    assert all(len(line) == len(head) for line in lines)
    for row, line in zip(some, lines, strict=True):
        values = dict(zip(head, line, strict=True))
        for name, cell in zip("abc", row, strict=True):
            value = cell.value if isinstance(cell, Figure) else cell
            assert values[name].removeprefix("'") == (
                "" if value is None else str(value)
            ).removeprefix("'")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=5))
@example("=1+1")
@example('@SUM("1")')
@example("+a")
@example("-2+3")
@example("\t=1")
def test_no_text_of_a_csv_file_is_a_formula(text):
    """Neither in a head, nor in a title, nor in a cell; a number is left one."""
    table = Table("t", "", ("", text), (Group(text, ((text, -0.5),)),))
    lines = [*csv.reader(io.StringIO(to_csv(table), newline=""))]
    for cell in (lines[0][2], *lines[1][:2]):
        assert not cell.startswith(("=", "@", "\t", "\r", "\n"))
        assert not cell.startswith(("+", "-")) or float(cell) is not None
        assert cell.removeprefix("'") == text.removeprefix("'")
    assert lines[1][2] == "-0.5"


def test_a_row_of_another_width_is_a_bug():
    with pytest.raises(ValueError, match="row 'x' has 1 cells for 2 columns"):
        Table("t", "", ("a", "b"), (Group("", (("x",),)),))


def test_detector_dashed_model_solid_one_name_for_both():
    drawing = draw_face(GREY, trace_marks(GREY, smile(), honest(smile(), dx=4)))
    assert [outline.dashed for outline in drawing.outlines] == [True, True, False, False]
    assert [label.text for label in drawing.labels] == ["AU12", "AU6"]
    pixel = drawing.outlines[0].width / 40
    for seen, claimed in zip(drawing.outlines[:2], drawing.outlines[2:], strict=True):
        assert seen.colour == claimed.colour
        assert claimed.x - seen.x == pytest.approx(4 * pixel)
        assert (claimed.y, claimed.width) == pytest.approx((seen.y, seen.width))
    assert drawing.outlines[0].colour != drawing.outlines[1].colour
    assert drawing.labels[0].plate == drawing.outlines[0].colour


def test_an_au_that_only_the_detector_saw_has_its_name_on_white():
    drawing = draw_face(GREY, trace_marks(GREY, smile(), "no trace"))
    assert [(label.text, label.plate) for label in drawing.labels] == [
        ("AU12", "#ffffff"),
        ("AU6", "#ffffff"),
    ]
    assert drawing.description == "AU12 lip corner puller: 0.91; AU6 cheek raiser: 0.72"


def test_boxes_are_in_the_box_space_of_the_target():
    """The same trace on an image of twice the size, which the model saw as 96 x 96."""
    large = cv2.resize(GREY, (192, 192))
    drawings = [
        draw_face(image, trace_marks(image, smile(), honest(smile()))) for image in (GREY, large)
    ]
    corners = [[outline[:4] for outline in drawing.outlines] for drawing in drawings]
    assert np.allclose(*corners, atol=PANEL / 96)


def test_the_embedded_image_is_small_whatever_the_image_is():
    noise = np.random.default_rng(0).integers(0, 255, (2000, 3000, 3), np.uint8)
    drawing = draw_face(noise, trace_marks(noise, Target("fear", (), SPACE), ""))
    data = base64.b64decode(drawing.image.partition(",")[2])
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (PANEL, PANEL, 3)
    assert len(data) < 200_000
    assert drawing.description == "No Action Unit"


def test_of_too_many_boxes_the_first_are_drawn():
    text = loop(*(step(12, (n, 2, 60, 40)) for n in range(50)))
    drawing = draw_face(GREY, trace_marks(GREY, smile(), text))
    assert len(drawing.outlines) == 2 + MAX_CLAIMS
    assert drawing.left_out == 50 - MAX_CLAIMS


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_what_is_no_image_is_named(data):
    with pytest.raises(InputError, match="the face cannot be read as an image"):
        decode_image(data, "the face")


def test_figures_follow_the_colours_of_the_page():
    picture = Picture()
    axes = picture.subplots()
    axes.plot([0, 1], [0, 1], color="black")
    axes.set_title("a < b & <script>")
    svg = inline_svg(picture, "one", 'say "this" < that')
    assert svg.startswith('<svg viewBox="0 0 460.8 345.6" role="img"')
    assert 'aria-label="say &#34;this&#34; &lt; that"' in svg
    assert "a &lt; b &amp; &lt;script&gt;" in svg
    assert "stroke: currentColor" in svg
    assert "#000000" not in svg
    assert "<style" not in svg
    assert 'id="one-axes_1"' in svg
    assert svg == inline_svg(picture, "one", 'say "this" < that')


LIKE_SVG = ['id="a"', 'href="#a"', "#000000 #b0b0b0", "url(#a)", "</svg><b>", "&lt;"]


@given(st.sampled_from([*LIKE_SVG, "a\x07\ufffe"]) | st.text(max_size=9))
@settings(max_examples=20)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_name_in_a_figure_is_text_and_nothing_else(name):
    picture = Picture(figsize=(1, 1))
    picture.text(0, 0, name, parse_math=False)
    svg = inline_svg(picture, "one", name)
    root = read_page(svg)
    texts = [element.text for element in root.all("text")]
    # A line break in a name makes two lines, and nothing stands between them.
    assert "".join("".join(texts).split()) == "".join(visible(name).split())
    assert {element.tag for element in root.all()} <= {"svg", "g", "path", "text", "defs", "tspan"}


def figures(*values):
    return [
        AUFigures(au, None if value is None else Figure(value, value, value, 5), 5, 5, 5)
        for au, value in enumerate(values, 1)
    ]


def test_every_au_that_was_seen_has_a_row():
    names = [f"${n}" for n in range(8)]  # more than there are colours
    picture = draw_au_iou({name: figures(0.5, None, 0.2) for name in names})
    [axes] = picture.axes
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert rows == ["AU1 inner brow raiser", "AU3"]
    picture.savefig(io.BytesIO(), format="png")
    assert len({container.lines[0].get_color() for container in axes.containers}) == len(COLOURS)


@pytest.mark.parametrize("by_name", [{"a": []}, {"a": figures(None)}, {"a": figures(0.1), "b": []}])
def test_there_may_be_no_au(by_name):
    draw_au_iou(by_name).savefig(io.BytesIO(), format="png")


def test_a_label_without_faces_has_no_share():
    picture = draw_confusion(["a", "b"], [[0, 0, 0], [1, 2, 1]], "$x")
    counts, shares = picture.axes
    assert [text.get_text() for text in counts.texts] == ["0", "0", "0", "1", "2", "1"]
    assert [text.get_text() for text in shares.texts][3:] == ["0.25", "0.50", "0.25"]
    picture.savefig(io.BytesIO(), format="png")


@pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None,
    reason="hatchling is not installed, and nothing is downloaded",
)
def test_the_wheel_has_the_templates(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    [wheel] = WheelBuilder(str(REPO)).build(directory=str(tmp_path), versions=["standard"])
    folder = "tag_rewards/report/templates/"
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix(folder) for name in archive.namelist() if folder in name}
    here = {path.name for path in (REPO / folder).iterdir()}
    assert packed == here
    assert {"report.html.jinja", "macros.jinja", "style.css", "sort.js"} <= packed
