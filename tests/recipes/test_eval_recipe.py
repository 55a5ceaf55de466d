"""run_tag_eval.sh: its settings, its commands, and runs that are stopped and go on."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tag_rewards.prepare.model_fits import note_form
from tests.builders.completions import write_faces
from tests.builders.model import RELEASED_QWEN2_5, RELEASED_QWEN3, write_model
from tests.builders.trace import smile

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).parents[2]
SCRIPT = str(REPO / "recipes/run_tag_eval.sh")
BASE = REPO / "recipes/tiny_vlm/base"


def commands(run: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """The commands of a dry run, each without its program."""
    assert run.returncode == 0, run.stderr
    lines = [shlex.split(line) for line in run.stdout.splitlines()]
    return [line[1:] for line in lines if line[0].endswith("tag-rewards")]


def option(command: list[str], name: str) -> list[str]:
    return [value for given, value in itertools.pairwise(command) if given == name]


def test_help_lists_the_settings(recipe) -> None:
    run = recipe("run_tag_eval.sh", "--help")
    assert run.returncode == 0
    for name in ("DATA", "PROTOCOL", "OPENFACE", "EVIDENCE", "RESULTS", "TP", "ENDPOINT"):
        assert name in run.stdout


@pytest.mark.parametrize(
    ("models", "settings", "sentence"),
    [
        ([], {}, "no MODEL is given"),
        (["./nowhere"], {}, "MODEL ./nowhere: no such folder"),
        (["runs/no-such-run/sft/hf"], {}, "MODEL runs/no-such-run/sft/hf: no such folder"),
        (["recipes"], {}, "MODEL recipes: no Hugging Face model, it has no config.json"),
        (["Qwen/Some"], {"CHUNK": "many"}, "CHUNK=many: must be a whole number above 0"),
        (["Qwen/Some"], {"DATA": "/no/folder"}, "DATA=/no/folder: no such folder"),
        (["Qwen/Some"], {"PROTOCOL": "rafdb/basic-test"}, "but DATA is not set"),
        (["Qwen/Some"], {"TAG_DEVICE": "gpu"}, "DATA is not set, and"),
        (["Some"], {"ENDPOINT": "http://x"}, "BOX_SPACE is not set: with ENDPOINT, say in which"),
    ],
)
def test_senseless_settings_end_at_once(recipe, tmp_path, monkeypatch, models, settings, sentence):
    monkeypatch.chdir(REPO)
    run = recipe("run_tag_eval.sh", *models, OUT=tmp_path / "out", **settings)
    assert run.returncode != 0
    assert sentence in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a[b]", "a*", "a?"])
def test_a_model_whose_name_is_a_pattern_ends_at_once(recipe, tmp_path, name) -> None:
    """vLLM looks for files by a pattern; nobody else does: other folders may be called so."""
    for folder in ("plain", name):
        write_model(tmp_path / folder, "unheard_of")
        (tmp_path / folder / "chat_template.jinja").touch()
    where = {"OUT": tmp_path / name / "out", "DRY_RUN": 1}
    run = recipe("run_tag_eval.sh", tmp_path / name, **where)
    assert run.returncode != 0
    assert run.stderr.endswith(
        "vLLM finds no files in a folder with [, * or ? in its name or its path\n"
    )
    [*_, last] = commands(recipe("run_tag_eval.sh", tmp_path / "plain", **where))
    assert option(last, "--out") == [str(tmp_path / name / "out" / "eval" / "report")]
    asked = {**where, "ENDPOINT": "http://x", "BOX_SPACE": "pixels"}
    assert commands(recipe("run_tag_eval.sh", name, **asked))


ASKED = {"ENDPOINT": "http://x", "BOX_SPACE": "pixels"}


@pytest.mark.parametrize("settings", [{}, {"TAG_DEVICE": "gpu", "TP": 2}, ASKED])
def test_every_command_exists_and_knows_its_options(recipe, tmp_path, settings) -> None:
    pytest.importorskip("typer")
    from tag_rewards.engines.make import ENGINE_OPTIONS
    from tests.builders.command import every_command

    run = recipe(
        *("run_tag_eval.sh", "some/a", "some/b"),
        **{"OUT": tmp_path, "DRY_RUN": 1, "COUNTERFACTUAL": 1, "MOVED": 1, **settings},
    )
    found = commands(run)
    asked, evaluated = found[2:4]
    assert "--moved" in asked
    assert option(evaluated, "--moved") == [str(tmp_path / "eval/a/moved.jsonl")]
    assert [name for name, *_ in found] == [
        *("made-faces", "prepare", "generate", "eval", "generate", "eval", "compare", "report")
    ]
    group = every_command()
    for name, *arguments in found:
        group.commands[name].make_context(name, arguments)
    [engine] = option(found[2], "--engine")
    given = {text.partition("=")[0] for text in option(found[2], "-o")}
    assert given <= set(ENGINE_OPTIONS[engine])
    assert not list(tmp_path.iterdir())


@pytest.mark.stack
@pytest.mark.parametrize(("device", "tp"), [("cpu", 1), ("gpu", 2)])
def test_vllm_accepts_the_options(recipe, tmp_path, device, tp) -> None:
    vllm = pytest.importorskip("vllm")
    from tag_rewards.engines.make import make_engine

    run = recipe("run_tag_eval.sh", str(BASE), OUT=tmp_path, DRY_RUN=1, TAG_DEVICE=device, TP=tp)
    asking = next(command for command in commands(run) if command[0] == "generate")
    options = dict(text.split("=") for text in option(asking, "-o"))
    engine = make_engine("vllm", str(BASE), options)
    arguments = vllm.EngineArgs(
        model=str(BASE), **engine.config.engine_arguments(on_gpu=device == "gpu")
    )
    assert arguments.tensor_parallel_size == tp
    assert arguments.max_model_len == (4096 if device == "gpu" else 512)


@pytest.fixture
def made_run(tmp_path) -> Path:
    """What run_tag_grpo.sh notes of a run."""
    out, faces = tmp_path / "run", tmp_path / "faces"
    out.mkdir()
    faces.mkdir()
    settings = {"MODEL": "x", "SFT": 1, "DATA": faces, "OPENFACE": tmp_path / "csv", "CANVAS": 224}
    settings |= {"BOX_SPACE": "normalized_1000", "PROMPT": "tag", "TOP_K": 5, "SEED": 3}
    settings |= {"N_TRAIN": 7, "N_TEST": 5, "SFT_BOX_JITTER": 0, "SFT_BOX_GROWTH": 0}
    settings |= {"SFT_AU_ERROR": 0}
    (out / "settings.txt").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    return out


def test_what_the_run_was_trained_on_is_taken_over(recipe, made_run, tmp_path) -> None:
    run = recipe("run_tag_eval.sh", "some/model", OUT=made_run, DRY_RUN=1)
    prepare = commands(run)[0]
    assert prepare[:2] == ["prepare", str(tmp_path / "faces")]
    for name, value in (
        ("--openface", str(tmp_path / "csv")),
        ("--canvas", "224"),
        ("--box-space", "normalized_1000"),
        ("--prompt", "tag"),
        ("--top-k", "5"),
    ):
        assert option(prepare, name) == [value]


def test_new_data_are_in_the_box_space_of_the_first_model(recipe, tmp_path) -> None:
    run = recipe("run_tag_eval.sh", "some/a", "some/b", OUT=tmp_path, DRY_RUN=1)
    prepare = commands(run)[1]
    assert option(prepare, "--model") == ["some/a"]
    assert option(prepare, "--box-space") == []


def test_the_runs_own_files_are_used(recipe, made_run) -> None:
    (made_run / "data").mkdir()
    write_faces(made_run / "data/eval.parquet", 2)
    run = recipe("run_tag_eval.sh", "some/model", OUT=made_run, DRY_RUN=1)
    assert commands(run)[0][:2] == ["generate", str(made_run / "data/eval.parquet")]
    # But not for another canvas.
    run = recipe("run_tag_eval.sh", "some/model", OUT=made_run, DRY_RUN=1, CANVAS=336)
    assert option(commands(run)[0], "--canvas") == ["336"]


def test_of_other_data_only_how_they_are_shown_is_taken_over(recipe, made_run, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run = recipe(
        *("run_tag_eval.sh", "some/model"),
        **{"OUT": made_run, "DRY_RUN": 1, "DATA": other, "PROTOCOL": "ferplus/majority"},
    )
    prepare, asking = commands(run)[:2]
    assert option(prepare, "--protocol") == ["ferplus/majority"]
    assert option(prepare, "--openface") == [str(other / "openface")]
    assert option(prepare, "--canvas") == ["224"]
    assert asking[1] == str(made_run / "eval/ferplus-majority/data/eval.parquet")


def test_names_of_models(recipe, tmp_path) -> None:
    folders = [tmp_path / "a/grpo/hf", tmp_path / "b/grpo/hf", tmp_path / "plain"]
    for folder in folders:
        write_model(folder, "unheard_of")
        (folder / "chat_template.jinja").touch()
    run = recipe("run_tag_eval.sh", *map(str, folders), "org/Some-7B", OUT=tmp_path, DRY_RUN=1)
    asked = [command for command in commands(run) if command[0] == "generate"]
    outs = [Path(option(command, "--out")[0]).parent.name for command in asked]
    assert outs == ["grpo", "grpo-2", "plain", "Some-7B"]
    assert option(asked[0], "--model") == [str(folders[0])]


SWITCHED = "{{ '<think>' if enable_thinking | default(true) else '<think></think>' }}"


@pytest.fixture
def models(tmp_path):
    """Folders of a Qwen2.5-VL, a Qwen3-VL and a Qwen3.5, the last of which reasons by default."""
    folders = {
        "old": write_model(tmp_path / "old", "qwen2_5_vl", RELEASED_QWEN2_5),
        "new": write_model(tmp_path / "new", "qwen3_vl", RELEASED_QWEN3),
        "thinks": write_model(tmp_path / "thinks", "qwen3_5", RELEASED_QWEN3),
    }
    for name, folder in folders.items():
        (folder / "chat_template.jinja").write_text(SWITCHED if name == "thinks" else "")
    return {name: str(folder) for name, folder in folders.items()}


def data_and_tokens(run):
    """Of each model that is asked: the folder of the data, most tokens and vLLM's limit."""
    for command in commands(run):
        if command[0] == "generate":
            [tokens], limits = option(command, "--max-tokens"), option(command, "-o")
            yield Path(command[1]).parent.name, int(tokens), limits[0]


