"""`tag-rewards made-faces`."""

# Annotations stay real objects here: typer reads them.
from pathlib import Path
from typing import Annotated

import typer


def made_faces(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the dataset.")],
    train: Annotated[int, typer.Option(help="Training images.")] = 2000,
    test: Annotated[int, typer.Option(help="Test images.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed draws the same faces.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 112,
) -> None:
    """Draw a dataset of made faces in RAF-DB's layout, with OpenFace CSV files beside it.

    **Example**

        tag-rewards made-faces faces --train 2000 --test 400

        tag-rewards prepare faces --openface faces/openface --out parquet --canvas 112
    """
    from tag_rewards.commands.progress import progress
    from tag_rewards.datasets.made_faces.dataset import write_dataset

    with progress("Drawing") as bar:
        bar.start(train + test)
        write_dataset(out, train, test, seed=seed, size=size, on_face=bar.advance)
    print(f"Written to {out}: {train} train and {test} test faces")
