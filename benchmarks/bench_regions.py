"""How many faces a second get the boxes, and the polygons, of all their AUs on one core.

    python benchmarks/bench_regions.py [--faces 1000] [--seconds 10]

Each AU of each face alone (`au_box`, `au_region`), all AUs of one face at once, and all faces of a
batch at once (`au_boxes`, `au_regions`). All must give the same; compare the ratios, not the faces
a second: times are CPU times of this process, and a shared core is a slower core.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
from bench_score import calls_per_second

from tag_rewards.geometry import (
    AU_REGIONS,
    au_box,
    au_boxes,
    au_region,
    au_regions,
    average_face,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

AUS = tuple(AU_REGIONS)


def random_faces(n_faces: int) -> NDArray[np.float64]:
    """Faces of different sizes at different places, each a little uneven."""
    rng = np.random.default_rng(0)
    uneven = average_face() + rng.normal(scale=0.02, size=(n_faces, 68, 2))
    return uneven * rng.uniform(15, 90, (n_faces, 1, 1)) + rng.uniform(0, 400, (n_faces, 1, 2))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=1000, help="faces in the batch")
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds for each table")
    options = parser.parse_args()
    faces = random_faces(options.faces)
    one_by_one = [[au_box(au, face) for au in AUS] for face in faces]
    assert np.array_equal(au_boxes(AUS, faces), one_by_one)
    polygons = [[au_region(au, face) for au in AUS] for face in faces]
    assert (au_regions(AUS, faces) == np.array(polygons, dtype=object)).all()

    tables: dict[str, dict[str, Callable[[], object]]] = {
        "boxes": {
            "each AU alone": lambda: [[au_box(au, face) for au in AUS] for face in faces],
            "each face alone": lambda: [au_boxes(AUS, face) for face in faces],
            "whole batch": lambda: au_boxes(AUS, faces),
        },
        "polygons": {
            "each AU alone": lambda: [[au_region(au, face) for au in AUS] for face in faces],
            "each face alone": lambda: [au_regions(AUS, face) for face in faces],
            "whole batch": lambda: au_regions(AUS, faces),
        },
    }
    print(f"{len(AUS)} AUs, batch of {len(faces)} faces")
    for kind, work in tables.items():
        rates = calls_per_second(work, len(faces), options.seconds)
        slowest = next(iter(rates.values()))
        for name, rate in rates.items():
            print(f"{kind:9} {name:16} {rate:10,.0f} faces/s {rate / slowest:7.1f} x")


if __name__ == "__main__":
    main()
