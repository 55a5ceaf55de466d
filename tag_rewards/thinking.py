"""Whether a model reasons before it writes, as its own chat template has it.

Templates of one family differ in this: Qwen3-VL's Thinking models open reasoning in each prompt,
its Instruct models never do, and Qwen3.5 has a switch, `enable_thinking`, that is on unless it is
told otherwise. So the template is rendered as a prompt, and looked at.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag_rewards.errors import InputError
from tag_rewards.model_images import model_file, read_model_file
from tag_rewards.trace.text import set_apart

SWITCH = "enable_thinking"
"""What chat templates call their switch; verl and vLLM hand it on under this name."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a chat template says of reasoning.

    Attributes:
        switch: Whether it has the switch `enable_thinking`.
        unless_told: Whether the model is to reason where nothing is said; None where the template
            does not say, which then is up to the model.

    Example:
        >>> thinking_of("{{ '<think>' if enable_thinking | default(true) else '' }}").sentence()
        'it has the switch enable_thinking, and reasons unless that is false'
    """

    switch: bool
    unless_told: bool | None

    def with_setting(self, enable_thinking: bool | None) -> bool | None:
        """Whether the model is to reason, None where that is up to the model."""
        if enable_thinking is None:
            return self.unless_told
        if not self.switch and enable_thinking != bool(self.unless_told):
            raise InputError(
                f"{SWITCH} {str(enable_thinking).lower()} contradicts the model's chat template: "
                f"{self.sentence()}; leave it out, or take another model of the family"
            )
        return enable_thinking

    def sentence(self) -> str:
        """The same for a person, about the template."""
        if self.switch:
            said = "does not say what holds without it"
            if self.unless_told is not None:
                said = (
                    "reasons unless that is false"
                    if self.unless_told
                    else "does not reason unless that is true"
                )
            return f"it has the switch {SWITCH}, and {said}"
        if self.unless_told:
            return f"it has no switch {SWITCH}, and opens reasoning in every prompt"
        return f"it has no switch {SWITCH}, and opens no reasoning"


def read_thinking(model: str | Path) -> Thinking:
    """Read what a model's chat template says of reasoning.

    Raises:
        ImportError: jinja2 is not installed.
    """
    template = _chat_template(model)
    if template is None:
        raise InputError(
            f"{model} has no chat template (chat_template.jinja, chat_template.json or "
            "tokenizer_config.json); give a model that is asked in chats"
        )
    try:
        return thinking_of(template)
    except InputError as error:
        raise InputError(f"{model}: {error}") from None


def thinking_of(template: str) -> Thinking:
    """What a chat template says of reasoning.

    Raises:
        ImportError: jinja2 is not installed.
    """
    usual, on, off = (_prompt(template, **said) for said in ({}, {SWITCH: True}, {SWITCH: False}))
    opened = _opens(usual)
    if opened is None and on != off:
        opened = True if usual == on else False if usual == off else None
    return Thinking(on != off, opened)


def _opens(prompt: str) -> bool | None:
    """Whether a prompt ends in reasoning, or with one that is empty; None where it has none."""
    parted = set_apart(prompt)
    if parted is None:
        return None
    return parted.unclosed or (False if parted.written != prompt else None)


def _prompt(template: str, **said: bool) -> str:
    """A question about an image as the template makes it, up to where the model goes on.

    As transformers renders it: in a sandbox, for templates are code of others.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = json.dumps
    environment.globals.update(raise_exception=_refuse, strftime_now=lambda form: form)
    # A mark of transformers' around what is trained on.
    template = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
    question: list[dict[str, Any]] = [{"type": "image"}, {"type": "text", "text": "?"}]
    refusals = []
    for content in (question, "?"):  # some templates take nothing but text
        messages = [{"role": "user", "content": content}]
        try:
            return environment.from_string(template).render(
                messages=messages, add_generation_prompt=True, **_NOTHING, **said
            )
        except (TemplateError, TypeError) as error:
            refusals.append(str(error))
    raise InputError(f"its chat template cannot be rendered ({refusals[0]})")


#: What templates of today ask for besides.
_NOTHING: dict[str, Any] = {"tools": None, "documents": None, "bos_token": "", "eos_token": ""}


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _chat_template(model: str | Path) -> str | None:
    """A model's chat template, from where transformers takes that of a processor."""
    for fetch in (False, True):  # what is here already goes before the network
        path = model_file(model, "chat_template.jinja", fetch=fetch)
        if path is not None:
            return path.read_text(encoding="utf-8")
        for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
            found = (read_model_file(model, name, fetch=fetch) or {}).get("chat_template")
            if isinstance(
                found, list
            ):  # several by name, as in {"name": "default", "template": ...}
                named = {one.get("name"): one.get("template") for one in found}
                found = named.get("default")
            if isinstance(found, str):
                return found
    return None
