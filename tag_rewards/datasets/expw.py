"""Reader of ExpW, Expression in-the-Wild (http://mmlab.ie.cuhk.edu.hk/projects/socialrelation/).

    ROOT/label/label.lst            image_name face_id top left right bottom confidence label
    ROOT/image/origin/IMAGE_NAME

(or `ROOT/label.lst` and `ROOT/origin/`). An image may hold several faces, each a row of its own:
look for the face inside `face_box`. There is no official split.
"""

from pathlib import Path

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    first_existing,
    label_of_id,
    named_file,
    numbers,
    read_words,
)

_NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
EXPW_LABELS = dict(enumerate(_NAMES))
"""ExpW's label ids; nothing beyond this file uses them."""

_LAYOUT = "ExpW has label/label.lst and image/origin/*.jpg"


def read_expw(root: str | Path) -> Dataset:
    """Read the faces of `label.lst`.

    Args:
        root: The folder that holds `label` and `image`.

    Returns:
        The samples in the order of the list, all of split `test`, each with its face box, named
        `IMAGE_FACE`, such as `afraid_woman_7_0`.

    Raises:
        InputError: The list or an image is missing, or a line is malformed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     line = "angry_child_1.jpg 0 10 20 110 100 98.5 0"
        ...     _ = Path(folder, "label.lst").write_text(line)
        ...     Path(folder, "origin").mkdir()
        ...     Path(folder, "origin/angry_child_1.jpg").touch()
        ...     [sample] = read_expw(folder).samples
        >>> sample.id, sample.label, sample.face_box
        ('angry_child_1_0', 'anger', (20.0, 10.0, 110.0, 100.0))
    """
    root, builder = Path(root), Builder()
    source = first_existing(root, ["label/label.lst", "label.lst"], _LAYOUT)
    images = first_existing(root, ["image/origin", "origin"], _LAYOUT)
    for where, words in read_words(source, "angry_child_1.jpg 0 10 20 110 100 98.5 0"):
        file_name, face, *box, _, number = words
        label = label_of_id(number, EXPW_LABELS, where)
        path = builder.needed(named_file(images, file_name, where), where)
        top, left, right, bottom = numbers(box, "the face box", where)
        name = builder.unique(f"{path.stem}_{face}")
        face_box = (left, top, right, bottom)
        builder.samples.append(FaceSample(name, path, label, "test", face_box=face_box))
    return builder.dataset(source)
