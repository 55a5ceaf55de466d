"""`tag-rewards compare` and `tag-rewards eval-table`."""

# Annotations stay real objects here: typer reads them.
from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Folder that `eval` wrote.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another, of the same faces.")],
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Compare two models face by face: is B better than A, or could it be the draw of the faces?

    McNemar's exact test for accuracy; for every figure the interval of the difference by the
    paired bootstrap. Refused if the two were not evaluated on the same faces with the same targets.

    **Example**

        tag-rewards compare results/sft results/grpo
    """
    from rich.console import Console

    from tag_rewards.evaluation.compare import compare_models, read_model
    from tag_rewards.evaluation.console import comparison_table
    from tag_rewards.evaluation.run import EvaluationConfig

    config = EvaluationConfig(resamples, seed)
    models = read_model(first), read_model(second)
    comparison = compare_models(*models, config.resamples, config.seed)
    console = Console(highlight=False)
    console.print(comparison_table(comparison, str(first), str(second)))
    test = comparison.mcnemar
    console.print(
        f"{comparison.n} faces. Only {first} is right on {test.first_only}, only {second} on "
        f"{test.second_only}: McNemar's exact test p = {test.p:.2g}. In brackets 95 % bootstrap "
        "intervals; that of the difference is of the paired faces.",
        markup=False,
    )


def eval_table(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Folders that `eval` wrote.")
    ],
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """One model on several protocols: each of them, and all faces pooled.

    **Example**

        tag-rewards eval-table results/rafdb results/ferplus results/affectnet
    """
    from rich.console import Console

    from tag_rewards.evaluation.compare import cross_dataset, read_model
    from tag_rewards.evaluation.console import cross_dataset_table, warnings
    from tag_rewards.evaluation.run import EvaluationConfig

    config = EvaluationConfig(resamples, seed)
    models = [read_model(folder) for folder in results]
    console = Console(highlight=False)
    console.print(cross_dataset_table(cross_dataset(models, config.resamples, config.seed)))
    console.print("In brackets 95 % bootstrap intervals. Pooled: every face counts the same.")
    for model in models:
        for warning in warnings(model.results):
            console.print(f"Warning: {model.folder}: {warning}", style="bold", markup=False)
