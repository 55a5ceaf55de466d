"""verifiers' protocol: functions found by their import path, called with the arguments they name.

Replayed from verifiers 0.4.0, in `verifiers/v1`: `task.py` (`Task.score`), `utils/loaders.py`
(`plugged_fn`) and `utils/decorators.py` (`invoke_all`); and for `tag_rubric` from verifiers 0.1.14:
`verifiers/rubrics/rubric.py` (`_call_individual_reward_func`, `score_rollout`).
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tag_rewards import score
from tag_rewards.integrations import scorer
from tag_rewards.integrations import verifiers as adapter
from tag_rewards.integrations.scorer import SAMPLE_KEYS
from tag_rewards.rewards import RewardConfig
from tests.integrations.protocol import TARGET, TEXT, TRUTH

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / "examples" / "verifiers"
MODULE = "tag_rewards.integrations.verifiers"
WRONG = TEXT.replace("> happiness <", "> anger <")
EXPECTED = score(TEXT, TARGET)
COMPONENTS = {
    "tag_reward": "score",
    "format_reward": "format",
    "accuracy_reward": "accuracy",
    "grounding_reward": "grounding",
}


@pytest.fixture(autouse=True)
def _fresh_scorers(monkeypatch):
    """A scorer remembers whether it has seen a valid target."""
    monkeypatch.delenv(scorer.OPTIONS_VARIABLE, raising=False)
    scorer._cached_scorer.cache_clear()


@dataclass
class Trace:
    """What a reward function sees of a trace; without a reply, `last_reply` is empty."""

    last_reply: str = TEXT
    rewards: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def plugged_fn(path):
    module, _, name = path.rpartition(":")
    return getattr(importlib.import_module(module), name)


async def invoke_all(functions, available):
    calls = []
    for function in functions:
        names = inspect.signature(function).parameters
        calls.append(function(**{name: available[name] for name in names if name in available}))
    return await asyncio.gather(*calls)


def run_scoring(task, trace, rewards=(), metrics=()):
    """`Task.score` with functions that were plugged in by configuration."""
    available = {"task": task, "trace": trace, "runtime": object()}
    for names, record in ((metrics, trace.metrics), (rewards, trace.rewards)):
        functions = [plugged_fn(f"{MODULE}:{name}") for name in names]
        for function, result in zip(
            functions, asyncio.run(invoke_all(functions, available)), strict=True
        ):
            record.update(result if isinstance(result, dict) else {function.__name__: result})
    return trace


def task(**fields):
    return SimpleNamespace(idx=3, id="a", name=None, prompt="?", **fields)


@pytest.mark.parametrize("text", [TEXT, WRONG, "", "<bbox>" * 1000])
@pytest.mark.parametrize("column", ["ground_truth", "answer"])
def test_the_numbers_are_those_of_score(text, column):
    trace = run_scoring(task(**{column: TRUTH}), Trace(text), COMPONENTS, ["tag_metrics"])
    expected = {**score(text, TARGET), "invalid_target": 0.0}
    assert trace.rewards == {name: expected[key] for name, key in COMPONENTS.items()}
    assert trace.metrics == {f"tag/{key}": expected[key] for key in SAMPLE_KEYS if key != "score"}
    assert all(type(value) is float for value in (trace.rewards | trace.metrics).values())


def test_no_reply_scores_nothing():
    assert run_scoring(task(answer=TRUTH), Trace(None), ["tag_reward"]).rewards == {"tag_reward": 0}


def test_ground_truth_wins_over_answer():
    trace = run_scoring(task(answer="happiness", ground_truth=TRUTH), Trace(), ["tag_reward"])
    assert trace.rewards["tag_reward"] == EXPECTED["score"]


@pytest.mark.parametrize("fields", [{}, {"answer": None}])
def test_a_missing_field_is_named(fields):
    with pytest.raises(ValueError, match="neither a field 'ground_truth' nor 'answer'"):
        run_scoring(task(**fields), Trace(), ["tag_reward"])


def test_an_invalid_target_is_counted():
    run_scoring(task(answer=TRUTH), Trace(), ["tag_reward"])
    trace = run_scoring(task(answer="happiness"), Trace(), ["tag_reward"], ["tag_metrics"])
    assert trace.rewards == {"tag_reward": 0}
    assert trace.metrics["tag/invalid_target"] == 1


def test_options_come_from_a_task_or_the_environment(monkeypatch):
    accuracy = {"format_weight": 0, "grounding_weight": 0}
    truth = task(answer=TRUTH)
    assert asyncio.run(adapter.tag_reward(truth, Trace(), accuracy)) == 1
    monkeypatch.setenv(scorer.OPTIONS_VARIABLE, json.dumps(accuracy))
    assert run_scoring(truth, Trace(), ["tag_reward"]).rewards == {"tag_reward": 1}


def test_an_unknown_option_is_said():
    with pytest.raises(ValueError, match="'grouding_weight' is no option"):
        asyncio.run(adapter.tag_reward(task(answer=TRUTH), Trace(), {"grouding_weight": 1}))


@pytest.mark.parametrize("name", [*COMPONENTS, "tag_metrics"])
def test_functions_are_plain_coroutines_without_a_runtime(name):
    """One that demands a `runtime` would be skipped when saved traces are scored anew."""
    function = plugged_fn(f"{MODULE}:{name}")
    assert inspect.iscoroutinefunction(function)
    assert [*inspect.signature(function).parameters] == ["task", "trace", "options"]
    assert pickle.loads(pickle.dumps(function)) is function


def test_threads_give_the_same_numbers():
    with ThreadPoolExecutor(8) as pool:
        work = [adapter.tag_reward(task(answer=TRUTH), Trace(text)) for text in [TEXT, WRONG] * 20]
        rewards = list(pool.map(asyncio.run, work))
    assert rewards == [EXPECTED["score"], score(WRONG, TARGET)["score"]] * 20


class Rubric:
    """verifiers 0.1's rubric."""

    def __init__(self, funcs, weights):
        self.funcs, self.weights, self.errors = funcs, weights, []

    async def call(self, function, state):
        names = inspect.signature(function).parameters
        merged = {
            "prompt": state["prompt"],
            "completion": state["completion"],
            "answer": state.get("answer", ""),
            "state": state,
            "info": state.get("info", {}),
        }
        try:
            return float(function(**{key: merged[key] for key in merged if key in names}))
        except Exception as error:
            self.errors.append(f"Error calling reward function {function.__name__}: {error}")
            return 0.0

    async def score_rollout(self, state):
        values = [await self.call(function, state) for function in self.funcs]
        state["metrics"] = {f.__name__: v for f, v in zip(self.funcs, values, strict=True)}
        state["reward"] = sum(v * w for v, w in zip(values, self.weights, strict=True))


