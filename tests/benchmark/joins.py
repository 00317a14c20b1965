"""What joins cost the recommender's serving loop: `python -m tests.benchmark.joins [JOINS]`.

So many visitors say that they are one user, each with a full session; then rows of one of them are asked for.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import Any, cast

from schemas.identities import Identity, encode
from schemas.sessions import SESSION_EVENTS_MAX, Session
from schemas.sessions import encode as encode_session
from services.archive.rows import ArchivedMessage
from services.model.session import fold
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.metrics import Metrics
from services.recommender.state import State
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.visitors.identity_graph import IdentityGraph
from tests.support.sessions import LAYOUT, TUNING, VECTORS, event

ROWS = 20


def join_message(number: int) -> ArchivedMessage:
    identity = Identity(visitor_id=f"v{number}", user_id="ada", occurred_at=number)
    return ArchivedMessage("identities", 0, number, 1, identity.visitor_id.encode(), encode(identity), [])


def main(joins: int) -> dict[str, float]:
    """Seconds of all joins, and the ms of a row's session after a click of another member."""
    sessions, people = Sessions(LAYOUT, 2 * joins), IdentityGraph()
    merged = MergedSessions(sessions, people, VECTORS, LAYOUT, TUNING)
    for number in range(joins):
        sessions.put(f"v{number}", session_of(number, 0))
    nothing = cast(Any, None)
    state = State(
        *(nothing,) * 3,
        layout=LAYOUT,
        sessions=sessions,
        joined=merged,
        people=people,
        popularity=nothing,
        rules=nothing,
        experiments=nothing,
        lines=nothing,
        live=nothing,
        hub=SubscriptionRegistry(Metrics()),
        rows=nothing,
        metrics=Metrics(),
    )

    async def join_all() -> float:
        started = perf_counter()
        for number in range(joins):
            await state.newest_identities([cast(Any, join_message(number))])
        return perf_counter() - started

    joining_s = asyncio.run(join_all())
    rows_s = 0.0
    for number in range(ROWS):
        sessions.put(f"v{joins - 1 - number}", session_of(joins - 1 - number, 1))
        started = perf_counter()
        assert merged.session(f"v{joins - 1}") is not None
        rows_s += perf_counter() - started
    return {"joins": joins, "joining_s": round(joining_s, 3), "row_ms": round(1000 * rows_s / ROWS, 2)}


def session_of(visitor: int, more: int) -> PublishedSession:
    session = Session(f"v{visitor}")
    for number in range(SESSION_EVENTS_MAX + more):
        at = visitor * 1000 + number
        session = fold(session, event(at % 1_000_000_000, at, f"p{number % 20}"), VECTORS, LAYOUT, TUNING)
    return PublishedSession(encode_session(session))


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)))
