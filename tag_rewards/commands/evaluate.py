"""`tag-rewards eval`, `compare` and `eval-table`."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tag_rewards.commands import options
from tag_rewards.commands.terminal import AsJson, tell
from tag_rewards.errors import InputError
from tag_rewards.looks import plain

if TYPE_CHECKING:
    from rich.text import Text

    from tag_rewards.datasets.protocols import LoadedProtocol
    from tag_rewards.prepare.face_target import TargetConfig

_TRAIN_FILE = "rl_train.parquet"


def evaluate(
    predictions: Annotated[
        Path, typer.Option(help="Completions, one JSON object a line, as `generate` writes them.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")],
    data: Annotated[
        Path | None, typer.Option(help="The eval.parquet that `prepare` wrote.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Instead of --data: the dataset's folder, with --protocol.")
    ] = None,
    protocol: Annotated[str | None, options.ProtocolOption] = None,
    openface: options.OpenFaceFolder = None,
    evidence: options.EvidencePaths = None,
    allow_mismatch: options.AllowMismatch = False,
    canvas: options.Canvas = 512,
    box_space: options.BoxSpaceOfModel = None,
    form: options.FormOption = "tag",
    top_k: options.TopK = 5,
    min_probability: options.MinProbability = 0.6,
    unsure: options.Unsure = "none",
    min_confidence: options.MinConfidence = 0.725,
    codes: options.Codes = False,
    train_data: Annotated[
        Path | None,
        typer.Option(
            help="rl_train.parquet, for the baseline of mean boxes; by default that beside --data."
        ),
    ] = None,
    counterfactual: Annotated[
        Path | None, typer.Option(help="The file of `generate --counterfactual`, to report it too.")
    ] = None,
    moved: Annotated[
        Path | None, typer.Option(help="The file of `generate --moved`, to report it too.")
    ] = None,
    synonyms: options.SynonymsFile = None,
    reasoning: options.ReasoningOption = "allowed",
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of the random boxes.")] = 0,
    as_json: AsJson = False,
) -> None:
    r"""Evaluate completions: accuracy and faithfulness, with intervals and beside baselines.

    Every face of the evaluated split counts: one without a completion, or whose answer cannot be
    read, is wrong. Writes results.json, samples.parquet (one row a face) and gallery.parquet
    (faces to look at) into OUT; `report` makes a page of them, `compare` sets two beside each
    other, `eval-table` puts several protocols into one table.

    Instead of --data, --dataset with --protocol reads the dataset itself. --openface, --evidence
    and the options from --canvas to --codes go with it; they must be those that the model
    was asked with.

    **Examples**

        tag-rewards eval --data parquet/eval.parquet \
            --predictions completions.jsonl --out results

        tag-rewards eval --dataset rafdb --protocol rafdb/basic-test \
            --evidence evidence --predictions completions.jsonl \
            --train-data parquet/rl_train.parquet --out results

        tag-rewards eval --data eval.parquet --predictions completions.jsonl \
            --counterfactual counterfactual.jsonl --moved moved.jsonl \
            --out results
    """
    from tag_rewards.commands.evaluation_tables import results_tables
    from tag_rewards.datasets.protocols import load_protocol, protocol_named
    from tag_rewards.evaluation.run import EvaluationConfig, evaluate_files
    from tag_rewards.prepare.eval_set import evaluation_set, read_evaluation_set, read_images
    from tag_rewards.prepare.face_target import TargetConfig

    config = EvaluationConfig(resamples, seed, options.words_of(synonyms), reasoning)
    if (data is None) == (dataset is None):
        raise InputError("give one of --data and --dataset")
    if data is not None:
        if protocol or openface or evidence or allow_mismatch or codes:
            raise InputError(
                "--protocol, --openface, --evidence, --allow-mismatch and --codes belong to "
                "--dataset; eval.parquet says what it is of"
            )
        faces, images = read_evaluation_set(data), partial(read_images, data)
        if train_data is None and data.with_name(_TRAIN_FILE).is_file():
            train_data = data.with_name(_TRAIN_FILE)
    else:
        assert dataset is not None
        annotation = TargetConfig(
            *(canvas, box_space, top_k, min_probability, min_confidence),
            form=form,
            codes=codes,
            unsure=unsure,
        )
        if protocol is None:
            raise InputError("--dataset needs --protocol; `tag-rewards datasets` lists them")
        named = protocol_named(protocol)
        loaded = load_protocol(named, dataset, allow_mismatch=allow_mismatch, splits=[named.split])
        faces = evaluation_set(loaded, options.face_source(dataset, openface, evidence), annotation)
        images = partial(_canvas_images, loaded, annotation)
    results, _ = evaluate_files(
        faces,
        images,
        predictions,
        out,
        train_data=train_data,
        counterfactual=counterfactual,
        moved=moved,
        config=config,
        source=str(data or dataset),
    )
    tell(
        as_json,
        lambda: {**plain(results), "warnings": list(results.warnings), "written": out},
        lambda: [
            *results_tables(results),
            *([] if train_data else ["Without --train-data there is no baseline of mean boxes."]),
            *map(_warning, results.warnings),
            f"Written to {out}",
        ],
    )


def _warning(text: str) -> "Text":
    from rich.text import Text

    return Text(f"Warning: {text}", style="bold")


def _canvas_images(
    loaded: "LoadedProtocol", annotation: "TargetConfig", rows: Collection[int]
) -> dict[int, bytes]:
    """What the model saw of some faces of a dataset, encoded."""
    from tag_rewards.files.images import encode_image
    from tag_rewards.prepare.face_target import canvas_image

    return {row: encode_image(canvas_image(loaded.evaluated[row], annotation)) for row in rows}


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Folder that `eval` wrote.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another, of the same faces.")],
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of the swaps.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two models face by face: is B better than A, or could it be the draw of the faces?

    Every figure is tested by swapping the two models face by face (of accuracy that is McNemar's
    exact test), and its p-value is adjusted for all figures that are tested (Holm). B is better or
    worse where the adjusted p-value is below 0.05. The figures of ferbench-compat read the same
    answers again and are not tested. Refused if the two were not evaluated on the same faces with
    the same targets.

    **Example**

        tag-rewards compare results/sft results/grpo
    """
    from tag_rewards.commands.evaluation_tables import comparison_table, slopes_told
    from tag_rewards.evaluation.compare import HOW_TESTED, compare_models, read_model
    from tag_rewards.evaluation.run import EvaluationConfig

    config = EvaluationConfig(resamples, seed)
    models = read_model(first), read_model(second)
    comparison = compare_models(*models, config.resamples, config.seed)
    test = comparison.mcnemar
    warnings = [
        f"{model.folder}: {[*model.results.warnings][-1]}"
        for model in models
        if model.results.unknown
    ]
    told = (
        f"{comparison.n} faces. Only {first} is right on {test.first_only}, only {second} on "
        f"{test.second_only}. {HOW_TESTED} In brackets 95 % intervals; that of the difference is "
        "of the paired faces and of this figure alone."
    )
    table = comparison_table(comparison, str(first), str(second))
    tell(
        as_json,
        lambda: {**comparison.record(), "warnings": warnings},
        lambda: [table, told, *slopes_told(models), *map(_warning, warnings)],
    )


def eval_table(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Folders that `eval` wrote.")
    ],
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """One model on several protocols: each of them, and all faces pooled.

    **Example**

        tag-rewards eval-table results/rafdb results/ferplus results/affectnet
    """
    from tag_rewards.commands.evaluation_tables import cross_dataset_table
    from tag_rewards.evaluation.compare import cross_dataset, read_model
    from tag_rewards.evaluation.run import EvaluationConfig

    config = EvaluationConfig(resamples, seed)
    models = [read_model(folder) for folder in results]
    rows = cross_dataset(models, config.resamples, config.seed)
    warnings = [
        f"{model.folder}: {warning}" for model in models for warning in model.results.warnings
    ]
    told = "In brackets 95 % intervals. Pooled: every face counts the same."
    tell(
        as_json,
        lambda: {"protocols": rows, "warnings": warnings},
        lambda: [cross_dataset_table(rows), told, *map(_warning, warnings)],
    )
