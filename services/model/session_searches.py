"""What a visitor searched for: a part of the session that fades within minutes. Pure."""

from collections.abc import Iterable
from math import exp2
from typing import Final

from schemas.events import Event
from schemas.sessions import SEARCH_WORDS_BYTES_MAX, SEARCHES_MAX, SessionSearch, identity

HALF_LIFE_MS: Final = 5 * 60 * 1000
LEAST: Final = 0.1  # a search that has faded to this share counts nothing: after 17 minutes

Searches = tuple[SessionSearch, ...]


def searches_of(event: Event) -> Searches:
    """What of an event goes into the session's searches."""
    words = " ".join((event.query or "").split()) if event.type == "search" else ""
    if not words:
        return ()
    cut = words.encode()[:SEARCH_WORDS_BYTES_MAX].decode(errors="ignore").rstrip()
    return (SessionSearch(event.occurred_at, identity(event.event_id), cut),)


def merge_searches(parts: Iterable[Searches]) -> Searches:
    """The newest distinct ones of all parts, oldest first; the order in which they came changes nothing.

    Of two with one id the greater counts, as with events.
    """
    newest: dict[bytes, SessionSearch] = {}
    for each in sorted(each for part in parts for each in part):
        newest[each.identity] = each
    return tuple(sorted(newest.values())[-SEARCHES_MAX:])


def weigh_searches(searches: Searches, now: int) -> list[tuple[SessionSearch, float]]:
    """The searches that still count at `now` (Unix ms), each with its share of 1, newest first.

    2^(−age / 5 min). Of several with the same words the newest counts.
    """
    found: dict[str, tuple[SessionSearch, float]] = {}
    for each in reversed(searches):
        share = exp2(-max(now - each.occurred_at, 0) / HALF_LIFE_MS)
        if share > LEAST:
            found.setdefault(each.words.casefold(), (each, share))
    return [*found.values()]
