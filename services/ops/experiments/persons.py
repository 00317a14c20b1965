"""Who is who: the visitors that turned out to be one user are one person, counted once."""

from collections.abc import Iterable, Mapping

from schemas.identities import Identity


class Persons:
    """From visitors to persons, by the newest identity of each visitor; of everybody else to themselves.

    A person is named by the visitor_id of the user (schemas.identities.visitor_of), under which the user's
    own events are kept. It does not matter when a join became known: what an anonymous visitor was shown
    counts for what the user bought, and the other way round.
    """

    def __init__(self, identities: Iterable[Identity] = (), erased: Mapping[str, int] | None = None) -> None:
        newest: dict[str, Identity] = {}
        for identity in identities:
            if identity.replaces(newest.get(identity.visitor_id)):
                newest[identity.visitor_id] = identity
        self._users = {visitor_id: identity.user for visitor_id, identity in newest.items()}
        self._erased = dict(erased or {})

    def of(self, visitor_id: str) -> str:
        """The person that a visitor is."""
        return self._users.get(visitor_id, visitor_id)

    def forgotten_until(self, visitor_id: str, person: str) -> int:
        """Up to when, Unix ms, all that a visitor did is left out, for the visitor or the user was erased;
        −1 where nothing is.
        """
        if not self._erased:
            return -1
        return max(self._erased.get(visitor_id, -1), self._erased.get(person, -1))
