"""From a shopper's sentence to the parameters of a search; pure, and needing no network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.recommender.search.query import Inferred, WeightName
from services.recommender.search.segments import (
    Piece,
    Sentence,
    correct_spelling,
    pieces,
    take_prices,
    take_wishes,
)
from services.recommender.search.text import english, normalise_text, tokens
from services.recommender.search.vocabulary import NARROWER, OWN, Kind, Meaning, Vocabulary


@dataclass(slots=True)
class Exclusions:
    """What is left out by the words up to the piece `end`; `unknown` are words that are no filter."""

    end: int
    terms: list[tuple[int, Meaning]] = field(default_factory=list)  # place of the piece, and what it means
    unknown: list[str] = field(default_factory=list)
    is_a_name: bool = False  # "non-stick": nothing is left out


def parse_exclusions(sentence: Sentence, at: int) -> Exclusions:
    """Reads on from the piece `at` that excludes: "not black or red", "without stripes, dots and checks"."""
    found, place = Exclusions(at + 1), _next_said(sentence, at + 1)
    following = sentence.piece(place)
    if following is None or following.role not in {"term", "word"} or sentence.is_number(following.start):
        return found
    if following.role == "word" and following.key in english().negation.compounds:
        found.is_a_name = True
        return found
    listed: int | None = place
    while listed is not None:
        found.end = _leave_out(sentence, listed, found)
        listed = _next_listed(sentence, found.end, sentence.pieces[listed])
    return found


def free_of(sentence: Sentence, at: int) -> int:
    """Where "leather-free" ends; 0 where the term is not left out."""
    hyphen = sentence.role(at + 1) == "filler" and sentence.key(at + 1) == "-"
    free = at + 1 + hyphen
    meaning = sentence.pieces[at].meanings[0]
    if sentence.key(free) != "free" or meaning.kind != "tag" or meaning.level == NARROWER:
        return 0
    return 0 if sentence.key(free + 1) in english().negation.given_free else free + 1


def free_of_several(sentence: Sentence, at: int) -> tuple[list[int], int]:
    """The places of "stripes and dots free" from the term `at` on, and where it ends; none for no list."""
    places = [at]
    while not (end := free_of(sentence, places[-1])):
        following = places[-1] + 1
        while sentence.role(following) in {"joining", "comma"} or sentence.key(following) == "-":
            following += 1
        piece = sentence.piece(following)
        is_listed = following > places[-1] + 1 and piece is not None and piece.role == "term"
        is_whole = sentence.key(places[-1]).endswith("free")  # "latex-free and leather-free": two wishes
        if piece is None or is_whole or not is_listed or not alike(sentence.pieces[at], piece):
            return [], at
        places.append(following)
    return places, end


def _leave_out(sentence: Sentence, at: int, found: Exclusions) -> int:
    """Puts one thing on the list; where it ends.

    A shade or a part of a shelf's name is no reason to leave out the whole: "no maroon" leaves red in.
    """
    meaning = sentence.meaning(at) if sentence.role(at) == "term" else None
    piece = sentence.pieces[at]
    if (
        meaning is not None
        and meaning.level < NARROWER
        and not sentence.spelled.is_guess(piece.start, piece.end)
    ):
        found.terms.append((at, meaning))
        return at + 1
    last = at if sentence.role(at) == "term" else at + _length(sentence, at) - 1
    found.unknown.append(sentence.raw(at, last))
    return last + 1


def _length(sentence: Sentence, at: int) -> int:
    """How many words one unknown thing has: "fake leather" is one."""
    following = sentence.piece(at + 1)
    if following is None or following.role != "word":
        return 1
    told = english()
    is_apart = following.key in told.prices.measures or following.key in told.foreign.small
    return 1 if is_apart or sentence.is_number(following.start) else 2


def _next_said(sentence: Sentence, at: int) -> int:
    """The next piece that says something: "not from Ilse", "not for the kids"."""
    between = english().negation.between
    while (piece := sentence.piece(at)) and (
        piece.role in {"brand", "apart", "beside"} or (piece.role == "filler" and piece.key in between)
    ):
        at += 1
    return at


def _next_listed(sentence: Sentence, at: int, before: Piece) -> int | None:
    """The next thing on the list, after the one `before` that ended at `at`; None where the list ends."""
    if sentence.role(at) == "joining":
        following = _next_said(sentence, at + 1)
        return following if _goes_on(sentence, before, following, sentence.key(at)) else None
    first = None
    while sentence.role(at) == "comma":  # "not black, red or blue", but "not black, red please"
        following = _next_said(sentence, at + 1)
        piece = sentence.piece(following)
        if piece is None or piece.role != "term" or not alike(before, piece):
            return None
        first, at, before = first or following, following + 1, piece
    if first is None or sentence.role(at) != "joining":
        return None
    return first if _goes_on(sentence, before, _next_said(sentence, at + 1), sentence.key(at)) else None


def _goes_on(sentence: Sentence, before: Piece, following: int, word: str) -> bool:
    piece = sentence.piece(following)
    if piece is None or piece.role != before.role:
        return False
    return piece.role == "word" or (piece.role == "term" and (word in {"or", "nor"} or alike(before, piece)))


def alike(one: Piece, other: Piece) -> bool:
    """Both colours, both patterns, both brands: "not black and red" goes on, "not black and striped" ends."""
    if not one.meanings or not other.meanings:
        return False
    return one.meanings[0].kind == other.meanings[0].kind and _look(one) == _look(other)


def _look(piece: Piece) -> str:
    words = {word for value in piece.meanings[0].values for word in normalise_text(value).split()}
    looks = english().looks
    return "colour" if words & looks.colours else "pattern" if words & looks.patterns else ""


@dataclass(slots=True)
class NamedCategory:
    """One category that was named: all paths it can be. `joined`: by "or" or "and" with the one before."""

    paths: tuple[str, ...]
    people: bool
    joined: bool
    place: int  # of its piece in the sentence


def choose_categories(
    named: Sequence[NamedCategory], types: Sequence[str], vocabulary: Vocabulary
) -> tuple[tuple[str, ...], set[int]]:
    """The path prefixes to filter by, and the places of those names that are better no filter.

    "Mens shoes" are the shoes of men; "men or women" are either; "outdoor shoes" are shoes, for no shoes lie
    in Outdoor; and a category that has none of the types asked for says what they are for: "kitchen clock".
    """
    left_out: set[int] = set()
    groups: list[NamedCategory] = []
    for name in named:
        if types and not _sells(name.paths, types, vocabulary):
            left_out.add(name.place)
        elif groups and name.joined and not _both(groups[-1].paths, name.paths):
            groups[-1].paths += name.paths
        else:
            groups.append(NamedCategory(name.paths, name.people, name.joined, name.place))
    current: NamedCategory | None = None
    for group in groups:
        both = _both(current.paths, group.paths) if current else group.paths
        if current and not both:
            left_out.add(current.place)
            current = group
        else:
            current = NamedCategory(both, group.people, group.joined, group.place)
    return (_only_selling(current.paths, types, vocabulary) if current else (), left_out)


def _sells(paths: Sequence[str], types: Sequence[str], vocabulary: Vocabulary) -> bool:
    return any(vocabulary.has_type_in(kind, path) for kind in types for path in paths)


def _only_selling(paths: tuple[str, ...], types: Sequence[str], vocabulary: Vocabulary) -> tuple[str, ...]:
    return tuple(path for path in paths if not types or _sells((path,), types, vocabulary))


def _both(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """The deeper of each two paths of which one leads to the other."""
    found: dict[str, None] = {}
    for a in one:
        for b in other:
            if _leads(a, b):
                found[b] = None
            elif _leads(b, a):
                found[a] = None
    return tuple(found)


def _leads(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


@dataclass(slots=True)
class ParsedQuery:
    """What the words were taken for. Places are those of pieces; dictionaries keep the words' order."""

    types: dict[str, int] = field(default_factory=dict)  # value → place
    brands: dict[str, None] = field(default_factory=dict)
    tags: dict[str, None] = field(default_factory=dict)
    named: list[NamedCategory] = field(default_factory=list)
    relatives: list[tuple[int, Meaning]] = field(default_factory=list)
    excluded: dict[Kind, dict[str, None]] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    corrections: dict[str, str] = field(default_factory=dict)
    weights: dict[WeightName, float] = field(default_factory=dict)
    left: dict[int, str] = field(default_factory=dict)  # place → words of the description
    joined_to_type: dict[int, int] = field(
        default_factory=dict
    )  # place of a category → of the type beside it


