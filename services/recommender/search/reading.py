"""Reads a sentence from left to right and gathers what its pieces ask for."""

from dataclasses import dataclass, field

from services.recommender.search.exclusions import excluded, free_of
from services.recommender.search.inferred import WeightName
from services.recommender.search.sentence import Sentence
from services.recommender.search.shelves import Named
from services.recommender.search.vocabulary import NARROWER, OWN, Kind, Meaning


@dataclass(slots=True)
class Gathered:
    """What the words were taken for. Places are those of pieces; dictionaries keep the words' order."""

    types: dict[str, int] = field(default_factory=dict)  # value → place
    brands: dict[str, None] = field(default_factory=dict)
    tags: dict[str, None] = field(default_factory=dict)
    named: list[Named] = field(default_factory=list)
    relatives: list[tuple[int, Meaning]] = field(default_factory=list)
    excluded: dict[Kind, dict[str, None]] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    corrections: dict[str, str] = field(default_factory=dict)
    weights: dict[WeightName, float] = field(default_factory=dict)
    left: dict[int, str] = field(default_factory=dict)  # place → words of the description
    joined_to_type: dict[int, int] = field(
        default_factory=dict
    )  # place of a category → of the type beside it


def gathered(sentence: Sentence) -> Gathered:
    """All of the sentence but its prices."""
    reader = _Reader(sentence)
    at = 0
    while at < len(sentence.pieces):
        at = reader.step(at)
    return reader.found


class _Reader:
    """One step a piece. `_aside` is how the words at hand are beside the point: what it is for or with."""

    def __init__(self, sentence: Sentence) -> None:
        self._sentence = sentence
        self._aside = ""
        self._aside_ends = False
        self.found = Gathered(weights=dict(sentence.spelled.weights))

    def step(self, at: int) -> int:
        """Takes the piece at this place; gives the next place."""
        piece = self._sentence.pieces[at]
        self._look_aside(at)
        if piece.role == "negation":
            return self._exclude(at)
        if piece.role == "term":
            return self._term(at)
        if piece.role == "word":
            self._leave(at)
        return at + 1

    def _look_aside(self, at: int) -> None:
        """ "for", "like" and "with" turn aside, until one thing was named or a comma ends it."""
        piece = self._sentence.pieces[at]
        if piece.start in self._sentence.spelled.resembling or piece.role in {"apart", "beside"}:
            self._aside = "beside" if piece.role == "beside" else "apart"
            self._aside_ends = False
        elif piece.role in {"comma", "stop", "brand", "negation"} or (
            self._aside_ends and piece.role in {"term", "word"} and not self._sentence.follows_joining(at)
        ):
            self._aside = ""

    def _term(self, at: int) -> int:
        meaning = self._sentence.meaning(at)
        if meaning is None:
            self._leave(at)
        elif end := free_of(self._sentence, at):
            self._correct(at)
            self._leave_out(meaning)
            return end
        elif self._is_aside(meaning):
            self._aside_ends = True
            self._leave(at)
        elif meaning.kind == "brand" and self._sentence.is_likened(at):
            self.found.weights["brand"] = 1.0
            self._correct(at)
            self._leave(at, meaning.spelling)
        elif self._is_only_part(at, meaning):
            self._leave(at)
        else:
            self._use(at, meaning)
        return at + 1

    def _is_aside(self, meaning: Meaning) -> bool:
        """Whether a thing named after "for" or "with" is not what is looked for."""
        if not self._aside or meaning.people or meaning.kind == "brand":
            return False
        if meaning.kind == "tag":
            return self._aside == "apart" and meaning.level != OWN
        return meaning.kind == "type" or self._aside == "beside" or bool(self.found.types or self.found.left)

    def _is_only_part(self, at: int, meaning: Meaning) -> bool:
        if meaning.kind not in {"type", "category"} or meaning.people:
            return False
        return self._sentence.is_of_another(at) or self._sentence.is_one_of_several(at)

    def _use(self, at: int, meaning: Meaning) -> None:
        found = self.found
        self._correct(at)
        if meaning.level == NARROWER:
            self._leave(at)
        elif meaning.kind == "tag":
            self._leave(at, meaning.spelling)
        if meaning.kind == "type":
            found.types.update(dict.fromkeys(meaning.values, at))
        elif meaning.kind == "brand":
            found.brands.update(dict.fromkeys(meaning.values))
        elif meaning.kind == "tag":
            found.tags.update(dict.fromkeys(meaning.values))
        elif meaning.relative:
            found.relatives.append((at, meaning))
        else:
            joined = self._sentence.follows_joining(at)
            found.named.append(Named(meaning.values, meaning.people, joined, at))
        if meaning.people:
            self._aside = ""
        self._note_joined(at)

    def _note_joined(self, at: int) -> None:
        """Remembers "hats or knitwear": a type and a category that are alternatives."""
        if not self._sentence.follows_joining(at) or self._sentence.role(at - 2) != "term":
            return
        kinds = {self._sentence.pieces[place].meanings[0].kind: place for place in (at - 2, at)}
        if {"type", "category"} <= kinds.keys():
            self.found.joined_to_type[kinds["category"]] = kinds["type"]

    def _exclude(self, at: int) -> int:
        told = excluded(self._sentence, at)
        if told.is_a_name:
            self._leave(at)
        for place, meaning in told.terms:
            self._correct(place)
            self._leave_out(meaning)
        self.found.unknown.update(dict.fromkeys(told.unknown))
        return told.end

    def _leave_out(self, meaning: Meaning) -> None:
        self.found.excluded.setdefault(meaning.kind, {}).update(dict.fromkeys(meaning.values))

    def _leave(self, at: int, text: str | None = None) -> None:
        self.found.left[at] = self._sentence.raw(at) if text is None else text

    def _correct(self, at: int) -> None:
        piece = self._sentence.pieces[at]
        self.found.corrections |= self._sentence.spelled.corrections(piece.start, piece.end)
