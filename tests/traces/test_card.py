"""The dataset card tells the tally, in a form that the Hugging Face Hub reads."""

import re
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tag_rewards.colours import OKABE_ITO
from tag_rewards.errors import InputError
from tag_rewards.traces.card import (
    _REASON_COLOURS,
    CARD_FILE,
    Card,
    Examples,
    Tally,
    draw_traces,
    write_card,
)
from tag_rewards.traces.records import Attempt, Judged, TraceSample
from tag_rewards.traces.verifier import REASONS, Verdict
from tests.builders.trace import step, target

TARGET = target("fear", {5: (20, 30, 60, 50)}, side=112)
SAMPLE = TraceSample("train_00001", "train", TARGET.to_json(), "ab")
TEXT = step(5, (22, 30, 66, 52)) + "\n<answer> anger </answer>"
ATTEMPT = Attempt(
    *("train_00001", 1, "blind", "?", "f00d" * 16, ("fear",), "a|b", "openai", 1, 0.7, TEXT),
    *("stop", 50, 20, 0.1, "", "ab"),
)


def a_tally():
    return Tally(
        asked=Counter(fear=10, anger=30),
        reasons=Counter(
            {(1, "accepted"): 30, (1, "format"): 10, (2, "accepted"): 4, (2, "wrong_label"): 6}
        ),
        accepted_at=Counter({("fear", 2): 4, ("anger", 1): 30}),
        modes=Counter(blind=30, rationalised=4),
        models=Counter({"a|b": 50}),
        prompts=Counter({"f00d" * 16: 50}),
        evidence_aus=Counter({5: 20, 26: 3}),
        claimed_aus=Counter({5: 18, 99: 1}),
        rows=Counter(train=32, test=2),
        left_out=Counter(
            {("quality", f"reason {place}"): place for place in range(1, 9)}
            | {("no_evidence", "no | face"): 50}
        ),
        lost=Counter(image_changed=1),
        waiting=3,
        prompt_tokens=2500,
        completion_tokens=1000,
    )


def a_card(tally=None, **fields):
    _, image = cv2.imencode(".png", np.full((112, 112, 3), 90, np.uint8))
    wrong = Judged(SAMPLE, ATTEMPT, Verdict(False, "wrong_label", "", "anger", {"grounding": 0.5}))
    given = {
        "tally": tally or a_tally(),
        "accepted": [],
        "rejected": [wrong],
        "images": {SAMPLE.id: image.tobytes()},
        "data_source": "rafdb",
        "prompt": "<image>Which?",
        "held_out": 0.05,
        "verifier": "0123456789abcdef0123",
        "criteria": {"tag_rewards": "9.8", "min_format": 1.0, "min_grounding": 0.5},
    }
    return Card(**given | fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    write_card(folder, a_card())
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return (folder / CARD_FILE).read_text()


def rows(text):
    """The cells of every line of a table."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


@pytest.mark.parametrize(
    "row",
    [
        ["asked about", "40 samples, 50 attempts"],
        ["accepted", "**34 (85.0% of the samples)**"],
        ["written by", "a\\|b (50 attempts)"],
        ["mode of the accepted", "blind: 30, rationalised: 4"],
        [
            "kept if",
            "the answer is the label, the format reward at least 1.0, "
            "the grounding reward at least 0.5 (tag-rewards 9.8)",
        ],
        ["hash of the verifier", "`0123456789abcdef`"],
        ["still to be asked about", "3 samples: the build is not finished"],
        ["fear", "10", "4", "40.0%"],
        ["anger", "30", "30", "100.0%"],
        ["1", "40", "30", "75.0%"],
        ["2", "10", "4", "40.0%"],
        ["`format`", "10", "0", "no trace, or one with too many mistakes"],
        ["`wrong_label`", "0", "6", "the answer is another expression than the label"],
        ["5", "upper lid raiser", "20", "18"],
        ["99", "", "0", "1"],
        ["`no_evidence`", "no \\| face", "50"],
        ["`quality`", "reason 8", "8"],
        ["`quality`", "other details", "6"],
        ["image_changed", "1"],
    ],
)
def test_the_counts(text, row):
    assert row in rows(text)


def test_the_files_and_their_rows(text):
    by_file = {row[0]: row[1:] for row in rows(text) if row[0].endswith(".parquet`")}
    assert by_file["`sft_train.parquet`"][0] == "32"
    assert by_file["`sft_test.parquet`"][0] == "2"
    assert "5 % of the samples" in by_file["`sft_test.parquet`"][1]
    assert by_file["`rejected.parquet`"][0] == "16"


def test_every_line_of_a_table_has_as_many_cells(text):
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(row) for row in rows(table)}) == 1, table


def test_pictures_are_there_and_shown(folder, text):
    shown = set(re.findall(r"!\[.+\]\((\w+\.png)\)", text))
    assert shown == {"acceptance.png", "reasons.png", "aus.png", "rejected.png"}
    for name in shown:
        image = cv2.imread(str(folder / name))
        assert image.shape[1] > 400
        assert image.std() > 5


def test_the_hub_reads_its_head(text):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    head = huggingface_hub.DatasetCard(text).data.to_dict()
    assert head["license"] == "other"
    assert head["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in head["configs"]] == ["default", "rejected"]
    assert "forbid redistribution" in text


def test_nothing_accepted_and_nothing_left_out(tmp_path):
    tally = Tally(asked=Counter(fear=2), reasons=Counter({(1, "empty"): 2}))
    write_card(tmp_path, a_card(tally, rejected=[], held_out=None))
    text = (tmp_path / CARD_FILE).read_text()
    assert ["accepted", "**0 (0.0% of the samples)**"] in rows(text)
    assert "No sample was left out." in text
    assert "the dataset's other splits" in text
    assert not (tmp_path / "aus.png").exists()
    assert "not finished" not in text


def test_nothing_asked(tmp_path):
    write_card(tmp_path, a_card(Tally(), rejected=[], criteria={}))
    assert ["accepted", "**0 (- of the samples)**"] in rows((tmp_path / CARD_FILE).read_text())


def test_reasons_have_colours_of_their_own():
    assert _REASON_COLOURS.keys() == set(REASONS)
    assert len(set(_REASON_COLOURS.values())) == len(REASONS)
    assert len(set(OKABE_ITO) & set(_REASON_COLOURS.values())) == 6


def test_an_image_that_is_none_is_named():
    card = a_card()
    with pytest.raises(InputError, match="image of sample 'train_00001' cannot be read"):
        draw_traces(card.rejected, {SAMPLE.id: b"no image"})


def test_examples_do_not_depend_on_the_order_and_show_each_kind():
    verdicts = [Verdict(False, "format")] * 91 + [Verdict(False, "empty")] * 9
    given = [
        Judged(replace(SAMPLE, id=f"s{place}"), ATTEMPT, verdict)
        for place, verdict in enumerate(verdicts)
    ]
    chosen = []
    for order in (given, given[::-1]):
        examples = Examples(6)
        for example in order:
            examples.add(example.verdict.reason, example)
        chosen.append([item.sample.id for item in examples.chosen()])
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 6
    assert sum(int(name[1:]) > 90 for name in chosen[0]) == 3
