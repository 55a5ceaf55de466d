"""Whether a model sees and writes what the targets of a file say.

A target in another box space than the model's scores exact boxes as wrong ones, and says nothing.
So a file is compared with the model before it is trained on or asked about, files that are trained
on in turn are compared with each other, and a model keeps a note of what it was trained to write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from tag_rewards.errors import InputError
from tag_rewards.files.images import image_size
from tag_rewards.files.objects import ParquetError, open_parquet
from tag_rewards.files.whole import write_whole
from tag_rewards.model_images import FORM_KEY, read_model_file, read_model_images
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.prepare.rows import METADATA_KEY, read_rl_parquet

if TYPE_CHECKING:
    from tag_rewards.geometry import BoxSpace


class _Shown(NamedTuple):
    """A box space, the form, the size of the image that they are about, and where they stand."""

    where: str
    space: BoxSpace
    form: str
    size: tuple[int, int]


def check_model_fits(
    model: str | Path,
    data: str | Path,
    processor: Mapping[str, Any] | None = None,
    *,
    verl: bool = False,
) -> str:
    """Refuse a file whose boxes are not those that a model writes about its images.

    Nor may they be in the form of another family; TAG's and one of your own can be learnt.

    Args:
        model: A Hugging Face folder or name.
        data: A file of `tag-rewards prepare`. Of RL and evaluation each row is looked at; those of
            SFT are told by what `prepare` recorded, and are not checked without it.
        processor: Settings of the image processor that are said besides the model's files.
        verl: Whether verl shows the images, which resizes them twice.

    Returns:
        What was found, one sentence.

    Raises:
        InputError: They are others, or the model cannot be looked up; one sentence.
        ParquetError: The file is another, or a value is missing or wrong.
    """
    images = read_model_images(model, processor)
    seen: dict[tuple[BoxSpace, str, tuple[int, int]], str] = {}
    for where, space, form, size in _shown(Path(data)):
        seen.setdefault((space, form, size), where)
    for (space, form, size), where in seen.items():
        try:
            images.require_form(form)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        try:
            own = images.space(*size, verl=verl)
        except ValueError as error:
            raise InputError(f"{where}: {model} cannot be shown its image: {error}") from error
        if not images.writes(space, *size, verl=verl):
            raise InputError(
                f"{where}: boxes are in {space.words} ({space.kind}), but {model} "
                f"({images.family}) writes them in {own.words} ({own.kind}) about an image of "
                f"{size[0]}x{size[1]}; write the data with `tag-rewards prepare --model {model}`, "
                "or take a model that fits them"
            )
    spaces = " and in ".join(dict.fromkeys(space.words for space, *_ in seen))
    if not spaces:
        return f"{data} says not in which coordinates its boxes are: not compared with {model}"
    if not images.known:
        return f"{data} has boxes in {spaces}: not compared with {model}, a {images.family}"
    return f"{data} has boxes in {spaces}, as {model} ({images.family}) writes them"


def _shown(path: Path) -> Iterator[_Shown]:
    with open_parquet(path, pa.schema([])) as file:
        names = file.schema.names
    if "reward_model" in names:
        for number, row in enumerate(read_rl_parquet(path)):
            space = row.target.box_space
            width, height = image_size(row.image) or map(round, space.extent)
            yield _Shown(f"{path}: row {number}", space, row.target.form, (width, height))
        return
    config = recorded_config(path)
    if config is not None:
        yield _Shown(str(path), config.space, config.form, (config.canvas, config.canvas))


def recorded_config(path: Path) -> TargetConfig | None:
    """How a parquet file says that its targets were made; None if it does not say."""
    recorded = _recorded(path)
    if not recorded:
        return None
    try:
        return TargetConfig.from_settings(recorded["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise ParquetError(f"{path}: the metadata {METADATA_KEY!r} are wrong ({error})") from error


def recorded_form(paths: Iterable[Path]) -> str | None:
    """The form in which files say that their completions are; None if none says it."""
    said = {path: config.form for path in paths if (config := recorded_config(path)) is not None}
    for path, form in said.items():
        first, form_of_first = next(iter(said.items()))
        if form != form_of_first:
            raise InputError(
                f"{first} is in the form {form_of_first}, but {path} in {form}; write both with "
                "the same --form (FORM of the recipes)"
            )
    return next(iter(said.values()), None)


def note_form(folder: Path, form: str) -> None:
    """Note in a model's `config.json` in which form it was trained to write.

    `tag_rewards.model_images.read_model_images` finds it there.
    """
    if read_model_images(folder).form == form:
        return
    config = {**(read_model_file(folder, "config.json", fetch=False) or {}), FORM_KEY: form}
    write_whole(folder / "config.json", json.dumps(config, indent=2) + "\n")


def recorded_thinking(path: Path) -> bool | None:
    """What a parquet file says of `enable_thinking`; None if it says nothing."""
    said = _recorded(path).get("enable_thinking")
    if said is not None and not isinstance(said, bool):
        raise ParquetError(
            f"{path}: the metadata {METADATA_KEY!r} have enable_thinking {said!r:.80}, not true "
            "or false"
        )
    return said


def _recorded(path: Path) -> Mapping[str, Any]:
    """What `prepare` wrote into a file about itself; empty if there is nothing."""
    with open_parquet(path, pa.schema([])) as file:
        text = file.metadata.get(METADATA_KEY.encode(), b"{}")
    try:
        recorded = json.loads(text)
    except ValueError as error:
        raise ParquetError(f"{path}: the metadata {METADATA_KEY!r} are wrong ({error})") from error
    if not isinstance(recorded, dict):
        raise ParquetError(f"{path}: the metadata {METADATA_KEY!r} are {recorded!r:.80}")
    return recorded
