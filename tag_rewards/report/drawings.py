"""The drawings of the report: IoU by AU, confusion matrices, and the faces of the gallery.

The part of an image that matters is embedded as a JPEG of a fixed size, so that a report stays
small whatever the images are; boxes and their names are vectors and stay sharp.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import cv2
import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure as Drawing

from tag_rewards.colours import OKABE_ITO
from tag_rewards.errors import InputError, shown
from tag_rewards.facs import au_name
from tag_rewards.files.images import decode_image
from tag_rewards.files.text import visible
from tag_rewards.pictures.marks import describe_marks, mark_colours, trace_marks
from tag_rewards.pictures.sheet import LEAST_SHOWN, FacePicture, cut_out, face_view, lay_labels
from tag_rewards.target import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from tag_rewards.evaluation.measures import Figure
    from tag_rewards.evaluation.results import AUFigures, FaceRow, GalleryFace
    from tag_rewards.pictures.marks import Mark
    from tag_rewards.pictures.sheet import Label


#: Of the results in their order; yellow is left out, which cannot be seen on white.
COLOURS = tuple(colour for colour in OKABE_ITO if colour != "#f0e442")
MARKERS = "osD^vP"
_ROW = 0.17  # inches for an AU of one result
_LONGEST_LABEL = 24  # characters beside a matrix


def draw_au_iou(by_name: Mapping[str, Sequence[AUFigures]]) -> Drawing:
    """Mean IoU of each AU's box with its interval, for each of several results."""
    shown = {
        name: {one.au: one.iou for one in figures if one.iou is not None}
        for name, figures in by_name.items()
    }
    aus = sorted({au for figures in shown.values() for au in figures})
    named = {
        name: {au_name(au): iou for au, iou in figures.items()} for name, figures in shown.items()
    }
    return draw_figures(named, [au_name(au) for au in aus], "mean IoU, 95 % interval")