@pytest.fixture
def rubric(monkeypatch):
    module = ModuleType("verifiers")
    module.Rubric = Rubric
    monkeypatch.setitem(sys.modules, "verifiers", module)
    return adapter.tag_rubric


def rollout(rubric, text, **columns):
    completion = [SimpleNamespace(role="assistant", content=text)]
    state: dict[str, Any] = {"prompt": [], "completion": completion, **columns}
    asyncio.run(rubric.score_rollout(state))
    return state


@pytest.mark.parametrize(
    "columns",
    [
        {"answer": TRUTH},
        {"answer": "", "info": {"ground_truth": TRUTH}},
        {"info": json.dumps({"ground_truth": TRUTH})},
    ],
)
def test_a_rubric_rewards_the_whole_and_shows_the_components(rubric, columns):
    state = rollout(rubric(), TEXT, **columns)
    assert state["reward"] == EXPECTED["score"]
    for key in ("score", "format", "accuracy", "grounding", "mean_iou", "au_f1"):
        assert state["metrics"][f"tag_{key}"] == EXPECTED[key]
    assert rollout(rubric(), None, **columns)["reward"] == 0


def test_a_rubric_has_options(rubric):
    state = rollout(rubric(format_weight=0, grounding_weight=0), TEXT, answer=TRUTH)
    assert state["reward"] == 1
    with pytest.raises(ValueError, match="'weight' is no option"):
        rubric(weight=1)


