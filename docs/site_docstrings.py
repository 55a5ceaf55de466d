"""Docstrings as mkdocstrings reads them: `Example:` is code, formulas are Markdown's."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class Docstrings(Extension):
    """Rewrites what the project's docstrings have and griffe does not know."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """A module, class, function or attribute was read."""
        if obj.docstring is not None:
            text = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
            text = re.sub(r"\.\. math::(.*?)(?=\n\n|\Z)", r"$$\1$$", text, flags=re.DOTALL)
            obj.docstring.value = re.sub(r":math:`(.*?)`", r"$\1$", text)
