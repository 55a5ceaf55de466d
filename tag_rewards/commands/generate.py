"""`tag-rewards generate`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, cast

import typer

from tag_rewards.commands.options import name_values
from tag_rewards.commands.terminal import LOG_SECONDS, progress
from tag_rewards.engines.make import ENGINE_NAMES
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from tag_rewards.completions.completion import Completion
    from tag_rewards.completions.run import Callbacks
    from tag_rewards.engines import OpenAIEngine
    from tag_rewards.evaluation.run import CounterfactualSummary, MovedSummary


EngineName = Annotated[
    str,
    typer.Option(help=f"What runs the model: {', '.join(ENGINE_NAMES)} or package.module:NAME."),
]
EngineOptions = Annotated[
    list[str] | None,
    typer.Option("--engine-option", "-o", metavar="NAME=VALUE", help="An option of the engine."),
]


def generate(
    data: Annotated[
        Path, typer.Argument(metavar="EVAL_PARQUET", help="The eval.parquet of `prepare`.")
    ],
    model: Annotated[
        str,
        typer.Option(help="Hugging Face folder or name; its name on the endpoint with openai."),
    ],
    out: Annotated[Path, typer.Option(help="The file with the completions, *.jsonl.")],
    engine: EngineName = "vllm",
    engine_option: EngineOptions = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of a completion.")] = 2048,
    temperature: Annotated[float, typer.Option(help="Of the sampling; 0 is greedy.")] = 0.0,
    seed: Annotated[
        int, typer.Option(help="Of the sampling, and of where faces are masked or moved.")
    ] = 0,
    chunk: Annotated[
        int | None,
        typer.Option(
            help="Faces asked and kept together; 256 by default with vllm. Else each is kept "
            "as it comes: Ray loads the model anew for each chunk."
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again where the engine gave an error.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Most faces to ask about now (with --chunk whole chunks): to see what it costs. "
            "Without it the others follow; `eval` counts them as wrong until then."
        ),
    ] = None,
    counterfactual: Annotated[
        bool,
        typer.Option(
            "--counterfactual",
            help="Ask again with the claimed boxes hidden, and with as much hidden elsewhere.",
        ),
    ] = False,
    moved: Annotated[
        bool,
        typer.Option(
            "--moved", help="Ask again with the picture moved on its canvas: do the boxes follow?"
        ),
    ] = False,
    draws: Annotated[int, typer.Option(help="In how many ways as much is hidden elsewhere.")] = 3,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            help="Ask nobody: write the questions for a batch API like OpenAI's, one a line. "
            "`eval` reads the file that it gives back.",
        ),
    ] = False,
) -> None:
    r"""Ask a model about every face of an evaluation set.

    Stopped or killed, it goes on where it was when it is started again, and ends with the same
    file. --counterfactual writes counterfactual.jsonl, and counterfactual.png to look at, beside
    completions.jsonl; beside grpo.jsonl they are named grpo-counterfactual. --moved writes
    moved.jsonl in the same way.

    **Examples**

        tag-rewards generate eval.parquet --model runs/tag/grpo/hf \
            --out grpo/completions.jsonl

        tag-rewards generate eval.parquet --model gpt-4o --engine openai \
            -o url=https://api.openai.com/v1 --out gpt-4o/completions.jsonl

        tag-rewards generate eval.parquet --model gpt-4o --batch \
            --out questions.jsonl

        tag-rewards eval --data eval.parquet \
            --predictions grpo/completions.jsonl --out grpo
    """
    from tag_rewards.completions.asking import GenerationConfig
    from tag_rewards.completions.counterfactual import CounterfactualConfig, MovedConfig
    from tag_rewards.completions.run import (
        CHUNK,
        Model,
        ask_model,
        counterfactual_file,
        moved_file,
        write_batch,
    )
    from tag_rewards.engines import make_engine
    from tag_rewards.evaluation.run import summarize_counterfactual, summarize_moved
    from tag_rewards.files.whole import whole
    from tag_rewards.pictures.hidden_parts import draw_counterfactuals
    from tag_rewards.prepare.eval_set import read_evaluation_set

    if out.suffix != ".jsonl":
        raise InputError(f"--out {out} must end with .jsonl")
    options = name_values("--engine-option", engine_option)
    if chunk is None and engine == "vllm":
        chunk = CHUNK
    config = GenerationConfig(max_tokens, temperature, seed, chunk, retry_failed)
    if batch:
        for option, given in (("--counterfactual", counterfactual), ("--moved", moved)):
            if given:
                raise InputError(f"{option} asks about answers that a --batch does not have yet")
        endpoint = cast("OpenAIEngine", make_engine("openai", model, options))
        count = write_batch(data, model, out, config, endpoint.config, limit)
        print(f"Written to {out}: {count} questions")
        return
    masking = CounterfactualConfig(draws, seed)
    asked = Model(model, engine, options)
    hidden = masking if counterfactual else None
    moving = MovedConfig(seed=seed) if moved else None
    completions = ask_model(data, asked, out, config, hidden, _shown, limit, moving)
    print(_told(out, completions))
    if counterfactual:
        beside = counterfactual_file(out)
        summary = summarize_counterfactual(beside)
        print(_told_of_hiding(beside, summary))
        if summary.n:
            picture = beside.with_suffix(".png")
            with whole(picture) as file:
                draw_counterfactuals(data, out, beside, masking).savefig(file, format="png")
            print(f"{picture}: what was hidden, on some of the faces")

    if moved:
        beside = moved_file(out)
        before = {one.id: one for one in completions}
        found = summarize_moved(beside, read_evaluation_set(data).faces, before)
        print(_told_of_moving(beside, found))


@contextmanager
def _shown(what: str) -> "Iterator[Callbacks]":
    """A bar on a terminal; in a log, a line a minute and one at the end."""
    from tag_rewards.completions.run import Callbacks

    if sys.stderr.isatty():
        with progress(what, unit="faces") as bar:
            yield Callbacks(bar.start, bar.advance)
        return
    total, done, asked = 0, 0, 0
    begun = said = monotonic()
    say = partial(print, file=sys.stderr, flush=True)

    def start(all_faces: int, answered: int) -> None:
        nonlocal total, done
        total, done = all_faces, answered
        say(f"{what}: {done} of {total} faces are answered already")

    def advance(count: int) -> None:
        nonlocal done, asked, said
        done, asked, now = done + count, asked + count, monotonic()
        if now - said > LOG_SECONDS or done == total:
            said = now
            say(f"{what}: {done} of {total} faces, {asked / (now - begun):.1f} faces/s")

    yield Callbacks(start, advance)


def _told(out: Path, completions: "list[Completion]") -> str:
    failed = [one.error for one in completions if one.error]
    cut = sum(one.finish_reason == "length" for one in completions)
    text = f"{out}: {len(completions)} completions, {cut} cut at the most tokens"
    if failed:
        text += (
            f", and {len(failed)} without text (the first: {failed[0]}); --retry-failed asks them "
            "again"
        )
    return text


def _told_of_hiding(path: Path, summary: "CounterfactualSummary") -> str:
    text = f"{path}: {summary.n} faces"
    for reason, count in summary.left_out.items():
        text += f"; {count} left out: {reason}"
    if summary.claimed and summary.elsewhere and summary.difference:
        mean, low, high, _ = summary.difference
        text += (
            f"\nThe answer changes on {summary.claimed.value:.1%} of them with the claimed boxes "
            f"hidden, on {summary.elsewhere.value:.1%} with as much hidden elsewhere "
            f"(difference {mean:+.1%}, 95 % interval {low:+.1%} to {high:+.1%})"
        )
    return text


def _told_of_moving(path: Path, summary: "MovedSummary") -> str:
    text = f"{path}: {summary.n} faces"
    for reason, count in summary.left_out.items():
        text += f"; {count} left out: {reason}"
    if summary.slope:
        text += (
            f"\nA box moves by {summary.slope.text()} of what its picture moves "
            "(1: it looks, 0: it does not)"
        )
    return text
