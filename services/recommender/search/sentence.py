"""A sentence's pieces and what stands around each: what a term means where it stands."""

from collections.abc import Sequence

from services.recommender.search.english import english
from services.recommender.search.forms import is_plural
from services.recommender.search.pieces import Piece, Spelled
from services.recommender.search.tokens import folded
from services.recommender.search.vocabulary import Meaning


class Sentence:
    """Pieces by place; outside of the sentence there is none."""

    def __init__(self, spelled: Spelled, pieces: Sequence[Piece]) -> None:
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
            return following.key in english().context.heads
        if following.role != "term":
            return False
        other = following.meanings[0]
        return other.kind == "type" and other != piece.meanings[0] and _is_singular(piece.meanings[0])


def _is_singular(meaning: Meaning) -> bool:
    """A type, or a shelf's plural name in the singular: "shoe" for "Shoes"."""
    return meaning.kind == "type" or is_plural(folded(meaning.spelling.rpartition("/")[2]))
