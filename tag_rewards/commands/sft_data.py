"""`tag-rewards sft-data`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tag_rewards.commands import options
from tag_rewards.commands.terminal import progress


def sft_data(
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER[:WEIGHT]...",
            help="Folders with sft_train.parquet, and how many times their rows come in an epoch.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for what is trained on; made if needed.")],
    model: Annotated[str, typer.Option(help="The model to train: its folder or its name.")],
    max_length: Annotated[
        int, typer.Option(help="Most tokens of a sequence, its image and the template included.")
    ],
    drop_long: Annotated[
        bool, typer.Option("--drop-long", help="Leave longer ones out instead of refusing them.")
    ] = False,
    enable_thinking: options.EnableThinking = False,
    no_enable_thinking: options.NoEnableThinking = False,
    seed: Annotated[
        int, typer.Option(help="Chooses the rows that a fractional weight repeats.")
    ] = 0,
) -> None:
    r"""Mix SFT datasets by weight and see that every sequence fits, before a model is loaded.

    A weight of 2 is every row twice, 0.5 half of the rows, 1.5 all and half of them twice. Tokens
    are counted with the model's own template, tokenizer and image processor. A single dataset of
    weight 1 is not copied but linked to. OUT/sft_data.json says what was made of what; an OUT that
    was made of something else is refused.

    **Example**

        tag-rewards sft-data built/traces:2 parquet --out mixed \
            --model Qwen/Qwen2.5-VL-7B-Instruct --max-length 2048
    """
    from tag_rewards.sft_data.mix import SFTDataConfig, WeightedDataset, prepare_sft_data

    thinking = options.thinking_of(enable_thinking, no_enable_thinking)
    config = SFTDataConfig(model, max_length, drop_long, seed, thinking)
    weighted = [WeightedDataset.parse(text) for text in datasets]
    with progress("Checking and mixing", unit="rows") as bar:
        made = prepare_sft_data(weighted, out, config, on_start=bar.start, on_rows=bar.advance)
    for split in ("train", "test"):
        for part in made[split]:
            print(f"{split}: {_describe(part)}")


def _describe(part: dict[str, Any]) -> str:
    """One dataset of those that are trained on."""
    words = f"{part['file']} x {part['weight']:g}: {part['rows_in_an_epoch']} rows in an epoch"
    if part["rows_in_an_epoch"] != part["rows"]:
        words += f" of {part['rows']}"
    if part["too_long_left_out"]:
        words += f", {part['too_long_left_out']} left out as too long"
    if part["rows"]:
        words += f"; {part['mean']:.0f} tokens on average, {part['longest']} at most"
    return words
