"""The picture of one face, of an image or a prepared row: its target, and what is claimed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from tag_rewards.errors import InputError
from tag_rewards.files.images import decode_image, read_image
from tag_rewards.files.objects import open_parquet
from tag_rewards.looks import ShortRepr
from tag_rewards.pictures.marks import ModelView, claim_marks, target_marks
from tag_rewards.pictures.sheet import FacePicture, draw_faces
from tag_rewards.prepare.model_fits import recorded_config
from tag_rewards.prepare.rows import RLRow, SFTRow, read_rl_parquet, read_sft_parquet

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure as Drawing
    from numpy.typing import NDArray

    from tag_rewards.target import Target

    Row = TypeVar("Row", RLRow, SFTRow)


def draw(
    image: str | Path | bytes | NDArray[np.uint8],
    target: Target | None = None,
    completion: str | None = None,
    *,
    canvas: int | None = None,
    view: ModelView | None = None,
    title: str = "",
) -> Drawing:
    """Draw a face with what its target says and what a completion claims.

    Args:
        image: A file, an encoded image as prepared rows have it, or BGR pixels (height, width, 3).
        target: What the detector saw; its boxes are dashed.
        completion: What a model wrote; the boxes that can be read in it are solid.
        canvas: Side of the square canvas that the model saw, if `prepare` put this image on one.
        view: Where a completion's boxes lie, without a target; pixels of the image by default.
        title: What to write above it; the name of a file by default.

    Returns:
        A figure of matplotlib: a notebook shows it, `savefig` writes it.

    Raises:
        InputError: The image cannot be read, or the target is of an image of another shape.

    Example:
        >>> import numpy as np
        >>> from tag_rewards import AUEvidence, BoxSpace, Target
        >>> seen = AUEvidence(12, 0.9, (20, 60, 80, 90))
        >>> target = Target("happiness", (seen,), BoxSpace.pixels(99, 99))
        >>> figure = draw(np.zeros((99, 99, 3), np.uint8), target)
        >>> figure.savefig("face.png")  # doctest: +SKIP
    """
    if isinstance(image, (str, Path)):
        title, pixels = title or Path(image).name, read_image(Path(image))
    elif isinstance(image, bytes):
        pixels = decode_image(image, title or "the image")
    else:
        pixels = image
    return draw_faces([face_picture(title, pixels, target, completion, canvas=canvas, view=view)])


def face_picture(
    title: str,
    image: NDArray[np.uint8],
    target: Target | None = None,
    completion: str | None = None,
    *,
    canvas: int | None = None,
    view: ModelView | None = None,
) -> FacePicture:
    """What `draw` draws; arguments as there, the image as BGR pixels (height, width, 3)."""
    if target is not None:
        view = ModelView.of(target, image, canvas)
        view.check()
    elif view is None:
        view = ModelView.of_pixels(image, canvas)
    seen = () if target is None else target_marks(target, view)
    claimed = () if completion is None else claim_marks(completion, view)
    note = "" if target is None else f"target: {target.label}"
    return FacePicture(title, note, image, seen + claimed)


@dataclass(frozen=True, slots=True, repr=False)
class PreparedFace(ShortRepr):
    """A row of RL, SFT or evaluation data.

    Attributes:
        id: Name of the sample in its dataset.
        label: The expression.
        image: The encoded image, as the model sees it.
        target: What a completion is scored against; None for a row of SFT without its row of RL.
        trace: The trace to learn; None but for SFT.
        view: Where the boxes of the trace lie; None with a target, which says so.
    """

    id: str
    label: str
    image: bytes
    target: Target | None
    trace: str | None = None
    view: ModelView | None = None

    def picture(self, completion: str | None = None) -> FacePicture:
        """The image with its target, and the boxes of a completion, or else of its own trace.

        Raises:
            InputError: The image cannot be read.
        """
        pixels = decode_image(self.image, f"the image of {self.id!r}")
        text = self.trace if completion is None else completion
        found = face_picture(self.id, pixels, self.target, text, view=self.view)
        return found if found.note else found._replace(note=f"label: {self.label}")


def prepared_face(path: Path, number: int | None = None, id: str | None = None) -> PreparedFace:
    """Find a row of a file that `prepare` or `traces export` wrote.

    The target of an SFT row is that of the same sample in the RL file beside it, if that is there.

    Args:
        path: The file: RL, SFT or evaluation.
        number: Of the row, from 0; the first by default.
        id: Name of the sample, instead of the number.

    Raises:
        InputError: There is no such row, both are given, or the file is none of these.
    """
    if number is not None and id is not None:
        raise InputError("--row and --id say both which row it is; give one")
    with open_parquet(path, pa.schema([])) as file:
        of_sft = "messages" in file.schema.names
    if not of_sft:
        row = _row(path, read_rl_parquet(path), number, id)
        return PreparedFace(row.id, row.target.label, row.image, row.target)
    sft = _row(path, read_sft_parquet(path), number, id)
    target = _target_of(path.with_name(path.name.replace("sft_", "rl_", 1)), path, sft)
    config = recorded_config(path)
    if target is None and config is None:
        raise InputError(
            f"{path} says not in which coordinates its boxes are, and has no RL file beside it; "
            "write it with `tag-rewards prepare`"
        )
    view = None
    if target is None and config is not None:
        view = ModelView(config.space, config.canvas, config.canvas, form=config.form)
    return PreparedFace(sft.id, sft.label, sft.image, target, sft.trace, view)


def _target_of(rl: Path, sft: Path, row: SFTRow) -> Target | None:
    if rl == sft or not rl.is_file():
        return None
    return next((one.target for one in read_rl_parquet(rl) if one.id == row.id), None)


def _row(path: Path, rows: Iterable[Row], number: int | None, name: str | None) -> Row:
    count = 0
    for count, row in enumerate(rows, 1):
        if row.id == name if name is not None else count - 1 == (number or 0):
            return row
    wanted = f"with the id {name!r}" if name is not None else str(number or 0)
    raise InputError(f"{path} has no row {wanted}; it has {count} rows, the first is row 0")
