"""`tag-rewards prepare`, of a dataset, and `tag-rewards target`, of one image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tag_rewards.commands import options
from tag_rewards.commands.terminal import AsJson, progress, tell

if TYPE_CHECKING:
    from tag_rewards.prepare.placement import Placement


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
    template: options.PromptFile = None,
    box_space: options.BoxSpaceOfModel = None,
    form: options.FormOfModel = "",
    model: options.ModelOfImages = None,
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    enable_thinking: options.EnableThinking = False,
    no_enable_thinking: options.NoEnableThinking = False,
    top_k: options.TopK = 5,
    min_probability: options.MinProbability = 0.6,
    unsure: options.Unsure = "none",
    min_confidence: options.MinConfidence = 0.725,
    min_face: Annotated[
        float,
        typer.Option(help="Least shorter side of a face in pixels of its image, before resizing."),
    ] = 0.0,
    polygons: Annotated[
        bool,
        typer.Option("--polygons", help="Write the AUs' polygons too, for overlap=polygon."),
    ] = False,
    placement: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="Put training faces elsewhere on the canvas, so that their place gives nothing "
            "away: aligned (if the training faces are), always, never, or how far, such as "
            "scale=0.3,roll=10.",
        ),
    ] = "aligned",
    place_evaluation: Annotated[
        bool,
        typer.Option("--place-evaluation", help="Put the faces of the other splits there, too."),
    ] = False,
    codes: options.Codes = False,
    keep_unseen: Annotated[
        bool,
        typer.Option(
            "--keep-unseen",
            help="Keep training images without a face or evidence in rl_train; grounding abstains.",
        ),
    ] = False,
    limit: options.LimitOfSplit = None,
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
    seed: Annotated[
        int, typer.Option(help="Decides wording and imprecision of SFT traces, and placement.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    r"""Turn a dataset and what a detector saw in it into parquet files for SFT, RL and evaluation.

    Writes rl_train, rl_test, sft_train and sft_test.parquet, eval.parquet (the whole evaluated
    split), prepare.json (what was read, and how many were left out and why) and left_out.csv
    (which) into OUT, or nothing at all when the input is refused.

    **Examples**

        tag-rewards annotate rafdb --detector openface --out evidence

        tag-rewards prepare rafdb --protocol rafdb/basic-test \
            --evidence evidence --out parquet

        tag-rewards prepare rafdb --evidence evidence --out look --limit 20

        tag-rewards prepare faces --openface faces/openface --out small \
            --canvas 112 --prompt short

        tag-rewards prepare rafdb --evidence evidence --out parquet \
            --template mine.jinja

        tag-rewards prepare rafdb --evidence evidence --out parquet \
            --model Qwen/Qwen3-VL-8B-Instruct
    """
    from tag_rewards.datasets.protocols import RAFDB_LAYOUT
    from tag_rewards.evidence.of_dataset import EvidenceRows
    from tag_rewards.model_images import images_by_hand
    from tag_rewards.prepare.face_target import TargetConfig
    from tag_rewards.prepare.run import PrepareConfig
    from tag_rewards.prepare.run import prepare as run
    from tag_rewards.prepare.texts import Imprecision

    options.require_faces(openface, evidence)
    thinking = options.thinking_of(enable_thinking, no_enable_thinking)
    images = images_by_hand(model, min_pixels, max_pixels)
    annotation = TargetConfig(
        *(canvas, box_space, top_k, min_probability, min_confidence, polygons, min_face),
        *(images, form, codes, unsure),
    )
    config = PrepareConfig(
        annotation=annotation,
        imprecision=Imprecision(sft_box_jitter, sft_box_growth, sft_au_error),
        prompt=prompt,
        template=options.prompt_of(template),
        data_source=data_source,
        seed=seed,
        placement=_placement_of(placement),
        place_evaluation=place_evaluation,
        keep_unseen=keep_unseen,
        limit=limit,
        enable_thinking=thinking,
    )
    if model is not None and thinking is not None:
        from tag_rewards.thinking import read_thinking

        read_thinking(model).with_setting(thinking)
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
    notes = [f"Not as published: {mismatch}" for mismatch in counts.mismatches]
    notes += counts.sentences()
    if config.template is not None and config.template.unsaid:
        notes.append(
            f"{template} does not say {', '.join(config.template.unsaid)}: what the model has not "
            "learned it is not told"
        )
    if annotation.model is not None and (annotation.model.known or box_space is None):
        assumed = "" if images else "Assumed, as the checkpoints are released: "
        notes.append(f"{assumed}{annotation.model.sentence(canvas, canvas)}")
    if images is not None:
        notes.append(f"Of this model, {images.asked_in(annotation.form)} (--form says another)")
    tell(
        as_json,
        lambda: {**counts.to_dict(), "notes": notes, "written": out},
        lambda: [counts.to_table(), *notes, f"Written to {out}"],
    )


def _placement_of(text: str) -> "Placement | Literal['aligned'] | None":
    from tag_rewards.prepare.placement import Placement

    if text == "aligned":
        return "aligned"
    if text == "never":
        return None
    return Placement() if text == "always" else Placement.from_text(text)


def target(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Photograph of a face.")],
    source: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="EVIDENCE",
            help="What a detector saw: OpenFace's CSV or folder, or what `annotate` wrote.",
        ),
    ],
    label: Annotated[str, typer.Option(help="The expression, such as happiness.")],
    out: Annotated[
        Path | None, typer.Option(help="File for the target; standard output if left out.")
    ] = None,
    canvas: options.Canvas = 512,
    box_space: options.BoxSpaceOfModel = None,
    form: options.FormOfModel = "",
    model: options.ModelOfImages = None,
    top_k: options.TopK = 5,
    min_probability: options.MinProbability = 0.6,
    min_confidence: options.MinConfidence = 0.725,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="Write the AUs' polygons too, for overlap=polygon.")
    ] = False,
) -> None:
    r"""Make the target of one image, as `prepare` makes that of each image of a dataset.

    It is what `score`, `explain` and `show` take: the label and what the detector saw, on the
    canvas that the model sees. `show` and `explain` then take --canvas, to draw on IMAGE itself.

    **Examples**

        tag-rewards target face.jpg --from openface/face.csv --label happiness \
            --out target.json

        tag-rewards explain answer.txt target.json --image face.jpg --canvas 512
    """
    from tag_rewards.evidence.of_dataset import detections_in
    from tag_rewards.files.whole import write_whole
    from tag_rewards.model_images import images_by_hand
    from tag_rewards.prepare.face_target import TargetConfig, image_target

    config = TargetConfig(
        *(canvas, box_space, top_k, min_probability, min_confidence, polygons),
        model=images_by_hand(model),
        form=form,
    )
    [detection] = detections_in(source, [image])
    made = image_target(image, detection, label, config)
    text = made.target.to_json()
    if out is None:
        print(text)
        return
    write_whole(out, text + "\n")
    aus = ", ".join(f"AU{au}" for au in made.target.by_au) or "no active AU"
    print(f"Written to {out}: {made.target.label}, {aus}")
