"""What is installed, and whether the model and the data of a run agree, before hours are spent."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import Requirement

from tag_rewards.errors import InputError
from tag_rewards.forms import form_named
from tag_rewards.looks import Grid, plain
from tag_rewards.model_images import read_model_images
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    from tag_rewards.sft_data.conversations import SequenceLengths


# --- what is installed ---------------------------------------------------------------------------

PROJECT = "tag-rewards"

#: Packages whose versions are worth knowing when something goes wrong.
PACKAGES = (
    *(PROJECT, "numpy", "scipy", "shapely", "opencv-python-headless", "pyarrow", "matplotlib"),
    *("typer", "rich", "torch", "transformers", "verl", "vllm", "ray", "trl"),
)

#: Environment variables that the project, or what it calls, looks at.
VARIABLES = (
    *("OPENFACE_HOME", "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE"),
    "TORCH_HOME",
)

# Other packages that bring the same module.
_AS_GOOD = {
    "opencv-python-headless": (
        *("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    ),
    "dlib-bin": ("dlib",),
}

# For those who work on the project itself.
_NOT_FOR_USERS = {"dev", "docs", "light"}


class Finding(NamedTuple):
    """What was looked at, and what came of it.

    Attributes:
        name: What was looked at.
        ok: Whether it is fine; None where it could not be looked at.
        said: One sentence; of a fault also what to do.
    """

    name: str
    ok: bool | None
    said: str


class Extra(NamedTuple):
    """An extra of the project, or its core.

    Attributes:
        name: As in `tag-rewards[name]`; empty for the core.
        missing: What it lacks, a text for each package; empty if it is ready.
    """

    name: str
    missing: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """The line that brings what is missing.

        Example:
            >>> Extra("eval", ("matplotlib is not installed",)).remedy
            "pip install 'tag-rewards[eval]'"
        """
        return f"pip install '{PROJECT}[{self.name}]'" if self.name else f"pip install {PROJECT}"


def version(package: str) -> str | None:
    """The version of a package, or of one that is as good; None if it is not installed."""
    for name in (package, *_AS_GOOD.get(package, ())):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def versions() -> dict[str, str]:
    """Python's version and those of `PACKAGES` that are installed."""
    found = {name: version(name) for name in PACKAGES}
    return {"Python": platform.python_version()} | {
        name: known for name, known in found.items() if known is not None
    }


def extras() -> list[Extra]:
    """The core and every extra, with what each lacks.

    Empty where the project runs from a folder without being installed: what its extras need is
    then not recorded anywhere.
    """
    try:
        found = metadata.metadata(PROJECT)
    except metadata.PackageNotFoundError:
        return []
    needs = [Requirement(text) for text in metadata.requires(PROJECT) or ()]
    names = sorted(set(found.get_all("Provides-Extra") or ()) - _NOT_FOR_USERS)
    return [Extra(name, tuple(_missing(needs, name))) for name in ("", *names)]


def _missing(needs: list[Requirement], extra: str) -> Iterator[str]:
    for need in needs:
        marker = need.marker
        in_core = marker is None or marker.evaluate({"extra": ""})
        of_extra = marker is not None and not in_core and marker.evaluate({"extra": extra})
        if not (of_extra if extra else in_core):
            continue
        known = version(need.name)
        if known is None:
            yield f"{need.name} is not installed"
        elif not need.specifier.contains(known, prereleases=True):
            yield f"{need.name} is {known}, not {need.specifier}"


def named(found: list[Extra], name: str) -> Extra:
    """One of the extras.

    Raises:
        InputError: There is none of that name.
    """
    for extra in found:
        if extra.name == name:
            return extra
    known = ", ".join(filter(None, (extra.name for extra in found)))
    raise InputError(f"{name!r} is no extra of {PROJECT}; there are {known or 'none known here'}")