def gather(sentence: Sentence) -> ParsedQuery:
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
        self.found = ParsedQuery(weights=dict(sentence.spelled.weights))

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
        if self._is_price_of_it(at):
            return
        if piece.start in self._sentence.spelled.resembling or piece.role in {"apart", "beside"}:
            self._aside = "beside" if piece.role == "beside" else "apart"
            self._aside_ends = False
        elif piece.role in {"comma", "stop", "brand", "negation"} or (
            self._aside_ends and piece.role in {"term", "word"} and not self._sentence.follows_joining(at)
        ):
            self._aside = ""

    def _is_price_of_it(self, at: int) -> bool:
        """Of "50 dollars for a cap" the cap is what is looked for."""
        found, key = self.found, self._sentence.key(at)
        is_first = not (found.types or found.named or found.left or found.tags)
        return is_first and key == "for" and self._sentence.role(at - 1) == "taken"

    def _term(self, at: int) -> int:
        meaning = self._sentence.meaning(at)
        if meaning is None:
            self._leave(at)
        elif freed := self._free_of(at):
            return freed
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

    def _free_of(self, at: int) -> int:
        """Leaves out what the sentence wants to be without; where that ends, 0 where it is not so."""
        places, end = free_of_several(self._sentence, at)
        meanings = [self._sentence.meaning(place) for place in places]
        if not meanings or None in meanings:
            return 0
        for place, meaning in zip(places, meanings, strict=True):
            self._correct(place)
            if meaning is not None:
                self._leave_out(meaning)
        return end

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
        found, piece = self.found, self._sentence.pieces[at]
        self._correct(at)
        if self._sentence.spelled.is_guess(piece.start, piece.end):
            if meaning.kind == "tag":
                found.tags.update(dict.fromkeys(meaning.values))
            self._leave(at, self._sentence.spelled.text(piece.start, piece.end))
            return
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
            found.named.append(NamedCategory(meaning.values, meaning.people, joined, at))
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
        told = parse_exclusions(self._sentence, at)
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