def test_each_model_is_asked_in_its_own_space_and_form(recipe, tmp_path, models) -> None:
    run = recipe("run_tag_eval.sh", *models.values(), OUT=tmp_path, DRY_RUN=1)
    assert list(data_and_tokens(run)) == [
        ("data", 256, "max_model_len=512"),
        ("data-new", 256, "max_model_len=512"),
        ("data-new", 1024, "max_model_len=1280"),  # it writes as the other one, and reasons first
    ]
    prepared = [command for command in commands(run) if command[0] == "prepare"]
    assert [option(command, "--model") for command in prepared] == [
        [models["old"]],
        [models["new"]],
    ]
    run = recipe("run_tag_eval.sh", models["thinks"], OUT=tmp_path, DRY_RUN=1, MAX_TOKENS=99)
    assert list(data_and_tokens(run)) == [("data", 99, "max_model_len=1280")]
    said = {"DRY_RUN": 1, "ENABLE_THINKING": "false"}
    run = recipe("run_tag_eval.sh", models["thinks"], OUT=tmp_path, **said)
    assert list(data_and_tokens(run)) == [("data", 256, "max_model_len=512")]
    assert "--no-enable-thinking" in commands(run)[1]


def test_the_form_of_the_run_that_trained_a_model(recipe, tmp_path, models) -> None:
    """Earlier versions noted it in the run's settings alone, and there not if it was TAG's."""
    trained = tmp_path / "other/grpo/hf"
    write_model(trained, "qwen3_vl", RELEASED_QWEN3)
    (trained / "chat_template.jinja").touch()
    settings = tmp_path / "other/settings.txt"
    settings.write_text("MODEL=x\n# noted\n")
    both = (models["new"], trained)
    run = recipe("run_tag_eval.sh", *both, OUT=tmp_path / "out", DRY_RUN=1)
    forms = [option(command, "--form") for command in commands(run) if command[0] == "prepare"]
    assert forms == [["qwen3_vl"], ["tag"]]
    settings.write_text("MODEL=x\nFORM=qwen3_vl\n# noted\n")
    run = recipe("run_tag_eval.sh", *both, OUT=tmp_path / "out", DRY_RUN=1)
    assert [folder for folder, *_ in data_and_tokens(run)] == ["data", "data"]
    settings.unlink()
    for form, folders in (("tag", ["data", "data-hf"]), ("qwen3_vl", ["data", "data"])):
        note_form(trained, form)  # as today, wherever the folder lies
        run = recipe("run_tag_eval.sh", *both, OUT=tmp_path / "out", DRY_RUN=1)
        assert [folder.replace("grpo", "hf") for folder, *_ in data_and_tokens(run)] == folders
    run = recipe("run_tag_eval.sh", *both, OUT=tmp_path / "out", DRY_RUN=1, FORM="tag")
    assert [folder for folder, *_ in data_and_tokens(run)] == ["data", "data"]


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("new", {"BOX_SPACE": "pixels"}, "box space pixels (pixels of 112x112) contradicts the mo"),
        ("new", {"FORM": "gemma"}, "form gemma contradicts the model: qwen3_vl writes qwen3_vl"),
        ("new", {"ENABLE_THINKING": "true"}, "enable_thinking true contradicts the model's chat"),
        ("new", {"ENABLE_THINKING": "yes"}, "ENABLE_THINKING=yes: must be true or false"),
    ],
)
def test_what_contradicts_a_model(recipe, tmp_path, models, name, settings, sentence) -> None:
    run = recipe("run_tag_eval.sh", models[name], OUT=tmp_path, DRY_RUN=1, **settings)
    assert run.returncode != 0
    assert sentence in run.stderr


