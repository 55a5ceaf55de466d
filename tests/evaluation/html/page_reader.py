"""An HTML page as elements, by Python's own parser."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict
    parent: "Element | None" = None
    children: list = field(default_factory=list)
    own_text: str = ""

    @property
    def text(self):
        return self.own_text + "".join(child.text for child in self.children)

    def all(self, *tags):
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)

    def one(self, tag, **attributes):
        [found] = [e for e in self.all(tag) if attributes.items() <= e.attributes.items()]
        return found


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = self.here = Element("", {})

    def handle_starttag(self, tag, attributes):
        element = Element(tag, dict(attributes), self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag, attributes):
        self.here.children.append(Element(tag, dict(attributes), self.here))

    def handle_endtag(self, tag):
        assert tag == self.here.tag, f"</{tag}> closes <{self.here.tag}>"
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.own_text += data


def read_page(text):
    """The root element; fails where tags do not match."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.tag}> is never closed"
    return reader.root
