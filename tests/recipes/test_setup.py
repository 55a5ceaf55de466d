"""recipes/setup.sh, played through with a stand-in for Python, and the pinned sets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pip = pytest.importorskip("pip")  # environments of uv have none

REPO = Path(__file__).parents[2]
CONSTRAINTS = REPO / "recipes" / "constraints"
SETS = sorted(CONSTRAINTS.glob("*-py3.*.txt"))

# Notes each call in $CALLS; makes "environments" of itself; fails where a call matches $FAIL.
PYTHON = r"""#!/usr/bin/env bash
printf '%s\n' "$*" | head -n 1 >>"$CALLS"
[[ -z ${FAIL:-} || ! "$*" =~ $FAIL ]] || { echo "ERROR: no luck with $FAIL"; exit 1; }
sleep "${SLEEP:-0}"
case "$*" in
    recipes/uv_install.py*) [[ -n ${WITH_UV:-} ]] || exit 1 ;;
    *'%d.%d'*) echo "${VERSION:-3.11}" ;;
    *compiled_with_cxx11_abi*) echo 2.11.0 13.0 True ;;
    '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/uv" ;;
    '-m pip list'*) echo "${INSTALLED:-}" ;;
esac
"""


class Setup:
    """A place to run the script in, and what it asked the interpreter for."""

    def __init__(self, folder: Path) -> None:
        self.venv, self.python, self.log = folder / "venv", folder / "python", folder / "calls"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)

    def start(self, *arguments: str, **settings: object) -> subprocess.Popen[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "VENV": str(self.venv),
            "PYTHON": str(self.python),
            "TAG_DEVICE": "cpu",
            "CALLS": str(self.log),
            **{name: str(value) for name, value in settings.items()},
        }
        return subprocess.Popen(
            ["bash", str(REPO / "recipes" / "setup.sh"), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **settings: object) -> tuple[int, str]:
        process = self.start(*arguments, **settings)
        output = process.communicate(timeout=60)[0]
        return process.returncode, output

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def state(self) -> str:
        return (self.venv / ".tag-rewards").read_text().strip()


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_help(setup: Setup) -> None:
    code, output = setup.run("--help")
    assert code == 0
    for name in ("VENV", "PYTHON", "TAG_DEVICE", "TORCH_INDEX_URL"):
        assert name in output
    assert not setup.venv.exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"TAG_DEVICE": "tpu"}, "TAG_DEVICE=tpu: must be cpu or gpu"),
        ({"PYTHON": "/no/python"}, "PYTHON=/no/python: not a Python 3.10 to 3.12"),
        ({"FAIL": "ensurepip"}, "not a Python 3.10 to 3.12 with the venv module"),
    ],
)
def test_bad_settings_are_one_sentence(setup: Setup, settings: dict, sentence: str) -> None:
    code, output = setup.run(**settings)
    assert code != 0
    assert sentence in output
    assert len(output.splitlines()) == 1


def test_second_run_does_nothing(setup: Setup) -> None:
    code, output = setup.run()
    assert code == 0, output
    assert "Done" in output
    before, began = setup.calls(), time.monotonic()
    assert setup.run() == (0, "")
    assert time.monotonic() - began < 1
    assert setup.calls() == before


@pytest.mark.parametrize(("device", "stack"), [("cpu", "vllm_alias"), ("gpu", "gpu.in")])
def test_right_set_for_the_device(setup: Setup, device: str, stack: str) -> None:
    code, output = setup.run(TAG_DEVICE=device, VERSION="3.12")
    assert code == 0, output
    installs = [call for call in setup.calls() if "pip install" in call]
    assert all(f"-c recipes/constraints/{device}-py3.12.txt" in call for call in installs)
    assert any(stack in call for call in installs)
    assert any("recipes/cpu" in call for call in installs) == (device == "cpu")


def test_pip_installs_what_uv_does_not(setup: Setup) -> None:
    """With the same arguments: the tools by pip alone, each later part by uv first."""

    def asked(calls: list[str], way: str) -> list[str]:
        return [call.partition(" -c ")[2] for call in calls if way in call]

    code, output = setup.run(INSTALLED="torch==2.13.0+cpu")
    assert code == 0, output
    tools, *by_pip = asked(setup.calls(), "-m pip install")
    assert tools.endswith("tools.in")
    assert asked(setup.calls(), "uv_install.py") == by_pip
    assert len(by_pip) == 2
    assert "--- with pip: " in (setup.venv / "setup.log").read_text()

    for name, settings, ways in (
        ("uv", {"WITH_UV": 1}, {"uv_install.py": by_pip, "-m pip install": [tools]}),
        ("pip", {"UV": 0}, {"uv_install.py": [], "-m pip install": [tools, *by_pip]}),
    ):
        again = Setup(setup.venv.parent)
        again.venv, again.log = setup.venv.with_name(name), setup.venv.with_name(f"calls of {name}")
        code, output = again.run(INSTALLED="torch==2.13.0+cpu", **settings)
        assert code == 0, output
        assert {way: asked(again.calls(), way) for way in ways} == ways


def test_uv_itself_may_be_missing(setup: Setup) -> None:
    code, output = setup.run(FAIL="tools.in")
    assert code == 0, output
    assert "check" in output


PIP_CONFIGURATION = """
[global]
index-url = https://first.example/simple
extra-index-url =
    https://second.example/simple
    https://third.example/simple