# ---------------------------------------------------------------- runs that are stopped


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that says something about an image, slowly."""

    seconds = 0.15
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "made/model"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.seconds)
        image = str(json.loads(body)["messages"]).encode()
        answer = ("fear", "anger", "happiness")[hashlib.sha256(image).digest()[0] % 3]
        text = smile(answer, [(30, 60, 80, 90)])
        tokens = [{"token": word, "logprob": -0.01} for word in text.split(" ")]
        choice = {"index": 0, "finish_reason": "stop", "logprobs": {"content": tokens}}
        choice["message"] = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 60, "completion_tokens": len(tokens), "total_tokens": 100}
        self._send({"object": "chat.completion", "choices": [choice], "usage": usage})

    def _send(self, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        with contextlib.suppress(ConnectionError):  # the client was killed
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def start(tmp_path: Path, out: Path, *models: str, **settings: object) -> subprocess.Popen[str]:
    given = {"N_TRAIN": 24, "N_TEST": 12, "VENV": sys.prefix, "TAG_SETUP": 0, "TAG_DEVICE": "cpu"}
    environment = os.environ | {
        name: str(value) for name, value in ({"OUT": out} | given | settings).items()
    }
    with (tmp_path / "log").open("a") as log:
        return subprocess.Popen(
            ["bash", SCRIPT, *models],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(tmp_path: Path, process: subprocess.Popen[str], timeout: float) -> None:
    assert process.wait(timeout=timeout) == 0, (tmp_path / "log").read_text()[-3000:]


def answers(out: Path) -> dict[str, bytes]:
    """The files with what was asked and answered, by their place."""
    found = sorted((out / "eval").glob("*/co*.json*"))
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def stop(process: subprocess.Popen[str], how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)  # the supervisor is in a session of its own
        else:
            process.send_signal(how)
    process.wait(timeout=60)


def processes_of(out: Path) -> list[str]:
    """Command lines of the living processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(out) in line:
                found.append(line)
    return found


