"""`tag-rewards report`, `tag-rewards summarize` and `tag-rewards preference`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tag_rewards.commands import options
from tag_rewards.commands.generate import EngineName, EngineOptions
from tag_rewards.commands.terminal import AsJson, grid_table, progress, tell

if TYPE_CHECKING:
    from tag_rewards.looks import Grid
    from tag_rewards.preference.ratings import Preferences


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


preference = typer.Typer(
    add_completion=False,
    help="Have people compare the traces of two models, blinded, and count what they prefer.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_KeyFile = Annotated[Path, typer.Argument(metavar="KEY", help="The study's .key.json.")]
_StudyData = Annotated[
    Path, typer.Option(help="The eval.parquet that both models were asked about.")
]


@preference.command()
def make(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="Completions of a model, as `generate` writes them.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Those of another model.")],
    data: _StudyData,
    out: Annotated[Path, typer.Option(help="The page, *.html.")] = Path("study.html"),
    pairs: Annotated[int, typer.Option(help="Most faces to compare, drawn at random.")] = 40,
    checks: Annotated[int, typer.Option(help="Checks of attention among them.")] = 5,
    seed: Annotated[int, typer.Option(help="Of faces, sides and order.")] = 0,
) -> None:
    """Write a page on which people choose between the traces of two models.

    The page needs nothing else, and sends nothing: each rater saves a file of answers at its end.
    Beside study.html lies study.key.json, which says whose trace is whose: keep it from raters.

    **Examples**

        tag-rewards preference make sft.jsonl grpo.jsonl --data parquet/eval.parquet

        tag-rewards preference score --key study.key.json ratings-*.json
    """
    from tag_rewards.preference.study import StudyConfig, make_study

    made = make_study(first, second, data, out, StudyConfig(pairs, checks, seed))
    checked = sum(item.right is not None for item in made.key.items.values())
    print(
        f"{made.page}: {len(made.key.items) - checked} pairs and {checked} checks of attention; "
        f"left out are {made.missing} faces without a text of both, and {made.same} on which both "
        f"wrote the same\n{made.key_file}: which text is whose; not for raters"
    )


@preference.command()
def judge(
    key: _KeyFile,
    data: _StudyData,
    model: Annotated[
        str,
        typer.Option(help="Its name on the endpoint, or a Hugging Face name or folder."),
    ],
    out: Annotated[Path, typer.Option(help="The file of its answers, *.json.")],
    engine: EngineName = "openai",
    engine_option: EngineOptions = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 512,
    seed: Annotated[int, typer.Option(help="Of the sampling, which is greedy.")] = 0,
    limit: Annotated[
        int | None, typer.Option(help="Most pairs, taken evenly from all: to see what it costs.")
    ] = None,
) -> None:
    r"""Have a model compare the pairs as one more rater, each pair in both orders.

    Where the orders do not give the same winner, the answer is a tie. `score` keeps judges apart
    from people.

    **Example**

        tag-rewards preference judge study.key.json --data parquet/eval.parquet \
            --model gpt-4o -o url=https://api.openai.com/v1 --out judge.json
    """
    import json

    from tag_rewards.completions.asking import GenerationConfig
    from tag_rewards.completions.run import Model
    from tag_rewards.files.whole import write_whole
    from tag_rewards.looks import plain
    from tag_rewards.preference.judge import ask_judge
    from tag_rewards.preference.ratings import read_key

    known = read_key(key)
    asked = Model(model, engine, options.name_values("--engine-option", engine_option))
    config = GenerationConfig(max_tokens, seed=seed)
    with progress("Judging", unit="pairs") as bar, asked.make() as judging:
        ratings = ask_judge(known, data, judging, config, bar.start, bar.advance, limit)
    write_whole(out, json.dumps(plain(ratings), indent=1))
    pairs = sum(item.right is None for item in known.items.values())
    print(
        f"{out}: {len(ratings.answers)} of {pairs} pairs have an answer in both orders, "
        f"{ratings.same_twice} of them the same"
    )


@preference.command("score")
def score_preferences(
    key: Annotated[
        list[Path],
        typer.Option(
            help="The study's .key.json; again for each further study, whose models are compared "
            "with those by Bradley-Terry."
        ),
    ],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Answers of raters and judges.")
    ],
    least_checks: Annotated[
        float, typer.Option(help="Least share of a rater's checks of attention that must be right.")
    ] = 0.8,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Count what raters prefer: win rates, Bradley-Terry, and how far raters agree.

    Raters who fail the checks of attention are named, and count in nothing.

    **Example**

        tag-rewards preference score --key study.key.json ratings-*.json judge.json
    """
    from tag_rewards.evaluation.run import EvaluationConfig
    from tag_rewards.preference.ratings import score_ratings

    config = EvaluationConfig(resamples, seed)
    found = score_ratings(key, files, least_checks, config.resamples, config.seed)
    told = "In brackets 95 % intervals over faces; a tie is half a win."
    failed = [
        f"Refused: {one.name}, with {one.checks_right} of {one.checks} checks of attention right."
        for one in found.refused
    ]
    tell(as_json, lambda: found, lambda: [*map(grid_table, _grids(found)), told, *failed])


def _grids(found: "Preferences") -> "Iterator[Grid]":
    from tag_rewards.looks import Grid

    yield Grid(
        ("by", "B", "over A", "wins", "ties", "losses", "faces", "win rate of B"),
        [
            (
                *(who, one.models[1], one.models[0]),
                *map(str, (one.wins[1], one.ties, one.wins[0], one.win_rate.n)),
                one.win_rate.text(),
            )
            for who, pool in found.pools.items()
            for one in pool.contests
        ],
        "Preferences",
    )
    yield Grid(
        ("by", "model", "log-strength"),
        [
            (who, name, strength.text("+"))
            for who, pool in found.pools.items()
            for name, strength in pool.strengths.items()
        ],
        "Bradley-Terry",
    )
    yield Grid(
        ("by", "raters", "Krippendorff's alpha"),
        [
            (who, str(pool.raters), "–" if pool.alpha is None else f"{pool.alpha:.3f}")
            for who, pool in found.pools.items()
        ],
        "Agreement",
    )
    yield Grid(
        ("rater", "pairs", "win rate of B", "chose 1", "checks right", "same twice"),
        [
            (
                f"{one.name} (judge)" if one.judge else one.name,
                *(str(one.n), f"{one.win_rate:.3f}", f"{one.chose_first:.3f}"),
                "–" if one.judge else f"{one.checks_right} of {one.checks}",
                "–" if one.same_twice is None else f"{one.same_twice} of {one.n}",
            )
            for one in found.raters
        ],
        "Raters",
    )
