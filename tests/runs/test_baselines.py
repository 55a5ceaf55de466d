import pytest

from tag_rewards.geometry import BoxSpace
from tag_rewards.rewards import score, score_batch
from tag_rewards.runs.baselines import baseline_completions, fit_template
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import parse_trace

TEMPLATE, TEMPLATE_OF_LABEL, MEAN_BOXES, RANDOM, WHOLE = (
    "one template for all faces",
    "template of the true label",
    "true AUs, mean boxes",
    "true AUs, random boxes",
    "true AUs, whole image",
)


def grounding(texts, targets):
    return [scores["grounding"] for scores in score_batch(texts, targets)]


def test_where_all_faces_are_alike_the_template_is_right(run):
    training, held_out = [run.smile()] * 5, [run.smile()] * 3
    completions = baseline_completions(fit_template(training), held_out)
    for name in (TEMPLATE, TEMPLATE_OF_LABEL, MEAN_BOXES):
        assert [scores["score"] for scores in score_batch(completions[name], held_out)] == [1, 1, 1]
    assert grounding(completions[WHOLE], held_out) == [0, 0, 0]


def test_where_faces_move_about_it_is_not(run):
    training = [run.smile(dx) for dx in range(0, 24, 2)]
    held_out = [run.smile(0), run.smile(23)]
    completions = baseline_completions(fit_template(training), held_out)
    assert max(grounding(completions[MEAN_BOXES], held_out)) < 0.7


def test_the_template_names_as_many_aus_as_earn_most(run):
    often, once = (
        run.smile(),
        Target("happiness", (*run.smile().evidence, rare()), run.smile().box_space),
    )
    template = fit_template([often] * 9 + [once])
    assert sorted(template.aus) == [6, 12]
    assert template.aus_by_label == {"happiness": template.aus}
    assert sorted(template.boxes) == [1, 6, 12]


def rare():
    return AUEvidence(1, 0.7, (20, 4, 30, 12))


def test_every_completion_is_well_formed(run):
    template = fit_template([run.smile(), run.nothing_seen()])
    held_out = [run.smile(), run.nothing_seen(), Target("fear", (rare(),), run.smile().box_space)]
    for texts in baseline_completions(template, held_out).values():
        assert len(texts) == 3
        assert all(parse_trace(text, (64, 64)).errors == () for text in texts)


def test_the_same_seed_gives_the_same_random_boxes(run):
    template, held_out = fit_template([run.smile()]), [run.smile(dx) for dx in range(5)]
    first, again, other = (
        baseline_completions(template, held_out, seed)[RANDOM] for seed in (0, 0, 1)
    )
    assert first == again != other


def test_boxes_are_written_in_the_space_of_the_held_out_target(run):
    template = fit_template([run.smile()])
    thousandths = Target(
        "happiness",
        tuple(
            AUEvidence(e.au, e.probability, tuple(value / 64 * 1000 for value in e.box))
            for e in run.smile().evidence
        ),
        BoxSpace.normalized_1000(),
    )
    [text] = baseline_completions(template, [thousandths])[MEAN_BOXES]
    assert score(text, thousandths)["mean_iou"] > 0.97


def test_a_training_set_without_aus_is_an_error(run):
    with pytest.raises(ValueError, match="none of the 2 training targets has an AU"):
        fit_template([run.nothing_seen()] * 2)
