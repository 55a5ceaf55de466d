"""How well `mentioned_aus` tells the AUs that a sentence asserts from denied and doubted ones.

    python benchmarks/mentions_accuracy.py            # the half for writing the rules
    python benchmarks/mentions_accuracy.py --wrong    # and its sentences that are read wrongly
    python benchmarks/mentions_accuracy.py --kept     # the half that was kept for the end, too

Printed are, for each kind of sentence of tests/mentions/au_sentences.csv and over all of them, the
precision and recall of the named AUs (every AU of every sentence counts once) and the share of
sentences whose AUs are read exactly. Sentences of the kept half are never listed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from tag_rewards.mentions import mentioned_aus

SENTENCES = Path(__file__).parents[1] / "tests" / "mentions" / "au_sentences.csv"


class Reading(NamedTuple):
    """One sentence, the AUs that it names and those that were read."""

    id: str
    kind: str
    sentence: str
    named: frozenset[int]
    read: frozenset[int]


def main() -> None:
    """Read the sentences and print a table for each half that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wrong", action="store_true", help="list what is read wrongly in dev")
    parser.add_argument("--kept", action="store_true", help="score the kept half, too")
    args = parser.parse_args()
    dev = readings("dev")
    print(table("dev", dev))
    if args.wrong:
        for one in dev:
            if one.read != one.named:
                print(f"\n{one.id} ({one.kind}) {one.sentence}")
                print(f"    named {sorted(one.named)}, read {sorted(one.read)}")
    if args.kept:
        print("\n" + table("kept", readings("kept")))


def readings(split: str) -> list[Reading]:
    """What is read in the sentences of one half."""
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        return [
            Reading(
                id=row["id"],
                kind=row["kind"],
                sentence=row["sentence"],
                named=frozenset(map(int, row["named"].split())),
                read=frozenset(mentioned_aus(row["sentence"])),
            )
            for row in csv.DictReader(file)
            if row["split"] == split
        ]


def table(split: str, all_readings: list[Reading]) -> str:
    """The figures as a Markdown table, a line for each kind and one for all."""
    head = f"| {split} | sentences | precision | recall | exact |\n|---|---|---|---|---|"
    kinds = [
        figures(kind, [one for one in all_readings if one.kind == kind])
        for kind in dict.fromkeys(one.kind for one in all_readings)
    ]
    return "\n".join([head, *kinds, figures("**all**", all_readings)])


def figures(name: str, some: list[Reading]) -> str:
    """One line of the table."""
    right = sum(len(one.named & one.read) for one in some)
    precision = share(right, sum(len(one.read) for one in some))
    recall = share(right, sum(len(one.named) for one in some))
    exact = share(sum(one.named == one.read for one in some), len(some))
    return f"| {name} | {len(some)} | {precision} | {recall} | {exact} |"


def share(part: int, whole: int) -> str:
    """Part of the whole; `-` if there is nothing."""
    return f"{part / whole:.3f}" if whole else "-"


if __name__ == "__main__":
    main()
