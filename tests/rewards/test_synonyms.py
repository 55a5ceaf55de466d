"""Words of the user's own for the labels, from the file to every reading of an answer."""

import builtins
import json
import pickle
import re

import pytest

from tag_rewards import AUEvidence, BoxSpace, RewardConfig, Target, score
from tag_rewards.errors import InputError
from tag_rewards.evaluation.classification import strict_answer
from tag_rewards.evaluation.run import EvaluationConfig
from tag_rewards.facs import EXPRESSIONS, as_synonyms, read_synonyms
from tag_rewards.integrations.scorer import default_scorer
from tag_rewards.integrations.server.config import ServerConfig
from tag_rewards.testing import honest_text
from tag_rewards.trace import parse_trace
from tag_rewards.traces.verifier import VerifyConfig, verify
from tests.builders.command import command

TARGET = Target("neutral", (AUEvidence(25, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100))
CALM = honest_text(TARGET).replace("> neutral <", "> “Calm” <")
YAML = "happiness: [amused, Delight]\nneutral:\n  - calm\n  - at rest\n"
PAIRS = (
    *(("amused", "happiness"), ("at rest", "neutral"), ("calm", "neutral")),
    ("delight", "happiness"),
)


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text(YAML)
    return path


def test_the_file_gives_words_with_their_labels(labels, tmp_path, monkeypatch):
    assert read_synonyms(labels) == PAIRS
    assert as_synonyms(PAIRS) == as_synonyms(json.loads(json.dumps(PAIRS))) == PAIRS
    as_json = tmp_path / "labels.json"
    as_json.write_text(json.dumps({"neutral": ["at rest", "calm"], "happiness": ["amused"]}))
    assert dict(read_synonyms(as_json))["calm"] == "neutral"

    real = builtins.__import__

    def without_yaml(name, *args):
        if name == "yaml":
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_yaml)
    assert dict(read_synonyms(as_json))["calm"] == "neutral"
    with pytest.raises(InputError, match="YAML needs PyYAML, pip install pyyaml"):
        read_synonyms(labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("joyful: [calm]", "'joyful' is no label; give words for neutral, happiness"),
        ("no: [calm]", "False is no label"),
        ("neutral: calm", "neutral is 'calm', not a list of words, such as `happiness: ["),
        ("neutral: [yes]", "neutral has True, which is no word; give text in quotes"),
        ("neutral: ['...']", "neutral has '...', which is no word"),
        ("neutral: [calm]\nfear: [Calm.]", "'calm' is given for fear, and means neutral; leave"),
        ("neutral: [sad]", "'sad' is given for neutral, and means sadness"),
        ("neutral: [calm]\nneutral: [still]", "'neutral' stands there twice; put its words"),
        ("[neutral, calm]", "['neutral', 'calm'] is no mapping from labels to lists of words"),
        ("", "None is no mapping from labels to lists of words"),
        ("neutral: [calm", "no YAML: while parsing a flow sequence"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(text, message, tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        read_synonyms(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml: the file of synonyms cannot be read"):
        read_synonyms(tmp_path / "nowhere.yaml")


def test_a_config_has_them_and_stays_a_value(labels):
    config = RewardConfig.from_options({"synonyms": str(labels)})
    assert config.synonyms == PAIRS
    assert config == RewardConfig(
        synonyms={"happiness": ["delight", "amused"], "neutral": ["calm", "at rest"]}
    )
    assert hash(config) == hash(pickle.loads(pickle.dumps(config)))
    assert default_scorer({"synonyms": str(labels)}).config == config
    server = ServerConfig(reward=config)
    assert ServerConfig.from_json(server.to_json()) == server
    with pytest.raises(ValueError, match="synonyms: 'mad' is given for fear, and means anger"):
        RewardConfig(synonyms={"fear": ["mad"]})


def test_an_answer_in_them_is_the_label():
    config = RewardConfig(synonyms=PAIRS)
    assert score(CALM, TARGET)["accuracy"] == score(CALM, TARGET)["format"] == 0
    assert score(CALM, TARGET, config)["accuracy"] == score(CALM, TARGET, config)["format"] == 1
    wrong = CALM.replace("Calm", "amused")
    assert score(wrong, TARGET, config)["accuracy"] == 0
    assert score(wrong, TARGET, config)["format"] == 1
    for text in ("not calm", "calm or amused", "calmness"):
        assert score(CALM.replace("Calm", text), TARGET, config)["accuracy"] == 0


def test_evaluation_and_verifier_read_them():
    trace = parse_trace(CALM)
    assert strict_answer(trace, EXPRESSIONS).why_not == "no_label"
    assert strict_answer(trace, EXPRESSIONS, synonyms=PAIRS).label == "neutral"
    assert EvaluationConfig(synonyms={"neutral": ["calm"]}).synonyms == (("calm", "neutral"),)
    assert not verify(CALM, TARGET, VerifyConfig()).accepted
    verdict = verify(CALM, TARGET, VerifyConfig(synonyms=PAIRS))
    assert (verdict.reason, verdict.answer) == ("accepted", "neutral")
    assert "synonyms" not in VerifyConfig().to_json()  # what was judged before stays judged
    assert VerifyConfig(synonyms=PAIRS).hash != VerifyConfig().hash


def test_the_command_line_takes_the_file(labels, tmp_path):
    (tmp_path / "answer.txt").write_text(CALM)
    (tmp_path / "target.json").write_text(TARGET.to_json())
    arguments = ("score", tmp_path / "answer.txt", "--target", tmp_path / "target.json")
    code, said, _ = command(*arguments, "--synonyms", labels)
    assert code == 0
    assert re.search(r"accuracy\W+1\.000", said)
    assert re.search(r"accuracy\W+0\.000", command(*arguments)[1])
    labels.write_text("calm: [neutral]")
    code, _, err = command(*arguments, "--synonyms", labels)
    assert code == 2
    assert "'calm' is no label" in " ".join(err.split())
