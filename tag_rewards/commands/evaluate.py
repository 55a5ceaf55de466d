"""`tag-rewards eval`."""

from collections.abc import Callable, Collection
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tag_rewards.commands.options import (
    AllowMismatch,
    BoxSpaceOption,
    Canvas,
    EvidencePaths,
    MinConfidence,
    MinProbability,
    OpenFaceFolder,
    ProtocolOption,
    TopK,
    face_source,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from tag_rewards.prepare.eval_set import EvaluationSet
    from tag_rewards.prepare.face_target import AnnotationConfig


# Annotations stay real objects here: typer reads them.


_TRAIN_FILE = "rl_train.parquet"


class _Data(NamedTuple):
    """What is evaluated on, and how to get the encoded images of some of its faces."""

    faces: "EvaluationSet"
    images: Callable[[Collection[int]], dict[int, bytes]]


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
    protocol: Annotated[str | None, ProtocolOption] = None,
    openface: OpenFaceFolder = None,
    evidence: EvidencePaths = None,
    allow_mismatch: AllowMismatch = False,
    canvas: Canvas = 512,
    box_space: BoxSpaceOption = "pixels",
    top_k: TopK = 5,
    min_probability: MinProbability = 0.6,
    min_confidence: MinConfidence = 0.725,
    train_data: Annotated[
        Path | None,
        typer.Option(
            help="rl_train.parquet, for the baseline of mean boxes; by default that beside --data."
        ),
    ] = None,
    counterfactual: Annotated[
        Path | None, typer.Option(help="The file of `generate --counterfactual`, to report it too.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of the random boxes.")] = 0,
) -> None:
    """Evaluate completions: accuracy and faithfulness, with intervals and beside baselines.

    Every face of the evaluated split counts: one without a completion, or whose answer cannot be
    read, is wrong. Writes results.json, samples.parquet (one row a face) and gallery.parquet
    (faces to look at) into OUT; `report` makes a page of them, `compare` sets two beside each
    other, `eval-table` puts several protocols into one table.

    Instead of --data, --dataset with --protocol reads the dataset itself. --openface, --evidence
    and the options from --canvas to --min-confidence go with it; they must be those that the model
    was asked with.

    **Examples**

        tag-rewards eval --data parquet/eval.parquet --predictions completions.jsonl --out results

        tag-rewards eval --dataset rafdb --protocol rafdb/basic-test --evidence evidence
        --predictions completions.jsonl --train-data parquet/rl_train.parquet --out results

        tag-rewards eval --data eval.parquet --predictions completions.jsonl
        --counterfactual counterfactual.jsonl --out results
    """
    from rich.console import Console

    from tag_rewards.completions.completion import match_faces, model_name, read_predictions
    from tag_rewards.evaluation.console import results_tables, warnings
    from tag_rewards.evaluation.results import write_results
    from tag_rewards.evaluation.run import EvaluationConfig, with_counterfactual
    from tag_rewards.evaluation.run import evaluate as run
    from tag_rewards.evaluation.samples import choose, write_gallery, write_samples
    from tag_rewards.prepare.eval_set import read_targets
    from tag_rewards.prepare.face_target import AnnotationConfig

    config = EvaluationConfig(resamples, seed)
    try:
        annotation = AnnotationConfig(canvas, box_space, top_k, min_probability, min_confidence)
    except ValueError as error:
        raise InputError(str(error)) from error
    if (data is None) == (dataset is None):
        raise InputError("give one of --data and --dataset")
    if data is not None:
        if protocol or openface or evidence or allow_mismatch:
            raise InputError(
                "--protocol, --openface, --evidence and --allow-mismatch belong to --dataset; "
                "eval.parquet says what it is of"
            )
        loaded = _prepared(data)
        if train_data is None and data.with_name(_TRAIN_FILE).is_file():
            train_data = data.with_name(_TRAIN_FILE)
    else:
        assert dataset is not None
        loaded = _dataset(dataset, protocol, openface, evidence, allow_mismatch, annotation)
    written = read_predictions(predictions)
    matched = match_faces(predictions, written, loaded.faces.faces)
    sources = {
        "data": str(data or dataset),
        "predictions": str(predictions),
        "predictions_sha256": sha256(predictions.read_bytes()).hexdigest(),
        "train_data": None if train_data is None else str(train_data),
    }
    results, samples = run(
        loaded.faces,
        matched,
        None if train_data is None else read_targets(train_data),
        config,
        model_name(predictions, written.values()),
        sources,
    )
    if counterfactual is not None:
        results = with_counterfactual(results, counterfactual, config)
    choices = choose(samples, seed)
    images = loaded.images({choice.row for choice in choices})
    out.mkdir(parents=True, exist_ok=True)
    write_samples(out, samples)
    write_gallery(out, choices, samples, images)
    write_results(out, results)
    console = Console(highlight=False)
    for part in results_tables(results):
        console.print(part)
    if train_data is None:
        console.print("Without --train-data there is no baseline of mean boxes.")
    for warning in warnings(results):
        console.print(f"Warning: {warning}", style="bold", markup=False)
    console.print(f"Written to {out}", markup=False)


def _prepared(path: Path) -> _Data:
    from functools import partial

    from tag_rewards.prepare.eval_set import read_evaluation_set, read_images

    return _Data(read_evaluation_set(path), partial(read_images, path))


def _dataset(
    root: Path,
    protocol: str | None,
    openface: Path | None,
    evidence: list[Path] | None,
    allow_mismatch: bool,
    config: "AnnotationConfig",
) -> _Data:
    from tag_rewards.datasets.protocols import load_protocol, protocol_named
    from tag_rewards.files.images import encode_image
    from tag_rewards.prepare.eval_set import evaluation_set
    from tag_rewards.prepare.face_target import canvas_image

    if protocol is None:
        raise InputError("--dataset needs --protocol; `tag-rewards datasets` lists them")
    named = protocol_named(protocol)
    loaded = load_protocol(named, root, allow_mismatch=allow_mismatch, splits=[named.split])
    faces = evaluation_set(loaded, face_source(root, openface, evidence), config)
    samples = loaded.evaluated

    def images(rows: Collection[int]) -> dict[int, bytes]:
        return {row: encode_image(canvas_image(samples[row], config)) for row in rows}

    return _Data(faces, images)
