"""What a model makes of an image: the size it sees, and how it writes boxes, from its own files.

A model's folder says to what size its processor resizes images, and a model's family in which
numbers and in which form it writes a box. Both are read from `config.json` and from
`processor_config.json` or `preprocessor_config.json`, as transformers reads them, and neither
transformers nor a weight is loaded. A model that was trained to write in another form says so
itself, in its `config.json` (`prepare.model_fits.note_form`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.forms import FORMS
from tag_rewards.geometry.boxes import BoxSpace, Kind, Resizing


class _Processor(NamedTuple):
    """An image processor that resizes as `Resizing` says: what its class has by default."""

    min_pixels: int
    max_pixels: int
    frames: int = 1
    """How often its limits count each pixel: GLM's counts a picture as a film of two frames."""


class _Family(NamedTuple):
    """How the models of a family write, and with what they see."""

    form: str
    processor: _Processor | None = None
    """None where images are resized in another way, and boxes do not depend on it."""

    @property
    def box_space(self) -> Kind:
        """The box space of their form."""
        return FORMS[self.form].space


_QWEN = _Processor(56 * 56, 28 * 28 * 1280)
_QWEN3 = _Family("qwen3_vl", _QWEN)
_GLM = _Family("glm_v", _Processor(112 * 112, 28 * 28 * 15000, frames=2))
_GEMMA = _Family("gemma")

#: Families by the `model_type` of `config.json`.
FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "qwen2_vl": _Family("qwen2_vl", _QWEN),
        "qwen2_5_vl": _Family("qwen2_5_vl", _QWEN),
        "qwen3_vl": _QWEN3,
        "qwen3_vl_moe": _QWEN3,
        "qwen3_5": _QWEN3,
        "qwen3_5_moe": _QWEN3,
        "internvl": _Family("internvl"),
        "internvl_chat": _Family("internvl"),
        "glm4v": _GLM,
        "glm4v_moe": _GLM,
        "glm46v": _GLM,
        "gemma3": _GEMMA,
        "gemma3n": _GEMMA,
        "gemma4": _GEMMA,
        "paligemma": _Family("paligemma"),
        "florence2": _Family("florence2"),
    }
)

FORM_KEY = "tag_rewards_form"
"""Of `config.json`: the form in which a model was trained to write.

It stays there when transformers saves the model again, as after further training."""

#: What all classes of these processors have where the files say nothing.
_PATCH_SIZE, _MERGE_SIZE = 14, 2


