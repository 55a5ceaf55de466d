"""Readers of DISFA and BP4D: frames of videos whose AUs people coded, without an expression.

    DISFA/ActionUnit_Labels/SN001/SN001_au1.txt     frame,intensity: 12,3
    DISFA/frames/SN001/12.png                       yours, of one camera's videos
    BP4D/AUCoding/AU_OCC/F001_T1.csv                0,1,2,... (AUs), then frame,0|1|9,...
    BP4D/2D+3D/F001/T1/0012.jpg

The layouts are those that public code reads (CVI-SZU/ME-GraphAU, TadasBaltrusaitis/FERA-2015). The
name of an image ends in the number of its frame; the first is 1, as in the codes of both. Images
may lie in `frames`, `2D+3D`, `Sequences(2D+3D)` or beside the labels. There is no official split.
"""

import re
from collections.abc import Container, Mapping
from pathlib import Path

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    first_existing,
    named_file,
    read_table,
    visible,
)
from tag_rewards.errors import InputError, shown
from tag_rewards.facs import UNLABELLED
from tag_rewards.files.images import IMAGE_SUFFIXES

DISFA_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""The AUs that DISFA's coder looked for (Mavadati et al. 2013)."""

BP4D_AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""The AUs of BP4D (Zhang et al. 2014) that are evaluated; others are too rare or not coded."""

_PLACES = ("frames", "2D+3D", "Sequences(2D+3D)", "")

_UNCODED = "frame that nobody coded"

_Codes = Mapping[int, Mapping[int, bool]]
"""Of each frame the AUs that the coder decided on, and whether they are there."""


def read_disfa(root: str | Path, least: int = 2) -> Dataset:
    r"""Read the frames of DISFA that are there as images.

    Args:
        root: The folder with `ActionUnit_Labels`.
        least: Intensity from which an AU is there, 1 to 5; 2 is what the literature takes.

    Returns:
        The samples by subject and frame, all of split `test` and without a label. Frames without
        an image, and images without codes, are counted in `dropped`.

    Raises:
        InputError: A file is missing or malformed, or no image is that of a coded frame.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("ActionUnit_Labels/SN001", "frames/SN001"):
        ...         Path(folder, name).mkdir(parents=True)
        ...     for au in DISFA_AUS:
        ...         file = Path(folder, f"ActionUnit_Labels/SN001/SN001_au{au}.txt")
        ...         _ = file.write_text(f"1,0\n2,{1 + (au == 12)}\n")
        ...     Path(folder, "frames/SN001/0002.png").touch()
        ...     [sample] = read_disfa(folder).samples
        >>> sample.id, sample.label, sample.aus
        ('SN001/2', 'unlabelled', (12,))
    """
    if not 1 <= least <= 5:
        raise InputError(f"least is {least}, no intensity from 1 to 5")
    root, builder = Path(root), Builder()
    layout = "DISFA has ActionUnit_Labels/SN001/SN001_au1.txt; put its frames into frames/SN001"
    labels = first_existing(root, ["ActionUnit_Labels"], layout)
    for subject in (Path(entry) for entry in visible(labels) if entry.is_dir()):
        names = {au: f"{subject.name}_au{au}.txt" for au in DISFA_AUS}
        paths = {au: first_existing(subject, [name], layout) for au, name in names.items()}
        by_au = {au: _intensities(path) for au, path in paths.items()}
        frames = by_au[1].keys()
        for au, path in paths.items():
            if odd := frames ^ by_au[au].keys():
                raise InputError(
                    f"{paths[1]} and {path}: only one of them has frame {min(odd)}; copy both again"
                )
        by_frame = {n: {au: of[n] >= least for au, of in by_au.items()} for n in frames}
        _add(builder, root, subject.name, by_frame)
    return _dataset(builder, root, "frames/SN001/12.png")


def _intensities(path: Path) -> dict[int, int]:
    """The intensity on each frame, of a file of DISFA."""
    found: dict[int, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        fields = re.fullmatch(rb"\s*(\d{1,6})\s*,\s*([0-5])\s*", line)
        if fields is not None:
            found[_once(found, fields[1], f"{path}: line {number}")] = int(fields[2])
        elif line.strip():
            raise InputError(
                f"{path}: line {number} is {shown(line.decode(errors='replace'))}, no "
                "frame and intensity from 0 to 5, such as 12,3; copy the file again"
            )
    return found


def _once(known: Container[int], text: str | bytes, where: str) -> int:
    """The number of a frame that is not there yet."""
    frame = int(text)
    if frame in known:
        raise InputError(f"{where} has frame {frame} again; copy the file again")
    return frame


def read_bp4d(root: str | Path) -> Dataset:
    """Read the coded frames of BP4D that are there as images.

    Args:
        root: The folder with `AUCoding/AU_OCC`.

    Returns:
        As `read_disfa`. An AU that is 9, unknown, is neither there nor absent
        (`FaceSample.coded`).

    Raises:
        InputError: As `read_disfa`.
    """
    root, builder = Path(root), Builder()
    layout = "BP4D has AUCoding/AU_OCC/F001_T1.csv and 2D+3D/F001/T1/0001.jpg"
    tables = first_existing(root, ["AUCoding/AU_OCC", "AU_OCC"], layout)
    columns = ["0", *map(str, BP4D_AUS)]
    for table in (Path(entry) for entry in visible(tables) if entry.name.endswith(".csv")):
        by_frame: dict[int, dict[int, bool]] = {}
        for where, (frame, *values) in read_table(table, columns):
            if not re.fullmatch(r"\s*\d{1,6}\s*", frame, re.ASCII):
                raise InputError(f"{where} has the frame {shown(frame)}, not a whole number")
            codes = by_frame[_once(by_frame, frame, where)] = {}
            for au, value in zip(BP4D_AUS, map(str.strip, values), strict=True):
                if value not in ("0", "1", "9"):
                    raise InputError(f"{where} has {shown(value)} for AU{au}, not 0, 1 or 9")
                if value != "9":
                    codes[au] = value == "1"
        _add(builder, root, table.stem.replace("_", "/"), by_frame)
    return _dataset(builder, root, "2D+3D/F001/T1/0012.jpg")


def _add(builder: Builder, root: Path, name: str, coded: _Codes) -> None:
    """Add the frames of a video that have both an image and a code."""
    folders = (named_file(root / place, name, str(root)) for place in _PLACES)
    images = _images(next((folder for folder in folders if folder.is_dir()), None))
    for frame, codes in sorted(coded.items()):
        path = images.pop(frame, None)
        if codes and path:
            aus = tuple(au for au, there in codes.items() if there)
            about = (f"{name}/{frame}", path, UNLABELLED, "test")
            builder.samples.append(FaceSample(*about, aus=aus, coded=tuple(codes)))
        else:
            builder.drop("test", "coded frame without an image" if codes else _UNCODED)
    for _ in images:
        builder.drop("test", _UNCODED)


def _images(folder: Path | None) -> dict[int, Path]:
    """The images of a folder by the number that their names end in."""
    found: dict[int, Path] = {}
    for path in map(Path, visible(folder) if folder else ()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        number = re.search(r"\d+$", path.stem, re.ASCII)
        frame = int(number[0]) if number else 0
        if not frame:
            raise InputError(
                f"{path} is no frame of the codes, which count from 1; let its name end in its "
                "frame's number, as ffmpeg's do"
            )
        if (other := found.setdefault(frame, path)) != path:
            raise InputError(f"{other} and {path} are both frame {frame}; remove one of them")
    return found


def _dataset(builder: Builder, root: Path, example: str) -> Dataset:
    if not builder.samples:
        raise InputError(
            f"{root} has no image of a coded frame; put the frames of the videos there, such as "
            f"{example} for frame 12"
        )
    return builder.dataset(root)
