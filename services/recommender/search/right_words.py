"""Words that are right in some big European language: whatever the catalogue lacks of them is no mistake."""

import gzip
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt

LIST: Final = "right_words.txt.gz"  # made by infra/right_words.py, which tells where it comes from


class WordList:
    """Folded words in order, as one text: 260,000 of them as Python's strings take 20 MB and not 2.5."""

    def __init__(self, text: bytes) -> None:
        self.text = b"\n" + text.strip(b"\n") + b"\n"

    def __contains__(self, word: str) -> bool:
        """By halving; some 20 µs."""
        wanted, text = word.encode(), self.text
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


RARE: Final = 10  # right words that have three letters in a row: "sdf" and "qwe" are in fewer
RARE_ENOUGH: Final = 3  # such runs make letters no word: "asdfqwer" has five, "gabardine" none
SHORT: Final = 5  # letters; in so few two do


@lru_cache(KEPT)
def is_gibberish(word: str) -> bool:
    """Whether a folded word is of no language, and does not look like one: no name and no mistake either."""
    if not word.isascii() or not word.isalpha() or language_of(word):
        return False
    rare = int(np.count_nonzero(_trigrams()[_runs(word.encode())] < RARE))
    return rare >= (2 if len(word) <= SHORT else RARE_ENOUGH)


def _runs(text: bytes) -> npt.NDArray[np.int32]:
    """(n,) of words between line ends: each three letters in a row as one number; ends are letters, too."""
    letters = np.frombuffer(b"\n" + text.strip(b"\n") + b"\n", np.uint8).astype(np.int32)
    letters = np.where(letters == ord("\n"), 0, letters - ord("a") + 1)
    within = letters[1:-1] > 0
    runs: npt.NDArray[np.int32] = (letters[:-2] * 27 + letters[1:-1]) * 27 + letters[2:]
    return runs[within]


@cache
def _trigrams() -> npt.NDArray[np.int64]:
    """(27³,) how often the right words have each; 40 ms, with the first word that nobody knows."""
    words = right_words()
    runs = np.concatenate([_runs(words.english.text), _runs(words.foreign.text)])
    return np.bincount(runs, minlength=27**3)
