"""A protocol's images without those that a quality file rejects."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from tag_rewards.data.quality.table import QualityError, read_rejected

if TYPE_CHECKING:
    from pathlib import Path

    from tag_rewards.data.protocols import LoadedProtocol

def without_rejected(loaded: LoadedProtocol, path: Path) -> LoadedProtocol:
    """Leave out what `tag-rewards quality` rejected.

    Rejected images are counted among `dropped`. Where images of the evaluated split are rejected,
    `mismatches` says how many and by which limits, so that every result says it too.

    Args:
        loaded: A protocol's data.
        path: The quality file of the same dataset.

    Raises:
        QualityError: The file is none, or was made before an image was added.
        OSError: It cannot be opened.
    """
    rejected = read_rejected(path)
    for sample in loaded.samples:
        if sample.id not in rejected.known:
            raise QualityError(
                f"{path} does not know {sample.id!r} of {loaded.protocol.name}; "
                "run `tag-rewards quality` on this dataset again"
            )
    kept = tuple(sample for sample in loaded.samples if sample.id not in rejected.reasons)
    dropped = {split: Counter(counts) for split, counts in loaded.dropped.items()}
    for sample in loaded.samples:
        if reason := rejected.reasons.get(sample.id):
            dropped.setdefault(sample.split, Counter())[f"quality: {reason}"] += 1
    split, mismatches = loaded.protocol.split, loaded.mismatches
    n_before = len(loaded.evaluated)
    loaded = replace(loaded, samples=kept, dropped=dropped)
    if n_rejected := n_before - len(loaded.evaluated):
        limits = ", ".join(rejected.limits)
        mismatches += (
            f"{split}: {n_rejected} of {n_before} images left out by quality ({limits})",
        )
    return replace(loaded, mismatches=mismatches)
