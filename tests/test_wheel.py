"""The wheel alone: every adapter scores where no training stack is installed.

The clean environment has the wheel, and of the packages of this one only those that the wheel asks
for without extras. Nothing is downloaded.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
TABLE = REPO / "tests" / "integrations" / "adapter_table.py"
CORE = ("lazy-loader", "numpy", "packaging", "scipy", "shapely")
STACKS = (
    *("torch", "ray", "verl", "vllm", "trl", "swift", "verifiers", "nemo_rl", "slime", "areal"),
    *("transformers", "datasets", "pandas", "pyarrow", "cv2", "omegaconf", "matplotlib", "rich"),
    *("fastapi", "pydantic", "starlette", "uvicorn", "orjson", "prometheus_client", "typer"),
    *("pytest", "hypothesis"),
)

# What runs in the clean environment; it prints what it finds as JSON.
PROBE = """
import importlib, importlib.util, json, pkgutil, sys
import tag_rewards, tag_rewards.integrations
from tag_rewards.testing import TARGETS, honest_text

table = {}
exec(compile(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1], "exec"), table)
target = TARGETS[0]
rewards = {}
for name, adapter in table["ADAPTERS"].items():
    key = table["KEYS"].get(name, "score")
    for kind, text in (("honest", honest_text(target)), ("empty", ""), ("none", None)):
        reward = adapter(text, target.to_json())
        rewards[f"{name}, {kind}"] = reward[key] if isinstance(reward, dict) else reward
names = [module.name for module in pkgutil.iter_modules(tag_rewards.integrations.__path__)]
for name in names:
    importlib.import_module(f"tag_rewards.integrations.{name}")
try:
    tag_rewards.integrations.server.create_app
except ImportError as error:
    server = str(error)
else:
    server = ""
print(json.dumps({
    "file": tag_rewards.__file__,
    "rewards": rewards,
    "modules": names,
    "stacks": [name for name in sys.argv[2:] if importlib.util.find_spec(name) is not None],
    "server": server,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed, and nothing is downloaded")
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(folder), str(REPO))
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel, tmp_path_factory):
    """The interpreter of an environment that has the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    [packages] = (folder / "env" / "lib").glob("python*/site-packages")
    pip("install", "--no-deps", "--no-index", "--target", str(packages), str(wheel))
    core = folder / "core"
    core.mkdir()
    for name in (name.replace("-", "_") for name in CORE):
        here = Path(str(distribution(name).locate_file("")))
        for part in (
            *here.glob(name),
            *here.glob(f"{name}.libs"),
            *here.glob(f"{name}-*.dist-info"),
        ):
            (core / part.name).symlink_to(part)
    (packages / "core.pth").write_text(f"{core}\n", encoding="utf-8")
    return python


@pytest.fixture(scope="module")
def found(clean_python):
    return json.loads(run(str(clean_python), "-I", "-c", PROBE, str(TABLE), *STACKS))


def pip(*arguments):
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_environment_is_clean(found, clean_python):
    assert Path(found["file"]).is_relative_to(clean_python.parents[1])
    assert found["stacks"] == []


def test_every_adapter_scores_without_its_stack(found):
    rewards = found["rewards"]
    assert len(rewards) > 30
    for name, reward in rewards.items():
        assert reward == pytest.approx(1.0 if name.endswith("honest") else 0.0), name


def test_every_module_of_the_integrations_imports(found):
    here = {path.stem for path in (REPO / "tag_rewards" / "integrations").iterdir()}
    assert set(found["modules"]) == here - {"__init__", "__pycache__"}


def test_the_server_says_what_it_needs(found):
    assert 'pip install "tag-rewards[server]"' in found["server"]


def test_the_wheel_asks_for_the_core_alone(wheel, tmp_path):
    shutil.unpack_archive(wheel, tmp_path, "zip")
    [metadata] = tmp_path.glob("*.dist-info/METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    needs = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert sorted(line.split()[1].partition(">")[0] for line in needs) == sorted(CORE)


def command(python, *arguments):
    return subprocess.run(
        [str(python), "-I", "-m", "tag_rewards", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
    )


@pytest.mark.parametrize("arguments", [[], ["--version"], ["score", "a.txt"], ["doctor", "--help"]])
def test_the_command_line_says_what_it_needs(clean_python, arguments):
    done = command(clean_python, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tag-rewards: the command line needs more than the rewards do")
    assert "pip install 'tag-rewards[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_doctor_works_without_the_command_line(clean_python):
    done = command(clean_python, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "matplotlib is not installed" in done.stdout
    assert "pip install 'tag-rewards[eval]'" in done.stdout
    record = json.loads(command(clean_python, "doctor", "--json").stdout)
    assert record["ok"] is True
    missing = {extra["name"]: extra["missing"] for extra in record["extras"]}
    assert missing[""] == []
    assert all(missing[extra] for extra in ("data", "detect", "eval", "server", "traces", "verl"))
