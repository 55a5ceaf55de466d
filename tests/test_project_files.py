"""What stands around the code: citation, workflows, container, packages that come out the same."""

import hashlib
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest
import typer
import yaml

import tag_rewards
from tag_rewards.cli import app

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


def test_the_workflow_runs_what_ci_runs_and_what_is_there():
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in lines
    targets = re.findall(r"^(\w+):", read("Makefile"), re.MULTILINE)
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= set(targets)
    named = [word for line in lines for word in re.findall(r"(?:tests|\.ci)/[\w./]+", line)]
    assert [name for name in named if not (REPO / name).exists()] == []
    wanted = {name for line in lines for name in re.findall(r"\.\[([\w,]+)\]", line)}
    extras = {extra for names in wanted for extra in names.split(",")}
    assert extras
    assert extras <= set(project()["optional-dependencies"])


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
    known = typer.main.get_command(app).commands[command].params
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
