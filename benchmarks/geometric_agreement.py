"""How far the AUs of the `dlib` detector agree with OpenFace 2.x on a folder of photographs.

    python benchmarks/geometric_agreement.py IMAGES CSVS

IMAGES is a folder of images, CSVS the folder that OpenFace wrote for them. Every face that both
have found counts once; OpenFace's faces below its own boundary of confidence are left out. For each
AU it prints Spearman's rank correlation of our movement with OpenFace's intensity (`AUxx_r`), and
the area under the ROC curve (AUC) of our movement against its presence (`AUxx_c`); 0.5 is chance.
Our AU43 is held to OpenFace's AU45. The table is the one in docs/detectors.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata, spearmanr

from tag_rewards.detectors import DlibDetector
from tag_rewards.detectors.geometric_aus import GEOMETRIC_AUS, MOVEMENT_SCALE
from tag_rewards.detectors.observation import MIN_CONFIDENCE, MIN_PROBABILITY
from tag_rewards.detectors.openface import OpenFaceFolder
from tag_rewards.detectors.openface.csv import INTENSITY_SCALE, PRESENCE_SCALE

if TYPE_CHECKING:
    from tag_rewards.detectors import FaceObservation

OPENFACE_AU = {43: 45}
MAX_APART = 0.25
"""Two detectors' eyes belong to one face within this share of OpenFace's inner-eye distance."""


def main() -> None:
    """Read the folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("csvs", type=Path)
    args = parser.parse_args()
    paths = sorted(path for path in args.images.iterdir() if path.is_file())
    ours, theirs = DlibDetector().detect(paths), OpenFaceFolder(args.csvs).detect(paths)
    pairs = [
        pair
        for mine, other in zip(ours, theirs, strict=True)
        for face in other.faces
        if face.confidence >= MIN_CONFIDENCE
        for pair in [(nearest(face, mine.faces), face)]
        if pair[0] is not None
    ]
    sure = sum(face.confidence >= MIN_CONFIDENCE for other in theirs for face in other.faces)
    print(f"{len(paths)} images, {sure} faces that OpenFace is sure of, {len(pairs)} in both\n")
    print(table(pairs))


def nearest(face: FaceObservation, others: tuple[FaceObservation, ...]) -> FaceObservation | None:
    """The same face as another detector saw it."""
    unit = np.linalg.norm(face.landmarks[39] - face.landmarks[42])
    apart = {id(other): np.linalg.norm(eyes(other) - eyes(face)) / unit for other in others}
    best = min(others, key=lambda other: apart[id(other)], default=None)
    return best if best is not None and apart[id(best)] <= MAX_APART else None


def eyes(face: FaceObservation) -> np.ndarray:
    """The midpoint of the eyes."""
    return face.landmarks[36:48].mean(axis=0)


def table(pairs: list[tuple[FaceObservation, FaceObservation]]) -> str:
    """The agreement as a Markdown table."""
    lines = [
        "| AU | rank correlation with `_r` | AUC against `_c` | present by `_c` | active by ours |",
        "|---|---|---|---|---|",
    ]
    for au in GEOMETRIC_AUS:
        their_au = OPENFACE_AU.get(au, au)
        movement = np.array([ours.raw[MOVEMENT_SCALE][au] for ours, _ in pairs])
        intensity = np.array([theirs.raw[INTENSITY_SCALE][their_au] for _, theirs in pairs])
        present = np.array([theirs.raw[PRESENCE_SCALE][their_au] for _, theirs in pairs]) > 0
        active = sum(ours.probabilities[au] >= MIN_PROBABILITY for ours, _ in pairs)
        name = f"{au}" if their_au == au else f"{au} (its {their_au})"
        correlation = "-" if np.ptp(intensity) == 0 else f"{spearmanr(movement, intensity)[0]:.2f}"
        n = f"{present.sum()} of {len(pairs)}"
        lines.append(f"| {name} | {correlation} | {auc(movement, present)} | {n} | {active} |")
    return "\n".join(lines)


def auc(scores: np.ndarray, positive: np.ndarray) -> str:
    """Area under the ROC curve, by ranks; `-` if one class has no face."""
    n = positive.sum()
    if n in (0, len(positive)):
        return "-"
    wins = rankdata(scores)[positive].sum() - n * (n + 1) / 2
    return f"{wins / (n * (len(positive) - n)):.2f}"


if __name__ == "__main__":
    main()
