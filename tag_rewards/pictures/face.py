"""The picture of one face: what its target says, and what a completion claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.files.images import decode_image, read_image
from tag_rewards.pictures.marks import ModelView, claim_marks, target_marks
from tag_rewards.pictures.sheet import FacePicture, draw_faces

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure as Drawing
    from numpy.typing import NDArray

    from tag_rewards.target import Target


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
        OSError: The file cannot be opened.

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
