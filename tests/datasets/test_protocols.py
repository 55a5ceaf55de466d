"""Protocols: what they state, what they check, and the sentences with which they refuse."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tag_rewards.datasets.protocols import (
    PROTOCOLS,
    SPLITS,
    Protocol,
    load_protocol,
    protocol_named,
)
from tag_rewards.datasets.reading import Dataset, FaceSample, SplitCounts
from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS

LABELS = ("happiness", "fear")


def samples(**counts):
    """Samples such as `test_fear=3`."""
    made = []
    for name, n in counts.items():
        split, label = name.split("_")
        made += [FaceSample(f"{name}_{i}", Path(f"{i}.png"), label, split) for i in range(n)]
    return tuple(made)


def made(dataset, **published):
    """A protocol of two labels over a dataset."""
    counts = {split: SplitCounts(*values) for split, values in published.items()}
    source = "a paper" if counts else "counts unknown"
    return Protocol("made/test", "made", LABELS, "test", lambda root: dataset, counts, source)


HERE = Dataset(samples(train_fear=3, train_happiness=2, test_fear=2, test_happiness=1))
TRAIN, TEST = (5, {"fear": 3, "happiness": 2}), (3, {"fear": 2, "happiness": 1})


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        load_protocol(*arguments, **options)
    return str(caught.value)


def test_data_as_published_is_loaded():
    loaded = load_protocol(made(HERE, train=TRAIN, test=TEST), "folder")
    assert loaded.samples == HERE.samples
    assert (loaded.mismatches, dict(loaded.dropped)) == ((), {})
    assert [sample.split for sample in loaded.evaluated] == ["test"] * 3


OWN = """
from pathlib import Path
from tag_rewards.datasets import Dataset, FaceSample, Protocol

def read(root):
    return Dataset(tuple(FaceSample(s, Path(root, s), "fear", s) for s in ("train", "test")))

