"""What a completion is scored against: the label, what a detector saw, box space and form.

A target travels as one plain JSON string in the `ground_truth` column of the RL data, so that every
training stack can carry it and other tools can read it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tag_rewards.errors import InputError, shown
from tag_rewards.facs import UNLABELLED, au_name, require_expression
from tag_rewards.forms import form_named
from tag_rewards.geometry.boxes import BoxSpace, convert_boxes, means_of_others
from tag_rewards.geometry.matching import require_corners
from tag_rewards.looks import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.geometry.matching import Box
    from tag_rewards.geometry.matching import Polygon as Polygon

VERSION = 1

_ENCODER = json.JSONEncoder(allow_nan=False)
# Other tools write whole numbers as 12.0.
_DECODER = json.JSONDecoder(parse_float=lambda digits: _short(float(digits)))

_THOUSANDTHS = BoxSpace.normalized_1000()

#: Probability below which a detector rules an AU out.
RULED_OUT = 0.2


@dataclass(frozen=True, slots=True)
class AUEvidence:
    """An AU that a detector saw, and where.

    Attributes:
        au: AU number, 1 to 99.
        probability: How sure the detector is, in [0, 1].
        box: x1, y1, x2, y2 in the target's box space, with x1 < x2 and y1 < y2.
        polygon: The region itself in the same coordinates, as one outline for each of its parts,
            with at most `tag_rewards.geometry.matching.MAX_CORNERS` in all; None if only the box is
            known.

    Raises:
        InputError: A field is out of range; the message names field and value.

    Example:
        >>> AUEvidence(au=14, probability=0.78, box=(81, 322, 416, 407)).box
        (81.0, 322.0, 416.0, 407.0)
    """

    au: int
    probability: float
    box: Box
    polygon: Polygon | None = None

    def __post_init__(self) -> None:
        if isinstance(self.au, bool) or not isinstance(self.au, int) or not 0 < self.au < 100:
            raise InputError(f"au: {shown(self.au)} is no AU number from 1 to 99")
        probability = _number("probability", self.probability)
        if not 0 <= probability <= 1:
            raise InputError(f"probability: {shown(self.probability)} is not in [0, 1]")
        object.__setattr__(self, "probability", probability)
        object.__setattr__(self, "box", _as_box(self.box))
        if self.polygon is not None:
            object.__setattr__(self, "polygon", _as_polygon(self.polygon))


@dataclass(frozen=True)
class Target:
    """What a completion is scored against.

    Attributes:
        label: The expression; a synonym is replaced by the canonical label. `UNLABELLED` where
            nobody said it: no answer is right then, and none is to be judged.
        evidence: The AUs that the detector saw, each at most once; empty if it saw none or found
            no face, in which case the grounding reward abstains. Boxes lie inside the image.
        box_space: The coordinates of the boxes, those of the evidence and those that the model
            is asked for.
        form: How the completion is written, as `tag_rewards.forms.form_named` takes it.
        unsure: Other AUs with the detector's probability, each at most once and not in the
            evidence. They are not asked for; `GroundingConfig.unsure` says what naming them is
            worth.
        ignored: Those of them that the detector does not rule out: of at least `RULED_OUT`.

    Raises:
        InputError: A field is wrong; the message names the field, the value and what to do.

    Example:
        >>> target = Target(
        ...     "sad", (AUEvidence(14, 0.78, (81, 322, 416, 407)),), BoxSpace.pixels(512, 512)
        ... )
        >>> target.label
        'sadness'
        >>> Target.from_json(target.to_json()) == target
        True
    """

    label: str
    evidence: tuple[AUEvidence, ...]
    box_space: BoxSpace
    form: str = "tag"
    unsure: tuple[AUEvidence, ...] = ()
    by_au: dict[int, AUEvidence] = field(init=False, repr=False, compare=False)
    ignored: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.label, str):
            raise InputError(f"label: {shown(self.label)} is not a string")
        try:
            label = UNLABELLED if self.label == UNLABELLED else require_expression(self.label)
        except ValueError as error:
            raise InputError(f"label: {error}") from None
        if not isinstance(self.box_space, BoxSpace):
            raise InputError(f"box_space: {shown(self.box_space)} is no BoxSpace")
        if not isinstance(self.form, str):
            raise InputError(f"form: {shown(self.form)} is not a string")
        try:
            form_named(self.form)
        except ValueError as error:
            raise InputError(f"form: {error}") from None
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "evidence", tuple(self.evidence))
        object.__setattr__(self, "unsure", tuple(self.unsure))
        known: dict[int, AUEvidence] = {}
        self._add("evidence", self.evidence, known)
        object.__setattr__(self, "by_au", known.copy())
        self._add("unsure", self.unsure, known)
        ignored = frozenset(item.au for item in self.unsure if item.probability >= RULED_OUT)
        object.__setattr__(self, "ignored", ignored)

    def _add(self, name: str, items: Sequence[AUEvidence], known: dict[int, AUEvidence]) -> None:
        """Check the items of a field, and add them to those that are known by their AU."""
        width, height = self.box_space.extent
        for index, evidence in enumerate(items):
            if not isinstance(evidence, AUEvidence):
                raise InputError(f"{name}[{index}]: {shown(evidence)} is no AUEvidence")
            if evidence.au in known:
                raise InputError(
                    f"{name}[{index}].au: AU{evidence.au} is there twice; "
                    "give one box that spans both sides of the face"
                )
            x1, y1, x2, y2 = evidence.box
            if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
                raise InputError(
                    f"{name}[{index}].box: {list(evidence.box)} leaves the box space "
                    f"{self.box_space.kind} of {width:g} x {height:g}; "
                    "convert it to that space, or clip it"
                )
            known[evidence.au] = evidence

    def __hash__(self) -> int:
        return hash((self.label, self.evidence, self.box_space, self.form, self.unsure))

    def _repr_html_(self) -> str:
        seen = [
            (au_name(one.au), f"{one.probability:.2f}", str([_short(side) for side in one.box]))
            for one in self.evidence
        ]
        title = f"{self.label}, boxes in {self.box_space.words}, form {self.form}"
        return Grid(("seen", "probability", "box"), seen, title).html()

    def to_json(self) -> str:
        """One line of JSON; `Target.from_json` is its inverse.

        TAG's own form is left out, and `unsure` where there is nothing in it.

        Example:
            >>> print(Target("joy", (), BoxSpace.normalized_1000()).to_json())
            {"version": 1, "label": "happiness", "box_space": {"kind": "normalized_1000"}, \
"evidence": []}
        """
        fields = {
            "version": VERSION,
            "label": self.label,
            "box_space": self.box_space.to_dict(),
            "evidence": [_evidence_fields(evidence) for evidence in self.evidence],
        }
        if self.form != "tag":
            fields["form"] = self.form
        if self.unsure:
            fields["unsure"] = [_evidence_fields(evidence) for evidence in self.unsure]
        return _ENCODER.encode(fields)

    @classmethod
    def from_json(cls, text: str) -> Target:
        """Read what `to_json` or another tool wrote.

        Raises:
            InputError: The text is no JSON, or a field is missing, unknown or wrong; the message
                begins with the path of the field, e.g. "evidence[2].box".
        """
        if not isinstance(text, str):
            raise InputError(
                f"a target is a JSON string, not {type(text).__name__}; write it with to_json()"
            )
        try:
            fields = _DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"a target is a JSON object as Target.to_json() writes it, not {shown(text)} "
                f"({error})"
            ) from None
        required = ("version", "label", "box_space", "evidence")
        _check_fields("", fields, required, optional=("form", "unsure"))
        if fields["version"] != VERSION:
            raise InputError(
                f"version: {shown(fields['version'])} is unknown; "
                f"this release reads version {VERSION}"
            )
        if not isinstance(fields["box_space"], dict):
            raise InputError(f"box_space: {shown(fields['box_space'])} is not an object")
        try:
            box_space = BoxSpace.from_dict(fields["box_space"])
        except ValueError as error:
            raise InputError(f"box_space: {error}") from None
        evidence, unsure = (
            _read_list(name, fields.get(name, [])) for name in ("evidence", "unsure")
        )
        return cls(fields["label"], evidence, box_space, fields.get("form", "tag"), unsure)


class SeenBoxes(NamedTuple):
    """Where the AUs of many targets were seen, one after the other, whatever their box spaces are.

    Its means say where an AU usually lies: what a box is worth that did not look.

    Attributes:
        face: Which target each AU is of, shape (m,).
        au: Its number, shape (m,).
        boxes: Its box in thousandths of the image, shape (m, 4).
    """

    face: NDArray[np.intp]
    au: NDArray[np.intp]
    boxes: NDArray[np.float64]

    @classmethod
    def of(cls, targets: Sequence[Target]) -> SeenBoxes:
        """The evidence of targets, in their order."""
        seen = [(i, item.au) for i, target in enumerate(targets) for item in target.evidence]
        face, au = np.array(seen, dtype=np.intp).reshape(-1, 2).T
        boxes = [
            convert_boxes([item.box for item in one.evidence], one.box_space, _THOUSANDTHS)
            for one in targets
            if one.evidence
        ]
        return cls(face, au, np.concatenate([*boxes, np.empty((0, 4))]))

    def means(self) -> dict[int, Box]:
        """The mean box of each AU over the faces that show it.

        Example:
            >>> square = BoxSpace.pixels(100, 100)
            >>> boxes = ((10, 20, 30, 40), (20, 20, 40, 60))
            >>> targets = [Target("joy", (AUEvidence(12, 1.0, box),), square) for box in boxes]
            >>> SeenBoxes.of(targets).means()
            {12: (150.0, 200.0, 350.0, 500.0)}
        """
        of = {au: self.boxes[self.au == au].mean(axis=0).tolist() for au in np.unique(self.au)}
        return {int(au): (x1, y1, x2, y2) for au, (x1, y1, x2, y2) in of.items()}

    def means_of_others(self) -> NDArray[np.float64]:
        """For each box the mean of its AU over all *other* faces, (m, 4); NaN where there is none.

        With its own, few faces would look aligned.
        """
        return means_of_others(self.au, self.boxes)


def _evidence_fields(evidence: AUEvidence) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "au": evidence.au,
        "probability": evidence.probability,
        "box": [_short(value) for value in evidence.box],
    }
    if evidence.polygon is not None:
        fields["polygon"] = [
            [[_short(x), _short(y)] for x, y in outline] for outline in evidence.polygon
        ]
    return fields


def _short(value: float) -> float:
    return int(value) if value.is_integer() else value


def _read_list(name: str, items: Any) -> tuple[AUEvidence, ...]:
    if not isinstance(items, list):
        raise InputError(f"{name}: {shown(items)} is not a list")
    return tuple(_read_evidence(f"{name}[{index}]", item) for index, item in enumerate(items))


def _read_evidence(path: str, fields: Any) -> AUEvidence:
    _check_fields(path, fields, required=("au", "probability", "box"), optional=("polygon",))
    try:
        return AUEvidence(**fields)
    except ValueError as error:
        raise InputError(f"{path}.{error}") from None


def _check_fields(
    path: str, fields: Any, required: Sequence[str], optional: Sequence[str] = ()
) -> None:
    if isinstance(fields, dict) and fields.keys() == set(required):  # nearly always
        return
    where = path or "a target"
    if not isinstance(fields, dict):
        raise InputError(
            f"{where} is a JSON object with {', '.join(required)}, not {shown(fields)}"
        )
    prefix = f"{path}." if path else ""
    for name in required:
        if name not in fields:
            raise InputError(f"{prefix}{name} is missing; {where} has {', '.join(required)}")
    for name in fields:
        if name not in required and name not in optional:
            raise InputError(
                f"{prefix}{name:.80} is unknown; {where} has {', '.join((*required, *optional))}"
            )


def _number(name: str, value: Any) -> float:
    if type(value) is float and isfinite(value):
        return value
    try:
        number = float(value) if not isinstance(value, (str, bytes, bool)) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not isfinite(number):
        raise InputError(f"{name}: {shown(value)} is no finite number")
    return number


def _as_box(value: Any) -> Box:
    if not hasattr(value, "__len__") or isinstance(value, (str, bytes, dict)) or len(value) != 4:
        raise InputError(f"box: {shown(value)} is not four numbers x1, y1, x2, y2")
    x1, y1, x2, y2 = [_number("box", number) for number in value]
    if not (x1 < x2 and y1 < y2 and 0 < (x2 - x1) * (y2 - y1) < inf):
        raise InputError(
            f"box: {[x1, y1, x2, y2]} has no area; it needs x1 < x2 and y1 < y2, so leave the AU "
            "out if its region lies outside of the image"
        )
    return x1, y1, x2, y2


def _as_polygon(value: Any) -> Polygon:
    try:
        corners = [[tuple(corner) for corner in outline] for outline in value]
    except TypeError:
        corners = [[()]]
    if any(len(corner) != 2 for outline in corners for corner in outline):
        raise InputError(f"polygon: {shown(value)} is no list of outlines [[x, y], ...]")
    outlines = tuple(
        tuple((_number("polygon", x), _number("polygon", y)) for x, y in outline)
        for outline in corners
    )
    require_corners(outlines)
    return outlines
