"""What stands around the code: citation, workflows, container, packages that come out the same."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

import tag_rewards
from tests.builders.command import every_command

REPO = Path(__file__).parents[1]
WORKFLOWS = sorted(REPO.glob(".github/workflows/*.yml"))


def read(name):
    path = REPO / name
    if not path.exists():
        pytest.skip(f"{name} is not part of this distribution")
    return path.read_text(encoding="utf-8")


def settings():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    return tomllib.loads(read("pyproject.toml"))


def project():
    return settings()["project"]


def test_the_citation_is_of_this_version():
    cited, known = yaml.safe_load(read("CITATION.cff")), project()
    assert cited["version"] == known["version"] == tag_rewards.__version__
    assert (cited["title"], cited["license"]) == (known["name"], known["license"])
    assert cited["references"][0]["url"] == known["urls"]["Paper"]


def lines_of(job):
    """What a job runs, for each entry of its matrix."""
    for entry in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
        for step in job["steps"]:
            yield re.sub(
                r"\$\{\{ matrix\.(\w+) \}\}", lambda m, e=entry: e[m[1]], step.get("run", "")
            )


def test_the_workflow_runs_what_ci_runs_and_what_is_there():
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    lines = [line for job in jobs.values() for line in lines_of(job) if line]
    assert {".ci/run", "make test-oldest", "make test-newest"} <= set(lines)
    targets = re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE)
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= set(targets)
    named = [word for line in lines for word in re.findall(r"(?:tests|\.ci)/[\w./]+", line)]
    assert named
    assert [name for name in named if not (REPO / name).exists()] == []


def test_the_oldest_and_the_newest_versions_are_told_apart(tmp_path):
    """The script with stand-ins for uv, and for the pytest of the environments that it makes."""
    calls = tmp_path / "calls"
    stand_in = tmp_path / "uv"
    stand_in.write_text(
        f"""#!/usr/bin/env bash
printf '%s\\n' "$*" >>'{calls}'
[[ $1 == venv ]] || exit 0
mkdir -p "${{@: -1}}/bin"
cp '{tmp_path}/pytest' "${{@: -1}}/bin"
"""
    )
    (tmp_path / "pytest").write_text('#!/bin/sh\necho "ran $*"\n')
    repo = tmp_path / "repo"
    (repo / "tests").mkdir(parents=True)
    shutil.copy(REPO / "tests" / "versions.sh", repo / "tests")
    for path in (stand_in, tmp_path / "pytest"):
        path.chmod(0o755)

    def run(*arguments, **settings):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **settings}
        return subprocess.run(
            ["bash", str(repo / "tests" / "versions.sh"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
        )

    [extra] = re.findall(r"\.\[(\w+)\]", read("tests/versions.sh"))
    assert f"\n{extra} = [" in read("pyproject.toml")
    for name, resolution, python in (
        ("oldest", "lowest-direct", "3.10"),
        ("newest", "highest", "3.13"),
    ):
        ran = run(name, "-x")
        assert ran.returncode == 0, ran.stderr
        assert re.search("ran -m not stack .* -x$", ran.stdout.strip())
        venv, install, _ = calls.read_text().splitlines()
        assert venv == f"venv --quiet --clear --python {python} {repo}/build/test-{name}"
        assert f"--resolution {resolution} -e .[{extra}]" in install
        calls.unlink()
    assert run("newest", PYTHON="/opt/python3.12/bin/python3.12").returncode == 0
    assert "venv --quiet --clear --python /opt/python3.12/bin/python3.12 " in calls.read_text()
    assert run("middle").returncode == 2


def test_templates_of_issues_ask_for_something():
    read(".github/ISSUE_TEMPLATE/config.yml")
    for path in (REPO / ".github/ISSUE_TEMPLATE").glob("something_*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert form["name"]
        assert form["description"]
        assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_the_container_copies_what_there_is_and_serves_with_options_that_there_are():
    text = read("Dockerfile")
    kept = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--)(.*)", text, re.M) for name in line.split()}
    assert copied - {"./"} == kept
    assert all((REPO / name).exists() for name in kept)
    program, command, *options = yaml.safe_load(re.search(r"^ENTRYPOINT (.*)", text, re.M)[1])
    assert program in project()["scripts"]
    [extra] = re.findall(r'"\.\[(\w+)\]"', text)
    assert extra in project()["optional-dependencies"]
    known = every_command().commands[command].params
    assert {name for name in options if name.startswith("--")} <= {o for p in known for o in p.opts}
    assert f"EXPOSE {options[options.index('--port') + 1]}" in text


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_packages_are_the_same_whoever_builds_them_and_when(tmp_path):
    """Of another folder, with other times and rights; and a wheel of the sdist as of the clone."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    other = tmp_path / "elsewhere"
    other.mkdir()
    included = settings()["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for name in (".gitignore", "pyproject.toml", *included):
        path = REPO / name.strip("/")
        if path.is_dir():
            shutil.copytree(path, other / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, other)
    for path in other.rglob("*"):
        os.utime(path, (10**9, 10**9))
        path.chmod(0o700 if path.is_dir() or os.access(path, os.X_OK) else 0o600)

    def built(builder, root, name):
        [path] = builder(str(root)).build(directory=str(tmp_path / name), versions=["standard"])
        return Path(path)

    wheels = [built(WheelBuilder, root, f"wheel{n}") for n, root in enumerate((REPO, other))]
    sdists = [built(SdistBuilder, root, f"sdist{n}") for n, root in enumerate((REPO, other))]
    assert sha256(sdists[0]) == sha256(sdists[1])
    with tarfile.open(sdists[0]) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    wheels.append(built(WheelBuilder, unpacked, "of_sdist"))
    assert len({sha256(wheel) for wheel in wheels}) == 1
