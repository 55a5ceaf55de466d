"""Every dataset numbers its labels in an order of its own, which its reader alone knows."""

from itertools import combinations

import pytest

from tag_rewards.datasets.affectnet import AFFECTNET_LABELS
from tag_rewards.datasets.ckplus import CKPLUS_LABELS
from tag_rewards.datasets.expw import EXPW_LABELS
from tag_rewards.datasets.fer2013 import FER2013_LABELS
from tag_rewards.datasets.ferplus import LABELS
from tag_rewards.datasets.rafdb import RAFDB_LABELS
from tag_rewards.facs import EXPRESSIONS, canonical_expression

# From each dataset's own readme, in its own words.
README = {
    "rafdb": (1, "surprise fear disgust happiness sadness anger neutral", RAFDB_LABELS),
    "fer2013": (0, "angry disgust fear happy sad surprise neutral", FER2013_LABELS),
    "expw": (0, "angry disgust fear happy sad surprise neutral", EXPW_LABELS),
    "affectnet": (0, "neutral happy sad surprise fear disgust anger contempt", AFFECTNET_LABELS),
    "ckplus": (0, "neutral anger contempt disgust fear happy sadness surprise", CKPLUS_LABELS),
    "ferplus": (
        0,
        "neutral happiness surprise sadness anger disgust fear contempt",
        dict(enumerate(LABELS)),
    ),
}


@pytest.mark.parametrize("name", README)
def test_ids_are_those_of_the_readme(name):
    first, words, table = README[name]
    assert dict(table) == {
        number: canonical_expression(word) for number, word in enumerate(words.split(), first)
    }
    assert set(table.values()) <= set(EXPRESSIONS)


def test_no_two_datasets_agree_on_the_ids():
    tables = {name: dict(table) for name, (_, _, table) in README.items() if name != "expw"}
    for one, other in combinations(tables, 2):
        assert tables[one] != tables[other], (one, other)
