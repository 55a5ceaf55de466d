"""Whether the words of a trace fit its boxes, its AUs and its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import AUEvidence, BoxSpace, RewardConfig, Target, read_trace, score
from tag_rewards.facs import ACTION_UNITS, AREAS, EXPRESSIONS, SEEN_IN, SIGNS, named_areas
from tag_rewards.forms import FORMS
from tag_rewards.integrations.scorer import Scorer, sample_keys
from tag_rewards.integrations.trl import TagReward
from tag_rewards.integrations.trl import consistency_reward as of_trl
from tag_rewards.mentions import asserted_labels, in_english, speaks_of
from tag_rewards.prepare.texts import AU_PHRASES, CALM_CONCLUSIONS, CONCLUSIONS, FACE_PHRASES
from tag_rewards.rewards import SCORE_KEYS, consistency_reward, explain, score_keys
from tag_rewards.testing import HACKS, TARGETS, strategies
from tag_rewards.testing.strategies import targets
from tag_rewards.testing.traces import conclusion
from tag_rewards.trace import Step, Trace, text_of
from tests.builders.reward_configs import reward_configs

SPACE = BoxSpace.pixels(100, 100)
EYES, MOUTH = (20, 20, 80, 40), (20, 60, 80, 90)
SMILE = Target("happiness", (AUEvidence(6, 0.8, EYES), AUEvidence(12, 0.9, MOUTH)), SPACE)
WITH = RewardConfig(consistency_weight=0.2)
SAID = {6: ("cheeks", "crow's feet"), 12: ("mouth corners", "pulled up")}


def smile(said=SAID, end="AU6 and AU12 show joy.", answer="happiness", seen=SMILE):
    steps = [Step(*said[au], of.box, au) for au, of in seen.by_au.items()]
    return Trace("A bright face.", tuple(steps), end, tuple(seen.by_au), answer)


def parts(trace, seen=SMILE):
    return consistency_reward(trace, seen).parts


def written(target, phrase=1):
    """The trace of templates: what an honest model says of each AU, in words."""
    steps = [
        Step(ACTION_UNITS[au].area, AU_PHRASES[au][phrase], of.box, au)
        for au, of in target.by_au.items()
    ]
    aus = tuple(target.by_au)
    return Trace("A face.", tuple(steps), conclusion(aus, target.label), aus, target.label)


@pytest.mark.parametrize("au", ACTION_UNITS)
def test_the_words_for_an_au_are_those_of_templates_and_of_facs(au):
    for phrase in (*AU_PHRASES[au], ACTION_UNITS[au].name, f"AU{au}", f"AU {au} is active"):
        assert speaks_of(au, phrase)
    [area] = named_areas(ACTION_UNITS[au].area)
    assert area in SEEN_IN[au] <= AREAS.keys()


@pytest.mark.parametrize("au", ACTION_UNITS)
def test_what_is_denied_or_says_nothing_speaks_of_no_au(au):
    name, phrase = ACTION_UNITS[au].name, AU_PHRASES[au][0]
    denied = (f"no {name}", f"not {phrase}", f"{phrase} is absent", f"no sign of {phrase}")
    empty = ("a", "movement", "active", "at rest", "visible", "no visible change", "seen here")
    for text in (*denied, *empty, f"AU{au} is not active", f"without AU{au}"):
        assert not speaks_of(au, text), text


def test_few_words_speak_of_many_aus():
    """No single word is a sign of more than half of the AUs."""
    words = {sign for signs in SIGNS.values() for sign in signs}
    most = max(sum(speaks_of(au, word) for au in ACTION_UNITS) for word in words)
    assert most <= len(ACTION_UNITS) / 2


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("AU12 indicates happiness.", ("happiness",)),
        ("AU1 + AU2 point to fear rather than surprise.", ("fear",)),
        ("It does not look angry; AU15 shows sadness.", ("sadness",)),
        ("Not anger but disgust.", ("disgust",)),
        ("Happy, sad and angry.", ("happiness", "sadness", "anger")),
        ("No emotion.", ()),
        ("No active AU indicates fear.", ("fear",)),
        ("AU15 is absent and AU12 indicates joy", ("happiness",)),
    ],
)
def test_the_emotions_of_a_conclusion(text, labels):
    assert asserted_labels(text) == labels


def test_every_conclusion_of_the_templates_names_its_label():
    for text in (*CONCLUSIONS, *CALM_CONCLUSIONS):
        for label in EXPRESSIONS:
            assert asserted_labels(text.format(aus="AU1 + AU2", label=label)) == (label,)


def test_words_of_the_users_own_name_a_label():
    assert asserted_labels("A calm face.", (("calm", "neutral"),)) == ("neutral",)


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("", True),
        ("AU12", True),
        ("Les coins de la bouche sont relevés.", False),
        ("Die Mundwinkel sind mit der Wange angehoben", False),
        ("嘴角上扬", False),
        ("Уголки рта подняты", False),
        ("The face of El Greco's model is at rest.", True),
        *((phrase, True) for of in FACE_PHRASES.values() for phrase in of),
    ],
)
def test_the_language(text, english):
    assert in_english(text) is english


@pytest.mark.parametrize("phrase", [0, 1, 2])
@given(target=targets(min_aus=0, forms=tuple(FORMS)))
def test_what_is_said_honestly_is_worth_one(target, phrase):
    if set(target.by_au) <= set(ACTION_UNITS) and target.evidence:
        assert consistency_reward(written(target, phrase), target).reward == 1


def test_a_calm_face_is_worth_one():
    seen = Target("neutral", (), SPACE)
    steps = (Step("whole face", "at rest", (0, 0, 100, 100)),)
    trace = Trace("A calm face.", steps, "No AU stands out, which is neutral.", (), "neutral")
    found = consistency_reward(trace, seen)
    assert (found.parts, found.reward) == ((1, None, 1), 1)


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (smile(), (1, 1, 1)),
        (smile({**SAID, 6: ("left ear", "crow's feet")}), (0.5, 1, 1)),
        (smile({**SAID, 6: ("mouth corners", "crow's feet")}), (0.5, 1, 1)),
        (smile(dict.fromkeys(SAID, ("face", "raised"))), (0, 1, 1)),
        (smile(dict.fromkeys(SAID, ("brow, eyes, nose, mouth", "raised"))), (0, 1, 1)),
        (smile({**SAID, 12: ("lips", "a grin")}), (1, 1, 1)),
        (smile({**SAID, 12: ("mouth corners", "not pulled up")}), (1, 0.5, 1)),
        (smile(dict.fromkeys(SAID, ("a", "a"))), (0, 0, 1)),
        (smile(end="AU6 and AU12 show sadness."), (1, 1, 0)),
        (smile(end="It is happiness, sadness or fear."), (1, 1, 0)),
        (smile(end="AU6 and AU12."), (1, 1, 0)),
        (smile(answer="sad"), (1, 1, 0)),
        (smile(answer=None), (1, 1, 0)),
        (Trace("A face.", (), "Joy.", (), "joy"), (0, 0, 1)),
        (Trace("", (), "", (), None), (0, 0, 0)),
        (Trace("A face.", (Step("lips", "up", MOUTH),), "Joy.", (), "joy"), (1, 0, 1)),
        (Trace("Le coin de la bouche.", (), "La joie.", (), "joy"), (None, None, None)),
    ],
)
def test_the_parts(trace, expected):
    assert parts(trace) == expected
    assert consistency_reward(trace, SMILE).reward == pytest.approx(
        0.5 if expected[0] is None else sum(expected) / 3
    )


def test_a_box_is_judged_by_where_it_is_and_else_by_what_it_claims():
    def region(words, box):
        step = Step(words, "pulled up", box, 12)
        return parts(Trace("A face.", (step,), "Joy.", (12,), "joy"))[0]

    assert region("cheeks", EYES) == 1  # where AU6 was seen
    assert region("mouth corners", EYES) == 0
    assert region("mouth corners", (0, 0, 9, 9)) == 1  # where nothing was seen
    assert region("cheekbones and brow", (0, 0, 9, 9)) == 1
    assert region("brow", (0, 0, 9, 9)) == 0


def test_aus_without_words_are_left_out():
    seen = Target("happiness", (AUEvidence(33, 0.9, MOUTH),), SPACE)
    trace = smile({33: ("cheeks", "blown out")}, "AU33 shows joy.", seen=seen)
    assert parts(trace, seen) == (1, None, 1)


attempts = targets().flatmap(
    lambda seen: st.tuples(
        strategies.completions(seen) | strategies.attempts(seen).map(text_of), st.just(seen)
    )
)


@given(attempts, reward_configs())
def test_a_weight_adds_its_term_and_nothing_else(attempt, config):
    text, seen = attempt
    scores = score(text, seen, config)
    options = {
        name: getattr(config, name)
        for name in ("format_weight", "accuracy_weight", "grounding_weight", "grounding")
    }
    weighted = RewardConfig(**options, consistency_weight=0.5)
    more = score(text, seen, weighted)
    assert tuple(scores) == SCORE_KEYS
    assert tuple(more) == score_keys(weighted) == (*SCORE_KEYS, "consistency")
    assert {name: more[name] for name in SCORE_KEYS[1:]} == {
        name: scores[name] for name in SCORE_KEYS[1:]
    }
    assert more["consistency"] == consistency_reward(read_trace(seen, text), seen).reward
    assert 0 <= more["consistency"] <= 1
    of = weighted.weights(abstained=not seen.evidence)
    terms = [more[name] for name in ("format", "accuracy", "grounding", "consistency")]
    assert more["score"] == pytest.approx(
        sum(w * x for w, x in zip(of, terms, strict=True)) / sum(of)
    )
    found = explain(text, seen, weighted)
    assert [term.name for term in found.terms][3:] == ["consistency"]
    assert sum(term.points for term in found.terms) == pytest.approx(more["score"])


@pytest.mark.parametrize("hack", HACKS, ids=lambda hack: hack.name)
def test_no_known_hack_gains_by_it(hack):
    seen = TARGETS[0]
    honest = score(text_of(written(seen)), seen, WITH)["score"]
    assert honest == 1
    assert score(hack.apply(seen), seen, WITH)["score"] < honest


@pytest.mark.parametrize("target", TARGETS)
def test_no_text_is_worth_nothing(target):
    assert score(None, target, WITH)["consistency"] == 0


def test_it_is_said_which_words_do_not_fit():
    said = {6: ("left ear", "crow's feet"), 12: ("mouth corners", "not raised")}
    text = text_of(smile(said, "AU6 and AU12 show fear."))
    told = str(explain(text, SMILE))
    assert "Words: 'left ear' is no name of the place of box 1." in told
    assert "Words: the observation of box 2 does not say that AU12 shows." in told
    assert "Words: the conclusion does not name the answer" in told
    assert "Words" not in str(explain(text_of(smile()), SMILE))
    foreign = text_of(smile(dict.fromkeys(SAID, ("le coin de la bouche", "la joie"))))
    assert "not in English" in str(explain(foreign, SMILE))


def test_adapters_have_its_name():
    text, truth = text_of(smile({**SAID, 6: ("ear", "crow's feet")})), SMILE.to_json()
    assert of_trl([text], ground_truth=[truth]) == pytest.approx([5 / 6])
    names = []
    TagReward(consistency_weight=1)(
        [text], ground_truth=[truth], log_metric=lambda name, _: names.append(name)
    )
    assert "tag_reward/consistency" in names
    scorer = Scorer(WITH)
    assert tuple(scorer.one(text, truth)) == sample_keys(WITH)
    assert tuple(scorer.one(text, "no target")) == sample_keys(WITH)