MINE = Protocol("mine/test", "mine", ("fear",), "test", read)
"""


def test_a_protocol_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_protocol.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    loaded = load_protocol("own_protocol:MINE", "folder")
    assert loaded.protocol.name == "mine/test"
    assert [sample.id for sample in loaded.evaluated] == ["test"]
    assert refusal("own_protocol:read", "folder") == (
        "--protocol own_protocol:read (function) is no tag_rewards.datasets.Protocol"
    )
    assert refusal("own_protocol:MIEN", "folder").endswith("did you mean MINE?")


def test_totals_alone_are_checked_too():
    assert load_protocol(made(HERE, train=(5,), test=(3,)), "folder").mismatches == ()
    assert "test: expected 4 images, found 3" in refusal(made(HERE, test=(4,)), "folder")


def test_a_mismatch_says_expected_and_found_of_split_and_label():
    assert refusal(made(HERE, train=TRAIN, test=(3, {"fear": 1, "happiness": 2})), "folder") == (
        "folder is not made/test as published: test, fear: expected 1 images, found 2; "
        "test, happiness: expected 2 images, found 1; complete the dataset, choose another "
        "protocol, or go on with --allow-mismatch, which records it"
    )


def test_of_many_mismatches_an_error_shows_the_first_few():
    published = made(HERE, train=(9, {"fear": 5, "happiness": 4}), test=(9, {"fear": 9}))
    assert (
        "train: expected 9 images, found 5; train, fear: expected 5 images, found 3; "
        "train, happiness: expected 4 images, found 2; test: expected 9 images, found 3; "
        "and 1 more (see `tag-rewards datasets check`); complete"
    ) in refusal(published, "folder")


def test_an_allowed_mismatch_is_recorded():
    loaded = load_protocol(made(HERE, test=(4,)), "folder", allow_mismatch=True)
    assert loaded.mismatches == ("test: expected 4 images, found 3",)
    assert loaded.samples == HERE.samples


def test_only_the_splits_that_are_asked_for_are_kept_and_checked():
    published = made(HERE, train=(9,), test=TEST)
    loaded = load_protocol(published, "folder", splits=["test"])
    assert loaded.mismatches == ()
    assert {sample.split for sample in loaded.samples} == {"test"}
    assert "train: expected 9 images, found 5" in refusal(published, "folder", splits=["train"])


def test_a_split_may_be_missing_unless_it_is_the_evaluated_one():
    published = {"train": TRAIN, "test": TEST}
    assert load_protocol(made(Dataset(HERE.samples[5:]), **published), "folder").mismatches == ()
    assert "test: expected 3 images, found 0" in refusal(
        made(Dataset(HERE.samples[:5]), **published), "folder"
    )


def test_labels_that_the_protocol_does_not_declare_are_dropped_and_counted():
    dropped = {"train": {"no face": 4}, "val": {"no face": 1}}
    dataset = Dataset(HERE.samples + samples(test_contempt=2, train_contempt=1), dropped)
    loaded = load_protocol(made(dataset, train=TRAIN, test=TEST), "folder")
    reason = "label contempt is no part of the protocol"
    assert loaded.dropped == {
        "train": {"no face": 4, reason: 1},
        "val": {"no face": 1},
        "test": {reason: 2},
    }
    assert loaded.samples == HERE.samples


def test_no_image_is_an_error():
    assert (
        refusal(made(HERE), "folder", splits=["val"]) == "folder has no image of made/test in val"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ferplus/majorty", "did you mean ferplus/majority?"),
        ("rafdb/basic-tset", "did you mean rafdb/basic-test?"),
        ("affectnet8", "did you mean affectnet8/old-val or affectnet8/new-val?"),
        ("imagenet", f"there are {', '.join(PROTOCOLS)}"),
        ("", f"there are {', '.join(PROTOCOLS)}"),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(name, hint):
    assert refusal(name, "folder") == f"no protocol is named {name!r}; {hint}"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_whole(name):
    protocol = protocol_named(name)
    assert protocol.name == name
    assert protocol.labels == tuple(label for label in EXPRESSIONS if label in protocol.labels)
    assert set(protocol.counts) <= set(SPLITS)
    if protocol.counts:
        assert protocol.counts[protocol.split].total > 0
    for counts in protocol.counts.values():
        assert set(counts.labels) <= set(protocol.labels)


def test_published_counts():
    """As Li et al., Barsoum et al. and Mollahosseini et al. have them."""
    rafdb = PROTOCOLS["rafdb/basic-test"].counts
    assert [rafdb["train"].labels[label] for label in EXPRESSIONS[:7]] == [
        *(2524, 4772, 1982, 1290, 281, 717, 705),
    ]
    assert [rafdb["test"].labels[label] for label in EXPRESSIONS[:7]] == [
        *(680, 1185, 478, 329, 74, 160, 162),
    ]
    totals = {
        name: [counts.total for counts in protocol.counts.values()]
        for name, protocol in PROTOCOLS.items()
        if name.startswith(("ferplus", "affectnet"))
    }
    assert totals == {
        "ferplus/majority": [25060, 3199, 3153],
        "ferplus/crossentropy": [27956, 3505, 3505],
        "ferplus/multi-target": [27671, 3472, 3472],
        "ferplus/argmax10": [28389, 3553, 3546],
        "ferplus/argmax8": [28559, 3579, 3573],
        "affectnet7/old-val": [283901, 3500],
        "affectnet7/new-val": [283901, 3500],
        "affectnet8/old-val": [287651, 4000],
        "affectnet8/new-val": [287651, 3999],
    }
    labels = PROTOCOLS["ferplus/majority"].counts["test"].labels
    assert [labels[label] for label in EXPRESSIONS] == [1090, 893, 384, 396, 83, 18, 273, 16]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("fear", "happiness")}, "labels of made/test are not in the order of EXPR"),
        ({"split": "train"}, "made/test evaluates 'train', not val or test"),
        ({"source": "a paper"}, "has counts without a source, or a source without counts"),
    ],
)
def test_a_protocol_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(made(HERE), **changes)


def test_counts_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="the labels' counts add up to 3, not 4"):
        SplitCounts(4, {"fear": 3})


def vote_table(root, *rows):
    """`fer2013new.csv` of (usage, votes for each of the ten columns), and made pixels beside it."""
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    lines = [f"Usage,Image name,{names}"]
    lines += [f"{usage},fer{i:07}.png,{','.join(map(str, votes))}" for i, (usage, votes) in rows]
    (root / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    pixels = " ".join(["90"] * 48 * 48)
    rows_of_pixels = [f"0,{pixels},{usage}" for _, (usage, _) in rows]
    (root / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows_of_pixels]) + "\n")


def test_ferplus_rules_give_other_images_and_labels(tmp_path):
    clear, split, unknown = (
        [0, 9, 1, 0, 0, 0, 0, 0, 0, 0],
        [4, 4, 0, 0, 2, 0, 0, 0, 0, 0],
        [*(0, 3, 0, 0, 0, 0, 0, 0, 7, 0)],
    )
    usages = ("Training", "PublicTest", "PrivateTest")
    rows = [(usage, votes) for usage in usages for votes in (clear, split, unknown)]
    vote_table(tmp_path, *enumerate(rows))
    found = {}
    for name in (name for name in PROTOCOLS if name.startswith("ferplus/")):
        loaded = load_protocol(name, tmp_path, allow_mismatch=True)
        found[name] = Counter(sample.label for sample in loaded.evaluated)
        assert all(sample.stored for sample in loaded.samples)
        assert loaded.mismatches[0].startswith("train: expected ")
    assert found == {
        "ferplus/majority": {"happiness": 1},
        "ferplus/crossentropy": {"happiness": 1, "neutral": 1},
        "ferplus/multi-target": {"happiness": 1, "neutral": 1},
        "ferplus/argmax10": {"happiness": 1, "neutral": 1},
        "ferplus/argmax8": {"happiness": 2, "neutral": 1},
    }


def test_the_two_releases_of_affectnet_are_told_apart(tmp_path):
    (tmp_path / "val_set").mkdir()
    with pytest.raises(ValueError, match="is not AffectNet's old release"):
        load_protocol("affectnet8/old-val", tmp_path)
