"""What run_ablation.sh asks: `python -m recipes.ablation WHAT ARGUMENT...`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from recipes.ablation.arms import ARMS, Size, plan, runs


def main(what: str, *arguments: str) -> None:
    """Answer one question, or do one thing."""
    match what, arguments:
        case "arms", (given,):
            names = given.split() or list(ARMS)
            if unknown := [name for name in names if name not in ARMS]:
                sys.exit(f"error: ARMS: {unknown[0]} is none of {' '.join(ARMS)}")
            print(*names)
        case "plan", (out, *names):
            print(plan(Path(out), names, _count("SEEDS"), _size()))
        case "starts", names:
            print(*dict.fromkeys(["sft", *(ARMS[name].start for name in names)]))
        case "runs", (seeds, *names):
            for name, seed in runs(names, int(seeds)):
                print(name, seed, ARMS[name].start, "yes" if ARMS[name].trained else "no")
        case "own_data", (name,):
            print("yes" if ARMS[name].own_data else "no")
        case "arm", (out, name):
            arm = ARMS[name]
            if arm.faces == "aligned":
                print(f"DATA={out}/aligned")
            print(*(f"{key}={value}" for key, value in arm.settings.items()), sep="\n")
            print(*arm.overrides, sep="\n")
        case "faces", ("evaluation" | "aligned" as kind, folder, count):
            from recipes.ablation.faces import write_aligned, write_evaluation

            write = write_evaluation if kind == "evaluation" else write_aligned
            write(Path(folder), int(count))
        case "boxless", (data, out):
            from recipes.ablation.boxless import take_boxes_out

            take_boxes_out(Path(data), Path(out))
        case "measure", (data, run):
            from recipes.ablation.measure import measure

            measure(Path(data), Path(run))
        case "table", (out,):
            from recipes.ablation.table import write_table

            write_table(Path(out))
        case _:
            sys.exit(f"error: {what} {' '.join(arguments)}: no such question")


def _count(name: str) -> int:
    return int(os.environ[name])


def _size() -> Size:
    rollouts = _count("TRAIN_BATCH") * _count("ROLLOUT_N")
    from recipes.ablation.faces import SETS

    faces = _count("FACES") * len(SETS)
    return Size(_count("N_TRAIN"), _count("SFT_EPOCHS"), _count("STEPS"), rollouts, faces)


main(*sys.argv[1:])
