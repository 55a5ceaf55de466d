"""Whether one model is better than another on the same faces: tests, and what is said of them.

Every verdict of the library comes from here: those of `compare`, of a report and of the summary of
a run. A figure is tested by swapping what the two models did, face by face: if it makes no
difference which of them a completion is from, the difference that was found is one of many as
likely ones. Of accuracy this is McNemar's exact test. As many figures are tested at once, their
p-values are adjusted for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.evaluation.intervals import Figure

#: Adjusted p-value below which a difference has a verdict.
ALPHA = 0.05

#: Swaps that are drawn; where there are fewer ways to swap, all of them are tried.
SWAPS = 1999

#: How the verdicts come about, where people read them.
HOW_TESTED = (
    "Better or worse: adjusted p below 0.05. p is of a paired swap test (of accuracy: McNemar's "
    "exact test), adjusted for all figures that are tested (Holm)."
)

_NUMBERS_AT_ONCE = 1 << 21


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both models.

    Attributes:
        name: Of the figure, such as a key of `measures.MEASURES`.
        first: Of the first model.
        second: Of the second one.
        change: Second less first, with the interval of the paired bootstrap.
        more_is_better: Whether more of the figure is better.
        p: Probability of a change at least as large if the models did not differ; None if the
            figure is not tested.
        adjusted_p: The same, adjusted for all figures that are tested.
    """

    name: str
    first: Figure
    second: Figure
    change: Figure
    more_is_better: bool = True
    p: float | None = None
    adjusted_p: float | None = None

    @property
    def verdict(self) -> str:
        """What the test says about the second model.

        `better` or `worse` if the adjusted p-value is below `ALPHA`, else `no clear change`; or
        `not tested`.
        """
        if self.adjusted_p is None:
            return "not tested"
        if self.adjusted_p >= ALPHA:
            return "no clear change"
        return "better" if (self.change.value > 0) == self.more_is_better else "worse"


def p_text(p: float | None) -> str:
    """A p-value with four digits; "–" if there is none.

    Example:
        >>> p_text(0.00021), p_text(1e-9), p_text(None)
        ('0.0002', '<0.0001', '–')
    """
    return "–" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"


class McNemar(NamedTuple):
    """McNemar's exact test of the answers.

    Attributes:
        first_only: Faces that only the first model gets right.
        second_only: Faces that only the second one gets right.
        p: Two-sided probability of counts at least as uneven if both were equally good.
    """

    first_only: int
    second_only: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    r"""McNemar's exact test (McNemar 1947), a binomial test of the faces on which the two differ.

    .. math:: p = \min\Bigl(1,\; 2 \sum_{i=0}^{\min(b, c)} \binom{b + c}{i} 2^{-(b + c)}\Bigr)

    Args:
        first: Whether the first model is right, by face.
        second: Whether the second one is, as many.

    Example:
        >>> mcnemar([True, True, False, True], [False, True, False, False])
        McNemar(first_only=2, second_only=0, p=0.5)
    """
    from scipy.stats import binomtest  # slow to import

    first_only = sum(a and not b for a, b in zip(first, second, strict=True))
    second_only = sum(b and not a for a, b in zip(first, second, strict=True))
    differing = first_only + second_only
    p = float(binomtest(first_only, differing).pvalue) if differing else 1.0
    return McNemar(first_only, second_only, p)


def swap_test(
    first: ArrayLike,
    second: ArrayLike,
    figures: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int = 0,
) -> NDArray[np.float64]:
    """Paired permutation test of figures made of sums over faces (Fisher 1935, Noreen 1989).

    The models are swapped on each face or not, by chance, `SWAPS` times, for all figures at once;
    with few faces in every way. A p-value is the share of these, and of what was found, whose
    difference is at least as large in either direction; one that is not defined counts as larger.

    Args:
        first: What each face adds to the sums of the first model, shape (n, p).
        second: The same of the second one.
        figures: Sums of shape (..., p) -> figures of shape (..., k).
        seed: Of the swaps.

    Returns:
        A p-value for each figure, shape (k,).

    Example:
        >>> first, second = np.zeros((8, 1)), np.ones((8, 1))
        >>> swap_test(first, second, lambda sums: sums / 8).tolist()
        [0.0078125]
    """
    from scipy.stats import permutation_test  # slow to import

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    change = (b - a)[(a != b).any(axis=1)]
    sum_a, sum_b, n = a.sum(axis=0), b.sum(axis=0), len(change)
    if n < 2:  # nothing to swap, or two ways that are as far apart
        return np.ones(np.shape(figures(sum_a)))

    def distances(one: NDArray[np.float64], _: object, axis: int) -> NDArray[np.float64]:
        swapped = one @ change  # `one` is 1 on the faces that are swapped; `axis` is the last
        gap = figures(sum_b - swapped) - figures(sum_a + swapped)
        # Differences that are equal are not so in their last digits.
        far: NDArray[np.float64] = np.round(np.abs(gap), 12)
        far[np.isnan(far)] = np.finfo(np.float64).max
        return far

    # `random_state` and not `rng`: the latter came with scipy 1.15.
    found = permutation_test(
        (np.zeros(n), np.ones(n)),
        distances,
        permutation_type="samples",
        vectorized=True,
        n_resamples=SWAPS,
        batch=max(1, _NUMBERS_AT_ONCE // n),
        alternative="greater",
        random_state=np.random.default_rng(seed),
    )
    p_values: NDArray[np.float64] = found.pvalue
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for all of them together (Holm 1979).

    If no figure differed, the chance that any of them falls below a level would be at most that
    level, however they depend on each other.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(one) for one in adjusted]


def with_p_values(
    differences: Iterable[Difference], p_values: Mapping[str, float]
) -> tuple[Difference, ...]:
    """Differences with their p-values, adjusted for all that are tested.

    Args:
        differences: Of figures with different names.
        p_values: By name, of those that are tested.
    """
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        replace(one, p=p_values.get(one.name), adjusted_p=adjusted.get(one.name))
        for one in differences
    )
