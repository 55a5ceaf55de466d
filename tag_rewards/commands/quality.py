"""`tag-rewards quality`."""

from pathlib import Path
from typing import Annotated

import typer

from tag_rewards.commands import options
from tag_rewards.commands.terminal import AsJson, progress, tell
from tag_rewards.errors import InputError


def quality(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="The dataset.")],
    protocol: Annotated[str, options.ProtocolOption],
    out: Annotated[Path, typer.Option(help="Parquet file to write; the picture goes beside it.")],
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help="What an image must be: 'laplacian>=100', 'laplacian>=p5' (percentile of this "
            "dataset), '|yaw|<=45', 'n_faces<=1'. Again for more.",
        ),
    ] = None,
    filter_evaluated: Annotated[
        bool,
        typer.Option(
            "--filter-evaluated", help="Reject images of the evaluated split too; results say so."
        ),
    ] = False,
    allow_mismatch: options.AllowMismatch = False,
    openface: options.OpenFaceFolder = None,
    evidence: options.EvidencePaths = None,
    limit: options.LimitOfSplit = None,
    as_json: AsJson = False,
) -> None:
    r"""Measure how good a dataset's face images are, and reject those below limits of yours.

    Measures, a column each: laplacian and tenengrad (sharpness, of the face at 112 x 112 pixels),
    exposure, clipped, contrast, and with --openface or --evidence n_faces, face_size, confidence,
    pitch, yaw and roll. Nothing is rejected without --require, and nothing of the evaluated split
    without --filter-evaluated. `prepare --quality` and `traces build --quality` leave out what is
    rejected. No threshold is right for every dataset: look at the picture first.

    **Examples**

        tag-rewards quality rafdb --protocol rafdb/basic-test \
            --openface openface --out q.parquet

        tag-rewards quality rafdb --protocol rafdb/basic-test \
            --openface openface --out q.parquet --require 'laplacian>=p5' \
            --require '|yaw|<=45' --require 'n_faces>=1'

        tag-rewards prepare rafdb --protocol rafdb/basic-test \
            --openface openface --quality q.parquet --out parquet
    """
    from tag_rewards.quality.measures import Limit
    from tag_rewards.quality.table import judge_images, picture_of, quality_table

    try:
        limits = [Limit.parse(text) for text in require or []]
    except ValueError as error:
        raise InputError(f"--require: {error}") from error
    with progress("Measuring") as bar:
        judged = judge_images(
            dataset,
            protocol,
            out,
            limits,
            source=options.face_source(dataset, openface, evidence),
            filter_evaluated=filter_evaluated,
            allow_mismatch=allow_mismatch,
            limit=limit,
            on_start=bar.start,
            on_image=bar.advance,
        )
    tell(
        as_json,
        lambda: {**judged.record(), "written": [out, picture_of(out)]},
        lambda: [quality_table(judged), f"Written to {out} and {picture_of(out)}"],
    )