@dataclass(frozen=True, slots=True)
class ModelImages:
    """What a model makes of an image.

    Attributes:
        family: The `model_type` of its configuration, such as `qwen2_5_vl`.
        box_space: Kind of the box space that the models of this family write.
        form: Name of the form in which the model writes: its family's, or that of its training.
        resizing: How its processor resizes images; None where that is another way than that of
            Qwen and GLM, and a box does not depend on it.

    Example:
        >>> ModelImages("qwen2_5_vl", "resized", "qwen2_5_vl", Resizing()).space(1024, 1024).words
        'pixels of 1036x1036'
    """

    family: str
    box_space: Kind
    form: str
    resizing: Resizing | None = None

    def __post_init__(self) -> None:
        if self.box_space == "resized" and self.resizing is None:
            raise InputError(
                f"{self.family} writes boxes in pixels of the resized image, but nothing says how "
                "it resizes images; give its preprocessor_config.json beside its config.json"
            )

    @property
    def known(self) -> bool:
        """Whether the family is one of `FAMILIES`, and not assumed to write as most do."""
        return self.family in FAMILIES

    @property
    def family_form(self) -> str:
        """Name of the form in which the models of this family write; TAG's where none is known."""
        return FAMILIES[self.family].form if self.known else "tag"

    def shown(self, width: int, height: int, *, verl: bool = False) -> tuple[int, int]:
        """Width and height at which the model sees an image.

        Args:
            width: The image's, in pixels.
            height: The image's, in pixels.
            verl: Whether verl shows it, which resizes it with qwen-vl-utils first: by the same
                formula, to 4 to 16,384 squares of the factor.

        Raises:
            ValueError: As `smart_resize`.

        Example:
            >>> qwen3 = ModelImages("qwen3_vl", "normalized_1000", "qwen3_vl", Resizing(32, 65_536))
            >>> qwen3.shown(224, 224), qwen3.shown(100, 100)
            ((256, 256), (256, 256))
        """
        if self.resizing is None:
            return width, height
        if verl:
            square = self.resizing.factor**2
            width, height = Resizing(self.resizing.factor, 4 * square, 16384 * square).size(
                width, height
            )
        return self.resizing.size(width, height)

    def space(self, width: int, height: int, *, verl: bool = False) -> BoxSpace:
        """The box space in which the model writes about an image; arguments as `shown` has them.

        Raises:
            ValueError: As `smart_resize`.
        """
        if self.box_space == "resized":
            return BoxSpace.resized(self.family, *self.shown(width, height, verl=verl))
        return BoxSpace(self.box_space)

    def writes(self, space: BoxSpace, width: int, height: int, *, verl: bool = False) -> bool:
        """Whether the model's boxes about an image are numbers of `space`.

        Pixels of the canvas and pixels of the resized image are the same where the processor leaves
        the size as it is. Of a family that is not known, anything may be true.
        """
        own = self.space(width, height, verl=verl)
        return not self.known or (own.parts, own.extent) == (space.parts, space.extent)

    def require_form(self, form: str) -> None:
        """Refuse the form of another family; TAG's and one of your own can be learnt.

        That of an earlier training can be asked for, too.
        """
        if self.known and form in FORMS and form not in ("tag", self.form, self.family_form):
            raise InputError(
                f"form {form} contradicts the model: {self.family} writes {self.family_form}; take "
                "that one, or tag"
            )

    def asked_in(self, form: str) -> str:
        """What it is to the model to be asked for a form, for a person.

        Example:
            >>> RELEASED.asked_in("qwen2_5_vl"), RELEASED.asked_in("tag")
            ('completions are in the form qwen2_5_vl, its own', \
'completions are in the form tag, which it has to learn: its own is qwen2_5_vl')
        """
        asked = f"completions are in the form {form}"
        if form == self.form:
            return f"{asked}, its own" if self.known or form != "tag" else asked
        return f"{asked}, which it has to learn: its own is {self.form}"

    def sentence(self, width: int, height: int) -> str:
        """What was found, for a person, about an image of this size.

        Example:
            >>> RELEASED.sentence(1024, 1024)
            'qwen2_5_vl writes boxes in pixels of 1036x1036 (form qwen2_5_vl): it sees an image of \
1024x1024 at 1036x1036 (multiples of 28, 3,136 to 12,845,056 pixels)'
        """
        words = self.space(width, height).words
        if not self.known:
            return (
                f"{self.family} is none of the families that are known here "
                f"({', '.join(FAMILIES)}): assumed that it writes boxes in {words}, and is best "
                f"asked for the form {self.form}; if it is not so, say --box-space and --form "
                "(BOX_SPACE and FORM of the recipes)"
            )
        trained = "" if self.form == self.family_form else ", as it was trained"
        written = f"{self.family} writes boxes in {words} (form {self.form}{trained})"
        if self.resizing is None:
            return f"{written}, at whatever size it sees an image"
        limits, (w, h) = self.resizing, self.shown(width, height)
        return (
            f"{written}: it sees an image of {width}x{height} at {w}x{h} (multiples of "
            f"{limits.factor}, {limits.min_pixels:,} to {limits.max_pixels:,} pixels)"
        )


#: The Qwen2.5-VL checkpoints as they are released, which `resized` stands for without a model.
RELEASED = ModelImages("qwen2_5_vl", "resized", "qwen2_5_vl", Resizing())


def read_model_images(model: str | Path, processor: Mapping[str, Any] | None = None) -> ModelImages:
    """Read what a model makes of an image.

    Args:
        model: Its Hugging Face folder, or its name, whose files of a few kilobytes are taken from
            the cache, and fetched if they are not there.
        processor: Settings of the image processor that are said besides its files, and go before
            them, such as `{"max_pixels": 401408}`.
    """
    config = read_model_file(model, "config.json", fetch=True)
    if config is None:
        raise InputError(
            f"{model} is no folder with a config.json, and no model of that name is in the Hugging "
            "Face cache or can be fetched (a gated one needs `hf auth login`); give a folder"
        )
    family = config.get("model_type")
    if not isinstance(family, str) or not family:
        raise InputError(f"{model}: config.json: model_type is {family!r:.80}, not a family's name")
    entry = FAMILIES.get(family)
    trained = _trained_form(model, config)
    if entry is None:  # most of today's write thousandths
        return ModelImages(family, "normalized_1000", trained or "tag")
    settings = _image_processor(model) if entry.processor else None
    resizing = None
    if entry.processor and settings is not None:
        resizing = _resizing(model, {**settings, **(processor or {})}, entry.processor)
        _require_same_patches(model, config, resizing)
    try:
        return ModelImages(family, entry.box_space, trained or entry.form, resizing)
    except InputError as error:
        raise InputError(f"{model}: {error}") from None


def _trained_form(model: str | Path, config: Mapping[str, Any]) -> str | None:
    """What `config.json` has under `FORM_KEY`; a name of somebody's code is not imported here."""
    form = config.get(FORM_KEY)
    if form is None or (isinstance(form, str) and (form in FORMS or ":" in form)):
        return form
    raise InputError(
        f"{model}: config.json: {FORM_KEY} is {form!r:.80}, not one of {', '.join(FORMS)} or "
        "package.module:NAME"
    )


