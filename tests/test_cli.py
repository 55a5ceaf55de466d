"""The command line, run as a user runs it: in a process of its own where that matters."""

import inspect
import re
import subprocess
import sys
from dataclasses import asdict, fields

import pytest
import typer
from typer.testing import CliRunner

from tag_rewards.cli import app, main
from tag_rewards.commands.prepare import prepare
from tag_rewards.commands.score import serve
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
from tag_rewards.prepare.run import PrepareConfig
from tag_rewards.rewards.score import GroundingConfig, RewardConfig
from tests.builders.command import command, every_command


def run(*arguments):
    return command(*arguments, columns=80)


@pytest.fixture
def faces(tmp_path):
    result = CliRunner().invoke(
        app, ["made-faces", str(tmp_path / "faces"), "--train", "6", "--test", "3", "--size", "64"]
    )
    assert result.exit_code == 0, result.output
    return tmp_path / "faces"


def test_ctrl_c_says_what_goes_on(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tag_rewards.datasets.made_faces.dataset.write_dataset", interrupted)
    code, _, err = run("made-faces", tmp_path / "faces")
    assert code == 130
    assert err.startswith("tag-rewards: stopped; annotate, generate and traces build go on")


def test_made_faces_become_parquet(faces, tmp_path):
    arguments = ["--openface", faces / "openface", "--out", tmp_path / "out", "--canvas", "56"]
    arguments += ["--prompt", "short", "--top-k", "3", "--sft-au-error", "0.5", "--polygons"]
    code, out, err = run("prepare", faces, *arguments)
    assert (code, err) == (0, "")
    assert "rows written" in out
    rows = list(read_rl_parquet(tmp_path / "out" / "rl_train.parquet"))
    assert len(rows) == 6
    assert rows[0].target.box_space.extent == (56, 56)
    assert all(item.polygon for row in rows for item in row.target.evidence)
    assert next(read_sft_parquet(tmp_path / "out" / "sft_test.parquet")).au_error == 0.5


@pytest.mark.parametrize("command", [[], ["prepare"], ["made-faces"], ["score"]])
def test_help_explains_every_command(command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Example" in out or not command


def paths_of(group, *before):
    """(words, command) of each command below a group."""
    for name, one in group.commands.items():
        yield (*before, name), one
        yield from paths_of(one, *before, name) if hasattr(one, "commands") else ()


def test_help_cuts_no_name_in_80_columns():
    for words, one in paths_of(every_command()):
        code, out, _ = run(*words, "--help")
        assert code == 0
        assert "…" not in out, words
        for parameter in one.params:
            for name in (*parameter.opts, *parameter.secondary_opts):
                assert not name.startswith("--") or re.search(rf"│ .*{name}\b", out), (words, name)


def test_examples_of_help_can_be_copied_from_80_columns():
    for words, one in paths_of(every_command()):
        _, out, _ = run(*words, "--help")
        for line in inspect.cleandoc(one.help).splitlines():
            assert not line.startswith("    ") or line.strip() in out, (words, line)


def test_help_keeps_angle_brackets():
    assert "between <think> and </think>" in " ".join(command("score", "--help")[1].split())


def test_every_option_of_the_reward_is_one_of_the_server():
    of_reward = {field.name for field in (*fields(RewardConfig), *fields(GroundingConfig))}
    assert of_reward - {"grounding"} <= inspect.signature(serve).parameters.keys()


def test_a_users_error_is_one_sentence_and_exit_code_2(faces, tmp_path):
    labels = faces / "EmoLabel" / "list_patition_label.txt"
    labels.write_text("train_00001.jpg 12\n")
    code, out, err = run("prepare", faces, "--openface", faces, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"tag-rewards: {labels}: line 1 has label id '12'")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "nowhere", "--openface", "x", "--out", "y"], "nowhere is not a folder"),
        (["prepare", ".", "--openface", "x", "--out", "y", "--canvas", "1"], "canvas is 1 pixels"),
        (["score", "nowhere.txt", "--target", "nowhere.json"], "nowhere.json"),
        (["made-faces", "out", "--seed", "-1"], "seed=-1 is below 0"),
        (["prepare", "."], "Missing option"),
        (["prepare", ".", "--openface", "x", "--out", "y", "--prompt", "long"], "long"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


TARGET = """{"version": 1, "label": "happiness", "box_space": {"kind": "normalized_1000"},
"evidence": [{"au": 12, "probability": 0.8, "box": [200, 600, 800, 900]}]}"""
TRACE = """Global analysis: A smile.
Verification loop:
Inspect mouth corners (AU12) → up → <bbox>[200,600,800,900]</bbox>
Final conclusion: AU12 indicates happiness.
<answer> happiness </answer>"""


def test_score_prints_every_score(tmp_path):
    (tmp_path / "target.json").write_text(TARGET)
    (tmp_path / "answer.txt").write_text(TRACE)
    target = ["--target", tmp_path / "target.json"]
    code, out, _ = run("score", tmp_path / "answer.txt", *target)
    assert code == 0
    for name in ("score", "format", "accuracy", "grounding"):
        assert f"{name} " in out
    assert "1.000" in out


def test_score_reads_stdin_and_says_what_is_wrong(tmp_path):
    (tmp_path / "target.json").write_text(TARGET)
    result = CliRunner().invoke(
        app, ["score", "-", "--target", str(tmp_path / "target.json")], input="happy!"
    )
    assert result.exit_code == 0
    assert "- there is no 'Global analysis:'" in result.output


def test_a_broken_target_is_named(tmp_path):
    (tmp_path / "target.json").write_text("{}")
    (tmp_path / "answer.txt").write_text(TRACE)
    target = ["--target", tmp_path / "target.json"]
    code, _, err = run("score", tmp_path / "answer.txt", *target)
    assert code == 2
    assert "target.json: version is missing" in err


def test_any_bytes_are_a_completion(tmp_path):
    (tmp_path / "target.json").write_text(TARGET)
    arguments = ["score", "-", "--target", str(tmp_path / "target.json")]
    result = CliRunner().invoke(app, arguments, input=b"\xff\0<bbox>")
    assert result.exit_code == 0, result.exception


def test_a_bug_keeps_its_traceback(tmp_path, monkeypatch):
    """Only input that the library refuses is the user's error, not any `ValueError`."""

    def fail(*_, **__):
        raise ValueError("not enough values to unpack")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tag_rewards.datasets.made_faces.dataset.make_face", fail)
    monkeypatch.setattr(sys, "argv", ["tag-rewards", "made-faces", "out"])
    with pytest.raises(ValueError, match="not enough values"):
        main()


@pytest.mark.parametrize(("module", "extra"), [("matplotlib.figure", "eval"), ("cv2", "data")])
def test_a_missing_extra_is_named(module, extra, monkeypatch):
    def fail(**_):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("tag_rewards.cli.app", fail)
    code, _, err = run("summarize")
    assert code == 2
    assert f"{module} is not installed; pip install 'tag-rewards[{extra}]'" in err


@pytest.mark.parametrize("name", ["annotate", "quality", "datasets check"])
def test_what_the_picture_at_the_end_needs_is_said_before_the_work(
    name, faces, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    options = {
        "datasets check": ["made-faces/test", faces],
        "annotate": [faces, "--detector", "openface-csv", "-o", f"folder={faces / 'openface'}"],
        "quality": [faces, "--protocol", "made-faces/test", "--openface", faces / "openface"],
    }
    made = tmp_path / ("out.png" if name == "datasets check" else "out")
    code, out, err = run(*name.split(), *options[name], "--out", made)
    assert (code, out) == (2, "")
    assert err.endswith("is not installed; pip install 'tag-rewards[eval]'\n")
    assert not made.exists()


def test_the_defaults_are_those_of_the_library():
    """They are written twice, so that `--help` need not load the library."""
    config = PrepareConfig()
    expected = {
        "protocol": None,
        "allow_mismatch": False,
        "openface": None,
        "evidence": None,
        "quality": None,
        **asdict(config.annotation),
        # Without a model these are the library's; --model says them otherwise.
        **{"box_space": None, "min_pixels": None, "max_pixels": None, "form": ""},
        "prompt": config.prompt,
        "template": config.template,
        "data_source": config.data_source,
        "sft_box_jitter": config.imprecision.box_jitter,
        "sft_box_growth": config.imprecision.box_growth,
        "sft_au_error": config.imprecision.au_error,
        "seed": config.seed,
        "as_json": False,
        "keep_unseen": config.keep_unseen,
        "limit": config.limit,
        "placement": config.placement,
        "place_evaluation": config.place_evaluation,
        # Two flags here, of which none is the library's None.
        "enable_thinking": False,
        "no_enable_thinking": False,
    }
    parameters = inspect.signature(prepare).parameters.values()
    assert expected == {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not parameter.empty
    }


def test_help_loads_no_command_and_nothing_heavy():
    code = (
        "import sys, tag_rewards.cli; sys.argv[1:] = ['--help']\n"
        "try: tag_rewards.cli.main()\n"
        "except SystemExit: print(*sys.modules, sep=chr(10), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = result.stderr.split()
    assert not {"cv2", "numpy", "pandas", "pyarrow", "torch", "scipy"} & {*loaded}
    assert not [name for name in loaded if name.startswith("tag_rewards.commands.")]


def test_the_list_of_commands_says_what_each_begins_with():
    listed = typer.main.get_command(app).commands
    for name, one in every_command().commands.items():
        assert listed[name].help == inspect.cleandoc(one.help).split("\n\n")[0].replace("\n", " ")
        assert name == one.name or one.commands


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "no.txt", "--target", "no.json"],
        ["explain", "no.txt", "no.json"],
        ["show", "no.parquet", "--row", "0"],
        ["eval", "--data", "no.parquet", "--predictions", "no.jsonl", "--out", "out"],
        ["generate", "no.parquet", "--model", "m", "--engine", "openai", "--out", "a.jsonl"],
        ["attack", "no.parquet"],
        ["preference", "make", "no.jsonl", "no.jsonl", "--data", "no.parquet", "--out", "s.html"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_file_that_is_not_there_is_named_in_words(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, err = command(*arguments)
    assert (code, said) == (2, "")
    assert re.fullmatch(r"tag-rewards: no\.[a-z]+: No such file or directory\n", err)
