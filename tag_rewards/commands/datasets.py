"""`tag-rewards datasets` with `check` and `unpack` below it, and `tag-rewards made-faces`."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from tag_rewards.commands.terminal import AsJson, progress, tell
from tag_rewards.errors import InputError

datasets = typer.Typer(
    add_completion=False,
    help="List the protocols: datasets, splits and labels that a figure is about.",
    rich_markup_mode="markdown",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A protocol, such as rafdb/basic-test.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The dataset's folder.")]


@datasets.callback(invoke_without_command=True)
def list_protocols(context: typer.Context, as_json: AsJson = False) -> None:
    """List the protocols: datasets, splits and labels that a figure is about.

    **Examples**

        tag-rewards datasets

        tag-rewards datasets check rafdb/basic-test rafdb

        tag-rewards datasets unpack ferplus/majority ferplus
    """
    if context.invoked_subcommand is not None:
        return

    from tag_rewards.datasets.overview import list_table, protocol_record
    from tag_rewards.datasets.protocols import PROTOCOLS

    tell(
        as_json,
        lambda: {"protocols": [protocol_record(one) for one in PROTOCOLS.values()]},
        lambda: [list_table()],
    )


@datasets.command()
def check(
    name: Name,
    folder: Folder,
    out: Annotated[
        Path, typer.Option(help="Picture of the label distribution, a PNG file.")
    ] = Path("label_distribution.png"),
    as_json: AsJson = False,
) -> None:
    """Tell what a dataset's folder holds of a protocol, beside what is published.

    Exit code 1 says that counts differ, that files are missing, or that the evaluated split has no
    image.

    **Example**

        tag-rewards datasets check ferplus/majority ferplus --out ferplus.png
    """
    from tag_rewards.datasets.overview import (
        check_record,
        check_table,
        count_labels,
        draw_label_distribution,
        dropped_table,
    )
    from tag_rewards.datasets.protocols import load_protocol
    from tag_rewards.facs import UNLABELLED
    from tag_rewards.files.whole import whole

    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out} is no PNG; give a name that ends with .png")
    import_module("matplotlib.figure")  # for the picture: missing, it is said before the work
    loaded = load_protocol(name, folder, allow_mismatch=True, allow_missing=True)
    protocol = loaded.protocol
    published = {split: counts.labels for split, counts in protocol.counts.items()}
    figure = draw_label_distribution(
        *(protocol.name, protocol.labels or (UNLABELLED,)),
        *(count_labels(loaded.samples), published),
    )
    with whole(out) as file:
        figure.savefig(file, format="png")
    faults = [*loaded.mismatches]
    if loaded.missing:
        count = len(loaded.missing)
        faults.append(f"{count} files that labels need are missing, such as {loaded.missing[0]}")
    if not loaded.evaluated:
        faults.append(f"{protocol.split}, the evaluated split, has no image")
    tell(
        as_json,
        lambda: {**check_record(loaded), "faults": faults, "written": out},
        lambda: [
            check_table(loaded),
            *([dropped_table(loaded)] if loaded.dropped else []),
            *([] if protocol.counts else ["No published counts are known of it."]),
            f"Written to {out}",
            *faults,
        ],
    )
    if faults:
        raise typer.Exit(1)


@datasets.command()
def unpack(name: Name, folder: Folder) -> None:
    """Write the images that a dataset keeps in a table, such as FER2013's, to files.

    An AU detector can then look at them: `annotate DIR`, then `prepare DIR --evidence`.

    **Example**

        tag-rewards datasets unpack ferplus/majority ferplus
    """
    from tag_rewards.datasets.protocols import load_protocol
    from tag_rewards.datasets.reading import unpack as write_images

    samples = load_protocol(name, folder, allow_mismatch=True).samples
    packed = [sample for sample in samples if sample.stored is not None]
    if not packed:
        raise InputError(f"{folder} has nothing to unpack: its images are files already")
    written = write_images(packed)
    print(f"{written} images written, {len(packed) - written} were there")


def made_faces(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the dataset.")],
    train: Annotated[int, typer.Option(help="Training images.")] = 2000,
    test: Annotated[int, typer.Option(help="Test images.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed draws the same faces.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 112,
) -> None:
    r"""Draw a dataset of made faces in RAF-DB's layout, with OpenFace CSV files beside it.

    With drawn faces everything can be tried without a dataset, a detector or a download.

    **Example**

        tag-rewards made-faces faces --train 2000 --test 400

        tag-rewards prepare faces --openface faces/openface --out parquet \
            --canvas 112
    """
    from tag_rewards.datasets.made_faces.dataset import write_dataset

    with progress("Drawing") as bar:
        bar.start(train + test)
        write_dataset(out, train, test, seed=seed, size=size, on_face=bar.advance)
    print(f"Written to {out}: {train} train and {test} test faces")
