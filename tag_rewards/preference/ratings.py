"""What the raters of a study chose: the files, and the figures of them.

A study is a page that shows pairs of traces, and its key, which says which model wrote which. A
rater's answers name the study, the rater and a choice for each pair.

All figures are of faces: what several raters say of a face is one mean, and the bootstrap draws
faces, since raters of one face do not make two faces of it. A tie is half a win for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
import numpy as np
from scipy.sparse.csgraph import connected_components

from tag_rewards.errors import InputError, shown
from tag_rewards.evaluation.measures import (
    Figure,
    mean_figure,
    percentile_figure,
    resampled_sums,
)
from tag_rewards.files.objects import read_object

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Choice = Literal["first", "second", "tie"]
Side = Literal["first", "second"]


@dataclass(frozen=True, slots=True)
class Item:
    """A pair of traces about a face, as the page shows it.

    Attributes:
        face: Name of the face in its dataset.
        first: Which of the key's models wrote the first trace: 0 or 1.
        texts: The first and the second trace.
        right: What must be chosen, if the pair is there to check attention; None if it is not.
    """

    face: str
    first: Literal[0, 1]
    texts: tuple[str, str]
    right: Side | None = None

    def preference(self, choice: Choice) -> float:
        """1 for the key's second model, 0 for its first, one half for a tie.

        Example:
            >>> Item("face_1", 0, ("a", "b")).preference("second")
            1.0
        """
        if choice == "tie":
            return 0.5
        return float((choice == "second") == (self.first == 0))


@dataclass(frozen=True, slots=True)
class Key:
    """What a study's page does not say.

    Attributes:
        study: The study's name, a hash of what its page shows.
        models: Names of the two models.
        data: SHA-256 of the `eval.parquet` that has its faces.
        items: The pairs by their names on the page, in its order.
        version: Of this format.
    """

    study: str
    models: tuple[str, str]
    data: str
    items: dict[str, Item]
    version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Ratings:
    """The answers of one rater.

    Attributes:
        study: Name of the study.
        rater: The rater's own name.
        answers: Name of a pair -> what was chosen; pairs may be missing.
        judge: Whether a model answered, see `tag_rewards.preference.ask_judge`.
        same_twice: Of how many pairs a judge said the same in both orders; None for people.
        version: Of this format.
    """

    study: str
    rater: str
    answers: dict[str, Choice]
    judge: bool = False
    same_twice: int | None = None
    version: Literal[1] = 1


_File = TypeVar("_File", Key, Ratings)


def read_key(path: Path) -> Key:
    """Read the key of a study.

    Raises:
        InputError: The file holds something else.
    """
    return _read(path, Key, "give the .key.json that `tag-rewards preference make` wrote")


def read_ratings(path: Path) -> Ratings:
    """Read the answers of a rater.

    Raises:
        InputError: The file holds something else.
    """
    ratings = _read(path, Ratings, "give a file that the page of the study saved")
    if not ratings.rater.strip():
        raise InputError(f"{path}: field 'rater' is empty; write the rater's name into it")
    return ratings


def _read(path: Path, kind: type[_File], remedy: str) -> _File:
    record = read_object(path, remedy)
    try:
        return msgspec.convert(record, kind)
    except ValueError as error:
        raise InputError(f"{path}: {error}; {remedy}") from error


# --- formulas ----------------------------------------------------------------------------------


def bradley_terry(wins: ArrayLike) -> NDArray[np.float64]:
    r"""Log-strengths of models (Bradley and Terry 1952).

    Model i is preferred to model j with the odds :math:`e^{\theta_i - \theta_j}`. The strengths are
    the maximum of the likelihood, by Hunter's algorithm (2004). It exists if every model, by way of
    others, wins and loses against every other one.

    Args:
        wins: Shape (..., k, k): how often i was preferred to j; 0 where they were not compared.

    Returns:
        Shape (..., k); those of the first model are 0.

    Example:
        >>> bradley_terry([[0, 3], [9, 0]]).round(4).tolist()  # log(9 / 3)
        [0.0, 1.0986]
    """
    won = np.asarray(wins, dtype=np.float64)
    met = won + np.swapaxes(won, -1, -2)
    strength = np.ones(won.shape[:-1])
    for _ in range(_MOST_ROUNDS):
        both = strength[..., :, np.newaxis] + strength[..., np.newaxis, :]
        found = won.sum(axis=-1) / (met / both).sum(axis=-1)
        found = found / found[..., :1]
        settled = np.allclose(found, strength, rtol=1e-9, atol=0)
        strength = found
        if settled:
            break
    logs: NDArray[np.float64] = np.log(strength)
    return logs


_MOST_ROUNDS = 10_000


def krippendorff_alpha(
    ratings: ArrayLike, level: Literal["nominal", "interval"] = "interval"
) -> float | None:
    r"""How far raters agree beyond chance (Krippendorff 2011): 1 if always, 0 as dice would.

    .. math:: \alpha = 1 - \frac{D_o}{D_e}

    with the observed and the expected disagreement: of values of one unit, and of any two values.

    Args:
        ratings: Shape (raters, units); NaN where a rater has no value.
        level: Whether all values differ alike, or by the square of their difference.

    Returns:
        None if no two raters have a unit in common, or all say the same everywhere.

    Example:
        >>> krippendorff_alpha([[0, 1, 0, 1], [0, 1, 1, 1]])  # doctest: +ELLIPSIS
        0.53...
    """
    values = np.asarray(ratings, dtype=np.float64)
    values = values[:, np.count_nonzero(~np.isnan(values), axis=0) >= 2]
    kinds = np.unique(values[~np.isnan(values)])
    counts = (values[..., np.newaxis] == kinds).sum(axis=0).astype(np.float64)  # (units, kinds)
    weights = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincidences = weights.T @ counts - np.diag(weights.sum(axis=0))
    of_kind = coincidences.sum(axis=0)
    apart = kinds[:, np.newaxis] - kinds
    distances = apart**2 if level == "interval" else (apart != 0).astype(np.float64)
    expected = float((np.outer(of_kind, of_kind) * distances).sum())
    if not expected:
        return None
    return 1.0 - float((coincidences * distances).sum()) * (float(of_kind.sum()) - 1) / expected


# --- figures of a study ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rater:
    """One rater.

    Attributes:
        name: The rater's own name.
        study: What was rated.
        judge: Whether it is a model.
        n: Pairs with an answer, without checks of attention.
        win_rate: Share of them in which the key's second model was preferred; a tie is one half.
        chose_first: Share in which the first trace was; near one half where its place decides
            nothing.
        checks: Checks of attention with an answer; none for a judge.
        checks_right: How many of them are right.
        same_twice: Of how many pairs a judge said the same in both orders; None for people.
    """

    name: str
    study: str
    judge: bool
    n: int
    win_rate: float
    chose_first: float
    checks: int
    checks_right: int
    same_twice: int | None


@dataclass(frozen=True, slots=True)
class Contest:
    """Two models, as some raters compared them.

    Attributes:
        study: Where.
        models: Names of the two.
        wins: Answers that preferred the first of them, and the second.
        ties: Answers that preferred neither.
        win_rate: Of the second one over the faces; a tie is one half.
    """

    study: str
    models: tuple[str, str]
    wins: tuple[int, int]
    ties: int
    win_rate: Figure


@dataclass(frozen=True, slots=True)
class Pool:
    """Some raters together.

    Attributes:
        raters: How many.
        contests: One for each study.
        strengths: Log-strength of each model by `bradley_terry`, that of the first is 0, with
            the percentile interval over faces. One tie is added for each two models, so that one
            which always won is of finite strength. Empty if some models were compared neither with
            each other nor by way of others.
        alpha: Krippendorff's, on the values 0, one half and 1; None if it is not defined.
    """

    raters: int
    contests: tuple[Contest, ...]
    strengths: Mapping[str, Figure]
    alpha: float | None


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a preference study says.

    Attributes:
        pools: `people`, `judges`, and if there are both `people and judges`.
        raters: Those that count.
        refused: Those that do not: their answers to the checks of attention were wrong.
    """

    pools: Mapping[str, Pool]
    raters: tuple[Rater, ...]
    refused: tuple[Rater, ...]


