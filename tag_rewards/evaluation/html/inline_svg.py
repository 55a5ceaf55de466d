"""A matplotlib figure as SVG in an HTML page: text stays text, colours are the page's."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import matplotlib as mpl
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# matplotlib's defaults, and what the page calls its own.
_PAGE_COLOURS = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "#b0b0b0": "var(--rule)",
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """The `<svg>` element of a figure.

    Black, white and the grey of grids become the page's `currentColor`, `--paper` and `--rule`,
    so that the figure can be read on a dark page too. The same figure gives the same text.

    Args:
        figure: the figure.
        name: a word that no other figure of the page has; its ids begin with it.
        description: the figure in words, for those who cannot see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :].strip()
    body = re.sub(r"<defs>\s*<style.*?</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    for colour, ours in _PAGE_COLOURS.items():
        body = body.replace(colour, ours)
    width, height = (size * 72 for size in figure.get_size_inches())
    head = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    # matplotlib escapes the text that it is given.
    return head.format(width, height, escape(description)) + Markup(body)
