"""Aligned made faces, what they give away without a look, and what placing them changes.

    python benchmarks/placement.py [--faces 512] [--out FOLDER]

FER images are aligned: a similarity moves the eyes and the mouth of each face to the same three
points. The made faces are not, on purpose. Here they are drawn large and aligned as datasets are,
with the landmarks moved along, and prepared without `--placement` and at several strengths. The
table has the blind grounding of the training data (`tag_rewards.prepare.blind_grounding`) and
what preparing costs.

`--out` keeps the aligned dataset in RAF-DB's layout, for training on it:

    python benchmarks/placement.py --faces 2000 --out aligned
    DATA=aligned OPENFACE=aligned/openface bash recipes/run_tag_grpo.sh

(with PLACEMENT=never in another OUT for comparison), and then, for each seed of the training, how
much the boxes of its model follow the picture (1: it looks; 0: it does not), on the aligned faces
that it was not trained on:

    tag-rewards prepare aligned --openface aligned/openface --out data --canvas 112 --prompt short
    tag-rewards generate data/eval.parquet --model RUN/grpo/hf --out grpo.jsonl --moved
    tag-rewards eval --data data/eval.parquet --predictions grpo.jsonl --moved grpo-moved.jsonl
        --out results
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from tag_rewards.datasets.made_faces import aligned, make_face, write_dataset
from tag_rewards.prepare import Placement, PrepareConfig, TargetConfig, prepare

SIZE = 112

STRENGTHS = {
    "never": None,
    "scale 0.14, roll 8, shift 0.07": Placement(0.14, 8, 0.07),
    "scale 0.2, roll 10, shift 0.15": Placement(0.2, 10, 0.15),
    "scale 0.3, roll 10, shift 0.3": Placement(0.3, 10, 0.3),
    "scale 0.4, roll 15, shift 0.5": Placement(0.4, 15, 0.5),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=512, help="training faces")
    parser.add_argument("--tests", type=int, default=64, help="faces to evaluate on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--canvas", type=int, default=SIZE)
    parser.add_argument("--out", type=Path, help="where the aligned dataset stays")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        faces = options.out or Path(scratch) / "aligned"
        write_aligned(faces, {"train": options.faces, "test": options.tests}, options.seed)
        print("| placement | blind grounding | ms an image |")
        print("|---|---|---|")
        for name, placement in STRENGTHS.items():
            config = PrepareConfig(TargetConfig(options.canvas), placement=placement)
            before = process_time()
            counts = prepare(faces, faces / "openface", Path(scratch) / "data", config)
            cost = 1000 * (process_time() - before) / (options.faces + options.tests)
            blind = counts.splits["train"].blind
            grounding = "-" if blind is None else f"{blind.grounding:.3f}"
            print(f"| {name} | {grounding} | {cost:.1f} |")


def write_aligned(folder: Path, counts: dict[str, int], seed: int) -> None:
    """Aligned made faces in RAF-DB's layout, with OpenFace CSV files beside them."""
    # Drawn twice as large, so that aligning them loses nothing.
    write_dataset(
        *(folder, counts["train"], counts["test"], seed, SIZE),
        face_of=lambda rng, _: aligned(make_face(rng, 2 * SIZE), SIZE),
    )


if __name__ == "__main__":
    main()
