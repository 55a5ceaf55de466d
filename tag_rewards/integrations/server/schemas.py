"""The bodies of requests and responses, and what of them is scored; `/docs` shows them."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, model_validator

from tag_rewards.errors import InputError, shown
from tag_rewards.forms import FORMS, TAG
from tag_rewards.integrations.openrlhf import columns_of, response_of
from tag_rewards.integrations.scorer import completion_text, decoded_text

#: A target with polygons for every AU has some kilobytes; a scorer remembers those it has read.
MAX_TARGET_CHARS = 65_536

EXAMPLE_TARGET: dict[str, Any] = {
    "version": 1,
    "label": "happiness",
    "box_space": {"kind": "pixels", "width": 512, "height": 512},
    "evidence": [{"au": 12, "probability": 0.9, "box": [120, 330, 390, 450]}],
}
EXAMPLE_COMPLETION = TAG.write(
    "a bright face.",
    [TAG.write_step("mouth corners (AU12)", "pulled up", TAG.write_box((118, 340, 380, 445)))],
    "AU12 indicates happiness.",
    "happiness",
)

# What may stand in the JSON of a target whose form is a module's: `form`, and a letter of it as an
# escape. Others need not be read twice.
_MAY_NAME_A_FORM = re.compile(r"form|\\u")


def _acceptable(target: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    chars = len(json.dumps(target)) if isinstance(target, dict) else len(target or "")
    if chars > MAX_TARGET_CHARS:
        raise ValueError(f"a target of {chars} characters; at most {MAX_TARGET_CHARS} are read")
    fields: Any = target
    if isinstance(target, str) and _MAY_NAME_A_FORM.search(target):
        try:
            fields = json.loads(target)
        except (ValueError, RecursionError):
            return target  # no target; the scorer says so
    form = fields.get("form") if isinstance(fields, dict) else None
    if isinstance(form, str) and form not in FORMS:
        # A client could have any module imported.
        raise ValueError(f"the form {shown(form)} is none of the server's: {', '.join(FORMS)}")
    return target


Completion = Annotated[
    str | dict[str, Any] | list[Any] | None,
    Field(description="What the model wrote: a string, a chat message, or a list of messages."),
]
GroundTruth = Annotated[
    str | dict[str, Any] | None,
    AfterValidator(_acceptable),
    Field(description="The target: the string that `Target.to_json()` gives, or the same object."),
]
Completions = Annotated[list[Completion], FailFast()]
GroundTruths = Annotated[list[GroundTruth], FailFast()]
Texts = Annotated[list[str], FailFast()]


class Samples(BaseModel, ABC):
    """A request: what is to be scored, and the answer in the words of who asks."""

    @property
    @abstractmethod
    def texts(self) -> list[str | None]:
        """The text of each completion; None where there is none."""

    @property
    @abstractmethod
    def targets(self) -> Sequence[str | dict[str, Any] | None]:
        """The ground truth of each completion."""

    @abstractmethod
    def answer(self, scores: list[dict[str, float]]) -> Any:
        """The response, of the scores of each completion."""


class ScoreRequest(Samples):
    """Completions, and a ground truth for each or one for all of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"completions": [EXAMPLE_COMPLETION], "ground_truth": EXAMPLE_TARGET}]
        },
    )

    completions: Annotated[Completions, Field(min_length=1)]
    ground_truth: Annotated[GroundTruth, Field(description="One for all completions.")] = None
    ground_truths: Annotated[
        GroundTruths, Field(description="One for each completion, in the same order.")
    ] = []

    @model_validator(mode="after")
    def _exactly_one(self) -> ScoreRequest:
        if len(self.model_fields_set) != 2:
            raise ValueError("give either ground_truth, for all completions, or ground_truths")
        if "ground_truths" in self.model_fields_set:
            _require_as_many(completions=self.completions, ground_truths=self.ground_truths)
        return self

    @property
    def texts(self) -> list[str | None]:
        """Of strings, messages and lists of messages."""
        return [completion_text(completion) for completion in self.completions]

    @property
    def targets(self) -> Sequence[str | dict[str, Any] | None]:
        """The one of each, or the one of all."""
        return self.ground_truths or [self.ground_truth] * len(self.completions)

    def answer(self, scores: list[dict[str, float]]) -> Any:
        """A `ScoreResponse`."""
        return {"scores": scores}


