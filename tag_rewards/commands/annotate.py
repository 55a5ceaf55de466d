"""`tag-rewards annotate`."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from tag_rewards.commands.options import name_values
from tag_rewards.commands.terminal import AsJson, progress, tell
from tag_rewards.detectors.registry import DETECTOR_NAMES, make_detector
from tag_rewards.errors import InputError
from tag_rewards.looks import plain


def annotate(
    images: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with images, in folders below it too.")
    ],
    detector: Annotated[
        str,
        typer.Option(
            help=f"What looks at them: {', '.join(DETECTOR_NAMES)}; or package.module:name."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the evidence; made if needed.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="What the dataset in DIR is, where its images are in a table: they are written to "
            "files in DIR first, as `datasets unpack` does."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the detector."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; one by default, with --ray one for each core."),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Use Ray: the cluster of RAY_ADDRESS, or this machine."),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of the cache; the user's cache folder by default."),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor write the cache.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Look again at images that failed before.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Most images to look at now, taken evenly from those that are left: to see how "
            "long it takes. `prepare` takes the evidence when all are done."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    r"""Look at a folder of images with an AU detector and write evidence parquet.

    Writes evidence-*.parquet (one row an image), failed.csv (images that could not be looked at,
    and why) and summary.png into OUT. Stopped or killed, it goes on where it was when it is started
    again.

    The weights of most AU detectors are for research alone: of these only mediapipe's are known to
    be free for a company's use (docs/detectors.md has the terms of each).

    **Examples**

        tag-rewards annotate photos --detector dlib --out evidence --workers 4

        tag-rewards annotate rafdb --detector openface-csv \
            -o folder=rafdb/openface --out evidence

        tag-rewards prepare rafdb --evidence evidence --out parquet

        tag-rewards annotate hub --protocol own/test --detector dlib --out evidence
    """
    from tag_rewards.datasets.protocols import load_protocol
    from tag_rewards.datasets.reading import unpack
    from tag_rewards.evidence.cache import default_cache_folder
    from tag_rewards.evidence.counts import draw_counts
    from tag_rewards.evidence.run import AnnotateConfig
    from tag_rewards.evidence.run import annotate as run

    if cache and no_cache:
        raise InputError("--cache and --no-cache exclude each other")
    options = name_values("--option", option)
    config = AnnotateConfig(
        # A process even for one worker, so that a crash of the detector costs one image.
        workers=1 if workers is None and not ray else workers,
        ray=ray,
        cache=None if no_cache else cache or default_cache_folder(),
        retry_failed=retry_failed,
        limit=limit,
    )
    made = make_detector(detector, options)
    import_module("matplotlib.figure")  # for summary.png: missing, it is said before the work
    if protocol is not None:
        unpack(load_protocol(protocol, images, allow_mismatch=True).samples)
    with progress("Annotating") as bar:
        counts = run(
            images,
            out,
            made,
            config,
            options=options,
            on_start=bar.start,
            on_images=bar.advance,
        )
    draw_counts(counts).savefig(out / "summary.png", dpi=110)
    tell(
        as_json,
        lambda: {**plain(counts), "written": out},
        lambda: [counts.to_table(), f"Written to {out}"],
    )
