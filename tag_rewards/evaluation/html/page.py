"""The page as text, from values and the templates beside this file.

What a model wrote is never trusted: every value is escaped, and the page forbids its reader's
browser anything but its own style, its own script and embedded images.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

import tag_rewards
from tag_rewards.evaluation.face_view import PANEL
from tag_rewards.evaluation.html.face_svg import FONT
from tag_rewards.evaluation.html.table import Change
from tag_rewards.evaluation.results import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.evaluation.html.content import Content

def render_page(
    content: Content,
    *,
    au_figure: Markup,
    curves: Sequence[Markup],
    run: str,
    files: Sequence[str],
) -> str:
    """The HTML of the report.

    Args:
        content: tables and faces.
        au_figure: IoU by AU.
        curves: reward curves; none if there is no run.
        run: the folder that the curves are of.
        files: names of the files beside the page.
    """
    script = _asset("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = _environment().get_template("report.html.jinja")
    return page.render(
        content=content,
        au_figure=au_figure,
        curves=curves,
        run=run,
        files=files,
        version=tag_rewards.__version__,
        style=Markup(_asset("style.css")),
        script=Markup(script),
        policy=(
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        ),
        panel=PANEL,
        font=FONT,
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["figure"] = lambda value: isinstance(value, Figure)
    environment.tests["change"] = lambda value: isinstance(value, Change)
    environment.filters["number"] = _number
    return environment


def _number(value: float | int | str | None, sign: str = "") -> str:
    """A count as it is, a share with three digits, – for what is not known."""
    if value is None:
        return "–"
    return f"{value:{sign}.3f}".replace("-", "−") if isinstance(value, float) else str(value)
