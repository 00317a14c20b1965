"""Sessions of erased visitors that are still on their way here: they are not to be seen again. Pure."""

from schemas.sessions import ERASED_AT
from services.history.erased import Erasures
from services.history.past import PastMessage, headers_of
from services.recommender.sessions import Published


class Forgotten:
    """What `erasures` says, until the session processor's own word on a visitor has come."""

    def __init__(self) -> None:
        self._erasures = Erasures()
        self._awaited: dict[str, int] = {}  # visitor → Unix ms up to which a session counts no more

    def take(self, message: PastMessage) -> str:
        """Takes one message of the topic; the visitor that it is about."""
        visitor_id = self._erasures.take(message)
        until = self._erasures.until.get(visitor_id)
        if until is not None:
            self._awaited[visitor_id] = until
        else:
            self._awaited.pop(visitor_id, None)
        return visitor_id

    def hides(self, visitor_id: str, published: Published) -> bool:
        """Whether a session was made before its visitor's erasure."""
        until = self._awaited.get(visitor_id)
        return until is not None and (published.folded_at or 0.0) <= until

    def parts(self, visitor_id: str, at: int) -> bool:
        """Whether a join that became known at `at` (Unix ms) is of before the visitor's erasure."""
        return self._erasures.leave_out(visitor_id, at)

    def heard(self, visitor_id: str, message: PastMessage) -> None:
        """A message of `sessions`: one that says what is left ends the waiting, whatever clocks say."""
        until = self._awaited.get(visitor_id)
        if until is not None and int(dict(headers_of(message)).get(ERASED_AT) or -1) >= until:
            del self._awaited[visitor_id]
