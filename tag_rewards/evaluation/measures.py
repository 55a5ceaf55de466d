"""The measures of an evaluation.

`MEASURES` has one entry for each measure: what it is called, which way is better, how a face
counts. Rows of faces, `results.json`, `samples.parquet`, the console, comparisons and the report
have the measures of this table. Whoever adds one adds an entry, and a line to docs/evaluation.md;
results that were written without it show it as absent.

A measure of faithfulness is a ratio of sums over faces: what the faces add up to, divided by what
they could add up to. Faces whose target has no AU count in none of them: there is nothing to be
faithful to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFaces:
    """What traces are worth on n faces, m claims in all; 0 for a face whose target has no AU.

    What is not named here has shape (n,) too, as the column of `samples.parquet`.

    Attributes:
        counted: Shape (n,): 1 for a face whose target has an AU.
        written: Shape (n,): 1 for such a face that has a completion.
        n_hallucinated: Shape (n,): mentions of AUs that the target does not have.
        claim_face: Shape (m,): index of the face that a claim is about.
        claim_au: Shape (m,): its AU; NaN if the trace does not tell.
        claim_iou: Shape (m,): its IoU with what the detector saw of that AU; NaN if nothing.
        claim_agrees: Shape (m,): 1 if its box lies in the region that the words of its step name,
            0 if not, NaN if they name none that is known.
    """

    counted: NDArray[np.float64]
    written: NDArray[np.float64]
    mean_iou: NDArray[np.float64]
    hit_rate: NDArray[np.float64]
    au_precision: NDArray[np.float64]
    au_recall: NDArray[np.float64]
    au_f1: NDArray[np.float64]
    n_aus: NDArray[np.float64]
    n_placed: NDArray[np.float64]
    n_mentions: NDArray[np.float64]
    n_hallucinated: NDArray[np.float64]
    claim_face: NDArray[np.intp]
    claim_au: NDArray[np.float64]
    claim_iou: NDArray[np.float64]
    claim_agrees: NDArray[np.float64]

    def claims_with(self, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How many of the claims (m,) of each face (n,) have a property."""
        return np.bincount(self.claim_face[which], minlength=len(self.counted)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Measure:
    """A named figure.

    Attributes:
        words: What it is called where people read it.
        more_is_better: Whether more of it is better.
        count: What each face adds to the numerator and to the denominator, shape (n,) each; None
            for a measure of the answers, which `tag_rewards.evaluation.classification` counts.
        told: Whether it depends on the named AUs alone, which the baselines are told.
        column: Whether `samples.parquet` has a column of its name; not if others say the same.
        tested: Whether a comparison of two models tests it; not if it is another reading of answers
            that are tested already.
    """

    words: str
    more_is_better: bool = True
    count: Callable[[JudgedFaces], tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None
    told: bool = False
    column: bool = True
    tested: bool = True


#: The measures by name, in the order of every table.
MEASURES: dict[str, Measure] = {
    "accuracy": Measure("accuracy"),
    "uar": Measure("UAR"),
    "macro_f1": Measure("macro F1"),
    "ece": Measure("ECE", more_is_better=False),
    "brier": Measure("Brier score", more_is_better=False),
    "compat_accuracy": Measure("accuracy (ferbench-compat)", tested=False),
    "compat_uar": Measure("UAR (ferbench-compat)", tested=False),
    "compat_macro_f1": Measure("macro F1 (ferbench-compat)", tested=False),
    "mean_iou": Measure("mean AU-IoU", count=lambda of: (of.mean_iou, of.counted)),
    "hit_rate": Measure("hit rate at 0.5", count=lambda of: (of.hit_rate, of.counted)),
    "placed_iou": Measure(
        "IoU of placed AUs", count=lambda of: (of.mean_iou * of.n_aus, of.n_placed), column=False
    ),
    "au_precision": Measure(
        "AU precision", count=lambda of: (of.au_precision, of.counted), told=True
    ),
    "au_recall": Measure("AU recall", count=lambda of: (of.au_recall, of.counted), told=True),
    "au_f1": Measure("AU F1", count=lambda of: (of.au_f1, of.counted), told=True),
    "hallucination_per_mention": Measure(
        "hallucination per mention",
        more_is_better=False,
        count=lambda of: (of.n_hallucinated, of.n_mentions),
        told=True,
        column=False,
    ),
    "hallucination_per_trace": Measure(
        "hallucination per trace",
        more_is_better=False,
        count=lambda of: ((of.n_hallucinated > 0).astype(np.float64), of.written),
        told=True,
        column=False,
    ),
    "text_box_agreement": Measure(
        "text-box agreement",
        count=lambda of: (
            of.claims_with(of.claim_agrees == 1),
            of.claims_with(~np.isnan(of.claim_agrees)),
        ),
    ),
}

#: The measures of the answers, by their names in `classification.Classification`.
OF_ANSWERS = ("accuracy", "uar", "macro_f1", "ece", "brier")

#: What stands beside ECE, `classification.Classification.ece_if_calibrated`, where people read it.
IF_CALIBRATED = "ECE if calibrated"


def measure_sums(faces: JudgedFaces) -> dict[str, NDArray[np.float64]]:
    r"""For each measure of faithfulness what its numerator and denominator are sums of.

    A measure is :math:`\sum_i a_i / \sum_i b_i` over the faces.

    Returns:
        Name -> shape (n, 2).
    """
    return {
        name: np.stack(measure.count(faces), axis=1)
        for name, measure in MEASURES.items()
        if measure.count is not None
    }
