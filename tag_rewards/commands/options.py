"""Options that several commands have, said once, and what is read from them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tag_rewards.errors import InputError
from tag_rewards.facs import read_synonyms
from tag_rewards.forms import FORMS
from tag_rewards.geometry.boxes import Kind
from tag_rewards.rewards.score import Reasoning

if TYPE_CHECKING:
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.facs import Synonyms
    from tag_rewards.prepare.texts import PromptTemplate
    from tag_rewards.target import Target

ProtocolOption = typer.Option(
    help="What the dataset is, such as rafdb/basic-test (see `datasets`), own/test for images of "
    "your own with a table of labels, in parquet files of the hub or in class folders, or "
    "package.module:NAME."
)
AllowMismatch = Annotated[
    bool,
    typer.Option("--allow-mismatch", help="Record counts that differ from the published ones."),
]
OpenFaceFolder = Annotated[
    Path | None, typer.Option(help="Folder with OpenFace 2.x CSV files, one for each image.")
]
EvidencePaths = Annotated[
    list[Path] | None,
    typer.Option(help="Folder or file that `annotate DIR` wrote; instead of --openface."),
]
QualityFile = Annotated[
    Path | None, typer.Option(help="File that `quality` wrote; what it rejects is left out.")
]

SynonymsFile = Annotated[
    Path | None,
    typer.Option(
        "--synonyms",
        metavar="FILE",
        help="YAML with words of yours for the labels, label: [words].",
    ),
]
ReasoningOption = Annotated[
    Reasoning,
    typer.Option(
        "--reasoning",
        metavar="HOW",
        help="Whether a completion may think before its trace, as between `<think>` and "
        "`</think>`: allowed; required: without it the format reward is 0; forbidden: it is one "
        "error.",
    ),
]

Canvas = Annotated[int, typer.Option(help="Side of the square image that the model sees.")]
BoxSpaceOfModel = Annotated[
    Kind | None,
    typer.Option(
        metavar="SPACE",
        help="Coordinates of boxes: pixels of the canvas, normalized_1000 (thousandths of it: "
        "Qwen3-VL), normalized_1024 (PaliGemma), or resized (pixels after Qwen2.5-VL's resizing). "
        "Those of --model or --form if left out.",
    ),
]
_FORM_HELP = f"How completions are written: {', '.join(FORMS)}, or package.module:NAME."
FormOption = Annotated[str, typer.Option("--form", metavar="NAME", help=_FORM_HELP)]
FormOfModel = Annotated[
    str,
    typer.Option(
        "--form",
        metavar="NAME",
        help=f"{_FORM_HELP} That of --model if left out, and tag without one.",
        show_default=False,
    ),
]

ModelOfImages = Annotated[
    str | None,
    typer.Option(
        help="Hugging Face folder or name of the model that is to be shown the images: its own "
        "files say to what size it resizes them, and in which coordinates it writes boxes."
    ),
]
MinPixels = Annotated[
    int | None,
    typer.Option(help="Least area to which its processor resizes, instead of --model."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        help="Largest area to which its processor resizes, instead of --model; for resized without "
        "either it is that of the released Qwen2.5-VL checkpoints, 12845056."
    ),
]
# Two options: help gives the second name of one a column, and then cuts the names of all others.
EnableThinking = Annotated[
    bool,
    typer.Option("--enable-thinking", help="Have the model reason before it writes."),
]
NoEnableThinking = Annotated[
    bool,
    typer.Option(
        "--no-enable-thinking", help="Have it not; without either its chat template decides."
    ),
]
TopK = Annotated[int, typer.Option(help="Most AUs in a target.")]
MinProbability = Annotated[float, typer.Option(help="Least probability of an active AU.")]
Unsure = Annotated[
    Literal["present", "none"],
    typer.Option(
        help="Which other AUs go into a target as unsure: those that the detector calls present, "
        "below --min-probability or beyond --top-k, or none."
    ),
]
MinConfidence = Annotated[float, typer.Option(help="Least confidence of a detected face.")]
PromptStyle = Annotated[
    Literal["tag", "short"], typer.Option(help="Prompt and length of traces; short: tiny models.")
]

Codes = Annotated[
    bool,
    typer.Option(
        "--codes",
        help="The AUs are those that people coded in the dataset; the detector says where they "
        "are. Of CK+, DISFA, BP4D, and of data of your own with a column aus.",
    ),
]

PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--template",
        metavar="FILE",
        help="A jinja2 file of yours for the prompt; --prompt then says the length of traces.",
    ),
]

LimitOfSplit = Annotated[
    int | None,
    typer.Option(help="Most images of each split, taken evenly from all of it: for a first look."),
]


def thinking_of(enable: bool, disable: bool) -> bool | None:
    """What `EnableThinking` and `NoEnableThinking` say; None where the chat template decides."""
    if enable and disable:
        raise InputError("--enable-thinking and --no-enable-thinking exclude each other")
    return enable if enable or disable else None


def prompt_of(template: Path | None) -> PromptTemplate | None:
    """The template of the file of `PromptFile`; None without one."""
    from tag_rewards.prepare.texts import read_prompt

    return read_prompt(template) if template else None


def words_of(synonyms: Path | None) -> Synonyms:
    """The words of the file of `SynonymsFile`; none without one."""
    return read_synonyms(synonyms) if synonyms else ()


def require_faces(openface: Path | None, evidence: list[Path] | None) -> None:
    """Raise `InputError` unless one of `OpenFaceFolder` and `EvidencePaths` is given."""
    if bool(openface) == bool(evidence):
        raise InputError(
            "give one of --openface and --evidence: what an AU detector saw, as OpenFace or "
            "`tag-rewards annotate` wrote it"
        )


def face_source(
    dataset: Path, openface: Path | None, evidence: list[Path] | None
) -> FaceSource | None:
    """What a detector saw in a dataset, of the option that is given; None without one."""
    from tag_rewards.evidence.of_dataset import EvidenceRows, OpenFaceCsvs

    if openface and evidence:
        require_faces(openface, evidence)
    if openface:
        return OpenFaceCsvs(openface)
    return EvidenceRows(evidence, dataset) if evidence else None


def name_values(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """The values by name; of a name that is given twice the last counts.

    Example:
        >>> name_values("--option", ["folder=a", "mode=b=c"])
        {'folder': 'a', 'mode': 'b=c'}
    """
    values = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"{option} is {text!r}, not NAME=VALUE")
        values[name] = value
    return values


def read_text(path: Path) -> str:
    """A model's answer, in any bytes, from a file, or from stdin for `-`."""
    written = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    return written.decode("utf-8", errors="replace")


def read_target(path: Path) -> Target:
    """The target of a JSON file."""
    from tag_rewards.target import Target

    try:
        return Target.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
