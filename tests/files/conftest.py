"""A small project: what every command that writes has to read."""

import json

import pytest

from tag_rewards.prepare.eval_set import read_evaluation_set
from tests.builders.build import Build
from tests.builders.command import command
from tests.builders.run import MadeRun


def done(*arguments):
    code, _, error = command(*arguments)
    assert code == 0, error


@pytest.fixture(scope="package")
def project(tmp_path_factory):
    """Faces, parquet, completions, results, a run, a build of traces and FERPlus; not changed."""
    root = tmp_path_factory.mktemp("project")
    done("made-faces", root / "faces", "--train", 14, "--test", 8, "--size", 48)
    done(*prepare(root, root / "data"))
    faces = read_evaluation_set(root / "data" / "eval.parquet").faces
    for model in "AB":
        lines = [
            {"id": face.id, "completion": f"<answer>joy</answer> by {model}", "model": model}
            for face in faces
        ]
        (root / f"{model}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done(*evaluate(root, root / "results"))
    MadeRun(root / "run")
    Build(root / "faces", root / "built").run()
    return root


def prepare(root, out, *more):
    protocol = ("--protocol", "made-faces/test", "--allow-mismatch")
    openface = ("--openface", root / "faces" / "openface")
    options = ("--canvas", 48, "--prompt", "short", "--out", out)
    return ("prepare", root / "faces", *protocol, *openface, *options, *more)


def evaluate(root, out, model="A"):
    data = ("--data", root / "data" / "eval.parquet", "--predictions", root / f"{model}.jsonl")
    return ("eval", *data, "--resamples", 100, "--out", out)
