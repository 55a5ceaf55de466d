"""`tag-rewards report` and `tag-rewards summarize`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Folders that `eval` wrote.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report; made if needed.")] = Path(
        "report"
    ),
    run: Annotated[
        Path | None, typer.Option(help="Folder of a GRPO run, for its reward curves.")
    ] = None,
) -> None:
    """Write evaluations as one HTML file that needs nothing else, with its figures and tables.

    OUT/index.html can be read on a phone, without JavaScript and on paper. Beside it lie the
    tables as CSV and the figures as PNG.

    **Examples**

        tag-rewards report results/sft results/grpo --out report

        tag-rewards report results/grpo --run runs/grpo --out report
    """
    from tag_rewards.report.report import write_report

    index, *others = write_report(results, out, run)
    print(f"{index} and {len(others)} tables and figures beside it")


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
    from tag_rewards.runs.summary import write_summary

    for path in write_summary(run, data):
        print(path)
