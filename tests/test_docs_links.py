"""Every relative link of the pages leads to a file, and every anchor to a heading."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("README.md", "CHANGELOG.md", "docs/*.md", "examples/**/*.md")
    for path in REPO.glob(pattern)
)
# [text](target), ![text](target "title"), [name]: target and <img src="target">, not inside code.
_IMAGE = re.compile(r'<img [^>]*?src="([^"]+)"')
_INLINE = re.compile(r"\]\(\s*<?([^)\s>]+)")
_REFERENCE = re.compile(r"^\s*\[[^\]^]+\]:\s+<?(\S+?)>?\s*$", re.MULTILINE)
_CODE = re.compile(r"^( *)(```|~~~).*?^\1\2|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(text):
    text = _CODE.sub("", text)
    return [link for kind in (_INLINE, _REFERENCE, _IMAGE) for link in kind.findall(text)]


def anchors(page):
    """As GitHub names the headings of a page."""
    headings = re.findall(r"^#+ +(.+?)\s*$", _CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page, link):
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists() or not target.is_relative_to(REPO):
        return False
    return not anchor or anchor in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_relative_links_and_images_resolve(page):
    dead = [
        link
        for link in links(page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", link) and not leads_somewhere(page, link)
    ]
    assert not dead


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("docs/data.md", True),
        ("docs/data.md#what-comes-out", True),
        ("docs/data.md#left-out-and-counted", True),
        ("docs/", True),
        ("docs/data.md#nowhere", False),
        ("docs/nothing.md", False),
        ("../../etc", False),
    ],
)
def test_a_dead_link_is_noticed(link, leads):
    assert leads_somewhere(REPO / "README.md", link) is leads


def test_links_are_found_and_code_is_passed_over():
    text = (
        "[a](b.md) ![c](d.png) [e](<f.md>) `[x](no.md)`\n```\n[x](no.md)\n```\n[g]: h.md\n"
        + '<img width="9" src="i.png">'
    )
    assert links(text) == ["b.md", "d.png", "f.md", "h.md", "i.png"]
