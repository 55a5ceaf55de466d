"""What the site has beyond the pages of `docs/`: those of the root, the API, formulas as MathML.

The pages are written to be read in the repository as well. Here a link that leads out of `docs/`
becomes the path of the file, which a reader of the site finds in a clone.
"""

from __future__ import annotations

import ast
import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: A page of the root, and its name in the site.
FROM_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def faces() -> dict[str, dict[str, str]]:
    """Each room with its public names, and for each the module that defines it."""
    found = {}
    for package in sorted(ROOT.glob("tag_rewards/**/__init__.py")):
        stub = package.with_suffix(".pyi")
        tree = ast.parse((stub if stub.exists() else package).read_text(encoding="utf-8"))
        room = ".".join(package.parent.relative_to(ROOT).parts)
        names = {
            alias.asname or alias.name: f"{_module(room, node)}.{alias.name}"
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and _module(room, node).startswith("tag_rewards")
            for alias in node.names
        }
        if names and "integrations" not in room:
            found[room] = names
    return found


def _module(room: str, node: ast.ImportFrom) -> str:
    return ".".join(filter(None, (room if node.level else "", node.module)))


def api_page(room: str, names: dict[str, str], rooms: Mapping[str, Mapping[str, str]]) -> str:
    """The page of a room in the words of its docstrings; what is at home in another is a link."""
    here, elsewhere = [], []
    for name, where in sorted(names.items()):
        home = max((one for one in rooms if where.startswith(f"{one}.")), key=len)
        if home == room:
            here.append(f"::: {where}")
        else:
            elsewhere.append(f"- [`{name}`][{rooms[home].get(name, where)}]")
    return "\n\n".join([f"# `{room}`", "\n".join(elsewhere), *here]) + "\n"


def in_site(text: str, page: str) -> str:
    """The text of a page with links that hold in the site.

    Args:
        text: Markdown.
        page: Where the page lies in the repository, such as "docs/data.md".
    """

    def link(found: re.Match[str]) -> str:
        target, _, anchor = found[3].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        there = (ROOT / page).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
        if there in FROM_ROOT or there.startswith("docs/"):
            name = FROM_ROOT.get(there, there.removeprefix("docs/"))
            return f"{found[1]}[{found[2]}]({name}{'#' * bool(anchor)}{anchor})"
        return f"{found[2]} (`{there}`)" if found[2].strip("`") not in there else f"`{there}`"

    return _LINK.sub(link, text).replace('src="docs/', 'src="')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name anchors as the repository's host does, and put the API behind the lanes."""
    from pymdownx.slugs import slugify

    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    config.nav.append({"API": [{room: f"api/{room}.md"} for room in faces()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in `docs/`."""
    from mkdocs.structure.files import File

    pages = {
        name: in_site((ROOT / page).read_text("utf-8"), page) for page, name in FROM_ROOT.items()
    }
    found = faces()
    pages |= {f"api/{room}.md": api_page(room, names, found) for room, names in found.items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links that hold in the site."""
    return markdown if page.file.generated_by else in_site(markdown, f"docs/{page.file.src_uri}")


def on_page_content(html: str, **_: object) -> str:
    """Formulas that a browser draws by itself."""
    from latex2mathml.converter import convert

    def formula(found: re.Match[str]) -> str:
        display = "inline" if found[1] == "span" else "block"
        return convert(unescape(found[2]).strip(), display=display)

    return _FORMULA.sub(formula, html)
