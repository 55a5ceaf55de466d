"""FERBench: UniFER's lists, in their layout, beside images as their datasets lie on a disk."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from tag_rewards.datasets import PROTOCOLS, load_protocol, read_ferbench
from tag_rewards.datasets.ferbench import FERBENCH_SPLITS
from tag_rewards.facs import EXPRESSIONS
from tests.builders.command import command

LISTS = {
    "rafdb": ("eval_rafdb/data/rafdb_qa.json", "/RAF-DB/aligned/test_3068_aligned.jpg", "neutral"),
    "ferplus": ("eval_ferplus/data/ferplus_qa.json", "/FERPlus/test/angry/fer0032225.png", "angry"),
    "affectnet": (
        "eval_affectnet/data/affectnet_qa.json",
        "/AffectNet/Manually_Annotated/validation/1/1957a923f84a1a3a.jpg",
        "surprise",
    ),
    "sfew": (
        "eval_sfew_2.0/data/sfew_2.0_qa.json",
        "/SFEW-2.0/Val/Val_Aligned_Faces/Happy/AboutABoy_003314887_00000077.png",
        "happy",
    ),
}
MEANT = {"angry": "anger", "happy": "happiness"}
QUESTION = "As an expert in facial expression recognition, which expression is most prominent?"
ALL = pytest.mark.parametrize("name", LISTS)


def items(*pairs):
    """A list as it is published."""
    words = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]
    return json.dumps(
        [
            {
                "image_path": path,
                "true_label": label,
                "prompt": QUESTION,
                "candidate_labels": words,
            }
            for path, label in pairs
        ],
        indent=2,
    )


@ALL
def test_an_item_is_a_sample(write, touch, name):
    file, path, label = LISTS[name]
    root = write(file, items((path, label)))
    touch(path.lstrip("/"))
    [sample] = read_ferbench(root, name).samples
    assert (sample.id, sample.path) == (path.lstrip("/"), root / path.lstrip("/"))
    assert (sample.label, sample.split) == (MEANT.get(label, label), FERBENCH_SPLITS[name])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("rafdb", "RAF-DB/Image/aligned/test_3068_aligned.jpg"),
        ("ferplus", "FERPlus/images/test/fer0032225.png"),  # as `datasets unpack` writes it
        ("ferplus", "FERPlus/data/FER2013Test/fer0032225.png"),
        ("affectnet", "AffectNet/Manually_Annotated_Images/1/1957a923f84a1a3a.jpg"),
        ("sfew", "SFEW-2.0/Val_Aligned_Faces/Happy/AboutABoy_003314887_00000077.png"),
    ],
)
def test_an_image_is_found_by_its_name_in_the_folder_of_its_dataset(write, touch, name, place):
    file, path, label = LISTS[name]
    root = write(file.rpartition("/")[2], items((path, label)))
    touch("elsewhere/" + place.rpartition("/")[2])
    (root / "mine").mkdir()
    dataset, _, below = place.partition("/")
    touch(f"mine/{below}")
    (root / dataset).symlink_to(root / "mine")
    [sample] = read_ferbench(root, name).samples
    assert sample.path == root / place


def test_two_images_of_a_name_are_refused(write, touch, refusal):
    write("rafdb_qa.json", items(("/RAF-DB/aligned/a.jpg", "fear")))
    touch("RAF-DB/one/a.jpg", "RAF-DB/two/a.jpg")
    assert "both named like ROOT/RAF-DB/aligned/a.jpg, which does not exist" in refusal(
        lambda root: read_ferbench(root, "rafdb")
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (items(("/RAF-DB/a.jpg", "glee")), "item 0: field 'true_label' is 'glee', which is no exp"),
        (items(("/RAF-DB/a.jpg", "fear"), ("/RAF-DB/a.jpg", "fear")), "is there a second time"),
        (items(("/../a.jpg", "fear")), "item 0 names '../a.jpg', which is no file of ROOT"),
        (items(("/RAF-DB/b.jpg", "fear")), "item 0 needs ROOT/RAF-DB/b.jpg, which does not exist"),
        ('[{"image_path": "/RAF-DB/a.jpg"}]', "is no list of FERBench (Object missing required f"),
        ("{}", "is no list of FERBench (Expected `array`, got `object`)"),
        ("[", "is no list of FERBench (Input data was truncated)"),
        ("[]", "ROOT/rafdb_qa.json has no labelled face"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(write, touch, refusal, text, sentence):
    write("rafdb_qa.json", text)
    touch("RAF-DB/a.jpg")
    assert sentence in refusal(lambda root: read_ferbench(root, "rafdb"))


def test_the_published_counts():
    counts = {name: PROTOCOLS[f"ferbench/{name}"].counts[FERBENCH_SPLITS[name]] for name in LISTS}
    assert {name: one.total for name, one in counts.items()} == {
        "rafdb": 3068,
        "ferplus": 3573,
        "affectnet": 4000,
        "sfew": 431,
    }
    assert counts["rafdb"].labels == PROTOCOLS["rafdb/basic-test"].counts["test"].labels
    assert sum((Counter(one.labels) for one in counts.values()), Counter()).keys() == {*EXPRESSIONS}


def test_from_its_lists_and_the_answers_of_its_script_to_one_pooled_figure(tmp_path):
    results = []
    for name, (file, path, label) in LISTS.items():
        root, known = tmp_path / name, MEANT.get(label, label)
        image = root / path.lstrip("/")
        image.parent.mkdir(parents=True)
        cv2.imwrite(str(image), np.full((48, 48, 3), 90, np.uint8))
        (root / file).parent.mkdir(parents=True)
        (root / file).write_text(items((path, label)))
        loaded = load_protocol(f"ferbench/{name}", root, allow_mismatch=True)
        assert [sample.label for sample in loaded.evaluated] == [known]
        asked = json.loads((root / file).read_text())
        text = f"<think>Hm.</think><answer>{'sad' if name == 'sfew' else label}</answer>"
        answered = [{**item, "model_response": text} for item in asked]
        (root / "answers.json").write_text(json.dumps(answered, indent=2))
        out = root / "results"
        code, _, error = command(
            *("eval", "--dataset", root, "--protocol", f"ferbench/{name}", "--allow-mismatch"),
            *("--predictions", root / "answers.json", "--out", out),
        )
        assert (code, error) == (0, "")
        results.append(out)
    code, told, error = command("eval-table", *results, "--json")
    assert (code, error) == (0, "")
    pooled = json.loads(told)["protocols"][-1]
    assert pooled["n"] == 4
    for kind in ("accuracy", "compat_accuracy"):
        assert pooled["figures"][kind]["value"] == 0.75
