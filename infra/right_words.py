"""Makes the list of right words that the search's spelling leaves alone: `python -m infra.right_words`.

It needs two packages that nothing else does: `pip install wordfreq==3.1.1 pyspellchecker==0.9.1` in an
environment of their own. wordfreq's word counts (Robyn Speer, CC BY-SA 4.0) tell which words people write;
the list made of them is under the same licence. pyspellchecker (MIT) tells rare English words from mistakes.
"""

import gzip
import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from services.recommender.search.text import normalise_text

LIST: Final = Path(__file__).parent.parent / "services/recommender/search/right_words.txt.gz"
HEAD: Final = (
    "# Right words, folded and in order: first English ones, then German, French, Spanish, Italian, Dutch,\n"
    "# Polish and Portuguese ones that are not English. From the word counts of wordfreq 3.1.1\n"
    "# (Robyn Speer), CC BY-SA 4.0, as is this list; made by infra/right_words.py\n"
)
LANGUAGES: Final = ("de", "fr", "es", "it", "nl", "pl", "pt")
# How often a word is written: the logarithm of its count in 10⁹ words (Zipf scale of wordfreq).
WRITTEN: Final = 2.9  # "definately" is at 2.87
SHORT_WRITTEN: Final = 3.3  # a short word of another language is as near to an English one as a mistake is
SHORT: Final = 5  # letters
KNOWN_WRITTEN: Final = 1.0  # in English, of words that a dictionary has: "gabardine" is at 1.82
SHORT_KNOWN_WRITTEN: Final = 1.9  # "wite" is at 1.84


def english_words() -> set[str]:
    """Words that people write in English, folded."""
    counts = importlib.import_module("wordfreq")
    dictionary = importlib.import_module("spellchecker").SpellChecker(language="en")
    written = ((word, counts.freq_to_zipf(count)) for word, count in _counts("en"))
    return _fold(
        word
        for word, zipf in written
        if zipf >= WRITTEN
        or (zipf >= (SHORT_KNOWN_WRITTEN if len(word) <= SHORT else KNOWN_WRITTEN) and word in dictionary)
    )


def foreign_words() -> set[str]:
    """Words that people write in one of the other languages, folded."""
    counts = importlib.import_module("wordfreq")
    return _fold(
        word
        for language in LANGUAGES
        for word, count in _counts(language)
        if counts.freq_to_zipf(count) >= (SHORT_WRITTEN if len(word) <= SHORT else WRITTEN)
    )


def _counts(language: str) -> Iterable[tuple[str, float]]:
    found: dict[str, float] = importlib.import_module("wordfreq").get_frequency_dict(language, "large")
    return found.items()


def _fold(words: Iterable[str]) -> set[str]:
    """Four letters and more: shorter words are never corrected."""
    return {word for word in map(normalise_text, words) if re.fullmatch(r"[a-z]{4,}", word)}


if __name__ == "__main__":
    english = english_words()
    parts = ["\n".join(sorted(words)) for words in (english, foreign_words() - english)]
    LIST.write_bytes(gzip.compress(f"{HEAD}{parts[0]}\n\n{parts[1]}\n".encode(), mtime=0))