def wait_until_gone(out: Path) -> None:
    deadline = time.monotonic() + 60
    while left := processes_of(out):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.timeout(300)
def test_stopped_at_random_moments_it_ends_with_the_same_files(tmp_path, endpoint) -> None:
    """Killed with signal 9 or asked to end, while it asks an endpoint about faces."""
    settings = {"ENDPOINT": endpoint, "COUNTERFACTUAL": 1, "BOX_SPACE": "pixels"}
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "stopped"
    finish(tmp_path, start(tmp_path, undisturbed, "made/model", **settings), 120)
    expected = answers(undisturbed)
    assert len(expected) == 4
    assert expected["eval/model/completions.jsonl"].count(b"\n") == 12

    seed = random.randrange(10**6)
    print("seed", seed)  # shown when the test fails
    rng = random.Random(seed)
    for how in (signal.SIGKILL, signal.SIGTERM):
        process = start(tmp_path, out, "made/model", **settings)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(1, 6))
        stop(process, how)
        wait_until_gone(out)
    finish(tmp_path, start(tmp_path, out, "made/model", **settings), 120)
    assert answers(out) == expected
    assert (out / "eval/report/index.html").stat().st_size > 10_000


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_vllm_killed_after_its_first_answers_ends_with_the_same_file(tmp_path) -> None:
    """The tiny model in vLLM; two models, one killed, compared and reported."""
    pytest.importorskip("vllm")
    settings = {"CHUNK": 8, "N_TEST": 24, "MAX_TOKENS": 128}
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "killed"
    finish(tmp_path, start(tmp_path, undisturbed, str(BASE), **settings), 240)
    expected = answers(undisturbed)["eval/base/completions.jsonl"]
    assert expected.count(b"\n") == 24

    process = start(tmp_path, out, str(BASE), **settings)
    path = out / "eval/base/completions.jsonl"
    deadline = time.monotonic() + 200
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stop(process, signal.SIGKILL)
    wait_until_gone(out)
    assert path.read_bytes().count(b"\n") < 24
    finish(tmp_path, start(tmp_path, out, str(BASE), **settings), 240)
    assert path.read_bytes() == expected

    # A second model, which is the same: the comparison finds no difference.
    copy = tmp_path / "copy"
    copy.symlink_to(BASE)
    other = undisturbed / "eval/copy"
    other.mkdir()
    for name in ("completions.jsonl", "completions.settings.json"):
        text = (undisturbed / "eval/base" / name).read_text()
        (other / name).write_text(text.replace(str(BASE), str(copy)))
    finish(tmp_path, start(tmp_path, undisturbed, str(BASE), str(copy), **settings), 120)
    table = (undisturbed / "eval/compare.txt").read_text()
    assert "base" in table
    assert "better" not in table
    assert (undisturbed / "eval/report/index.html").stat().st_size > 10_000
