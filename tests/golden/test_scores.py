"""What `score` and `score_batch` give, number for number.

The texts of `inputs/texts.json` are honest, hacked, malformed, in other languages. Each is scored
against every target with the default configuration, and against its own with others; what these
change is told.
`GOLDEN_UPDATE=1 pytest tests/golden` writes the goldens anew; a number that moved needs a line in
CHANGELOG.md.
"""

import json

import pytest

from tag_rewards import RewardConfig, Target, score, score_batch

POLYGONS = {"smile"}
"""The targets that have polygons."""


@pytest.fixture(scope="module")
def texts(inputs):
    return json.loads((inputs / "texts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def targets(inputs):
    content = json.loads((inputs / "targets.json").read_text(encoding="utf-8"))
    return {name: Target.from_json(json.dumps(fields)) for name, fields in content.items()}


@pytest.fixture(scope="module")
def configs(inputs):
    content = json.loads((inputs / "configs.json").read_text(encoding="utf-8"))
    return {name: RewardConfig.from_options(options) for name, options in content.items()}


def test_scores(golden, texts, targets, configs):
    names = list(score("", targets["smile"]))
    records = [["text", "target", names]]
    for name, text in texts.items():
        own, text = text["target"], text["text"]
        for target in (own, *(other for other in targets if other != own)):
            scores = score(text, targets[target])
            assert list(scores) == names
            assert {type(value) for value in scores.values()} == {float}
            records.append([name, target, [*scores.values()]])
        default = score(text, targets[own])
        for config in configs:
            if config == "polygon" and own not in POLYGONS:
                continue
            scores = score(text, targets[own], configs[config])
            changed = {key: value for key, value in scores.items() if value != default[key]}
            if changed:
                records.append([name, own, config, changed])
    golden("scores.jsonl", records)


@pytest.mark.parametrize("config", ["default", "weights", "polygon"])
def test_scores_of_a_batch_are_the_same(texts, targets, configs, config):
    chosen = POLYGONS if config == "polygon" else targets
    pairs = [(text["text"], targets[name]) for text in texts.values() for name in chosen]
    expected = [score(text, target, configs[config]) for text, target in pairs]
    assert score_batch(*zip(*pairs, strict=True), configs[config]) == expected
