"""Formulas against published examples, and what is made of answers: figures and refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.errors import InputError
from tag_rewards.looks import plain
from tag_rewards.preference.ratings import (
    bradley_terry,
    krippendorff_alpha,
    read_key,
    score_ratings,
)
from tests.builders.command import command
from tests.builders.study import MODELS, all_for, choosing, study, write_ratings

_ = np.nan
# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: four observers.
FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]

# Agresti (1990), Categorical Data Analysis, table 10.10: the American League East of 1987.
BASEBALL = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
OVER_BALTIMORE = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_example(level, alpha):
    assert krippendorff_alpha(FOUR_OBSERVERS, level) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize(
    ("ratings", "alpha"),
    [
        ([[0, 1, 0.5], [0, 1, 0.5]], 1.0),
        ([[0, 1], [1, 0]], -0.5),  # two raters who always contradict each other on two units
        ([[0, _], [_, 1]], None),
        ([[1, 1], [1, 1]], None),
        ([[0, 1]], None),
        (np.zeros((2, 0)), None),
    ],
)
def test_alpha_at_its_ends(ratings, alpha):
    assert krippendorff_alpha(ratings) == (alpha if alpha is None else pytest.approx(alpha))


def test_strengths_are_those_of_agrestis_example():
    found = bradley_terry(BASEBALL)
    assert (found - found[-1]).round(3).tolist() == pytest.approx(OVER_BALTIMORE, abs=1e-3)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_strengths_of_two_have_a_closed_form(wins, losses):
    assert bradley_terry([[0, losses], [wins, 0]])[1] == pytest.approx(np.log(wins / losses))


def test_strengths_of_many_tables_at_once_are_those_of_each():
    tables = np.array([BASEBALL, np.transpose(BASEBALL)], float)
    assert np.allclose(bradley_terry(tables), [bradley_terry(one) for one in tables])


@pytest.fixture
def made(tmp_path):
    return study(tmp_path, count=12, pairs=8, checks=4)


def score(made, *files, **options):
    return score_ratings([made.key_file], files, **options)


def test_what_people_and_a_judge_prefer(made, tmp_path):
    files = [
        all_for(tmp_path, made.key, "anna", 1),
        all_for(tmp_path, made.key, "bo", 1),
        all_for(tmp_path, made.key, "chi", None),
        all_for(tmp_path, made.key, "gpt", 0, judge=True, same_twice=7),
    ]
    found = score(made, *files)
    assert list(found.pools) == ["people", "judges", "people and judges"]
    people = found.pools["people"]
    [contest] = people.contests
    assert (contest.models, contest.wins, contest.ties) == (MODELS, (0, 16), 8)
    assert contest.win_rate.value == pytest.approx(5 / 6)
    assert contest.win_rate.n == 8
    assert contest.win_rate.low < 5 / 6 < contest.win_rate.high
    # One tie more than the answers have: 8 * 5/6 + 1/2 against 8 * 1/6 + 1/2.
    assert people.strengths[MODELS[0]].value == 0
    assert people.strengths[MODELS[1]].value == pytest.approx(np.log(43 / 11))
    assert found.pools["judges"].contests[0].win_rate.value == 0
    assert found.pools["people and judges"].raters == 4
    assert found.pools["judges"].alpha is None
    judge = found.raters[-1]
    assert (judge.judge, judge.checks, judge.same_twice) == (True, 0, 7)
    assert json.dumps(plain(found), allow_nan=False)


def test_sides_do_not_matter(made, tmp_path):
    """A rater who always chooses the first trace prefers neither model: sides are balanced."""
    key = made.key
    answers = {name: item.right or "first" for name, item in key.items.items()}
    [rater] = score(made, write_ratings(tmp_path, key, "left", answers)).raters
    assert (rater.win_rate, rater.chose_first) == (0.5, 1.0)


def test_a_share_of_faces_has_wilsons_interval(made, tmp_path):
    found = score(made, all_for(tmp_path, made.key, "anna", 1))
    assert found.pools["people"].contests[0].win_rate.text() == "1.000 [0.676, 1.000]"


def test_raters_who_fail_the_checks_are_refused_by_name(made, tmp_path):
    files = [all_for(tmp_path, made.key, "anna", 1), all_for(tmp_path, made.key, "bo", 0, False)]
    found = score(made, *files)
    assert [rater.name for rater in found.raters] == ["anna"]
    assert [(one.name, one.checks_right, one.checks) for one in found.refused] == [("bo", 0, 4)]
    assert found.pools["people"].contests[0].win_rate.value == 1
    with pytest.raises(InputError, match="every rater failed the checks of attention: bo"):
        score(made, files[1])
    assert len(score(made, *files, least_checks=0).raters) == 2


def test_unanswered_pairs_do_not_count(made, tmp_path):
    key = made.key
    pairs = [name for name, item in key.items.items() if item.right is None]
    answers = {k: v for k, v in choosing(key, 1).items() if k not in pairs[3:]}
    found = score(made, write_ratings(tmp_path, key, "anna", answers))
    assert found.raters[0].n == found.pools["people"].contests[0].win_rate.n == 3


def test_three_models_by_two_studies(tmp_path):
    """sft < grpo in one, grpo < third in the other: strengths are on one scale."""
    first = study(tmp_path / "a", count=12, pairs=8, checks=0)
    second = study(tmp_path / "b", count=12, pairs=6, checks=0)
    other = replace(second.key, models=(MODELS[1], "third"))
    second.key_file.write_text(json.dumps(plain(other)))
    files = [all_for(tmp_path / "a", first.key, "anna", 1), all_for(tmp_path / "b", other, "bo", 1)]
    pool = score_ratings([first.key_file, second.key_file], files).pools["people"]
    values = [pool.strengths[name].value for name in (*MODELS, "third")]
    assert values == pytest.approx([0, np.log(17), np.log(17) + np.log(13)])
    apart = replace(second.key, models=("third", "fourth"))
    second.key_file.write_text(json.dumps(plain(apart)))
    pool = score_ratings([first.key_file, second.key_file], files).pools["people"]
    assert pool.strengths == {}


def other_study(made, folder):
    return all_for(folder, replace(made.key, study="0" * 16), "anna", 1)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (lambda m, f: [other_study(m, f)], "is of the study '0000000000000000', and the key of"),
        (lambda m, f: [all_for(f, m.key, "anna", 1)] * 2, "are both answers of 'anna'"),
        (
            lambda m, f: [write_ratings(f, m.key, "anna", {"99": "first"})],
            "field 'answers' has the pair '99', which the study does not have",
        ),
        (lambda m, f: [write_ratings(f, m.key, "anna", {})], "'anna' has compared no pair"),
        (
            lambda m, f: [write_ratings(f, m.key, "anna", first_pair(m.key))],
            "'anna' has not come to a check of attention",
        ),
        (lambda m, f: [write_ratings(f, m.key, " ", {})], "field 'rater' is empty"),
        (
            lambda m, f: [write_ratings(f, m.key, "anna", {"1": "both"})],
            "Invalid enum value 'both' - at `$.answers[...]`; give a file that the page",
        ),
        (lambda m, f: [m.key_file], "missing required field `rater`; give a file that the page"),
    ],
)
def test_what_is_refused(made, tmp_path, files, sentence):
    given = files(made, tmp_path)
    with pytest.raises(InputError) as error:
        score(made, *given)
    assert str(given[0]) in str(error.value)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def first_pair(key):
    return dict([next((n, "tie") for n, item in key.items.items() if item.right is None)])


def test_no_key_and_a_key_twice(made, tmp_path):
    ratings = all_for(tmp_path, made.key, "anna", 1)
    with pytest.raises(InputError, match=r"give the \.key\.json that"):
        read_key(ratings)
    with pytest.raises(InputError, match="given twice"):
        score_ratings([made.key_file, made.key_file], [ratings])
    with pytest.raises(InputError, match=r"is 2, not in \[0, 1\]"):
        score(made, ratings, least_checks=2)


def test_the_command_prints_tables_or_json(made, tmp_path):
    files = [
        all_for(tmp_path, made.key, "anna", 1),
        all_for(tmp_path, made.key, "bo", 0, False),
        all_for(tmp_path, made.key, "gpt", 1, judge=True, same_twice=7),
    ]
    code, out, err = command("preference", "score", "--key", made.key_file, *files)
    assert (code, err) == (0, "")
    assert "1.000 [0.676, 1.000]" in out
    assert "gpt (judge)" in out
    assert "7 of 8" in out
    assert "Refused: bo, with 0 of 4 checks of attention right." in out
    code, out, _ = command("preference", "score", "--key", made.key_file, *files, "--json")
    assert json.loads(out)["pools"]["people"]["contests"][0]["wins"] == [0, 8]
