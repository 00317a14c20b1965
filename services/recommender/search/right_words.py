"""Words that are right in some big European language: whatever the catalogue lacks of them is no mistake."""

import gzip
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal, Self

LIST: Final = "right_words.txt.gz"  # made by infra/right_words.py, which tells where it comes from


class WordList:
    """Folded words in order, as one text: 260,000 of them as Python's strings take 20 MB and not 2.5."""

    def __init__(self, text: bytes) -> None:
        self._text = b"\n" + text.strip(b"\n") + b"\n"

    def __contains__(self, word: str) -> bool:
        """By halving; some 20 µs."""
        wanted, text = word.encode(), self._text
        low, high = 0, len(text) - 1  # the line looked at starts behind a line's end in [low, high)
        while low < high:
            start = text.rfind(b"\n", 0, (low + high) // 2 + 1) + 1
            end = text.index(b"\n", start)
            found = text[start:end]
            if found == wanted:
                return True
            if found < wanted:
                low = end
            else:
                high = start - 1
        return False


class RightWords:
    """`english`, and `foreign` for what only other languages have. None has fewer than four letters."""

    def __init__(self, english: WordList, foreign: WordList) -> None:
        self.english = english
        self.foreign = foreign

    @classmethod
    def load(cls) -> Self:
        """From the package's own file; 15 ms."""
        text = gzip.decompress(files("services.recommender.search").joinpath(LIST).read_bytes())
        while text.startswith(b"#"):
            text = text[text.index(b"\n") + 1 :]
        english, _, foreign = text.partition(b"\n\n")
        return cls(WordList(english), WordList(foreign))


@cache
def right_words() -> RightWords:
    """Read once a process, on first use."""
    return RightWords.load()


KEPT: Final = 20_000  # words that people type again and again


@lru_cache(KEPT)
def language_of(word: str) -> Literal["english", "foreign", ""]:
    """Of a folded word; an empty text for a mistake, a name or a word of fewer than four letters."""
    words = right_words()
    return "english" if word in words.english else "foreign" if word in words.foreign else ""
