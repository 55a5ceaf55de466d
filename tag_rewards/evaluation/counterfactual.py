"""Counterfactual faithfulness: does the answer depend on the regions that the trace claims?

The boxes that a trace claims are hidden in the image and the same question is asked again; and, for
comparison, as much is hidden elsewhere on the face. If the answer changes more often in the first
case than in the second, the claimed regions are what the model looks at, and not a story told after
the fact.

`counterfactual.jsonl` has one JSON object a line, in the order of the data::

    {"id": "test_0001", "left_out": "", "answer": "fear", "answer_claimed_masked": "surprise",
     "answers_elsewhere_masked": ["fear", "fear", null], "masked": 0.21,
     "masked_elsewhere": [0.21, 0.21, 0.2], "overlap": [0.0, 0.0, 0.08]}

Answers are canonical labels, null where there is none; `masked` is the hidden share of the face,
`overlap` the share of what is hidden elsewhere that is claimed, for want of room.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.figures import Interval, difference_interval, mean_interval
from tag_rewards.files.journal import read_records

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class CounterfactualSummary:
    """How often the answer changes when a part of the face is hidden.

    An answer that goes missing has changed. Intervals are 95 % bootstrap intervals over faces, None
    where no face counts.

    Attributes:
        n: Faces that count: those whose trace has an answer and claims a box.
        left_out: Why the others do not, and how many.
        claimed: Share of changed answers when the claimed boxes are hidden.
        elsewhere: The same when as much is hidden elsewhere, the mean over the draws of a face.
        difference: `claimed` minus `elsewhere`, paired by face; above 0 for a faithful model.
        masked: Mean hidden share of the face.
        overlap: Mean share of what is hidden elsewhere that is claimed, for want of room.
    """

    n: int
    left_out: Mapping[str, int]
    claimed: Interval | None
    elsewhere: Interval | None
    difference: Interval | None
    masked: float | None
    overlap: float | None


def summarize_counterfactual(
    path: Path, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> CounterfactualSummary:
    """The figures of a `counterfactual.jsonl`.

    Args:
        path: The file.
        level: Confidence level of the intervals, in (0, 1).
        n_resamples: Resamples of the bootstrap.
        seed: Of the resampling.

    Raises:
        InputError: The file is another; the message names file and line.
        OSError: It cannot be opened.
    """
    claimed, others, masked, overlap = [], [], [], []
    left_out: Counter[str] = Counter()
    for number, record in enumerate(read_records(path), start=1):
        try:
            if record["left_out"]:
                left_out[record["left_out"]] += 1
                continue
            answer = record["answer"]
            claimed.append(float(record["answer_claimed_masked"] != answer))
            others.append(
                float(np.mean([one != answer for one in record["answers_elsewhere_masked"]]))
            )
            masked.append(record["masked"])
            overlap.append(float(np.mean(record["overlap"])))
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} has no field {error}; give the file that "
                "`tag-rewards generate --counterfactual` wrote"
            ) from error
    if not claimed:
        return CounterfactualSummary(0, dict(left_out), None, None, None, None, None)
    return CounterfactualSummary(
        n=len(claimed),
        left_out=dict(left_out),
        claimed=mean_interval(claimed, level, n_resamples, seed),
        elsewhere=mean_interval(others, level, n_resamples, seed),
        difference=difference_interval(others, claimed, level, n_resamples, seed),
        masked=float(np.mean(masked)),
        overlap=float(np.mean(overlap)),
    )
