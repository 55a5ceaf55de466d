"""`tag-rewards explain`."""

from pathlib import Path
from typing import Annotated

import typer

from tag_rewards.commands.options import SynonymsFile, read_target, read_text
from tag_rewards.commands.show import require_png, write_picture
from tag_rewards.commands.terminal import AsJson, grid_table, tell
from tag_rewards.errors import InputError
from tag_rewards.facs import read_synonyms
from tag_rewards.rewards.score import RewardConfig


def explain(
    completion: Annotated[
        Path,
        typer.Argument(metavar="COMPLETION", help="File with a model's answer; - reads stdin."),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="File with the target's JSON, as `target` writes it."
        ),
    ],
    image: Annotated[
        Path | None, typer.Option(help="The image that it is about, to draw the boxes on.")
    ] = None,
    canvas: Annotated[
        int | None,
        typer.Option(help="Side of the canvas on which the model saw it, if it is not on one."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture, with --image, a PNG file.")] = Path(
        "face.png"
    ),
    synonyms: SynonymsFile = None,
    as_json: AsJson = False,
) -> None:
    """Say why a completion scores what it scores: each reward, each AU, each box, each mistake.

    The numbers are those of `score`, with the default weights.

    **Examples**

        tag-rewards target face.jpg --from openface --label happiness --out target.json

        tag-rewards explain answer.txt target.json --image face.jpg --canvas 512 --out why.png
    """
    from tag_rewards.rewards.explanation import explain as explain_text

    if canvas is not None and canvas < 1:
        raise InputError(f"--canvas is {canvas}, not at least 1 pixel")
    require_png(out)
    truth, text = read_target(target), read_text(completion)
    config = RewardConfig(synonyms=read_synonyms(synonyms) if synonyms else ())
    found = explain_text(text, truth, config)
    written = []
    if image is not None:
        from tag_rewards.files.images import read_image
        from tag_rewards.pictures.face import face_picture

        picture = face_picture(image.name, read_image(image), truth, text, canvas=canvas)
        write_picture([picture], out)
        written.append(f"Written to {out}")
    tell(
        as_json,
        lambda: found,
        lambda: [*map(grid_table, found.grids()), *found.sentences(), *written],
    )
