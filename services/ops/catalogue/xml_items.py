"""Items of RSS and Atom feeds as rows, one at a time. A broken item is told with its line, and others come.

Entities that HTML knows and XML does not (`&nbsp;`, `&eacute;`) are taken as what they mean.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from html.entities import html5
from typing import IO, Final, cast
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLPullParser

from defusedxml.ElementTree import DefusedXMLParser

from services.ops.catalogue.rows import Broken, CutOff, Row

GOOGLE: Final = "http://base.google.com/ns/1.0"
ITEMS: Final = frozenset({"item", "entry"})  # of RSS, of Atom
CHUNK: Final = 64 * 1024
WINDOW: Final = 4 * 1024 * 1024  # bytes that are kept to go on from, after a place that is broken
REPAIR: Final = "mend that item: text in <![CDATA[ ]]>, & as &amp;"

_ITEM: Final = re.compile(rb"<(?:\w+:)?(?:item|entry)[\s>]")
_ITEM_END: Final = re.compile(rb"</(?:\w+:)?(?:item|entry)\s*>")
_BEGINNING: Final = re.compile(rb"^(\xef\xbb\xbf)?\s+")  # spaces before the declaration are an error in XML
_ENTITY: Final = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,31});")
_OF_XML: Final = frozenset({b"amp", b"lt", b"gt", b"quot", b"apos"})


def rows(file: IO[bytes], encoding: str | None = None) -> Iterator[Row | Broken]:
    """A row an item: names without namespace. What comes more than once is a list; g:title hides title.

    Raises ParseError where no item was found before the broken place, CutOff where none comes after it.
    """
    source = _Source(file)
    prolog = b""
    while True:
        parser = _parser(encoding)
        try:
            yield from _items(parser, source, prolog)
            return
        except ParseError as error:
            at = parser._parser.parser.ErrorByteIndex - len(prolog)  # type: ignore[attr-defined]
            line = source.line_at(at)
            reason = str(error).partition(": line")[0]
            if not source.prolog or at < 0:
                raise  # what comes before the items is no XML, and so is nothing after it
            if reason.startswith("unclosed CDATA"):
                at = source.open_cdata()  # its place is told as the file's end
                line = source.line_at(at)
            goes_on = source.go_on_after(at)
            if not goes_on and not source.item_ends_after(at):
                ends = reason in ("no element found", "unclosed token")
                reason = (
                    "the file ends too early: was it cut off?" if ends else f"{reason}; no item comes after"
                )
                raise CutOff(f"line {line}: {reason}") from error
            yield Broken(f"is no XML: {reason}", f"line {line}", REPAIR)
            if not goes_on:
                return  # it was the last item
            prolog = source.prolog


def _parser(encoding: str | None) -> "XMLPullParser[Element]":
    safe = DefusedXMLParser(target=TreeBuilder(), encoding=encoding, forbid_dtd=True)
    return XMLPullParser(("start", "end"), _parser=safe)


def _items(parser: "XMLPullParser[Element]", source: "_Source", prolog: bytes) -> Iterator[Row]:
    parents: list[Element] = []
    parser.feed(prolog)
    is_over = False
    while not is_over:
        chunk = source.read()
        is_over = not chunk
        if is_over:
            parser.close()
        else:
            parser.feed(chunk)
        for event, element in cast("Iterator[tuple[str, Element]]", parser.read_events()):
            if event == "start":
                parents.append(element)
                continue
            parents.pop()
            if _name(element.tag)[1] in ITEMS:
                yield _row(element)
                element.clear()
                if parents:
                    parents[-1].clear()  # else every item ever read would hang there


class _Source:
    """The file's bytes, with the newest of them at hand. Places count from where the parser began."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._tail = b""  # a reference that may not be whole yet
        self._window = b""
        self._begins = 0  # the window's place
        self._line = 1  # in which it begins
        self._waiting = b""  # to be read again
        self.prolog = b""  # all before the first item, once it was seen

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        if self._waiting:
            chunk, self._waiting = self._waiting, b""
            return chunk
        raw = self._file.read(CHUNK)
        if not self._window and not self._begins:
            raw = _BEGINNING.sub(rb"\1", raw, count=1)
        text = self._tail + raw
        cut = text.rfind(b"&", -40) if raw else -1
        text, self._tail = (text[:cut], text[cut:]) if cut >= 0 else (text, b"")
        if raw and not text:
            return self.read()
        text = _ENTITY.sub(_reference, text)
        self._window += text
        if not self.prolog and (item := _ITEM.search(self._window)):
            self.prolog = self._window[: item.start()]
        if len(self._window) > WINDOW:
            self._forget(len(self._window) - WINDOW // 2)
        return text

    def line_at(self, at: int) -> int:
        """The line of a place, from 1."""
        return self._line + self._window.count(b"\n", 0, max(0, at - self._begins))

    def open_cdata(self) -> int:
        """The place of the CDATA section that nothing closes."""
        opened = self._window.find(b"<![CDATA[", max(0, self._window.rfind(b"]]>")))
        return self._begins + max(0, opened)

    def go_on_after(self, at: int) -> bool:
        """Goes to the first item after the place, for a new parser; False where none is."""
        start = max(0, at - self._begins) + 1
        while (item := _ITEM.search(self._window, start)) is None:
            start = max(0, len(self._window) - 32)  # half an item's name may be there
            before = self._begins
            if not self.read():
                return False
            start = max(0, start - (self._begins - before))
        self._forget(item.start())
        self._begins, self._waiting = 0, self._window
        return True

    def item_ends_after(self, at: int) -> bool:
        """Whether an item ends between the place and the file's end, which was read."""
        return _ITEM_END.search(self._window, max(0, at - self._begins)) is not None

    def _forget(self, count: int) -> None:
        self._line += self._window.count(b"\n", 0, count)
        self._window = self._window[count:]
        self._begins += count


def _reference(entity: re.Match[bytes]) -> bytes:
    meant = None if entity[1] in _OF_XML else html5.get(f"{entity[1].decode()};")
    return entity[0] if meant is None else "".join(f"&#{ord(each)};" for each in meant).encode()


def _row(item: Element) -> Row:
    found: dict[str, list[str]] = {}
    of_google: set[str] = set()
    for child in item:
        namespace, name = _name(child.tag)
        if any(_name(part.tag)[0] == GOOGLE for part in child):
            continue  # a group such as g:shipping
        text = _inner(child).strip() if len(child) else (child.text or "").strip()
        text = text or child.get("href", "")  # Atom's links are attributes
        if not text:
            found.setdefault(name, [])
        elif namespace == GOOGLE and name not in of_google:
            of_google.add(name)
            found[name] = [text]
        elif not found.get(name) or namespace == GOOGLE:
            found.setdefault(name, []).append(text)
    return {name: (texts[0] if texts else None) if len(texts) < 2 else texts for name, texts in found.items()}


def _inner(element: Element) -> str:
    """What is inside, as markup: feeds write HTML into a description without CDATA."""
    parts = [escape(element.text or "", quote=False)]
    for child in element:
        name = _name(child.tag)[1]
        parts += [f"<{name}>", _inner(child), f"</{name}>", escape(child.tail or "", quote=False)]
    return "".join(parts)


@lru_cache(1024)  # a feed has a few dozen, in every item
def _name(tag: str) -> tuple[str, str]:
    namespace, brace, name = tag.rpartition("}")
    return (namespace.lstrip("{"), name) if brace else ("", tag)
