"""`tag-rewards traces`: build, status and export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tag_rewards.commands import options
from tag_rewards.commands.generate import EngineName, EngineOptions
from tag_rewards.commands.terminal import AsJson, build_bar, progress, tell
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from tag_rewards.prepare.texts import PromptTemplate

traces = typer.Typer(
    add_completion=False,
    help="Have a model write traces, verify them, and train on those that hold.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

TrainingPrompt = Annotated[
    Literal["tag", "short"],
    typer.Option(help="Prompt of the SFT rows, as of `prepare`; short: tiny models."),
]


@traces.command()
def build(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="The dataset.")],
    protocol: Annotated[str, options.ProtocolOption],
    model: Annotated[
        str,
        typer.Option(
            help="Who writes: its name on the endpoint, or a Hugging Face name or folder."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the build; the same one goes on with it.")],
    evidence: options.EvidencePaths = None,
    openface: options.OpenFaceFolder = None,
    engine: EngineName = "openai",
    engine_option: EngineOptions = None,
    mode: Annotated[
        Literal["blind", "rationalised"],
        typer.Option(help="blind: the label is never shown, as in the paper; rationalised: it is."),
    ] = "blind",
    template: Annotated[
        Path | None, typer.Option(help="A jinja2 file of yours for the writer's prompt.")
    ] = None,
    min_format: Annotated[
        float, typer.Option(help="Least format reward of a trace that is kept; 1: no mistake.")
    ] = 1.0,
    min_grounding: Annotated[
        float, typer.Option(help="Least grounding reward of a trace that is kept.")
    ] = 0.5,
    synonyms: options.SynonymsFile = None,
    format_retries: Annotated[
        int, typer.Option(help="Times to ask again after a bad or ungrounded trace.")
    ] = 3,
    label_retries: Annotated[
        int, typer.Option(help="Times to ask again after a wrong answer, without that label.")
    ] = 3,
    engine_retries: Annotated[
        int, typer.Option(help="Times to ask again after an error of the engine.")
    ] = 2,
    temperatures: Annotated[
        str, typer.Option(help="Of the first attempt, the second, ...; the last one holds on.")
    ] = "0.7,0.9,1.0",
    max_tokens: Annotated[int, typer.Option(help="Most tokens of a trace.")] = 768,
    seed: Annotated[int, typer.Option(help="Every attempt's seed follows from it.")] = 0,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split: train, val or test; again for more.")
    ] = None,
    quality: options.QualityFile = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Most images to ask about now, taken evenly from all: to see what it costs. "
            "Without it the build goes on with the others."
        ),
    ] = None,
    canvas: options.Canvas = 512,
    box_space: options.BoxSpaceOfModel = None,
    form: options.FormOption = "tag",
    top_k: options.TopK = 5,
    min_probability: options.MinProbability = 0.6,
    min_confidence: options.MinConfidence = 0.725,
    allow_mismatch: options.AllowMismatch = False,
    prompt: TrainingPrompt = "tag",
    no_export: Annotated[
        bool, typer.Option("--no-export", help="Leave the export to `traces export`.")
    ] = False,
) -> None:
    r"""Have a model write a trace for every image, verify each, and ask again where one fails.

    Writes ledger.sqlite (every attempt), build.json, and at the end traces/: SFT parquet, rejected
    traces and a card. Stopped or killed, it goes on where it was when it is started again, with any
    engine. With other thresholds or retries it judges again what is recorded, and asks only for
    what is missing then.

    **Examples**

        vllm serve Qwen/Qwen2.5-VL-7B-Instruct

        tag-rewards annotate rafdb --detector dlib --out evidence

        tag-rewards traces build rafdb --protocol rafdb/basic-test \
            --evidence evidence --model Qwen/Qwen2.5-VL-7B-Instruct \
            -o url=http://localhost:8000/v1 --out built

        tag-rewards traces status built

        TRACES=built/traces bash recipes/run_tag_sft.sh
    """
    from tag_rewards.engines.make import make_engine
    from tag_rewards.prepare.face_target import TargetConfig
    from tag_rewards.quality.table import read_rejected
    from tag_rewards.traces import run
    from tag_rewards.traces.config import BuildConfig, BuildData
    from tag_rewards.traces.prompts import PolicyConfig
    from tag_rewards.traces.verifier import VerifyConfig

    options.require_faces(openface, evidence)
    config = BuildConfig(
        data=BuildData(
            dataset=dataset,
            protocol=protocol,
            evidence=tuple(evidence or ()),
            openface=openface,
            **({"splits": tuple(split)} if split else {}),
            allow_mismatch=allow_mismatch,
            annotation=TargetConfig(
                canvas, box_space, top_k, min_probability, min_confidence, form=form
            ),
        ),
        mode=mode,
        template=template,
        verify=VerifyConfig(min_format, min_grounding, synonyms=options.words_of(synonyms)),
        policy=PolicyConfig(format_retries, label_retries, engine_retries, _numbers(temperatures)),
        seed=seed,
        max_tokens=max_tokens,
    )
    dropped = read_rejected(quality).reasons if quality else {}
    writer = make_engine(engine, model, options.name_values("--engine-option", engine_option))
    with build_bar() as on_progress:
        run.build(config, writer, out, dropped=dropped, limit=limit, on_progress=on_progress)
    if not no_export:
        _export(out, prompt)
    status(out)
    print(f"Written to {out}")


@traces.command()
def status(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a build.")],
    as_json: AsJson = False,
) -> None:
    """Say how far a build is, while it runs or after; nothing is written, and nothing disturbed.

    **Example**

        tag-rewards traces status built
    """
    from rich.table import Table

    from tag_rewards.traces import progress

    found = progress.status(out)
    counts = found.counts
    table = Table("", "", "share")
    table.columns[1].justify = table.columns[2].justify = "right"

    def add(name: str, count: int, of: int) -> None:
        table.add_row(name, f"{count:,}", f"{count / of:.1%}" if of else "-")

    add("samples", found.samples, found.samples)
    add("  with a trace", counts.accepted, found.samples)
    for number, samples in counts.accepted_at.items():
        add(f"    from attempt {number}", samples, found.samples)
    add("  given up", found.given_up, found.samples)
    for reason, samples in counts.left_out.items():
        add(f"  left out: {reason}", samples, found.samples)
    add("  open", found.open, found.samples)
    table.add_section()
    add("attempts", counts.attempts, counts.attempts)
    for reason, attempts in counts.reasons.items():
        add(f"  {reason}", attempts, counts.attempts)
    if counts.unjudged:
        add("  not judged yet", counts.unjudged, counts.attempts)
    table.add_section()
    table.add_row("tokens of prompts", f"{counts.prompt_tokens:,}", "")
    table.add_row("tokens of texts", f"{counts.completion_tokens:,}", "")
    tell(as_json, found.record, lambda: [found.headline, table, found.activity])


@traces.command()
def export(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Folder of a build; with --format any that has sft_train.parquet."
        ),
    ],
    prompt: TrainingPrompt = "tag",
    template: Annotated[
        Path | None,
        typer.Option(help="A jinja2 file of yours for the SFT rows' prompt, as of `prepare`."),
    ] = None,
    held_out: Annotated[
        float,
        typer.Option(help="Share that goes to sft_test where the dataset's splits put none there."),
    ] = 0.05,
    for_trainer: Annotated[
        Literal["sharegpt", "messages"] | None,
        typer.Option(
            "--format",
            help="What another trainer needs beside the parquet files. sharegpt: dataset_info.json "
            "(LLaMA-Factory); messages: JSON lines with embedded images (axolotl).",
        ),
    ] = None,
) -> None:
    """Write traces/ of a build: SFT parquet, rejected traces and the card. `build` ends with it.

    It can be done at any time, also while a build runs. With --format, files for other trainers
    are written beside the parquet files; a folder of `prepare` or `sft-data` will do, too.

    **Examples**

        tag-rewards traces export built --prompt short

        tag-rewards traces export built --format sharegpt

        tag-rewards traces export parquet --format messages
    """
    from tag_rewards.sft_data.conversations import write_for_trainer

    folder = out
    if for_trainer is None or not (out / "sft_train.parquet").exists():
        _export(out, options.prompt_of(template) or prompt, held_out)
        folder = out / "traces"
    if for_trainer is not None:
        write_for_trainer(folder, for_trainer)
    print(f"Written to {folder}")


def _export(
    out: Path, prompt: "Literal['tag', 'short'] | PromptTemplate", held_out: float = 0.05
) -> None:
    from tag_rewards.traces import exported

    with progress("Exporting", unit="samples") as bar:
        exported.export(out, prompt, held_out, on_start=bar.start, on_sample=bar.advance)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--temperatures is {text!r}, not numbers such as 0.7,0.9,1.0") from None
