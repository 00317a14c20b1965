"""Which categories a sentence means when it names several things."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.recommender.search.vocabulary import Vocabulary


@dataclass(slots=True)
class Named:
    """One category that was named: all paths it can be. `joined`: by "or" or "and" with the one before."""

    paths: tuple[str, ...]
    people: bool
    joined: bool
    place: int  # of its piece in the sentence


def chosen(
    named: Sequence[Named], types: Sequence[str], vocabulary: Vocabulary
) -> tuple[tuple[str, ...], set[int]]:
    """The path prefixes to filter by, and the places of those names that are better no filter.

    "Mens shoes" are the shoes of men; "men or women" are either; "outdoor shoes" are shoes, for no shoes lie
    in Outdoor; and a category that has none of the types asked for says what they are for: "kitchen clock".
    """
    left_out: set[int] = set()
    groups: list[Named] = []
    for name in named:
        if types and not _sells(name.paths, types, vocabulary):
            left_out.add(name.place)
        elif groups and name.joined and not _both(groups[-1].paths, name.paths):
            groups[-1].paths += name.paths
        else:
            groups.append(Named(name.paths, name.people, name.joined, name.place))
    current: Named | None = None
    for group in groups:
        both = _both(current.paths, group.paths) if current else group.paths
        if current and not both:
            left_out.add(current.place)
            current = group
        else:
            current = Named(both, group.people, group.joined, group.place)
    return (_only_selling(current.paths, types, vocabulary) if current else (), left_out)


def _sells(paths: Sequence[str], types: Sequence[str], vocabulary: Vocabulary) -> bool:
    return any(vocabulary.sold_in(kind, path) for kind in types for path in paths)


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