def images_by_hand(
    model: str | Path | None, min_pixels: int | None = None, max_pixels: int | None = None
) -> ModelImages | None:
    """What is said of a model by its files, by limits, or by both, which must then agree.

    Args:
        model: As `read_model_images` takes it; None without one: limits are then those of a
            Qwen2.5-VL.
        min_pixels: Least area to which images are resized; None where it is not said.
        max_pixels: Largest area to which images are resized; None where it is not said.

    Returns:
        None where nothing is said.

    Example:
        >>> images_by_hand(None, max_pixels=401_408).space(1024, 1024).words
        'pixels of 616x616'
    """
    said = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    limits = {name: value for name, value in said.items() if value is not None}
    if model is None:
        if not limits:
            return None
        return ModelImages(RELEASED.family, RELEASED.box_space, RELEASED.form, Resizing(**limits))
    images = read_model_images(model)
    for name, value in limits.items():
        option, own = f"--{name.replace('_', '-')}", getattr(images.resizing, name, None)
        if own != value:
            found = f"has {own}" if own else f"({images.family}) has none"
            raise InputError(
                f"{option} {value} contradicts {model}, whose image processor {found}; leave out "
                f"{option}, or change the model's preprocessor_config.json, which trainer and "
                "vLLM read"
            )
    return images


def _image_processor(model: str | Path) -> Mapping[str, Any] | None:
    """The image processor's settings, where transformers finds them; None if there are none."""
    for fetch in (False, True):  # what is here already goes before the network
        nested = read_model_file(model, "processor_config.json", fetch=fetch) or {}
        if isinstance(nested.get("image_processor"), dict):
            settings: Mapping[str, Any] = nested["image_processor"]
            return settings
        plain = read_model_file(model, "preprocessor_config.json", fetch=fetch)
        if plain is not None:
            return plain
    return None


def _resizing(model: str | Path, settings: Mapping[str, Any], of_class: _Processor) -> Resizing:
    """The resizing of a processor; Qwen's `min_pixels` and `max_pixels` go before `size`."""
    if settings.get("do_resize") is False:
        raise InputError(
            f"{model}: its image processor has do_resize false, so that it shows images of no "
            "size that is known here; remove that setting"
        )
    size = settings.get("size") or {}
    if not isinstance(size, Mapping):
        raise InputError(f"{model}: its image processor has size {size!r:.80}, not an object")
    said = {
        "patch_size": (settings.get("patch_size"), _PATCH_SIZE),
        "merge_size": (settings.get("merge_size"), _MERGE_SIZE),
        "min_pixels": (
            settings.get("min_pixels"),
            size.get("shortest_edge"),
            of_class.min_pixels,
        ),
        "max_pixels": (settings.get("max_pixels"), size.get("longest_edge"), of_class.max_pixels),
    }
    values = {}
    for name, places in said.items():
        value = next(value for value in places if value is not None)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(
                f"{model}: its image processor has {name} {value!r:.80}, not a whole number above 0"
            )
        values[name] = value
    least, most = (values[name] // of_class.frames for name in ("min_pixels", "max_pixels"))
    try:
        return Resizing(values["patch_size"] * values["merge_size"], least, most)
    except InputError as error:
        raise InputError(f"{model}: its image processor: {error}") from None


def _require_same_patches(model: str | Path, config: Mapping[str, Any], resizing: Resizing) -> None:
    """Refuse a processor whose patches are not those of the model's visual encoder."""
    vision = config.get("vision_config")
    vision = vision if isinstance(vision, Mapping) else {}
    patch, merge = vision.get("patch_size"), vision.get("spatial_merge_size")
    if isinstance(patch, int) and isinstance(merge, int) and patch * merge != resizing.factor:
        raise InputError(
            f"{model}: its image processor brings images to multiples of {resizing.factor} pixels "
            f"(patch_size times merge_size), but the visual encoder in config.json takes "
            f"{patch * merge} ({patch} x {merge}); take both files from the same release"
        )


def model_file(model: str | Path, name: str, *, fetch: bool) -> Path | None:
    """A file of a model, in its folder or in the cache of the Hub; None if there is none."""
    path = Path(model) / name if Path(model).is_dir() else _cached(str(model), name, fetch)
    return path if path is not None and path.is_file() else None


def read_model_file(model: str | Path, name: str, *, fetch: bool) -> Mapping[str, Any] | None:
    """A JSON file of a model as an object; None if there is none. Arguments as `model_file`."""
    path = model_file(model, name, fetch=fetch)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {content!r:.80}, not a JSON object")
    return content


def _cached(model: str, name: str, fetch: bool) -> Path | None:
    """A file of a model that is named as on the Hugging Face Hub; None if there is none."""
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, HFValidationError
    except ImportError:
        raise InputError(
            f"{model} is no folder, and a model's name needs huggingface_hub to be looked up; give "
            "a folder, or pip install huggingface_hub (`generate --engine openai` asks an endpoint "
            "without either)"
        ) from None
    try:
        found = try_to_load_from_cache(model, name)
        if found is None and fetch:
            found = hf_hub_download(model, name)
    except (EntryNotFoundError, HFValidationError, OSError):  # not there, not reached, not a name
        return None
    return Path(found) if isinstance(found, str) else None
