"""From a shopper's sentence to the parameters of a search; pure, and needing no network."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.recommender.search.english import english
from services.recommender.search.inferred import Inferred
from services.recommender.search.pieces import pieces, spelled, take_prices, take_wishes
from services.recommender.search.reading import Gathered, gathered
from services.recommender.search.sentence import Sentence
from services.recommender.search.shelves import Named, chosen
from services.recommender.search.tokens import folded, tokens
from services.recommender.search.vocabulary import Vocabulary

LONGEST_QUERY: Final = 1_000  # characters that are read
MOST_TOKENS: Final = 120  # words, numbers and signs of them: a page pasted into the box takes 20 ms, not 70


def parse(query: str, vocabulary: Vocabulary) -> Inferred:
    """What the query asks for. Any text has an answer; an empty one asks for nothing.

    Every hard filter comes from words of the query: a name of the catalogue, its plural or singular, a
    synonym, or a typing mistake that `corrections` tells of.
    """
    words = spelled(tokens(query[:LONGEST_QUERY])[:MOST_TOKENS], vocabulary)
    bounds = take_prices(words)
    take_wishes(words)
    sentence = Sentence(words, pieces(words))
    found = gathered(sentence)
    _place_relatives(found, sentence, vocabulary)
    categories, left_out = chosen(found.named, list(found.types), vocabulary)
    for place in left_out:
        found.left[place] = sentence.raw(place)
        _drop_type_beside(place, found, sentence)
    return _told(found, sentence, categories, bounds)


def _place_relatives(found: Gathered, sentence: Sentence, vocabulary: Vocabulary) -> None:
    """A "husband" means men where what he is to get is sold to men; else he is only a word."""
    for at, meaning in found.relatives:
        if any(vocabulary.sold_in(kind, path) for kind in found.types for path in meaning.values):
            found.named.append(Named(meaning.values, people=True, joined=False, place=at))
        else:
            found.left[at] = sentence.raw(at)


def _drop_type_beside(category: int, found: Gathered, sentence: Sentence) -> None:
    """Of "hats or knitwear" neither is a filter: one alone would leave out half of the wish."""
    place = found.joined_to_type.get(category)
    if place is not None and not sentence.pieces[category].meanings[0].people:
        found.types = {kind: at for kind, at in found.types.items() if at != place}
        found.left[place] = sentence.raw(place)


def _told(
    found: Gathered, sentence: Sentence, categories: tuple[str, ...], bounds: Mapping[str, Any]
) -> Inferred:
    out = {kind: tuple(values) for kind, values in found.excluded.items()}
    not_tags, not_brands = out.get("tag", ()), out.get("brand", ())
    not_categories, not_types = out.get("category", ()), out.get("type", ())
    tags = _without(found.tags, not_tags)
    looks = {"image": 1.0} if _speaks_of_looks([*tags, *found.left.values()]) else {}
    return Inferred(
        description=_description(found.left, sentence),
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
    """The words left, each once; what was typed without a space between stays so."""
    text, said, end = "", set[str](), -1
    for place, words in sorted(left.items()):
        piece = sentence.pieces[place]
        glue = _glue(end, piece.start, sentence)
        if glue != " " or words not in said:
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
    words = {word for text in texts for word in folded(text).split()}
    return bool(words & (looks.colours | looks.patterns))