find-links = elsewhere
timeout = 9
[install]
find-links = one two
"""


def uv_call(tmp_path: Path, configuration: str, **settings: str) -> tuple[int, list[str], str]:
    """How uv is called by an environment whose pip is so configured, and what is complained of."""
    (tmp_path / "pip.conf").write_text(configuration)
    if not (tmp_path / "venv").exists():
        venv.create(tmp_path / "venv", symlinks=True)
        folder = Path(next((tmp_path / "venv").glob("lib/python*/site-packages")))
        shutil.copytree(Path(pip.__file__).parent, folder / "pip", symlinks=True)
        uv = tmp_path / "venv" / "bin" / "uv"
        uv.write_text('#!/bin/sh\nprintf "%s\\n" "cert=$SSL_CERT_FILE" "$@"\n')
        uv.chmod(0o755)
    run = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", REPO / "recipes" / "uv_install.py", "-c", "a b"],
        env={"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), **settings},
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout.splitlines(), run.stderr


def test_uv_looks_where_pip_is_configured_to(tmp_path: Path) -> None:
    code, called, said = uv_call(
        tmp_path, PIP_CONFIGURATION, PIP_CERT="/a/bundle.pem", PIP_NO_CACHE_DIR="1"
    )
    assert code == 0, said
    assert called[0] == "cert=/a/bundle.pem"
    assert called[-2:] == ["-c", "a b"]
    assert {
        "--index-url=https://first.example/simple",
        "--extra-index-url=https://second.example/simple",
        "--extra-index-url=https://third.example/simple",
        "--find-links=one",
        "--find-links=two",
        "--no-cache",
    } < set(called)
    assert not any("elsewhere" in word or "timeout" in word for word in called)

    code, called, _ = uv_call(tmp_path, PIP_CONFIGURATION, PIP_FIND_LINKS="three")
    assert [word for word in called if "find-links" in word] == ["--find-links=three"]

    code, called, said = uv_call(tmp_path, "[install]\nonly-binary = torch\n")
    assert (code, called) == (1, [])
    assert (
        said == "not with uv: pip is configured with only-binary=torch, of which uv is not told\n"
    )


def test_failure_is_told_and_repaired(setup: Setup) -> None:
    code, output = setup.run(FAIL="verl|cpu.in")
    assert code != 0
    assert "ERROR: no luck" in output
    assert f"the whole log: {setup.venv}/setup.log" in output
    assert setup.state() == "unfinished"
    (setup.venv / "half a package").touch()
    code, output = setup.run()
    assert code == 0, output
    assert not (setup.venv / "half a package").exists()


def test_no_cpu_build_of_torch(setup: Setup) -> None:
    code, output = setup.run(FAIL=r"install .*torch==2\.13\.0\+cpu$")
    assert code != 0
    assert "found no CPU build of PyTorch (torch==2.13.0+cpu for Python 3.11)" in output
    assert "TORCH_INDEX_URL" in output
    assert setup.state() == "unfinished"


def test_torch_sources_are_tried_in_turn(setup: Setup) -> None:
    assert setup.run(INSTALLED="torch==2.13.0+cpu")[0] == 0
    assert not any(call.endswith("+cpu") for call in setup.calls())

    again = Setup(setup.venv.parent)
    again.venv = setup.venv.with_name("second")
    code, output = again.run(
        FAIL=r"--extra-index-url .*\+cpu$", TORCH_INDEX_URL="file:///wheels", WITH_UV=1
    )
    assert code == 0, output
    assert "through uv" in output
    tried = [call for call in again.calls() if call.endswith("torch==2.13.0+cpu")]
    assert len(tried) == 3
    assert all("--extra-index-url file:///wheels" in call for call in tried[:2])
    assert "--torch-backend cpu" in tried[2]


def test_changed_inputs_update_in_place(setup: Setup) -> None:
    assert setup.run()[0] == 0
    (setup.venv / ".tag-rewards").write_text("another fingerprint\n")
    (setup.venv / "kept").touch()
    assert setup.run()[0] == 0
    assert (setup.venv / "kept").exists()


def test_another_python_or_device_starts_anew(setup: Setup) -> None:
    assert setup.run()[0] == 0
    (setup.venv / "of the old one").touch()
    assert setup.run(TAG_DEVICE="gpu")[0] == 0
    assert not (setup.venv / "of the old one").exists()


def test_foreign_environment_is_left_alone(setup: Setup) -> None:
    setup.venv.mkdir()
    (setup.venv / "pyvenv.cfg").touch()
    code, output = setup.run()
    assert code != 0
    assert "was not made by this script" in output
    assert (setup.venv / "pyvenv.cfg").exists()


def test_two_at_once(setup: Setup) -> None:
    first, second = setup.start(SLEEP=0.1), setup.start(SLEEP=0.1)
    for process in (first, second):
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
    assert sum(call.startswith("-m venv") for call in setup.calls()) == 1


def with_driver(setup: Setup, version: str, **settings: object) -> tuple[int, str]:
    """A set-up for GPUs on a machine whose nvidia-smi says that version."""
    folder = setup.venv.parent
    driver = folder / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\nprintf '{version}\\n{version}\\n'\n")
    driver.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return setup.run(TAG_DEVICE="gpu", VERSION="3.12", PATH=path, **settings)


def test_a_driver_that_is_too_old_ends_before_anything_is_fetched(setup: Setup) -> None:
    code, output = with_driver(setup, "570.172.08")
    assert code != 0
    sentence = "the NVIDIA driver is 570.172.08, and this set's CUDA 13 needs 580 or later: update"
    assert sentence in output
    assert not any("pip" in call or "venv " in call for call in setup.calls())
    assert with_driver(setup, "570.172.08", DRIVER_CHECK=0)[0] == 0


@pytest.mark.parametrize("version", ["580.65.06", "600.1", "[N/A]", ""])
def test_a_driver_that_will_do_or_does_not_say(setup: Setup, version: str) -> None:
    code, output = with_driver(setup, version)
    assert code == 0, output


@pytest.mark.parametrize(
    ("facts", "name"),
    [  # the names of wheels that there are or were, but for the first, which is ours
        ("2.8.3.post2 3.12 2.11.0 13.0 True x86_64", "cu13torch2.11cxx11abiTRUE-cp312"),
        ("2.8.3.post2 3.10 2.11.0+cu130 13.0 True x86_64", "cu13torch2.11cxx11abiTRUE-cp310"),
        ("2.8.3 3.10 2.10.0 13.0 True x86_64", "cu13torch2.10cxx11abiTRUE-cp310"),
        ("2.8.1 3.12 2.9.1+cu130 13.0 True aarch64", "cu13torch2.9cxx11abiTRUE-cp312"),
        ("2.8.3.post1 3.12 2.8.0+cu128 12.8 True x86_64", "cu12torch2.8cxx11abiTRUE-cp312"),
        ("2.8.3.post1 3.10 2.5.1 12.4 False x86_64", "cu12torch2.5cxx11abiFALSE-cp310"),
    ],
)
def test_the_name_of_a_wheel_of_flash_attention(facts: str, name: str) -> None:
    version, *_, machine = facts.split()
    said = subprocess.run(
        ["bash", "-euc", f'source "{REPO}/recipes/lib.sh"; flash_attention_wheel {facts}'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"flash_attn-{version}+{name}-{name[-5:]}-linux_{machine}.whl\n"


WHEEL = "flash_attn-2.8.3.post2+cu13torch2.11cxx11abiTRUE-cp312-cp312-linux_"


@pytest.mark.parametrize(
    ("fail", "sentence", "removed"),
    [
        ("find_spec", f"flash-attention: {WHEEL}", False),
        ("find_spec|flash-attention/releases", "flash-attention: none (not to be had", False),
        ("find_spec|import torch, flash_attn", "flash-attention: none (not to be had", True),
        ("nothing", "flash-attention: there already", False),
    ],
)
def test_flash_attention_is_taken_from_a_wheel_or_done_without(
    setup: Setup, fail: str, sentence: str, removed: bool
) -> None:
    code, output = setup.run(TAG_DEVICE="gpu", VERSION="3.12", FAIL=fail)
    assert code == 0, output
    assert sentence in output
    calls = setup.calls()
    asked = [call for call in calls if "/v2.8.3.post2/" + WHEEL.replace("+", "%2B") in call]
    assert len(asked) == (fail != "nothing")
    assert all("-c recipes/constraints/gpu-py3.12.txt" in call for call in asked)
    assert ("-m pip uninstall --yes flash-attn" in calls) is removed
    assert setup.run(TAG_DEVICE="gpu", VERSION="3.12", FAIL=fail) == (0, "")


def test_flash_attention_is_not_looked_for_where_it_is_no_use(setup: Setup) -> None:
    for settings in ({"TAG_DEVICE": "cpu"}, {"TAG_DEVICE": "gpu", "FLASH_ATTENTION": 0}):
        code, output = setup.run(FAIL="find_spec", **settings)
        assert code == 0, output
        assert "flash-attention: " not in output
    assert not any("flash_attn" in call for call in setup.calls())


@pytest.mark.parametrize(("device", "version"), [("cpu", "3.11"), ("gpu", "3.12")])
def test_the_python_that_fits_a_device_comes_first(setup: Setup, device: str, version: str) -> None:
    for name in ("3.10", "3.11", "3.12"):
        path = setup.python.with_name(f"python{name}")
        path.write_text(PYTHON.replace("VERSION:-3.11", f"VERSION:-{name}"))
        path.chmod(0o755)
    path = f"{setup.python.parent}:{os.environ['PATH']}"
    code, output = setup.run(TAG_DEVICE=device, PYTHON="", PATH=path)
    assert code == 0, output
    assert f"({device}, Python {version};" in output


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
def test_the_least_driver_of_a_sets_cuda_is_known(path: Path) -> None:
    known = re.search(r"DRIVER_OF_CUDA=\((.*)\)", (REPO / "recipes/setup.sh").read_text())
    cuda = pins(path).get("cuda-toolkit", "").partition(".")[0]
    assert f"[{cuda}]=" in known[1] if path.name.startswith("gpu") else not cuda


@pytest.mark.parametrize(
    ("version", "cuda", "available", "sentence"),
    [
        ("2.13.0+cpu", None, False, "is a build without CUDA, and this machine has GPUs"),
        ("2.11.0", "13.0", False, "was built for CUDA 13.0 and cannot use the 1 GPUs here"),
        ("2.11.0", "13.0", True, None),
    ],
)
def test_pytorch_must_be_one_for_the_gpus(tmp_path, version, cuda, available, sentence) -> None:
    torch = tmp_path / "torch"
    torch.mkdir()
    (torch / "__init__.py").write_text(
        f"from types import SimpleNamespace as S\n__version__ = {version!r}\n"
        f"version = S(cuda={cuda!r})\ncuda = S(is_available=lambda: {available})\n"
    )
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho GPU 0: A\n")
    driver.chmod(0o755)
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f'source "{REPO}/recipes/lib.sh"; set_up; say fine'],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": str(tmp_path),
            "VENV": sys.prefix,
            "TAG_SETUP": "0",
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == (0 if sentence is None else 1), run.stderr
    assert (sentence or "") in run.stderr


def pins(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert all("==" in line for line in lines), "a constraint that is not a pin"
    return {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines)
    }


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
def test_pins_cover_what_is_asked_for(path: Path) -> None:
    """Each requirement of the set, of the tools and of the package itself is pinned, and fits."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    device = path.name.split("-")[0]
    files = [CONSTRAINTS / f"{device}.in", CONSTRAINTS / "tools.in"]
    lines = [line for file in files for line in file.read_text().splitlines()]
    wanted = lines + project["dependencies"] + extras["data"] + extras["eval"]
    wanted += extras["light"] + extras["dev"]
    pinned = pins(path)
    for line in wanted:
        if re.match(r"\s*(#|$)|tag-rewards\[", line):
            continue
        requirement = Requirement(line)
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not pinned: run recipes/constraints/regenerate.sh"
        assert requirement.specifier.contains(version, prereleases=True), f"{line}: {version}"


