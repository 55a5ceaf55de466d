"""Every figure of an evaluation from the rows of its faces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.evaluation.classification import (
    FERBENCH,
    STRICT,
    UNKNOWN,
    Classification,
    classify,
)
from tag_rewards.evaluation.measures import (
    MEASURES,
    Figure,
    JudgedFaces,
    bootstrap_figure,
    measure_sums,
    ratio_figure,
    ratios,
    resampled_sums,
)
from tag_rewards.evaluation.results import (
    MODEL,
    AUFigures,
    FaceRow,
    figures_by_measure,
    judged_faces,
)

if TYPE_CHECKING:
    from tag_rewards.evaluation.faithfulness import Judged


def figures_of_rows(
    rows: Sequence[FaceRow], labels: Sequence[str], n_resamples: int = 2000, seed: int = 0
) -> dict[str, Figure | None]:
    """The figures of a model by the names of `measures.MEASURES`, None where nothing counts."""
    by_measure, _ = faithfulness_figures({MODEL: judged_faces(rows)}, [], n_resamples, seed)
    answers = answer_figures(rows, labels, n_resamples, seed)
    return figures_by_measure(answers, by_measure[MODEL])


def answer_figures(
    rows: Sequence[FaceRow], labels: Sequence[str], n_resamples: int = 2000, seed: int = 0
) -> dict[str, Classification]:
    """As both parsers read the answers; none for `FERBENCH` where it drops every face.

    Nothing without declared labels.
    """
    if not labels:
        return {}
    found = {
        STRICT: classify(
            [row.label for row in rows],
            [row.answer for row in rows],
            labels,
            confidence=[row.confidence for row in rows],
            no_answer=Counter(row.no_answer for row in rows if row.no_answer),
            n_resamples=n_resamples,
            seed=seed,
        )
    }
    kept = [row for row in rows if row.answer_compat is not None]
    if kept:
        unknown = sum(row.answer_compat == UNKNOWN for row in kept)
        found[FERBENCH] = classify(
            [row.label for row in kept],
            [row.answer_compat for row in kept],
            labels,
            no_answer={UNKNOWN: unknown} if unknown else {},
            dropped=len(rows) - len(kept),
            macro="occurring",
            n_resamples=n_resamples,
            seed=seed,
        )
    return found


def code_figures(
    faces: Sequence[tuple[Collection[int], Collection[int]]], n_resamples: int, seed: int
) -> dict[str, Figure]:
    """How well the AUs that traces assert are those that people coded.

    Args:
        faces: Of each face the AUs that are asserted and those that are coded; of faces without an
            AU too, where naming one is wrong.
        n_resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        F1 of every AU that is coded on a face (`AU12`), and their mean (`macro_f1`); nothing if
        none is.

    Example:
        >>> faces = [({12}, {6, 12}), ({12}, ()), ({6}, {6})]
        >>> figures = code_figures(faces, 100, 0)
        >>> {name: round(figure.value, 3) for name, figure in figures.items()}
        {'macro_f1': 0.667, 'AU6': 0.667, 'AU12': 0.667}
    """
    aus = sorted({au for _, coded in faces for au in coded})
    if not aus:
        return {}
    # Twice the faces where both hold, over the faces where the one holds and those of the other.
    sums = np.array(
        [
            [(2 * (au in named and au in coded), (au in named) + (au in coded)) for au in aus]
            for named, coded in faces
        ],
        np.float64,
    )
    drawn = resampled_sums(sums.reshape(len(faces), -1), n_resamples, seed)
    drawn = drawn.reshape(n_resamples, len(aus), 2)
    # An AU that no face of a resample has is no part of its mean.
    of_each = np.ma.masked_invalid(ratios(drawn[..., 0], drawn[..., 1]))
    part, whole = sums.sum(axis=0).T
    mean = float(np.mean(part / whole))
    spread = of_each.mean(axis=1).filled(np.nan)
    by_au = {f"AU{au}": ratio_figure(sums[:, i], drawn[:, i]) for i, au in enumerate(aus)}
    known = {name: figure for name, figure in by_au.items() if figure is not None}
    return {"macro_f1": bootstrap_figure(mean, spread, len(aus), len(faces)), **known}


def faithfulness_figures(
    faces: Mapping[str, JudgedFaces], judged: Sequence[Judged | None], n_resamples: int, seed: int
) -> tuple[dict[str, dict[str, Figure | None]], tuple[AUFigures, ...]]:
    """Every measure of the model and of the baselines, and the figures of every AU.

    One bootstrap draws the faces for all of them.
    """
    traces = [one for one in judged if one]
    shown = Counter(au for one in traces for au in one.iou_by_au)
    named = Counter(au for one in traces for au in one.mentions)
    named_and_shown = Counter(au for one in traces for au in one.mentions & one.iou_by_au.keys())
    seen = sorted({*shown, *named})
    pairs = {
        (who, name): pair for who, of in faces.items() for name, pair in measure_sums(of).items()
    }
    counted = faces[MODEL].counted > 0
    # Of each AU the sum of its IoU, and the number of the faces that show it.
    of_aus = {au: np.zeros((len(judged), 2)) for au in seen}
    for index, one in enumerate(judged):
        for au, iou in one.iou_by_au.items() if one else ():
            of_aus[au][index] = iou, 1
    sums = [column[counted] for column in (*pairs.values(), *of_aus.values())]
    drawn = resampled_sums(np.concatenate(sums, axis=1), n_resamples, seed)
    signed = [*(MEASURES[name].signed for _, name in pairs), *(False for _ in of_aus)]
    figures = [
        ratio_figure(column, drawn[:, 2 * i : 2 * i + 2], signed=signed[i])
        for i, column in enumerate(sums)
    ]
    by_measure: dict[str, dict[str, Figure | None]] = {who: {} for who in faces}
    for (who, name), found in zip(pairs, figures, strict=False):
        by_measure[who][name] = found
    by_au = tuple(
        AUFigures(
            au=au,
            iou=found,
            seen=shown[au],
            named=named[au],
            named_and_seen=named_and_shown[au],
        )
        for au, found in zip(seen, figures[len(pairs) :], strict=True)
    )
    return by_measure, by_au
