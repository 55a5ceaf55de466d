"""`tag-rewards show`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tag_rewards.commands.options import read_target, read_text
from tag_rewards.errors import InputError
from tag_rewards.geometry import AU_REGIONS, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.detectors.observation import Detection
    from tag_rewards.pictures.sheet import FacePicture


def show(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Photographs of faces, or one prepared parquet."),
    ],
    openface: Annotated[
        Path | None,
        typer.Option(help="Folder that OpenFace 2.x wrote, or the CSV of the one IMAGE."),
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="Folder or file that `tag-rewards annotate` wrote.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="File with a model's answer on the one IMAGE; - reads stdin."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(help="File with the target's JSON: what the detector saw, for --trace."),
    ] = None,
    box_space: Annotated[
        Kind,
        typer.Option(
            metavar="SPACE",
            help="Coordinates of the trace's boxes, as in `prepare`; not with --target.",
        ),
    ] = "pixels",
    canvas: Annotated[
        int | None,
        typer.Option(
            help="Side of the square canvas on which the model saw IMAGE, if `prepare` put it on "
            "one."
        ),
    ] = None,
    aus: Annotated[
        str | None,
        typer.Option(metavar="1,2,12", help="Draw these AUs, active or not, or all."),
    ] = None,
    min_probability: Annotated[
        float, typer.Option(help="Least probability of an AU that is drawn.")
    ] = 0.6,
    row: Annotated[
        int | None, typer.Option(help="Row of the parquet file, from 0; the first by default.")
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="Instead of --row: the name of the sample.")
    ] = None,
    columns: Annotated[
        int | None, typer.Option(help="Faces beside each other on a contact sheet; up to 4.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture, a PNG file.")] = Path("faces.png"),
) -> None:
    r"""Draw the regions, boxes, names and probabilities of AUs on faces.

    The AUs are read from --openface, --evidence or --target, or else found by dlib (approximate).
    A trace's claims are solid boxes, what the detector saw is dashed. Of several faces in an image,
    the largest is shown. Of a file that `prepare` wrote, a row is shown: its target, and the trace
    that SFT is to learn.

    **Examples**

        tag-rewards show face.jpg

        tag-rewards show rafdb/Image/aligned/*.jpg --openface rafdb/openface \
            --columns 6

        tag-rewards show face.jpg --aus all --out regions.png

        tag-rewards show face.jpg --trace answer.txt --target target.json

        tag-rewards show parquet/sft_train.parquet --row 7
    """
    from tag_rewards.files.images import read_image
    from tag_rewards.pictures.detected import picture_of_detection
    from tag_rewards.pictures.face import face_picture, prepared_face
    from tag_rewards.pictures.marks import ModelView, claim_marks
    from tag_rewards.prepare.face_target import box_space as space_named

    given = {"--openface": openface, "--evidence": evidence, "--target": target}
    sources = [name for name, value in given.items() if value is not None]
    if len(sources) > 1:
        raise InputError(f"{' and '.join(sources)} say both what the detector saw; give one")
    if len(images) > 1 and (trace or target):
        one = "--trace" if trace else "--target"
        raise InputError(f"{one} is about one image, but there are {len(images)}; give one IMAGE")
    if not 0 <= min_probability <= 1:
        raise InputError(f"--min-probability is {min_probability}, not in [0, 1]")
    require_canvas(canvas)
    require_png(out)
    written = None if trace is None else read_text(trace)
    if images[0].suffix == ".parquet":
        if sources or len(images) > 1:
            raise InputError(f"{images[0]} has its own targets; give nothing else to show")
        face = prepared_face(images[0], row, id)
        write_picture([face.picture(written)], out)
        print(f"Written to {out}")
        if face.trace is not None:
            print(face.trace)
        return
    if row is not None or id is not None:
        raise InputError("--row and --id are of a parquet file; give one that `prepare` wrote")
    wanted = _aus(aus)
    pixels = [read_image(path) for path in images]
    if target is None:
        height, width = pixels[0].shape[:2]
        try:
            space = space_named(box_space, canvas or width, canvas or height)
        except ValueError as error:
            raise InputError(str(error)) from error
        view = ModelView(space, width, height, canvas)
        seen = _detect(images, openface, evidence)
        pictures = [
            picture_of_detection(
                path.name, image, detection, min_probability=min_probability, aus=wanted
            )
            for path, image, detection in zip(images, pixels, seen, strict=True)
        ]
        if written is not None:
            claims = claim_marks(written, view)
            pictures = [pictures[0]._replace(marks=pictures[0].marks + claims)]
    else:
        name, truth = images[0].name, read_target(target)
        pictures = [face_picture(name, pixels[0], truth, written, canvas=canvas)]
    write_picture(pictures, out, columns)
    print(f"Written to {out}")


def require_canvas(canvas: int | None) -> None:
    """Raise `InputError` for a canvas without a pixel."""
    if canvas is not None and canvas < 1:
        raise InputError(f"--canvas is {canvas}, not at least 1 pixel")


def require_png(out: Path) -> None:
    """Raise `InputError` unless a picture's name is that of a PNG file."""
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out} is no PNG; give a name that ends with .png")


def write_picture(pictures: "Sequence[FacePicture]", out: Path, columns: int | None = None) -> None:
    """Draw faces into a PNG file."""
    from tag_rewards.files.whole import whole
    from tag_rewards.pictures.sheet import draw_faces

    with whole(out) as file:
        draw_faces(pictures, columns).savefig(file, format="png")


def _aus(text: str | None) -> list[int] | None:
    """The AUs of `--aus`."""
    if text is None:
        return None
    if text == "all":
        return list(AU_REGIONS)
    aus = []
    for word in text.split(","):
        number = word.strip().upper().removeprefix("AU")
        if not number.isdecimal() or int(number) not in AU_REGIONS:
            raise InputError(
                f"--aus has {word.strip()!r}, which is no AU with a region; "
                f"known are {', '.join(map(str, AU_REGIONS))}"
            )
        aus.append(int(number))
    return list(dict.fromkeys(aus))


def _detect(images: list[Path], openface: Path | None, evidence: Path | None) -> "list[Detection]":
    from tag_rewards.detectors.registry import make_detector
    from tag_rewards.evidence.of_dataset import detections_in_evidence, detections_in_openface

    if openface is not None:
        return detections_in_openface(openface, images)
    if evidence is not None:
        return detections_in_evidence(evidence, images)
    return make_detector("dlib").detect(images)