def test_every_python_has_its_sets() -> None:
    names = {f"{device}-py3.{minor}.txt" for device in ("cpu", "gpu") for minor in (10, 11, 12)}
    assert {path.name for path in SETS} == names


# Notes each call, and what it finds in the folder of --find-links; takes a newer `rich`.
UV = r"""#!/usr/bin/env bash
while (($#)); do
    case $1 in
        --find-links) echo "links $(cd "$2" && echo *.whl)" ;;
        --torch-backend) echo "index $2" ;;
        --upgrade*) echo "option $1" ;;
        --output-file) sed -i '1d; s/^rich==.*/rich==99.0/' "$2" ;;
    esac
    shift
done >>"$CALLS"
"""


@pytest.mark.parametrize(
    ("settings", "installed", "source"),
    [
        ({}, "2.13.0+cpu", "links torch-2.13.0+cpu-py3-none-any.whl"),
        ({}, "2.11.0", "index cpu"),
        ({"TORCH_LINKS": "wheels"}, "2.13.0+cpu", "links some.whl"),
    ],
)
def test_constraints_are_made_anew(tmp_path, settings, installed, source) -> None:
    """In a copy of the repository, with a stand-in for uv and for the environment's PyTorch."""
    repo, venv, calls = tmp_path / "repo", tmp_path / "venv", tmp_path / "calls"
    shutil.copytree(CONSTRAINTS, repo / "recipes" / "constraints")
    (repo / "wheels").mkdir()
    (repo / "wheels" / "some.whl").touch()
    info = tmp_path / "packages" / f"torch-{installed}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {installed}\n")
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "uv").write_text(UV)
    (venv / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for name in ("uv", "python"):
        (venv / "bin" / name).chmod(0o755)
    run = subprocess.run(
        ["bash", str(repo / "recipes" / "constraints" / "regenerate.sh"), "--upgrade-package=rich"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(info.parent),
            "VENV": str(venv),
            "CALLS": str(calls),
            **settings,
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    said = calls.read_text().splitlines()
    assert said.count(source) == 3  # the CPU's sets; those for GPUs come from the index
    assert said.count("option --upgrade-package=rich") == 6
    assert len(said) == 9
    before = pins(CONSTRAINTS / "gpu-py3.12.txt")["rich"]
    assert run.stdout.endswith(f"packages\n  - rich=={before}\n  + rich==99.0\n")
    for path in SETS:
        after = repo / "recipes" / "constraints" / path.name
        assert pins(after) == pins(path) | {"rich": "99.0"}
        assert after.read_text().splitlines()[0] == path.read_text().splitlines()[0]