def score_ratings(
    keys: Sequence[Path],
    files: Sequence[Path],
    least_checks: float = 0.8,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Preferences:
    """The figures of one or several studies.

    Args:
        keys: Key of each study; models of one name are one model.
        files: The answers, one file for each rater and study.
        least_checks: Least share of a rater's checks of attention that must be right.
        n_resamples: Resamples of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        InputError: A file is wrong, of another study or a second one of the same rater, or no rater
            is left. The message names the file.
    """
    if not 0 <= least_checks <= 1:
        raise InputError(f"the least share of checks is {least_checks}, not in [0, 1]")
    studies = {key.study: key for key in map(read_key, keys)}
    if len(studies) < len(keys):
        raise InputError("a study's key is given twice; give each once")
    counted: list[tuple[Rater, Ratings]] = []
    refused: list[tuple[Rater, Ratings]] = []
    all_ratings = _read_all(files, studies)
    for ratings in all_ratings:
        rater = _rater(ratings, studies[ratings.study])
        passes = rater.judge or rater.checks_right >= least_checks * rater.checks
        (counted if passes else refused).append((rater, ratings))
    if not counted:
        names = ", ".join(rater.name for rater, _ in refused)
        raise InputError(f"every rater failed the checks of attention: {names}")
    some = {
        "people": [ratings for rater, ratings in counted if not rater.judge],
        "judges": [ratings for rater, ratings in counted if rater.judge],
    }
    if all(some.values()):
        some["people and judges"] = [*some["people"], *some["judges"]]
    return Preferences(
        {name: _pool(of, studies, n_resamples, seed) for name, of in some.items() if of},
        tuple(rater for rater, _ in counted),
        tuple(rater for rater, _ in refused),
    )


def _read_all(files: Sequence[Path], studies: Mapping[str, Key]) -> list[Ratings]:
    found: dict[tuple[str, str], Path] = {}
    all_ratings: list[Ratings] = []
    for path in files:
        ratings = read_ratings(path)
        key = studies.get(ratings.study)
        if key is None:
            raise InputError(
                f"{path} is of the study {shown(ratings.study)}, and the key of "
                f"{', '.join(map(shown, studies))}; leave it out, or give that study's key too"
            )
        known = found.setdefault((ratings.study, ratings.rater), path)
        if len(found) == len(all_ratings):
            raise InputError(
                f"{known} and {path} are both answers of {shown(ratings.rater)}; give one file for "
                "each rater"
            )
        unknown = ratings.answers.keys() - key.items.keys()
        if unknown:
            raise InputError(
                f"{path}: field 'answers' has the pair {shown(min(unknown))}, which the study does "
                "not have; give the file as the page saved it"
            )
        checked = [bool(key.items[name].right) for name in ratings.answers]
        if all(checked):
            raise InputError(
                f"{path}: {shown(ratings.rater)} has compared no pair; leave the file out"
            )
        checks = any(item.right for item in key.items.values())
        if checks and not (ratings.judge or any(checked)):
            raise InputError(
                f"{path}: {shown(ratings.rater)} has not come to a check of attention; have more "
                "pairs compared, or leave the file out"
            )
        all_ratings.append(ratings)
    return all_ratings


def _rater(ratings: Ratings, key: Key) -> Rater:
    of = [(key.items[name], choice) for name, choice in ratings.answers.items()]
    pairs = [(item, choice) for item, choice in of if item.right is None]
    checks = [item.right == choice for item, choice in of if item.right is not None]
    return Rater(
        name=ratings.rater,
        study=ratings.study,
        judge=ratings.judge,
        n=len(pairs),
        win_rate=float(np.mean([item.preference(choice) for item, choice in pairs])),
        chose_first=float(np.mean([_OF_FIRST[choice] for _, choice in pairs])),
        checks=0 if ratings.judge else len(checks),
        checks_right=0 if ratings.judge else sum(checks),
        same_twice=ratings.same_twice,
    )


_OF_FIRST: Mapping[Choice, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}


def _pool(
    raters: Sequence[Ratings], studies: Mapping[str, Key], n_resamples: int, seed: int
) -> Pool:
    # Of each face of each study the preferences by rater.
    by_study: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for ratings in raters:
        items = studies[ratings.study].items
        for name, choice in ratings.answers.items():
            if items[name].right is None:
                by_study[ratings.study][name][ratings.rater] = items[name].preference(choice)
    contests, compared = [], []
    for study, faces in by_study.items():
        models = studies[study].models
        means = [float(np.mean(list(of.values()))) for of in faces.values()]
        said = [value for of in faces.values() for value in of.values()]
        wins = said.count(0.0), said.count(1.0)
        figure = mean_figure(means, n_resamples, seed)
        contests.append(Contest(study, models, wins, said.count(0.5), figure))
        compared.append((models, means))
    names = dict.fromkeys(ratings.rater for ratings in raters)
    units = [of for faces in by_study.values() for of in faces.values()]
    table = [[of.get(name, np.nan) for of in units] for name in names]
    return Pool(
        len(names),
        tuple(contests),
        _strengths(compared, n_resamples, seed),
        krippendorff_alpha(table),
    )


def _strengths(
    compared: Sequence[tuple[tuple[str, str], Sequence[float]]], n_resamples: int, seed: int
) -> dict[str, Figure]:
    """Of two models each, and how far the second was preferred on each face."""
    names = list(dict.fromkeys(name for models, _ in compared for name in models))
    wins = []  # of each face, shape (k, k)
    for (first, second), means in compared:
        one = np.zeros((len(means), len(names), len(names)))
        one[:, names.index(second), names.index(first)] = means
        one[:, names.index(first), names.index(second)] = 1 - np.asarray(means)
        wins.append(one)
    by_face = np.concatenate(wins)
    met = by_face.sum(axis=0) + by_face.sum(axis=0).T > 0
    if connected_components(met, directed=False, return_labels=False) > 1:
        return {}
    a_tie = met / 2
    drawn = resampled_sums(by_face.reshape(len(by_face), -1), n_resamples, seed)
    spread = bradley_terry(drawn.reshape(-1, *met.shape) + a_tie)
    values = bradley_terry(by_face.sum(axis=0) + a_tie).tolist()
    return {
        name: percentile_figure(value, spread[:, index], len(by_face))
        for index, (name, value) in enumerate(zip(names, values, strict=True))
    }