class Scores(BaseModel):
    """The scores of one completion."""

    score: float = Field(description="Weighted mean of format, accuracy and grounding, in [0, 1].")
    format: float = Field(description="How well the text keeps to the form of a trace, in [0, 1].")
    accuracy: float = Field(description="Whether the answer is the target's label, 0 or 1.")
    grounding: float = Field(description="How well boxes and AUs agree with the target, in [0, 1].")
    mean_iou: float = Field(description="Mean IoU of the matched boxes, in [0, 1].")
    au_precision: float = Field(description="Share of the named AUs that the target has.")
    au_recall: float = Field(description="Share of the target's AUs that are named.")
    au_f1: float = Field(description="Their harmonic mean.")
    n_boxes: float = Field(description="Well-formed boxes.")
    n_steps: float = Field(description="Steps of the verification loop.")
    parse_errors: float = Field(description="What is wrong with the form of the text, counted.")
    abstained: float = Field(description="1 if the target has no evidence: grounding is left out.")
    unclosed_reasoning: float = Field(description="1 if the text ends before its reasoning does.")
    suspect_space: float = Field(
        description="1 if all boxes would fit far better in another box space or order."
    )
    invalid_target: float = Field(description="1 if the ground truth is no target: all else is 0.")
    consistency: float | None = Field(
        default=None,
        description="Whether the words fit boxes, AUs and answer, in [0, 1]; only with a weight.",
    )


class ScoreResponse(BaseModel):
    """The scores of each completion, in the order of the request."""

    scores: list[Scores]


class OpenRLHFRequest(Samples):
    """What OpenRLHF posts to `--remote_rm_url`."""

    query: Annotated[Texts, Field(min_length=1, description="Prompts with their responses.")]
    prompts: Texts
    labels: Annotated[GroundTruths, Field(description="The targets, from `--label_key`.")]

    @model_validator(mode="after")
    def _as_many(self) -> OpenRLHFRequest:
        _require_as_many(query=self.query, prompts=self.prompts, labels=self.labels)
        return self

    @property
    def texts(self) -> list[str | None]:
        """The queries without their prompts and the special tokens at their end."""
        pairs = zip(self.query, self.prompts, strict=True)
        return [_response(index, *pair) for index, pair in enumerate(pairs)]

    @property
    def targets(self) -> Sequence[str | dict[str, Any] | None]:
        """The labels."""
        return self.labels

    def answer(self, scores: list[dict[str, float]]) -> Any:
        """An `OpenRLHFResponse`."""
        return columns_of(scores)


def _response(index: int, query: str, prompt: str) -> str | None:
    try:
        return decoded_text(response_of(query, prompt))
    except InputError as error:
        raise InputError(f"query[{index}]: {error}") from None


class OpenRLHFResponse(BaseModel):
    """What OpenRLHF reads: rewards, scores for its filter, and what it logs."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


class SlimeRequest(Samples):
    """What slime posts to `--rm-url` for each sample."""

    prompt: Any = None
    response: str | None
    label: GroundTruth

    @property
    def texts(self) -> list[str | None]:
        """The response without the special tokens at its end."""
        return [decoded_text(self.response)]

    @property
    def targets(self) -> Sequence[str | dict[str, Any] | None]:
        """The label."""
        return [self.label]

    def answer(self, scores: list[dict[str, float]]) -> Any:
        """`Scores`."""
        return scores[0]


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


def _require_as_many(**fields: list[Any]) -> None:
    if len({len(items) for items in fields.values()}) > 1:
        counts = ", ".join(f"{len(items)} {name}" for name, items in fields.items())
        raise ValueError(f"{counts}; there must be as many of each")
