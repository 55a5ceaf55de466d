"""All that was looked at, and whether what was asked for is fine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag_rewards.doctor.installation import (
    Extra,
    Finding,
    environment,
    extras,
    gpus,
    named,
    openface,
    versions,
)
from tag_rewards.looks import Grid, plain


@dataclass(frozen=True, slots=True)
class Checkup:
    """What is here, and what came of what was asked for; `str` says it in words.

    Attributes:
        versions: Python's, and those of packages that are installed, by name.
        gpus: The GPUs that torch sees, in words; empty without torch.
        extras: The core and every extra, with what each lacks; empty where that is not recorded.
        environment: Environment variables that are looked at and set.
        findings: What was asked for: the core and the extras that were named, OpenFace where
            `OPENFACE_HOME` is set, model and data.
    """

    versions: Mapping[str, str]
    gpus: str
    extras: tuple[Extra, ...]
    environment: Mapping[str, str]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing that was asked for is at fault."""
        return all(finding.ok is not False for finding in self.findings)

    def record(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        remedies = {one.name: one.remedy for one in self.extras if one.missing}
        return {"ok": self.ok, **plain(self), "remedies": remedies}

    def grids(self) -> Iterator[Grid]:
        """The tables: versions, extras, and what was asked for."""
        here = {**self.versions, **({"GPU": self.gpus} if self.gpus else {}), **self.environment}
        yield Grid(("here", ""), [*here.items()])
        if self.extras:
            yield Grid(
                ("extra", "state", "what mends it"),
                [
                    (
                        extra.name or "(core)",
                        "; ".join(extra.missing) or "ready",
                        extra.remedy if extra.missing else "",
                    )
                    for extra in self.extras
                ],
            )
        marks = {True: "fine", False: "FAULT", None: "unknown"}
        rows = [(finding.name, marks[finding.ok], finding.said) for finding in self.findings]
        yield Grid(("asked for", "", ""), rows)

    def __str__(self) -> str:
        return "\n\n".join(grid.text() for grid in self.grids())

    def _repr_html_(self) -> str:
        return "".join(grid.html() for grid in self.grids())


def examine(
    wanted: Sequence[str] = (),
    model: str | None = None,
    data: str | Path | None = None,
    max_length: int | None = None,
) -> Checkup:
    """Look at what is installed and, before a long run, at a model and its data.

    Args:
        wanted: Extras that must be ready.
        model: A Hugging Face folder or name of the model that is to be trained or asked.
        data: A folder of `prepare` or `traces export`, or one of its files.
        max_length: Most tokens of a sequence in the run; None is what the model can take.

    Raises:
        InputError: There is no such extra.

    Example:
        >>> examine().ok
        True
    """
    from tag_rewards.doctor.before_a_run import look

    found = extras()
    asked = [named(found, name) for name in (*([""] if found else []), *wanted)]
    findings = [
        Finding(
            f"extra {one.name}" if one.name else "core",
            not one.missing,
            f"{'; '.join(one.missing)}: {one.remedy}" if one.missing else "ready",
        )
        for one in asked
    ]
    place = openface()
    findings += [] if place is None else [place]
    findings += look(model, None if data is None else Path(data), max_length)
    return Checkup(versions(), gpus(), tuple(found), environment(), tuple(findings))
