"""What "not", "without" and their like leave out, and where that list ends."""

from dataclasses import dataclass, field

from services.recommender.search.english import english
from services.recommender.search.pieces import Piece
from services.recommender.search.sentence import Sentence
from services.recommender.search.tokens import folded
from services.recommender.search.vocabulary import NARROWER, Meaning


@dataclass(slots=True)
class Excluded:
    """What is left out by the words up to the piece `end`; `unknown` are words that are no filter."""

    end: int
    terms: list[tuple[int, Meaning]] = field(default_factory=list)  # place of the piece, and what it means
    unknown: list[str] = field(default_factory=list)
    is_a_name: bool = False  # "non-stick": nothing is left out


def excluded(sentence: Sentence, at: int) -> Excluded:
    """Reads on from the piece `at` that excludes: "not black or red", "without stripes, dots and checks"."""
    found, place = Excluded(at + 1), _next_said(sentence, at + 1)
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


def _leave_out(sentence: Sentence, at: int, found: Excluded) -> int:
    """Puts one thing on the list; where it ends.

    A shade or a part of a shelf's name is no reason to leave out the whole: "no maroon" leaves red in.
    """
    meaning = sentence.meaning(at) if sentence.role(at) == "term" else None
    if meaning is not None and meaning.level < NARROWER:
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
    return 1 if following.key in english().prices.measures or sentence.is_number(following.start) else 2


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
    words = {word for value in piece.meanings[0].values for word in folded(value).split()}
    looks = english().looks
    return "colour" if words & looks.colours else "pattern" if words & looks.patterns else ""
