"""Texts of cells as people read them: without markup and entities, as words, paths and links. Pure."""

import re
from collections.abc import Iterable, Sequence
from html import unescape
from html.parser import HTMLParser
from typing import Any, Final

import msgspec

from services.ops.catalogue.rows import BadValue

# What people and programs write into a cell that has nothing to say.
PLACEHOLDERS: Final = frozenset({"n/a", "#n/a", "null", "nan", "none", "-", "--", "–", "—"})
LONGEST: Final = max(map(len, PLACEHOLDERS))


def is_blank(value: object) -> bool:
    """Whether a cell says nothing: empty, spaces, or a placeholder such as n/a."""
    if not isinstance(value, str):
        return value is None
    text = value.strip()
    return len(text) <= LONGEST and (not text or text.lower() in PLACEHOLDERS)


def path(value: object, separator: str = ">") -> list[str]:
    """A category path, top first: a list, its JSON, or a text with steps parted by the separator."""
    return words(value, separator)


def words(value: object, separator: str = "|") -> list[str]:
    """A list, its JSON, or a text parted by the separator; the order stays, what is empty goes."""
    if isinstance(value, str):
        if value.startswith("["):
            try:
                value = msgspec.json.decode(value, type=list[str])
            except msgspec.DecodeError:
                raise BadValue(
                    "a list in JSON is cut off or holds something other than texts", value
                ) from None
        else:
            parts = readable(value).split(separator)  # &gt; parts a path as > does
            return [word for each in parts if not is_blank(word := " ".join(each.split()))]
    if not isinstance(value, list | tuple):
        return []
    found = (" ".join(readable(str(each)).split()) for each in value if each is not None)
    return [word for word in found if not is_blank(word)]


def deepest(paths: Sequence[list[str]]) -> tuple[list[str], list[str]]:
    """The longest of several category paths, of equals the first; and the last steps that it has not."""
    longest = max(paths, key=len, default=[])
    return longest, [each[-1] for each in paths if each and each[-1] not in longest]


def tags(*several: Iterable[str]) -> list[str]:
    """All words once, in their order."""
    return list(dict.fromkeys(word for each in several for word in each))


def one(value: Any) -> Any:  # noqa: ANN401 - a cell
    """A cell, or the first of several."""
    return (value[0] if value else None) if isinstance(value, list | tuple) else value


def text_of(cells: dict[str, Any], *names: str) -> str:
    """The first of these cells that says something, as a text, of a list its first; empty where none does."""
    for name in names:
        found = one(cells.get(name))
        if not is_blank(found):
            return str(found).strip()
    return ""


def id_of(cells: dict[str, Any], *names: str) -> str:
    """The first of these cells that is not empty, as a text: an id may be the word none."""
    found = (one(cells.get(name)) for name in names)
    return next((text for each in found if each is not None and (text := str(each).strip())), "")


UNSEEN: Final = frozenset({"script", "style", "template", "noscript", "head", "title"})
BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "footer",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "td",
    "th", "tr", "ul",
})  # fmt: skip
_MARKUP: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]{2,31});")


def readable(text: str) -> str:
    """The text without its markup; a text without any stays as it is, "a < b" too."""
    if ("<" not in text and "&" not in text) or not _MARKUP.search(text):
        return text.strip()
    if "<" not in text:
        text = unescape(text)  # markup that was escaped once more, as CMSs do
        if not _MARKUP.search(text):
            return _tidy(text)
    parser = _Text()
    parser.feed(text)
    parser.close()
    return _tidy("".join(parser.parts))


_ENTITY: Final = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]{2,31});")


def address(text: str) -> str:
    """A link with its entities decoded: `?a=1&amp;b=2`. Without a semicolon, as in `&copy=`, it is none."""
    return _ENTITY.sub(lambda found: unescape(found[0]), text.strip()) if "&" in text else text.strip()


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in UNSEEN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in UNSEEN))
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data.replace("\n", " ").replace("\r", " "))

    def _break(self, tag: str) -> None:
        if tag in BLOCKS:
            self.parts.append("\n")
