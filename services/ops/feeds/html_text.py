"""The text of an HTML description: what a shopper reads, blocks parted by line feeds."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Final

UNSEEN: Final = frozenset({"script", "style", "template", "noscript", "head", "title"})
BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "footer",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "td",
    "th", "tr", "ul",
})  # fmt: skip
_MARKUP: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]{2,31});")


def readable(text: str) -> str:
    """The text without its markup; a text without any stays as it is, "a < b" too."""
    if not _MARKUP.search(text):
        return text.strip()
    if "<" not in text:
        text = unescape(text)  # markup that was escaped once more, as CMSs do
        if not _MARKUP.search(text):
            return _tidy(text)
    parser = _Text()
    parser.feed(text)
    parser.close()
    return _tidy("".join(parser.parts))


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