def environment() -> dict[str, str]:
    """Those of `VARIABLES` that are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def openface() -> Finding | None:
    """Whether OpenFace is where `OPENFACE_HOME` says; None if that is not set."""
    if not os.environ.get("OPENFACE_HOME"):
        return None
    from tag_rewards.detectors.openface.one_run import find_openface

    try:
        return Finding("OpenFace", True, f"{find_openface()} can be run")
    except InputError as error:
        return Finding("OpenFace", False, str(error))


def gpus() -> str:
    """The GPUs that torch sees, in words; empty without torch."""
    if find_spec("torch") is None:
        return ""
    try:
        import torch

        names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
    except (ImportError, OSError, RuntimeError) as error:  # a driver or a library that is missing
        return f"torch cannot say: {error}"
    return ", ".join(names) or "none"


# --- a model and its data -------------------------------------------------------------------------


@dataclass(slots=True)
class _File:
    """What a prepared file holds, in short."""

    path: Path
    rows: int = 0
    forms: set[str] = field(default_factory=set)
    spaces: set[str] = field(default_factory=set)
    prompts: set[str] = field(default_factory=set)
    wrong_traces: int = 0

    @property
    def of_sft(self) -> bool:
        return self.path.name.startswith("sft")


def look(model: str | None, data: Path | None, max_length: int | None = None) -> Iterator[Finding]:
    """Look at a model, at data, and at whether they go together.

    Args:
        model: A Hugging Face folder or name.
        data: A folder of `prepare` or `traces export`, or one of its files.
        max_length: Most tokens of a sequence in the run; None is what the model can take.
    """
    if model is not None:
        finding = _told("model", partial(_seen_by, model))
        yield finding
        if finding.ok:
            yield _thinking(model)
        model = model if finding.ok else None
    if data is None:
        return
    files = []
    try:
        paths = _parquet_files(data)
    except InputError as error:
        yield Finding("data", False, str(error))
        return
    for path in paths:
        file = _File(path)
        finding = _told(path.name, partial(_read, file))
        yield finding
        if finding.ok:
            files.append(file)
    if files:
        yield _same_prompt(files)
    if not files or model is None:
        return
    from tag_rewards.prepare.model_fits import check_model_fits

    for file in files:
        yield _told(f"boxes of {file.path.name}", partial(check_model_fits, model, file.path))
    yield _told("form", partial(_form, model, files))
    yield from _lengths(model, files, max_length)


def _seen_by(model: str) -> str:
    """What a model makes of an image, from its own files."""
    return read_model_images(model).sentence(512, 512)


def _thinking(model: str) -> Finding:
    """What its chat template says of reasoning; a folder without one is no fault by itself."""
    if find_spec("jinja2") is None:
        return Finding("thinking", None, "not looked at without jinja2; the extra data brings it")
    from tag_rewards.thinking import read_thinking

    try:
        return Finding("thinking", True, f"of its chat template: {read_thinking(model).sentence()}")
    except (InputError, OSError) as error:
        return Finding("thinking", None, str(error))


def _told(name: str, look_at: Callable[[], str]) -> Finding:
    """What was found, or the sentence of the error; what is no input's fault is not caught."""
    try:
        return Finding(name, True, look_at())
    except (InputError, OSError) as error:
        return Finding(name, False, str(error))


def _parquet_files(data: Path) -> list[Path]:
    if not data.exists():
        raise InputError(f"{data} does not exist; write it with `tag-rewards prepare`")
    found = [data] if data.is_file() else sorted(data.glob("*.parquet"))
    known = [path for path in found if path.name.startswith(("rl_", "sft_", "eval"))]
    if not known:
        raise InputError(f"{data} holds no rl_, sft_ or eval parquet of `tag-rewards prepare`")
    return known


def _read(file: _File) -> str:
    """Read a whole file, as a run would; what it holds, in words."""
    from tag_rewards.prepare.model_fits import recorded_config
    from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet

    if file.of_sft:
        config = recorded_config(file.path)
        if config is not None:
            file.forms.add(config.form)
            file.spaces.add(config.space.words)
        form = form_named(config.form if config else "tag")
        for sft in read_sft_parquet(file.path):
            file.rows += 1
            file.prompts.add(sft.prompt)
            file.wrong_traces += bool(parse_trace(sft.trace, form=form).errors)
    else:
        for rl in read_rl_parquet(file.path):
            file.rows += 1
            file.prompts.add(rl.prompt)
            file.forms.add(rl.target.form)
            file.spaces.add(rl.target.box_space.words)
    if not file.rows:
        raise InputError(f"{file.path} has no row")
    if file.wrong_traces == file.rows:
        raise InputError(
            f"{file.path}: no trace is written in the form {', '.join(file.forms) or 'tag'}; write "
            "the data and its traces with the same --form"
        )
    words = [f"{file.rows} rows"]
    words += [f"boxes in {' and '.join(sorted(file.spaces))}"] if file.spaces else []
    words += [f"form {', '.join(sorted(file.forms))}"] if file.forms else []
    words += [f"{file.wrong_traces} traces with mistakes of form"] if file.wrong_traces else []
    return ", ".join(words)


def _same_prompt(files: Sequence[_File]) -> Finding:
    different = {prompt: file.path for file in files for prompt in file.prompts}
    if len(different) == 1:
        return Finding("template", True, "the prompt is the same in every row")
    where = ", ".join(dict.fromkeys(path.name for path in different.values()))
    return Finding(
        "template",
        False,
        f"there are {len(different)} prompts ({where}); write all files with one `tag-rewards "
        "prepare`, so that the model is asked in training as in SFT",
    )