LONGEST_QUERY: Final = 1_000  # characters that are read
MOST_TOKENS: Final = 120  # words, numbers and signs of them: a page pasted into the box takes 20 ms, not 70


def parse(query: str, vocabulary: Vocabulary) -> Inferred:
    """What the query asks for. Any text has an answer; an empty one asks for nothing.

    Every hard filter comes from words of the query: a name of the catalogue, its plural or singular, a
    synonym, or a typing mistake that `corrections` tells of.
    """
    words = correct_spelling(tokens(query[:LONGEST_QUERY])[:MOST_TOKENS], vocabulary)
    bounds = take_prices(words)
    take_wishes(words)
    sentence = Sentence(words, pieces(words))
    found = gather(sentence)
    _place_relatives(found, sentence, vocabulary)
    categories, left_out = choose_categories(found.named, list(found.types), vocabulary)
    for place in left_out:
        found.left[place] = sentence.raw(place)
        _drop_type_beside(place, found, sentence)
    return _to_inferred(found, sentence, categories, bounds)


def _place_relatives(found: ParsedQuery, sentence: Sentence, vocabulary: Vocabulary) -> None:
    """A "husband" means men where what he is to get is sold to men; else he is only a word.

    "Womens boyfriend shorts" are women's, "boyfriend shorts" a cut, and "from my husband" tells who gives.
    """
    is_told = any(name.people for name in found.named)
    for at, meaning in found.relatives:
        if sentence.follows_brand_word(at):
            continue
        if not (is_told or sentence.is_a_cut(at)) and any(
            vocabulary.has_type_in(kind, path) for kind in found.types for path in meaning.values
        ):
            found.named.append(NamedCategory(meaning.values, people=True, joined=False, place=at))
        else:
            found.left[at] = sentence.raw(at)


def _drop_type_beside(category: int, found: ParsedQuery, sentence: Sentence) -> None:
    """Of "hats or knitwear" neither is a filter: one alone would leave out half of the wish."""
    place = found.joined_to_type.get(category)
    if place is not None and not sentence.pieces[category].meanings[0].people:
        found.types = {kind: at for kind, at in found.types.items() if at != place}
        found.left[place] = sentence.raw(place)


def _to_inferred(
    found: ParsedQuery, sentence: Sentence, categories: tuple[str, ...], bounds: Mapping[str, Any]
) -> Inferred:
    out = {kind: tuple(values) for kind, values in found.excluded.items()}
    not_tags, not_brands = out.get("tag", ()), out.get("brand", ())
    not_categories, not_types = out.get("category", ()), out.get("type", ())
    tags = _without(found.tags, not_tags)
    looks = {"image": 1.0} if _speaks_of_looks([*tags, *found.left.values()]) else {}
    return Inferred(
        description=_description(found.left, sentence),
        order=sentence.spelled.order,
        weights={**found.weights, **looks},  # type: ignore[dict-item]  # "image" is a weight
        categories=_without(categories, not_categories),
        brands=_without(found.brands, not_brands),
        types=_without(found.types, not_types),
        tags=tags,
        not_tags=not_tags,
        not_brands=not_brands,
        not_categories=not_categories,
        not_types=not_types,
        unknown=tuple(found.unknown),
        corrections=found.corrections,
        **bounds,
    )


def _description(left: Mapping[int, str], sentence: Sentence) -> str:
    """The words left, each once, and all numbers; what was typed without a space between stays so."""
    text, said, end = "", set[str](), -1
    for place, words in sorted(left.items()):
        piece = sentence.pieces[place]
        glue = _glue(end, piece.start, sentence)
        if glue != " " or words not in said or words.isdigit():
            text += (glue if text else "") + words
            end = piece.end
        said.add(words)
    return text


def _glue(end: int, start: int, sentence: Sentence) -> str:
    """What stands between two words of the description, of which the first ended before token `end`."""
    if start == end:
        return " " if sentence.spelled.tokens[start].gap else ""
    return "-" if start == end + 1 and sentence.spelled.is_inner_hyphen(end) else " "


def _without(values: Iterable[str], excluded: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for value in values if value not in excluded)


def _speaks_of_looks(texts: Iterable[str]) -> bool:
    looks = english().looks
    words = {word for text in texts for word in normalise_text(text).split()}
    return bool(words & (looks.colours | looks.patterns))
