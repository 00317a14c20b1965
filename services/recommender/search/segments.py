"""A sentence cut into what the catalogue knows, words that steer and words that are left."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from services.recommender.search.prices import prices
from services.recommender.search.query import OrderName, WeightName
from services.recommender.search.right_words import language_of
from services.recommender.search.text import (
    SHORTEST_CORRECTED,
    Superlative,
    Token,
    Wish,
    english,
    is_plural,
    normalise_text,
    singular,
    superlatives_by_phrase,
    wishes_by_phrase,
)
from services.recommender.search.vocabulary import SHORTEST_JOINED, Meaning, Vocabulary

LONGEST_STEER: Final = 5  # words in a phrase of english.toml
TRIED_MOST: Final = (
    30  # words of one sentence that the catalogue lacks and that may be mistyped: each costs time
)

Steer = Literal["negation", "brand", "apart", "beside", "joining", "filler"]
Role = Literal["term", "word", "comma", "stop", "taken"] | Steer


@dataclass(frozen=True, slots=True)
class Piece:
    """The tokens [start, end) and what they do in the sentence. `key`: the phrase that a term is known by."""

    role: Role
    start: int
    end: int
    key: str
    meanings: tuple[Meaning, ...] = ()


@dataclass(slots=True)
class CorrectedText:
    """The sentence's tokens; `texts` are their words after correction, `taken` those that are used up.

    A correction is `is_sure` where nothing else of the sentence is unknown: else it may only be a wish.
    """

    tokens: list[Token]
    texts: list[str]
    taken: set[int]
    vocabulary: Vocabulary
    is_sure: bool = True
    is_foreign: bool = False  # whether it is of another language than English
    weights: dict[WeightName, float] = field(default_factory=dict)
    order: OrderName | None = None
    resembling: set[int] = field(default_factory=set)  # after "looks like"

    def is_guess(self, start: int, end: int) -> bool:
        """Whether the tokens say something only after a correction that is not sure."""
        return not self.is_sure and bool(self.corrections(start, end))

    def text(self, start: int, end: int) -> str:
        """The words after correction."""
        return " ".join(self.texts[start:end])

    def corrections(self, start: int, end: int) -> dict[str, str]:
        """Typed word → what it was taken for."""
        return {
            self.tokens[at].raw.lower(): self.texts[at]
            for at in range(start, end)
            if self.texts[at] not in {self.tokens[at].text, "and"}
        }

    def raw(self, start: int, end: int) -> str:
        """As it was typed, in lower case; one space where there was any."""
        parts = [
            (" " if word.gap and at else "") + word.raw for at, word in enumerate(self.tokens[start:end])
        ]
        return "".join(parts).lower()

    def in_phrase(self, at: int) -> Iterator[int]:
        """Places of the words that a phrase could have from here: hyphens inside a word are passed over."""
        while at < len(self.tokens) and at not in self.taken:
            token = self.tokens[at]
            if token.kind != "sign" or token.text == "&":
                yield at
            elif not self.is_inner_hyphen(at):
                return
            at += 1

    def is_inner_hyphen(self, at: int) -> bool:
        """A hyphen with no space on either side."""
        return (
            self.tokens[at].text == "-"
            and 0 < at < len(self.tokens) - 1
            and not self.tokens[at].gap
            and not self.tokens[at + 1].gap
        )


def correct_spelling(words: list[Token], vocabulary: Vocabulary) -> CorrectedText:
    """The sentence with its mistyped words corrected; nothing is taken yet."""
    texts, tries, is_sure, foreign = [], 0, True, 0
    for word in words:
        text = "and" if word.text == "&" else word.text
        if word.kind == "word" and tries < TRIED_MOST and not vocabulary.knows_word(text):
            found, tries = vocabulary.correct(text), tries + 1
            if found is None and is_unknown(text):
                is_sure = False
                foreign += language_of(text) == "foreign"
            text = found or text
        texts.append(text)
    is_foreign = foreign > 1 or any(word.text in english().foreign.small for word in words)
    return CorrectedText(words, texts, set(), vocabulary, is_sure, is_foreign)


def is_unknown(word: str) -> bool:
    """No word of English, as far as can be told: shorter ones are of every language."""
    told = english()
    return (
        len(word) >= SHORTEST_CORRECTED
        and word.isalpha()
        and not (word in told.filler or word in told.common or language_of(word) == "english")
    )


class PlainWords:
    """What the reader of prices asks about the words of a sentence."""

    def __init__(self, sentence: CorrectedText) -> None:
        self._sentence = sentence

    def is_thing(self, at: int) -> bool:
        """An unknown plural: "at least 2 zips"."""
        word = self._sentence.tokens[at]
        return (
            word.kind == "word"
            and len(word.text) > 3
            and word.text.endswith("s")
            and word.text not in wishes_by_phrase()
            and not self.is_filler(at)
            and not self.is_catalogued(at)
        )

    def is_catalogued(self, at: int) -> bool:
        """A word of the catalogue."""
        return self._sentence.vocabulary.knows_word(self._sentence.texts[at])

    def is_filler(self, at: int) -> bool:
        """A word around what is asked for, or a sign between."""
        word = self._sentence.tokens[at]
        return word.text in english().filler if word.kind == "word" else word.text in ",-"

    def is_foreign(self, at: int) -> bool:
        """A word that English has not."""
        word = self._sentence.tokens[at]
        return word.kind == "word" and is_unknown(word.text) and not self.is_catalogued(at)


def term_at(at: int, sentence: CorrectedText) -> Piece | None:
    """The longest phrase of the catalogue that starts here."""
    vocabulary = sentence.vocabulary
    places: list[int] = []
    for place in sentence.in_phrase(at):
        places.append(place)
        if len(places) > vocabulary.longest + 1:
            break
    while places and places[0] == at:
        words = [sentence.texts[place] for place in places]
        key = " ".join(words)
        meanings = vocabulary.meanings(key) or _run_together(words, vocabulary)
        if meanings:
            return Piece("term", at, places[-1] + 1, key, meanings)
        places.pop()
    return None


def _run_together(words: Sequence[str], vocabulary: Vocabulary) -> tuple[Meaning, ...]:
    letters = "".join(words)
    return (
        vocabulary.meanings(" ".join(vocabulary.phrase_of_letters(letters)))
        if len(letters) >= SHORTEST_JOINED
        else ()
    )


def pieces(sentence: CorrectedText) -> list[Piece]:
    """The whole sentence, in order."""
    found, at = [], 0
    while at < len(sentence.tokens):
        piece = _piece(at, sentence)
        found.append(piece)
        at = piece.end
    return found


def _piece(at: int, sentence: CorrectedText) -> Piece:
    if at in sentence.taken:
        return Piece("taken", at, at + 1, sentence.texts[at])
    if sentence.tokens[at].kind == "sign":
        return _sign(at, sentence)
    term, steer = term_at(at, sentence), _steer(at, sentence)
    if term and (
        steer is None or term.end > steer.end or (term.end == steer.end and not _means_little(term))
    ):
        return term
    return steer or Piece("word", at, at + 1, sentence.tokens[at].text)


def _means_little(term: Piece) -> bool:
    """A single word that people say anyway, however the catalogue uses it."""
    return " " not in term.key


def _sign(at: int, sentence: CorrectedText) -> Piece:
    text, following = sentence.tokens[at].text, at + 1
    role: Role = "stop"
    if text == "-" and following < len(sentence.tokens) and not sentence.tokens[following].gap:
        role = "negation" if sentence.tokens[at].gap else "filler"  # "-black", "anti-fog"
    elif text in "&/+":
        role = "joining"
    elif text == ",":
        role = "comma"
    elif text in "-\"'#*%_()":
        role = "filler"
    return Piece(role, at, following, "or" if text == "/" else "and" if role == "joining" else text)


def _steer(at: int, sentence: CorrectedText) -> Piece | None:
    for length in range(LONGEST_STEER, 0, -1):
        span = range(at, at + length)
        if span.stop > len(sentence.tokens) or any(place in sentence.taken for place in span):
            continue
        key = " ".join(sentence.tokens[place].text for place in span)
        role = _role(key, at, sentence)
        if role:
            return Piece(role, at, span.stop, key)
    return None


def _role(key: str, at: int, sentence: CorrectedText) -> Role | None:
    told = english()
    if key in told.filler_phrases:
        return "filler"
    before = sentence.tokens[at - 1].text if at else ""
    if key == "like" and (not at or before in told.context.wants):
        return "filler"
    roles: Iterable[tuple[frozenset[str], Role]] = (
        (told.negation.triggers, "negation"),
        (told.foreign.negation if sentence.is_foreign else frozenset(), "negation"),
        (told.negation.joining, "joining"),
        (told.context.brand, "brand"),
        (told.context.apart | told.context.like_brand, "apart"),
        (told.context.beside, "beside"),
        (told.filler - told.kept, "filler"),
    )
    return next((role for words, role in roles if key in words), None)


def take_prices(sentence: CorrectedText) -> dict[str, float | str | None]:
    """The price parameters that the sentence names; their words are used up."""
    asked = prices(sentence.tokens, PlainWords(sentence))
    sentence.taken |= asked.taken
    return {
        "price_min": asked.price_min,
        "price_max": asked.price_max,
        "price_near": asked.price_near,
        "currency": asked.currency,
    }


def take_wishes(sentence: CorrectedText) -> None:
    """Finds what should weigh more or less; those words are used up unless the catalogue knows them too."""
    at = 0
    while at < len(sentence.tokens):
        at = _wish(at, sentence) or at + 1


def _wish(at: int, sentence: CorrectedText) -> int:
    for length in range(LONGEST_STEER, 0, -1):
        span = range(at, at + length)
        if span.stop > len(sentence.tokens) or any(place in sentence.taken for place in span):
            continue
        phrase = " ".join(sentence.tokens[place].text for place in span)
        wish = superlatives_by_phrase().get(phrase) or wishes_by_phrase().get(phrase)
        if wish is None:
            continue
        known = term_at(at, sentence)
        if known and known.end > span.stop:
            return 0
        start = _use_wish(wish, at, sentence)
        if known is None or start != at:
            sentence.taken.update(range(start, span.stop))
        if isinstance(wish, Wish) and wish.weight == "image":
            sentence.resembling.add(span.stop)
        return span.stop
    return 0


def _use_wish(wish: Wish | Superlative, at: int, sentence: CorrectedText) -> int:
    """Where it starts, with what negates it: "not too expensive", "not the cheapest"."""
    if isinstance(wish, Superlative):
        start = _negation_start(at, sentence)
        weights = wish.weights if sentence.order is None else {}  # the first counts
        if start == at:
            sentence.order = sentence.order or wish.order
    else:
        start = _negation_start(at, sentence) if wish.weight in {"price", "popularity"} else at
        weights = {wish.weight: wish.value}
    for name, value in weights.items():
        sentence.weights[name] = value if start == at else -value
    return start


def _negation_start(at: int, sentence: CorrectedText) -> int:
    """Where "not too" before a wish starts; `at` itself where nothing negates it."""
    told, before = english(), at - 1
    while (
        before >= 0 and before not in sentence.taken and sentence.tokens[before].text in told.negation.degrees
    ):
        before -= 1
    if (
        before >= 0
        and before not in sentence.taken
        and sentence.tokens[before].text in told.prices.negators | {"without"}
    ):
        return before
    return at


class Sentence:
    """Pieces by place; outside of the sentence there is none."""

    def __init__(self, spelled: CorrectedText, pieces: Sequence[Piece]) -> None:
        self.spelled = spelled
        self.pieces = pieces

    def piece(self, at: int) -> Piece | None:
        """The piece at a place."""
        return self.pieces[at] if 0 <= at < len(self.pieces) else None

    def role(self, at: int) -> str:
        """Its role; an empty text outside."""
        piece = self.piece(at)
        return piece.role if piece else ""

    def key(self, at: int) -> str:
        """Its words; an empty text outside."""
        piece = self.piece(at)
        return piece.key if piece else ""

    def raw(self, at: int, to: int | None = None) -> str:
        """As it was typed, up to and with the piece `to`."""
        return self.spelled.raw(self.pieces[at].start, self.pieces[at if to is None else to].end)

    def follows_joining(self, at: int) -> bool:
        """Whether "or", "and" or the like stands before it."""
        return self.role(at - 1) == "joining"

    def follows_number(self, at: int) -> bool:
        """Whether a number that is no price stands before it."""
        return self.is_number(self.pieces[at].start - 1)

    def is_number(self, place: int) -> bool:
        """Whether the token is a number that is no price."""
        spelled = self.spelled
        return place >= 0 and place not in spelled.taken and spelled.tokens[place].kind == "number"

    def follows_brand_word(self, at: int) -> bool:
        """ "by Ilse", "from the Ilse"."""
        return self.role(at - 1) == "brand" or (
            self.role(at - 1) == "filler" and self.role(at - 2) == "brand"
        )

    def meaning(self, at: int) -> Meaning | None:
        """What the term means here; None where it is only a word."""
        piece = self.pieces[at]
        if self.follows_brand_word(at):
            for meaning in piece.meanings:
                if meaning.kind == "brand":
                    return meaning
        if self.spelled.is_foreign and piece.key in english().foreign.false_friends:
            return None
        meaning = piece.meanings[0]
        if self.follows_number(at) and (meaning.people or piece.key in english().prices.units):
            return None  # "2 man tent", "800 lumen"
        if (
            meaning.kind == "brand"
            and piece.key in english().everyday
            and not self._is_written_as(at, meaning)
        ):
            return None
        return meaning

    def _is_written_as(self, at: int, meaning: Meaning) -> bool:
        """A brand like "Next" with its capital, where that is no matter of the sentence's."""
        piece, words = self.pieces[at], [word for word in self.spelled.tokens if word.kind == "word"]
        typed = " ".join(word.raw for word in self.spelled.tokens[piece.start : piece.end])
        return piece.start > 0 and typed in meaning.values and any(word.raw.islower() for word in words)

    def is_a_cut(self, at: int) -> bool:
        """ "boyfriend shorts", "dad hat", but "for dad" and "my husband's"."""
        following = self.piece(at + 1)
        is_first = self.role(at - 1) in {"", "term", "word", "taken"}
        return is_first and following is not None and following.role == "term"

    def is_likened(self, at: int) -> bool:
        """ "like Ilse", "similar to the Ilse"."""
        before = at - 1
        while self.role(before) == "filler":
            before -= 1
        return self.role(before) == "apart" and self.key(before) in english().context.like_brand

    def is_one_of_several(self, at: int) -> bool:
        """ "socks and shoes" where the catalogue knows no socks: a filter would lose half of the wish."""
        return any(
            self.role(joining) == "joining" and self.role(other) == "word" and is_plural(self.key(other))
            for joining, other in ((at - 1, at - 2), (at + 1, at + 2))
        )

    def is_of_another(self, at: int) -> bool:
        """ "watch strap", "shirt dress": the first noun only says which."""
        piece, following = self.pieces[at], self.piece(at + 1)
        if following is None or is_plural(piece.key):
            return False
        if following.role == "word":
            is_other = _is_singular(piece.meanings[0]) and _names_things(following.key)
            return is_other or following.key in english().context.heads
        if following.role != "term":
            return False
        own, other = piece.meanings[0], following.meanings[0]
        is_shelf = other.kind == "category" and own.kind == "type" and not other.people  # "sofa table"
        return (other.kind == "type" or is_shelf) and other != own and _is_singular(own)


def _names_things(word: str) -> bool:
    """An English plural that the catalogue lacks: "bed sheets", "sofa legs"."""
    one = singular(word) if is_plural(word) else None
    if one is None or one == word or word in english().context.audience:
        return False
    is_one_known = len(one) < SHORTEST_CORRECTED or language_of(one) == "english"
    return is_one_known and language_of(word) == "english"


def _is_singular(meaning: Meaning) -> bool:
    """A type, or a shelf's plural name in the singular: "shoe" for "Shoes"."""
    return meaning.kind == "type" or is_plural(normalise_text(meaning.spelling.rpartition("/")[2]))