def _form(model: str, files: Sequence[_File]) -> str:
    """Whether completions are asked for as this family writes, or in TAG's form or one's own."""
    images = read_model_images(model)
    used = sorted(set[str]().union(*(file.forms for file in files)))
    if len(used) > 1:
        raise InputError(
            f"the files are in the forms {', '.join(used)}; write them with one --form"
        )
    [form] = used or ["tag"]
    images.require_form(form)
    return images.asked_in(form)


def _lengths(model: str, files: Sequence[_File], max_length: int | None) -> Iterator[Finding]:
    missing = [name for name in ("transformers", "verl") if find_spec(name) is None]
    if missing:
        said = f"not counted without {' and '.join(missing)}; recipes/setup.sh brings both"
        yield Finding("lengths", None, said)
        return
    from transformers import AutoConfig

    from tag_rewards.sft_data.conversations import SequenceLengths

    try:
        count = SequenceLengths(model)
        own = AutoConfig.from_pretrained(model).get_text_config().max_position_embeddings
    except (ValueError, OSError) as error:
        yield Finding("lengths", False, str(error))
        return
    limit = min(own, max_length or own)
    for file in files:
        yield _told(f"lengths of {file.path.name}", partial(_longest, count, file, limit))


def _longest(count: SequenceLengths, file: _File, limit: int) -> str:
    """The longest sequence of a file: a prompt with its image, and in SFT its trace."""
    from tag_rewards.sft_data.conversations import ConversationFile, rl_prompts

    rows = ConversationFile(file.path) if file.of_sft else rl_prompts(file.path)
    longest, at = count.longest(rows)
    if longest > limit:
        raise InputError(
            f"{file.path}: {at} has {longest} tokens, more than {limit}; allow longer sequences, "
            "or prepare the data with a smaller --canvas or --prompt short"
        )
    what = "the longest trace with its prompt and image" if file.of_sft else "prompt and image"
    return f"{what} has {longest} tokens ({at}), at most {limit:,} fit"


@dataclass(frozen=True, slots=True)
class Checkup:
    """What is here, and what came of what was asked for; `str` says it in words.

    Attributes:
        versions: Python's, and those of packages that are installed, by name.
        gpus: The GPUs that torch sees, in words; empty without torch.
        extras: The core and every extra, with what each lacks; empty where that is not recorded.
        environment: Environment variables that are looked at and set.
        findings: What was asked for: the core and the extras that were named, OpenFace where
            `OPENFACE_HOME` is set, model and data.
    """

    versions: Mapping[str, str]
    gpus: str
    extras: tuple[Extra, ...]
    environment: Mapping[str, str]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing that was asked for is at fault."""
        return all(finding.ok is not False for finding in self.findings)

    def record(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        remedies = {one.name: one.remedy for one in self.extras if one.missing}
        return {"ok": self.ok, **plain(self), "remedies": remedies}

    def grids(self) -> Iterator[Grid]:
        """The tables: versions, extras, and what was asked for."""
        here = {**self.versions, **({"GPU": self.gpus} if self.gpus else {}), **self.environment}
        yield Grid(("here", ""), [*here.items()])
        if self.extras:
            yield Grid(
                ("extra", "state", "what mends it"),
                [
                    (
                        extra.name or "(core)",
                        "; ".join(extra.missing) or "ready",
                        extra.remedy if extra.missing else "",
                    )
                    for extra in self.extras
                ],
            )
        marks = {True: "fine", False: "FAULT", None: "unknown"}
        rows = [(finding.name, marks[finding.ok], finding.said) for finding in self.findings]
        yield Grid(("asked for", "", ""), rows)

    def __str__(self) -> str:
        return "\n\n".join(grid.text() for grid in self.grids())

    def _repr_html_(self) -> str:
        return "".join(grid.html() for grid in self.grids())


def examine(
    wanted: Sequence[str] = (),
    model: str | None = None,
    data: str | Path | None = None,
    max_length: int | None = None,
) -> Checkup:
    """Look at what is installed and, before a long run, at a model and its data.

    Args:
        wanted: Extras that must be ready.
        model: A Hugging Face folder or name of the model that is to be trained or asked.
        data: A folder of `prepare` or `traces export`, or one of its files.
        max_length: Most tokens of a sequence in the run; None is what the model can take.

    Raises:
        InputError: There is no such extra.

    Example:
        >>> examine().ok
        True
    """
    found = extras()
    asked = [named(found, name) for name in (*([""] if found else []), *wanted)]
    findings = [
        Finding(
            f"extra {one.name}" if one.name else "core",
            not one.missing,
            f"{'; '.join(one.missing)}: {one.remedy}" if one.missing else "ready",
        )
        for one in asked
    ]
    place = openface()
    findings += [] if place is None else [place]
    findings += look(model, None if data is None else Path(data), max_length)
    return Checkup(versions(), gpus(), tuple(found), environment(), tuple(findings))
