"""Items of a Google Merchant feed in XML (RSS 2.0 or Atom), one at a time: none is kept.

Entities and document types are refused (defusedxml): a feed may come from anywhere.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import IO, Final
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import iterparse

from services.ops.feeds.rows import Row

GOOGLE: Final = "http://base.google.com/ns/1.0"
ITEMS: Final = frozenset({"item", "entry"})  # of RSS, of Atom


def rows(file: IO[bytes]) -> Iterator[Row]:
    """A row an item: names without namespace. What comes more than once is a list; g:title hides title."""
    parents: list[Element] = []
    for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            parents.append(element)
            continue
        parents.pop()
        if _name(element.tag)[1] in ITEMS:
            yield _row(element)
            element.clear()
            if parents:
                parents[-1].clear()  # else every item ever read would hang there


def _row(item: Element) -> Row:
    found: dict[str, list[str]] = {}
    of_google: set[str] = set()
    for child in item:
        namespace, name = _name(child.tag)
        text = (child.text or "").strip() or child.get("href", "")  # Atom's links are attributes
        if len(child) or not text:
            continue  # a group such as g:shipping
        if namespace == GOOGLE and name not in of_google:
            of_google.add(name)
            found[name] = [text]
        elif name not in found or namespace == GOOGLE:
            found.setdefault(name, []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}


@lru_cache(1024)  # a feed has a few dozen, in every item
def _name(tag: str) -> tuple[str, str]:
    namespace, brace, name = tag.rpartition("}")
    return (namespace.lstrip("{"), name) if brace else ("", tag)