def draw_figures(
    by_name: Mapping[str, Mapping[str, Figure]], rows: Sequence[str], unit: str
) -> Drawing:
    """Figures in [0, 1] with their intervals, a row each, for each of several results.

    Args:
        by_name: Name of the results -> row -> its figure; a row may be missing.
        rows: From the top.
        unit: Below the axis.
    """
    height = max(len(rows) * (_ROW * len(by_name) + 0.12), 0.6) + 0.7
    drawing = Drawing(figsize=(4.8, height), layout="constrained")
    axes = drawing.subplots()
    for order, (name, figures) in enumerate(by_name.items()):
        offset = (order - (len(by_name) - 1) / 2) * 0.7 / len(by_name)
        known = [(at + offset, figures[row]) for at, row in enumerate(rows) if row in figures]
        axes.errorbar(
            [figure.value for _, figure in known],
            [y for y, _ in known],
            xerr=np.abs([[of.low - of.value, of.high - of.value] for _, of in known]).T
            if known
            else None,
            fmt=MARKERS[order % len(MARKERS)],
            color=COLOURS[order % len(COLOURS)],
            markersize=5,
            linewidth=1.6,
            clip_on=False,  # a marker at 0 or 1 is whole
            label=visible(name),
        )
    axes.set(xlim=(0, 1), ylim=(max(len(rows), 1) - 0.5, -0.5), xlabel=unit)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(axis="x", alpha=0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    if len(by_name) > 1:
        key = drawing.legend(loc="outside upper left", frameon=False, ncols=min(len(by_name), 2))
        for text in key.get_texts():
            text.set_parse_math(False)
    return drawing


def draw_confusion(
    labels: Sequence[str], confusion: Sequence[Sequence[int]], title: str
) -> Drawing:
    """A confusion matrix twice, as counts and as shares of each row; rows are the truth.

    Args:
        labels: Of the rows.
        confusion: Counts; one column more than rows, for the answers that are no label.
        title: Above both.
    """
    counts = np.array(confusion).reshape(len(labels), len(labels) + 1)
    side = 0.52 * (len(labels) + 1) + 1.2
    drawing = Drawing(figsize=(2 * side, side + 0.3), layout="constrained")
    left, right = drawing.subplots(1, 2, sharey=True)
    drawing.suptitle(textwrap.shorten(visible(title), 80, placeholder="…"), parse_math=False)
    shares = row_shares(counts)
    _draw_matrix(left, labels, shares, [[f"{n}" for n in row] for row in counts], "faces")
    _draw_matrix(
        right, labels, shares, [[f"{v:.2f}" for v in row] for row in shares], "share of the row"
    )
    left.set_ylabel("true label")
    return drawing


def row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each count divided by the sum of its row; 0 in a row without faces.

    Example:
        >>> row_shares(np.array([[3, 1], [0, 0]])).tolist()
        [[0.75, 0.25], [0.0, 0.0]]
    """
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _draw_matrix(
    axes: Axes,
    labels: Sequence[str],
    shares: NDArray[np.float64],
    texts: Sequence[Sequence[str]],
    title: str,
) -> None:
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            dark = shares[row, column] > 0.55
            axes.text(
                *(column, row, text),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
                fontweight="bold" if row == column else "normal",
            )
    axes.set_title(title, fontsize=10)
    labels = [visible(label)[:_LONGEST_LABEL] for label in labels]
    columns = [*labels, "no answer"]
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_xlabel("answer")
    axes.tick_params(length=0)


# matplotlib's defaults, and what the page calls its own.
_PAGE_COLOURS = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "#b0b0b0": "var(--rule)",
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def inline_svg(drawing: Drawing, name: str, description: str) -> Markup:
    """The `<svg>` element of a drawing; its text stays text.

    Black, white and the grey of grids become the page's `currentColor`, `--paper` and `--rule`,
    so that the drawing can be read on a dark page too. The same drawing gives the same text. It is
    read as XML, so that only attributes are changed: a name that looks like one of them is text.

    Args:
        drawing: The drawing.
        name: A word that no other drawing of the page has; its ids begin with it.
        description: The drawing in words, for those who cannot see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        drawing.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    svg = ElementTree.fromstring(visible(buffer.getvalue()))
    for element in svg.iter():
        element.tag = _local(element.tag)
        element.attrib = {
            _local(key): _for_page(_local(key), value, name)
            for key, value in element.attrib.items()
        }
    for defs in svg.findall("defs[style]"):
        svg.remove(defs)
    body = "".join(ElementTree.tostring(element, "unicode") for element in svg)
    width, height = (size * 72 for size in drawing.get_size_inches())
    head = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    return head.format(width, height, description) + Markup(body) + Markup("</svg>")


def _local(name: str) -> str:
    """The name of an element or attribute without its namespace, which HTML knows."""
    return name.rpartition("}")[2]


def _for_page(key: str, value: str, name: str) -> str:
    """The value of an attribute, with its ids and colours made the page's own."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    for colour, ours in _PAGE_COLOURS.items():
        value = value.replace(colour, ours)
    return " ".join(value.replace("url(#", f"url(#{name}-").split())


FONT = 17
"""Height of the names of boxes, in units of the drawing, which is `PANEL` wide and high."""
MAX_CLAIMS = 24
"""Boxes of a trace that are drawn; a model can write thousands."""
MAX_CHARS = 4_000
"""Characters of a completion that are shown."""
SHEET_FACES = 4
"""Faces of each kind on the contact sheet."""

_JPEG_QUALITY = 82


class Outline(NamedTuple):
    """A box: its corner, its size, its colour, and whether it is dashed (the detector's)."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    dashed: bool


class FaceDrawing(NamedTuple):
    """A face and what is drawn on it.

    Attributes:
        image: `data:` address of the JPEG, `PANEL` wide and high.
        outlines: The boxes, in the order in which they are drawn.
        labels: Their names.
        lines: The colour of each AU, and what is said of it below the face.
        left_out: Boxes of the trace that are too many to draw.
    """

    image: str
    outlines: tuple[Outline, ...]
    labels: tuple[Label, ...]
    lines: tuple[tuple[str, str], ...]
    left_out: int

    @property
    def description(self) -> str:
        """The drawing in words, for those who cannot see it."""
        return "; ".join(text for _, text in self.lines) or "No Action Unit"


def draw_face(
    image: NDArray[np.uint8], marks: Sequence[Mark], beside: Sequence[Mark] = ()
) -> FaceDrawing:
    """Lay out a face.

    An AU that is claimed is named once, on its claimed box; the detector's box has its colour.

    Args:
        image: (height, width, 3) uint8 BGR.
        marks: See `tag_rewards.pictures.marks.trace_marks`.
        beside: Claims of another drawing of the face that this one stands beside: both show the
            same part of it, in the same colours.
    """
    seen = [mark for mark in marks if not mark.claimed]
    claims = [mark for mark in marks if mark.claimed]
    drawn = seen + claims[:MAX_CLAIMS]
    both = [*drawn, *beside[:MAX_CLAIMS]]
    colours = mark_colours([both])
    view = face_view(image, [mark.box for mark in both], LEAST_SHOWN)
    outlines = []
    for mark in drawn:
        x1, y1, x2, y2 = view.box_in_panel(mark.box)
        outlines.append(Outline(x1, y1, x2 - x1, y2 - y1, colours[mark.au], not mark.claimed))
    named = {mark.au for mark in claims}
    labelled = [mark for mark in drawn if mark.claimed or mark.au not in named]
    texts = [mark.name for mark in labelled]
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    written, jpeg = cv2.imencode(".jpg", cut_out(image, view), quality)
    assert written, "OpenCV writes any 8-bit image as JPEG"
    return FaceDrawing(
        image=f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode('ascii')}",
        outlines=tuple(outlines),
        labels=tuple(lay_labels(labelled, texts, view, colours, FONT)),
        lines=tuple((colours[au], text) for au, text in describe_marks(drawn)),
        left_out=len(marks) - len(drawn),
    )


class Card(NamedTuple):
    """A face of the gallery.

    Attributes:
        row: What is known of it.
        kinds: Why it is shown: `best 1`, `random 3`.
        image: (height, width, 3) uint8 BGR.
        marks: What detector and trace say.
        drawing: The face with its boxes.
        text: The completion, or its beginning; control characters made visible.
        characters_left_out: How many more it has.
    """

    row: FaceRow
    kinds: tuple[str, ...]
    image: NDArray[np.uint8]
    marks: tuple[Mark, ...]
    drawing: FaceDrawing
    text: str
    characters_left_out: int

    @property
    def aus(self) -> list[int]:
        """The AUs that the detector or the trace puts on the face."""
        return sorted({mark.au for mark in self.marks if mark.au is not None})

    @property
    def right(self) -> bool:
        """Whether the answer is the label."""
        return self.row.answer == self.row.label

    @property
    def verdict(self) -> str:
        """The answer beside the label, in words."""
        if self.right:
            return f"{self.row.label}: right"
        return f"{self.row.answer or 'no answer'}: wrong, it is {self.row.label}"


def face_cards(faces: Sequence[GalleryFace], where: str) -> list[Card]:
    """A card for each face, in the order of the gallery; one shown for two reasons is once."""
    by_id: dict[str, list[GalleryFace]] = {}
    for face in faces:
        by_id.setdefault(face.row.id, []).append(face)
    cards = []
    for name, alike in by_id.items():
        row, kinds = alike[0].row, tuple(f"{face.kind} {face.rank}" for face in alike)
        text = row.completion or ""
        image = decode_image(alike[0].image, f"{where}: the image of {name!r}")
        try:
            target = Target.from_json(row.target)
        except ValueError as error:
            raise InputError(f"{where}: the target of {name!r}: {error}") from error
        if target.label != row.label:
            raise InputError(
                f"{where}: label of {name!r} is {shown(row.label)}, and that of its target "
                f"{shown(target.label)}; run `tag-rewards eval` again"
            )
        marks = trace_marks(image, target, text)
        left_out = max(len(text) - MAX_CHARS, 0)
        drawing, part = draw_face(image, marks), visible(text[:MAX_CHARS])
        cards.append(Card(row, kinds, image, marks, drawing, part, left_out))
    return cards


def sheet_pictures(faces: Sequence[GalleryFace], cards: Sequence[Card]) -> list[FacePicture]:
    """The first faces of each kind, for `tag_rewards.pictures.sheet.draw_faces`."""
    by_id = {card.row.id: card for card in cards}
    pictures = []
    for face in faces:
        if face.rank <= SHEET_FACES:
            row, card = face.row, by_id[face.row.id]
            said = row.answer or "no answer"
            note = f"{said}; truth: {row.label}; mean IoU {row.mean_iou:.2f}"
            title = f"{face.kind} {face.rank}: {row.id}"
            pictures.append(FacePicture(title, note, card.image, card.marks))
    return pictures