def test_a_rubric_says_which_column_is_missing(rubric):
    made = rubric()
    assert rollout(made, TEXT, info={"split": "test"})["reward"] == 0
    assert "neither 'answer' nor 'ground_truth' within 'info'" in made.errors[0]


def test_a_rubrics_functions_pickle(rubric):
    made = rubric()
    for function in made.funcs:
        again = pickle.loads(pickle.dumps(function))
        assert again.__name__ == function.__name__
        assert again(completion=TEXT, answer=TRUTH) == function(completion=TEXT, answer=TRUTH)


def test_without_rubrics_the_error_says_what_to_use(monkeypatch):
    monkeypatch.setitem(sys.modules, "verifiers", ModuleType("verifiers"))
    with pytest.raises(ImportError, match=r"\(0\.2 removed it\); use the reward functions"):
        adapter.tag_rubric()


def test_without_verifiers_everything_but_the_rubric_works():
    code = (
        "import asyncio, sys; sys.modules['verifiers'] = None\n"
        "from types import SimpleNamespace as Record\n"
        f"from {MODULE} import tag_reward, tag_rubric\n"
        f"task, trace = Record(answer={TRUTH!r}), Record(last_reply={TEXT!r})\n"
        "assert asyncio.run(tag_reward(task, trace)) > 0.9\n"
        "try: tag_rubric()\n"
        "except ModuleNotFoundError: print('not installed')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "not installed\n"


class Replay(ThreadingHTTPServer):
    """An OpenAI-compatible server that answers each image with the completion given for it."""

    def __init__(self, completions):
        super().__init__(("127.0.0.1", 0), Handler)
        self.completions = completions
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        [image] = [
            part["image_url"]["url"]
            for message in request["messages"]
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        reply = {"role": "assistant", "content": self.server.completions[image]}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": reply}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Made faces: their parquet file, and a completion for each of them, every other one exact."""
    pytest.importorskip("cv2")
    from tag_rewards.datasets.made_faces.dataset import write_dataset
    from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
    from tag_rewards.prepare.run import prepare

    root = tmp_path_factory.mktemp("faces")
    write_dataset(root / "faces", 1, 4)
    prepare(root / "faces", root / "faces" / "openface", root / "data")
    path = root / "data" / "rl_test.parquet"
    rows, traces = read_rl_parquet(path), read_sft_parquet(root / "data" / "sft_test.parquet")
    samples = [
        (row, sft.trace if row.index % 2 else sft.trace.replace("<answer> ", "<answer> not "))
        for row, sft in zip(rows, traces, strict=True)
    ]
    return path, samples


@pytest.fixture
def server(faces):
    from base64 import b64encode

    completions = {
        f"data:image/jpeg;base64,{b64encode(row.image).decode()}": text for row, text in faces[1]
    }
    with Replay(completions) as replay:
        Thread(target=replay.serve_forever, daemon=True).start()
        yield replay
        replay.shutdown()


def test_the_example_has_the_default_weights():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    config = tomllib.loads((EXAMPLE / "eval.toml").read_text("utf-8"))
    reward = config["env"]["taskset"]["task"]["reward"]
    assert scorer.Scorer(RewardConfig.from_options(reward)).config == scorer.Scorer().config


def test_the_docs_page_names_functions_that_are_there():
    page = (REPO / "docs" / "verifiers.md").read_text(encoding="utf-8")
    paths = re.findall(r'^fn = "(.*)"$', page, re.MULTILINE)
    assert [plugged_fn(path) for path in paths] == [adapter.tag_reward, adapter.tag_metrics]
    public = {
        name
        for name, value in vars(adapter).items()
        if getattr(value, "__module__", "") == adapter.__name__ and not name.startswith("_")
    }
    assert {"tag_reward", "grounding_reward", "tag_rubric"} <= public
    assert all(f"`{name}`" in page for name in public)


@pytest.mark.stack
class TestWithVerifiers:
    """The same through verifiers itself, 0.2 or later, in an environment of its own."""

    @pytest.fixture
    def run(self, tmp_path):
        if hasattr(pytest.importorskip("verifiers"), "Rubric"):
            pytest.skip("this verifiers is older than 0.2")

        def run(program, *arguments, **variables):
            done = subprocess.run(
                [Path(sys.executable).with_name(program), *arguments],
                cwd=tmp_path,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{REPO}:{EXAMPLE}",
                    "HOME": str(tmp_path),
                    **variables,
                },
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]

        return run

    @staticmethod
    def traces(folder):
        [file] = folder.rglob("traces.jsonl")
        found = [trace for line in file.open() for trace in json.loads(line)["traces"]]
        assert not any(trace["errors"] for trace in found)
        return {trace["task"]["data"]["id"]: trace for trace in found}

    def test_an_evaluation_of_the_example(self, run, faces, server, tmp_path):
        """`vf-eval` asks the server, scores the replies, and `vf-replay` scores them anew."""
        path, samples = faces
        overrides = ["--client.base-url", server.url, "--env.taskset.parquet", str(path)]
        run("vf-eval", "@", str(EXAMPLE / "eval.toml"), *overrides, "--run.name", "a", "--no-rich")
        traces = self.traces(tmp_path / "outputs")
        for row, text in samples:
            expected = {**score(text, row.target), "invalid_target": 0.0}
            found = traces[row.id]
            assert found["rewards"] == {"tag": {"score": expected.pop("score"), "weight": 1.0}}
            assert found["metrics"] == {f"tag/{key}": value for key, value in expected.items()}
        assert len({trace["rewards"]["tag"]["score"] for trace in traces.values()}) > 1
        weights = '{"format_weight": 0, "grounding_weight": 0}'
        overrides = ["--taskset.id", "tag-faces", "--taskset.task.reward", weights]
        run("vf-replay", "outputs/a", *overrides, "--no-rich", "--output-dir", "again")
        again = self.traces(tmp_path / "again")
        for row, text in samples:
            accuracy = score(text, row.target)["accuracy"]
            assert again[row.id]["rewards"]["tag"]["score"] == accuracy

    def test_functions_plugged_in_by_configuration(self, run, faces, server, tmp_path):
        plugged = tmp_path / "plugged.toml"
        plugged.write_text(
            f'[env.taskset.task.rewards.iou]\nfn = "{MODULE}:grounding_reward"\nweight = 0.5\n'
            f'[env.taskset.task.metrics.correct]\nfn = "{MODULE}:accuracy_reward"\n'
        )
        path, samples = faces
        files = ["@", str(EXAMPLE / "eval.toml"), "@", str(plugged)]
        overrides = ["--client.base-url", server.url, "--env.taskset.parquet", str(path)]
        run("vf-eval", *files, *overrides, "--no-rich")
        traces = self.traces(tmp_path / "outputs")
        for row, text in samples:
            expected = score(text, row.target)
            assert traces[row.id]["rewards"]["iou"] == {
                "score": expected["grounding"],
                "weight": 0.5,
            }
            assert traces[row.id]["metrics"]["correct"] == expected["accuracy"]


@pytest.mark.stack
def test_an_environment_with_a_rubric(faces, server):
    """verifiers before 0.2: its own rollout and scoring."""
    vf = pytest.importorskip("verifiers")
    if not hasattr(vf, "Rubric"):
        pytest.skip("this verifiers has no rubrics")
    from datasets import Dataset
    from verifiers.types import ClientConfig

    images = dict(zip((row.id for row, _ in faces[1]), server.completions, strict=True))
    rows = [
        {
            "prompt": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Which expression?"},
                        {"type": "image_url", "image_url": {"url": images[row.id]}},
                    ],
                }
            ],
            "answer": row.target.to_json(),
        }
        for row, _ in faces[1]
    ]
    environment = vf.SingleTurnEnv(
        eval_dataset=Dataset.from_list(rows), rubric=adapter.tag_rubric()
    )
    client = ClientConfig(api_base_url=server.url, api_key_var="OPENAI_API_KEY")
    results = environment.evaluate_sync(client, "replay", max_concurrent=2)
    outputs = sorted(results["outputs"], key=lambda output: output["example_id"])
    for output, (row, text) in zip(outputs, faces[1], strict=True):
        expected = score(text, row.target)
        assert output["reward"] == expected["score"]
        assert output["metrics"]["tag_grounding"] == expected["grounding"]
