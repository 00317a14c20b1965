"""Keeps of a model's answer what the catalogue bears out."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from services.recommender.search.inferred import Inferred
from services.recommender.search.tokens import key_of
from services.recommender.search.vocabulary import OWN, Kind, Vocabulary

DESCRIPTION_MAX: Final = 1_000
_CURRENCY: Final = re.compile("[A-Z]{3}")


def grounded(inferred: Inferred, vocabulary: Vocabulary) -> Inferred:
    """The same without names that the catalogue does not have, in its spelling; idempotent.

    Unknown names get lost: no filter comes of them. Those that were to be excluded are told as `unknown`.
    """
    lost = dict.fromkeys(inferred.unknown)
    for kind, names in (
        ("tag", inferred.not_tags),
        ("brand", inferred.not_brands),
        ("type", inferred.not_types),
    ):
        lost |= dict.fromkeys(name for name in names if not _names(kind, (name,), vocabulary))  # type: ignore[arg-type]
    least, most = inferred.price_min, inferred.price_max
    if least is not None and most is not None and least > most:
        least, most = most, least
    currency = (inferred.currency or "").upper()
    return msgspec.structs.replace(
        inferred,
        description=inferred.description[:DESCRIPTION_MAX],
        weights={name: max(-1.0, min(1.0, weight)) for name, weight in inferred.weights.items()},
        price_min=least,
        price_max=most,
        currency=currency if _CURRENCY.fullmatch(currency) else None,
        categories=_names("category", inferred.categories, vocabulary),
        brands=_names("brand", inferred.brands, vocabulary),
        types=_names("type", inferred.types, vocabulary),
        tags=_names("tag", inferred.tags, vocabulary),
        not_tags=_names("tag", inferred.not_tags, vocabulary),
        not_brands=_names("brand", inferred.not_brands, vocabulary),
        not_categories=_names("category", inferred.not_categories, vocabulary),
        not_types=_names("type", inferred.not_types, vocabulary),
        unknown=tuple(lost),
    )


def _names(kind: Kind, names: Iterable[str], vocabulary: Vocabulary) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        if vocabulary.has(kind, name):
            found[name] = None
            continue
        for meaning in vocabulary.meanings(key_of(name)):
            if meaning.kind == kind and meaning.level == OWN:
                found.update(dict.fromkeys(meaning.values))
    return tuple(found)
