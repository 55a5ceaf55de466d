"""Reader of CK+, the extended Cohn-Kanade dataset (Lucey et al. 2010), with its FACS codes.

    ROOT/cohn-kanade-images/S005/001/S005_001_00000001.png  (neutral) to 00000011.png (peak)
    ROOT/Emotion/S005/001/S005_001_00000011_emotion.txt     3.0000000e+00
    ROOT/FACS/S005/001/S005_001_00000011_facs.txt           9.0000000e+00   0.0000000e+00

Both label files are named after the peak, the last frame. Every sequence has FACS codes, one a line
with its intensity (0: not scored), but only 327 of 593 an expression. There is no official split.
"""

from pathlib import Path

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    first_existing,
    label_of_id,
    numbers,
    read_words,
    visible,
)
from tag_rewards.errors import InputError

_NAMES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
CKPLUS_LABELS = dict(enumerate(_NAMES))
"""CK+'s label ids; nothing beyond this file uses them."""

_LAYOUT = "CK+ has the folders cohn-kanade-images, Emotion and FACS side by side"


def read_ckplus(root: str | Path) -> Dataset:
    """Read the peak frame of each sequence that has an expression.

    Args:
        root: The folder that holds `cohn-kanade-images`, `Emotion` and `FACS`.

    Returns:
        The samples in order of name, all of split `test`, each with the numbers of its AUs in
        ascending order; some of those are not in `tag_rewards.facs.ACTION_UNITS`, such as 54, head
        down. Sequences without an expression are counted in `dropped`.

    Raises:
        InputError: A folder, the peak frame or its FACS codes are missing, or a label is
            malformed.
    """
    root, builder = Path(root), Builder()
    images, emotions, facs = (
        first_existing(root, [name], _LAYOUT) for name in ("cohn-kanade-images", "Emotion", "FACS")
    )
    subjects = [Path(entry.path) for entry in visible(images) if entry.is_dir()]
    sequences = (entry for subject in subjects for entry in visible(subject) if entry.is_dir())
    for sequence in map(Path, sequences):
        name = sequence.relative_to(images)
        entries = visible(emotions / name) if (emotions / name).is_dir() else []
        labels = [Path(entry) for entry in entries if entry.name.endswith("_emotion.txt")]
        if not labels:
            builder.drop("test", "sequence without an expression")
            continue
        if len(labels) > 1:
            raise InputError(f"{labels[0].parent} has {len(labels)} labels, not one; copy it again")
        peak = labels[0].name.removesuffix("_emotion.txt")
        codes = builder.needed(facs / name / f"{peak}_facs.txt", str(labels[0]))
        aus = _read_aus(codes) if builder.exists(codes) else None
        path = builder.needed(sequence / f"{peak}.png", str(labels[0]))
        builder.samples.append(FaceSample(peak, path, _read_label(labels[0]), "test", aus=aus))
    return builder.dataset(emotions)


def _read_label(path: Path) -> str:
    lines = list(read_words(path, "3.0000000e+00"))
    if len(lines) != 1:
        raise InputError(f"{path} has {len(lines)} labels, not one; copy it again")
    where, words = lines[0]
    [number] = numbers(words, "the label id", where)
    return label_of_id(f"{number:g}", CKPLUS_LABELS, where)


def _read_aus(path: Path) -> tuple[int, ...]:
    aus = set()
    for where, words in read_words(path, "12.0000000e+00 4.0000000e+00"):
        au, _ = numbers(words, "an AU or its intensity", where)
        if au != int(au) or au < 1:
            raise InputError(f"{where} has {words[0]!r:.40} for an AU, not a whole number")
        aus.add(int(au))
    return tuple(sorted(aus))
