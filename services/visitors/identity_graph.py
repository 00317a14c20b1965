"""Which visitors are one person: the newest word on each, whatever came first. Pure."""

from collections import defaultdict

from schemas.identities import Identity


class People:
    """Visitors by user. A visitor belongs to the one user that was named last for it."""

    def __init__(self) -> None:
        self._identity: dict[str, Identity] = {}
        self._visitors: defaultdict[str, set[str]] = defaultdict(set)  # the user as a visitor → the others

    def __len__(self) -> int:
        return len(self._identity)

    def identity(self, visitor_id: str) -> Identity | None:
        """What is known of a visitor itself."""
        return self._identity.get(visitor_id)

    def put(self, visitor_id: str, identity: Identity | None) -> frozenset[str]:
        """Takes what is known of a visitor, None for nothing; the visitors whose person has changed."""
        known = self._identity.get(visitor_id)
        if known == identity or (identity is not None and not identity.replaces(known)):
            return frozenset()
        before = self.members(visitor_id)
        if known is not None:
            self._part(visitor_id, known)
        if identity is None:
            self._identity.pop(visitor_id, None)
        else:
            self._identity[visitor_id] = identity
            self._visitors[identity.user].add(visitor_id)
        after = self.members(visitor_id)
        return frozenset() if before == after else before | after

    def _part(self, visitor_id: str, known: Identity) -> None:
        together = self._visitors[known.user]
        together.discard(visitor_id)
        if not together:
            del self._visitors[known.user]

    def members(self, visitor_id: str) -> frozenset[str]:
        """All visitors that are this one's person, itself among them; a user is a visitor, too.

        A user may have become another user (an alias): then all of both are one person.
        """
        found, left = {visitor_id}, [visitor_id]
        while left:
            each = left.pop()
            near = set(self._visitors.get(each, ()))
            if (identity := self._identity.get(each)) is not None:
                near.add(identity.user)
            left += near - found
            found |= near
        return frozenset(found)
