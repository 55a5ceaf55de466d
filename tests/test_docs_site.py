"""The site of the pages, as far as it can be known without building it (`make docs` does)."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from tests.test_docs_links import anchors, links
from tests.test_faces import HOLD_MODULES, ROOMS

REPO = Path(__file__).parents[1]
CONFIG = yaml.safe_load((REPO / "mkdocs.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", REPO / CONFIG["hooks"][0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(nav):
    for entry in nav:
        [(_, below)] = entry.items()
        yield from [below] if isinstance(below, str) else leaves(below)


def test_every_page_is_in_one_lane(hooks):
    written = {page.name for page in (REPO / "docs").glob("*.md")}
    shown = list(leaves(CONFIG["nav"]))
    assert len(set(shown)) == len(shown)
    assert set(shown) == written | set(hooks.FROM_ROOT.values())


def test_every_face_has_its_names_in_the_api(hooks):
    faces = hooks.faces()
    for room in {"tag_rewards", *ROOMS} - HOLD_MODULES:
        module = importlib.import_module(room)
        if "integrations" not in room and getattr(module, "__all__", ()):
            assert set(module.__all__) <= {*faces[room], "__version__"}, room
            pages = hooks.api_page(room, faces[room], faces)
            assert all(f"`{name}`" in pages or f".{name}\n" in pages for name in module.__all__)


def test_names_of_other_rooms_are_links_to_where_they_are_described(hooks):
    faces = hooks.faces()
    pages = "".join(hooks.api_page(room, names, faces) for room, names in faces.items())
    described = set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    assert set(re.findall(r"^- \[.*\]\[(\S+)\]$", pages, re.MULTILINE)) <= described


@pytest.mark.parametrize(
    "page", sorted([*REPO.glob("docs/*.md"), *REPO.glob("*.md")]), ids=lambda page: page.name
)
def test_links_of_the_site_lead_somewhere(hooks, page):
    """Those of the repository that leave `docs/` become names of files; the others stay links."""
    text = hooks.in_site(page.read_text("utf-8"), page.relative_to(REPO).as_posix())
    from_root = {name: REPO / source for source, name in hooks.FROM_ROOT.items()}
    for link in links(text):
        name, _, anchor = link.partition("#")
        if ":" in link:
            continue
        there = from_root.get(name, REPO / "docs" / name) if name else page
        assert there.is_file(), link
        assert not anchor or anchor in anchors(there), link
