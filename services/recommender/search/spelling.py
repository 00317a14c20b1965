"""What a mistyped word was meant to be."""

from collections.abc import Iterable
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

SHORTEST: Final = 4
TWO_MISTAKES_FROM: Final = 8  # letters; shorter words may have one
COMPARED: Final = 8  # of the nearest words


class Spelling:
    """Known words by their first letter; of equally near ones the first given is meant."""

    def __init__(self, words: Iterable[str]) -> None:
        self._by_letter: dict[str, list[str]] = {}
        for word in words:
            if len(word) >= SHORTEST and word.isalpha():
                self._by_letter.setdefault(word[0], []).append(word)

    def meant(self, word: str) -> str | None:
        """The nearest known word; None where none is near enough.

        Distance: optimal string alignment (a letter more, less, other, or two swapped),
        then Jaro-Winkler. The
        first letter is right, or swapped with the second.
        """
        if len(word) < SHORTEST or not word.isalpha():
            return None
        mistakes = 2 if len(word) >= TWO_MISTAKES_FROM else 1
        found = process.extract(
            word, self._near(word), scorer=OSA.distance, score_cutoff=mistakes, limit=COMPARED
        )
        found = [each for each in found if _plausible(word, each[0])]
        nearest = [known for known, distance, _ in found if distance == found[0][1]]
        return max(nearest, key=lambda known: JaroWinkler.similarity(word, known), default=None)

    def _near(self, word: str) -> list[str]:
        same = self._by_letter.get(word[0], [])
        swapped = [] if word[1] == word[0] else self._by_letter.get(word[1], [])
        return [*same, *swapped]


def _plausible(word: str, known: str) -> bool:
    """In the shortest words another letter makes another word: "mats" are no "maps"."""
    return len(word) > SHORTEST or len(word) != len(known) or sorted(word) == sorted(known)
