"""`tag-rewards summarize`."""

# Annotations stay real objects here: typer reads them.
from pathlib import Path
from typing import Annotated

import typer


def summarize(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a GRPO run.")],
    data: Annotated[
        Path, typer.Option(help="Folder with the run's rl_train.parquet and rl_test.parquet.")
    ],
) -> None:
    """Write summary.md, curves.png, overlays.png and metrics.jsonl of a run into RUN.

    Reads logs/metrics-*.jsonl or metrics.jsonl (verl's file logger), validation/ (verl's
    validation_data_dir) and, if they are there, timings.jsonl and settings.txt.

    **Example**

        tag-rewards summarize runs/grpo --data parquet
    """
    from tag_rewards.runs.summary import write_report

    for path in write_report(run, data):
        print(path)
