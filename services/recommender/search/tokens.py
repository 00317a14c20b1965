"""Words, numbers and signs of a text, in the form that they are compared in."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["word", "number", "sign"]

# Letters that Unicode does not take apart, as people without them on the keyboard type them.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i"}
)
_STRAIGHT: Final = str.maketrans("‐‑‒–—−’‘`", "------'''")
_MARKS: Final = r"\u0300-\u036f\u0900-\u0dff\u0e31-\u0e4e"
_PATTERN: Final = re.compile(
    r"(?P<word>w/o(?!\w)|[^\W\d_](?:[\w" + _MARKS + r"]|'(?=\w))*)"
    r"|(?P<number>\d+(?:[.,]\d+)*)"
    r"|(?P<sign><=|>=|=<|=>|[^\w\s])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign. `gap` tells whether white space stands before it."""

    text: str  # folded
    raw: str
    kind: Kind
    gap: bool


def folded(text: str) -> str:
    """Without case, accents and apostrophes: "Crêpe" and "crepe", "men's" and "mens" are one."""
    if text.isascii():
        return text.lower().replace("'", "")
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return bare.translate(_LETTERS).replace("'", "")


def tokens(text: str) -> list[Token]:
    """The text's tokens in order; any text has them, maybe none."""
    straight = unicodedata.normalize("NFC", text).translate(_STRAIGHT)
    found: list[Token] = []
    end = 0
    for match in _PATTERN.finditer(straight):
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are called so
        raw = match.group()
        found.append(Token(folded(raw), raw, kind, gap=match.start() > end or not found))
        end = match.end()
    return found


def key_of(text: str) -> str:
    """A name as the phrase it is looked up by: "Birk & Loft" is "birk and loft", "T-Shirt" is "t shirt"."""
    return " ".join("and" if token.text == "&" else token.text for token in _phrase(text))


def _phrase(text: str) -> list[Token]:
    return [token for token in tokens(text) if token.kind != "sign" or token.text == "&"]
