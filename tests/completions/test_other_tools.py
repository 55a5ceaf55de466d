"""Completions as other tools write them, in their exact layout."""

import json
import re

import pytest

from tag_rewards.completions import read_completions
from tag_rewards.errors import InputError
from tag_rewards.prepare import read_evaluation_set
from tests.builders.command import command
from tests.builders.completions import trace, write_faces


def llama_factory(text, label):
    """A line of `save_predictions` in its `train/sft/trainer.py`."""
    prompt = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Which?<|im_end|>\n"
    return {"prompt": prompt, "predict": text, "label": label}


def ms_swift(text, label):
    """A line of `SwiftInfer._batch_infer`, of images that came as bytes."""
    turns = [{"role": "user", "content": "<image>Which?"}, {"role": "assistant", "content": text}]
    images = [{"bytes": "<<<bytes>>>", "path": None}]
    return {
        "response": text, "labels": label, "logprobs": None, "messages": turns, "images": images
    }  # fmt: skip


TOOLS = pytest.mark.parametrize("tool", [llama_factory, ms_swift])


@pytest.fixture
def data(tmp_path):
    return write_faces(tmp_path / "eval.parquet", 3)


def write(path, *records):
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text(text, encoding="utf-8")
    return path


@TOOLS
# What should have been answered: bare, a synonym, a whole trace, a dataset without, no expression.
@pytest.mark.parametrize("label", ["happiness", "Happy\n", trace("happiness"), None, "", "yes"])
def test_lines_are_those_of_the_faces_in_order(data, tmp_path, tool, label):
    faces = read_evaluation_set(data).faces
    texts = [trace("fear"), "", trace("neutral")]
    path = write(tmp_path / "out.jsonl", *(tool(text, label) for text in texts))
    read = read_completions(path, faces)
    assert {key: one.completion for key, one in read.items()} == {
        face.id: text for face, text in zip(faces, texts, strict=True)
    }


@TOOLS
def test_from_their_file_to_figures(data, tmp_path, tool):
    answers = ["happiness", "fear", "happiness"]
    path = write(tmp_path / "out.jsonl", *(tool(trace(one), "happiness") for one in answers))
    out = tmp_path / "results"
    code, _, error = command("eval", "--data", data, "--predictions", path, "--out", out)
    assert (code, error) == (0, "")
    strict = json.loads((out / "results.json").read_text())["classification"]["strict"]
    assert strict["accuracy"]["value"] == pytest.approx(2 / 3)


@TOOLS
@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_another_count_is_refused(data, tmp_path, tool, count):
    path = write(tmp_path / "out.jsonl", *[tool("x", "happiness")] * count)
    message = f"{path} has {count} completions that name no face, for 3 evaluated faces; only"
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        read_completions(path, read_evaluation_set(data).faces)


@TOOLS
@pytest.mark.parametrize("label", ["fear", trace("fear")])
def test_another_order_is_refused_where_labels_tell(data, tmp_path, tool, label):
    lines = [tool("x", "happiness"), tool("x", label), tool("x", "happiness")]
    path = write(tmp_path / "out.jsonl", *lines)
    with pytest.raises(InputError) as caught:
        read_completions(path, read_evaluation_set(data).faces)
    field = "label" if tool is llama_factory else "labels"
    assert str(caught.value) == (
        f"{path}: line 2: field {field!r} says fear, but the face whose turn it is, 'face_0001', "
        "shows happiness; the tool must have been given the faces of this data in their order"
    )


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"predict": ["x"], "label": "fear"}, "line 1: field 'predict' is ['x'], not a string"),
        ({"response": "x", "labels": 3}, "line 1: field 'labels' is 3, not a string"),
        ({"text": "x"}, "line 1: field 'id' is None, not the name of a face"),
        ({"id": 7, "response": "x"}, "line 1: field 'id' is 7, not the name of a face"),
    ],
)
def test_a_line_that_is_none_of_theirs(data, tmp_path, record, message):
    path = write(tmp_path / "out.jsonl", record)
    with pytest.raises(InputError, match=re.escape(message)):
        read_completions(path, read_evaluation_set(data).faces)
