"""`tag-rewards prepare`."""

from pathlib import Path
from typing import Annotated

import typer

from tag_rewards.commands import options
from tag_rewards.commands.terminal import terminal
from tag_rewards.errors import InputError


def prepare(
    dataset: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The dataset, in RAF-DB's layout without --protocol."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the parquet files; made if needed.")],
    protocol: Annotated[str | None, options.ProtocolOption] = None,
    allow_mismatch: options.AllowMismatch = False,
    openface: options.OpenFaceFolder = None,
    evidence: options.EvidencePaths = None,
    quality: options.QualityFile = None,
    canvas: options.Canvas = 512,
    prompt: options.PromptStyle = "tag",
    box_space: options.BoxSpaceOfModel = None,
    form: options.FormOption = "tag",
    model: options.ModelOfImages = None,
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    top_k: options.TopK = 5,
    min_probability: options.MinProbability = 0.6,
    min_confidence: options.MinConfidence = 0.725,
    min_face: Annotated[
        float,
        typer.Option(help="Least shorter side of a face in pixels of its image, before resizing."),
    ] = 0.0,
    polygons: Annotated[
        bool,
        typer.Option("--polygons", help="Write the AUs' polygons too, for overlap=polygon."),
    ] = False,
    data_source: Annotated[
        str | None,
        typer.Option(
            help="Name of the dataset in the files, by which verl groups metrics; by default the "
            "protocol's."
        ),
    ] = None,
    sft_box_jitter: Annotated[
        float, typer.Option(help="Deviation of SFT boxes, relative to their sides.")
    ] = 0.0,
    sft_box_growth: Annotated[
        float,
        typer.Option(help="How much too large SFT boxes are: the mean of log(side / true side)."),
    ] = 0.0,
    sft_au_error: Annotated[
        float, typer.Option(help="Probability that one AU of an SFT trace is wrong.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Decides wording and imprecision of SFT traces.")] = 0,
) -> None:
    """Turn a dataset and what a detector saw in it into parquet files for SFT, RL and evaluation.

    Writes rl_train, rl_test, sft_train and sft_test.parquet, eval.parquet (the whole evaluated
    split) and prepare.json (what was read, what was left out and why) into OUT, or nothing at all
    when the input is refused.

    **Examples**

        tag-rewards annotate rafdb --detector openface --out evidence

        tag-rewards prepare rafdb --protocol rafdb/basic-test --evidence evidence --out parquet

        tag-rewards prepare faces --openface faces/openface --out small --canvas 112 --prompt short

        tag-rewards prepare rafdb --evidence evidence --out parquet
        --model Qwen/Qwen3-VL-8B-Instruct --form model
    """
    from tag_rewards.commands.progress import progress
    from tag_rewards.datasets.protocols import RAFDB_LAYOUT
    from tag_rewards.evidence.of_dataset import EvidenceRows
    from tag_rewards.model_images import images_by_hand
    from tag_rewards.prepare.face_target import TargetConfig
    from tag_rewards.prepare.run import PrepareConfig
    from tag_rewards.prepare.run import prepare as run
    from tag_rewards.prepare.texts import Imprecision

    if (openface is None) == (not evidence):
        raise InputError("give one of --openface and --evidence")
    images = images_by_hand(model, min_pixels, max_pixels)
    annotation = TargetConfig(
        canvas, box_space, top_k, min_probability, min_confidence, polygons, min_face, images, form
    )
    config = PrepareConfig(
        annotation=annotation,
        imprecision=Imprecision(sft_box_jitter, sft_box_growth, sft_au_error),
        prompt=prompt,
        data_source=data_source,
        seed=seed,
    )
    # After the settings: what is wrong with them, or with the dataset, is said first.
    faces = openface or EvidenceRows(evidence or [], dataset)
    with progress("Preparing") as bar:
        counts = run(
            dataset,
            faces,
            out,
            config,
            protocol=protocol or RAFDB_LAYOUT,
            allow_mismatch=allow_mismatch,
            quality=quality,
            on_start=bar.start,
            on_sample=bar.advance,
        )
    console = terminal()
    console.print(counts.to_table())
    for mismatch in counts.mismatches:
        console.print(f"Not as published: {mismatch}")
    if annotation.model is not None and (annotation.model.known or box_space is None):
        assumed = "" if images else "Assumed, as the checkpoints are released: "
        console.print(f"{assumed}{annotation.model.sentence(canvas, canvas)}")
    console.print(f"Written to {out}")
