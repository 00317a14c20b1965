"""Reads all that there is of one visitor: off the topics, and from a recommender where one answers."""

from dataclasses import dataclass, field

from schemas.directions import FORM
from schemas.events import is_visitor_id
from schemas.identities import visitor_of
from schemas.sessions import CAUSED_BY, Session
from schemas.topics import EVENTS, RECOMMENDATIONS, SESSIONS
from schemas.unreadable import Unreadable
from services.errors import CheckFailed, UsageError
from services.kafka import ranges
from services.kafka.messages import SESSION, decode, header_text, headers_by_name
from services.kafka.ranges import RangeReader, TopicMessage, open_reader
from services.model import interests
from services.model.interests import InterestContext, InterestInWords
from services.model.session import Tuning
from services.ops.inspect.product import vectors
from services.ops.inspect.product.query import products_by_id
from services.ops.inspect.product.vectors import layout_of
from services.ops.inspect.visitor import summary
from services.ops.inspect.visitor.report import Member, Report
from services.ops.inspect.visitor.summary import Names, ShownRows, VisitorHistory
from services.ops.services import Recommender, Unanswered
from services.ops.settings import OpsSettings
from services.progress import Progress
from services.time_range import TimeRange, format_time
from services.visitors import erasure, identity_graph
from services.visitors.erasure import Erasures
from services.visitors.identity_graph import IdentityGraph


@dataclass(frozen=True, slots=True)
class VisitorQuery:
    """What is asked for: of whom, in which range of time, and how many of the newest events and rows."""

    visitor_id: str
    times: TimeRange
    events: int
    rows: int
    everywhere: bool = False


@dataclass(slots=True)
class _Sessions:
    """The session to tell of, and those of the others who are the same person."""

    own: Session | None = None
    published_at: int = 0
    caused_by: str | None = None
    members: tuple[Member, ...] = ()
    unasked: list[str] = field(default_factory=list)


def look_up(settings: OpsSettings, tuning: Tuning, wanted: VisitorQuery, progress: Progress) -> Report:
    """Everything. Raises CheckFailed for a visitor of whom there is nothing, BrokerAway and TopicMissing."""
    visitor_id, key = wanted.visitor_id, wanted.visitor_id.encode()
    if not is_visitor_id(visitor_id):
        raise UsageError(
            f"{visitor_id!r} can be no visitor's id: 1 to 64 letters, digits and _ . : - "
            f"(a user with such an id is the visitor {visitor_of(visitor_id)})"
        )
    with open_reader(settings) as reader:
        erasures, (people, _) = erasure.read(reader), identity_graph.read(reader, settings)
        joined = people.identity(visitor_id)
        others = sorted(people.members(visitor_id) - {visitor_id})
        found = _sessions(reader, visitor_id, others, erasures, wanted)
        events = VisitorHistory(visitor_id, erasures, wanted.events)
        rows = ShownRows(visitor_id, erasures, events.clicked, wanted.rows)
        for topic, past in ((EVENTS, events), (RECOMMENDATIONS, rows)):
            for message in ranges.of_keys(
                reader, topic, [key], wanted.times, progress, everywhere=wanted.everywhere
            ):
                past.take(message)
        until = erasures.until.get(visitor_id)
        is_known = until is not None or joined or others or found.own or events.by_type or rows.by_kind
        if not is_known:
            _refuse_unknown(people, wanted)
        causes = (events.find(row.caused_by) for row in rows.newest() if row.caused_by)
        named = [*events.newest(wanted.events), *filter(None, causes)]
        ids = summary.products_of(named, rows.newest(), found.own)
        name = Names(products_by_id(reader, ids, progress, everywhere=wanted.everywhere) if ids else {})
        session = None
        if found.own is not None:
            in_words = _interests(reader, found.own, tuning, name, progress, found.unasked)
            session = summary.describe_session(
                found.own, in_words, name, tuning, published_at=found.published_at, caused_by=found.caused_by
            )
    profile = _profile(settings, visitor_id, until, found.unasked)
    return Report(
        visitor_id=visitor_id,
        since=wanted.times.since,
        until=wanted.times.until,
        user_id=joined.user_id if joined else None,
        user_since=joined.occurred_at if joined else None,
        person=found.members,
        erased_until=until,
        events=summary.describe_events(events, wanted.events, name),
        session=session,
        shown=summary.describe_rows(rows, events, found.own, name),
        profile=profile,
        unasked=tuple(found.unasked),
    )


def _sessions(
    reader: RangeReader, visitor_id: str, others: list[str], erasures: Erasures, wanted: VisitorQuery
) -> _Sessions:
    keys = [each.encode() for each in (visitor_id, *others)]
    newest = ranges.newest_of_keys(reader, SESSIONS, keys, everywhere=wanted.everywhere)
    found = _Sessions()
    if (message := newest.get(keys[0])) is not None:
        found.own = _session(message, visitor_id, erasures, found.unasked)
        found.published_at = message.timestamp()[1]
        found.caused_by = header_text(headers_by_name(message), CAUSED_BY)
    found.members = tuple(_member(each, newest.get(each.encode()), erasures) for each in others)
    return found


def _session(
    message: TopicMessage, visitor_id: str, erasures: Erasures, unasked: list[str]
) -> Session | None:
    """The session; none where something in it is from before the visitor's erasure."""
    read = decode(SESSION, message)
    if isinstance(read, Unreadable):
        unasked.append(f"the session cannot be read ({read}): a newer version may have written it")
        return None
    session = read.value
    if session is None:
        return None
    if any(erasures.leave_out(visitor_id, event.occurred_at) for event in session.events):
        unasked.append(
            f"on {SESSIONS.name} still lies a session of before the erasure, published "
            f"{format_time(message.timestamp()[1])}: it is not shown; see that a session processor runs"
        )
        return None
    return session


def _member(visitor_id: str, message: TopicMessage | None, erasures: Erasures) -> Member:
    session = _session(message, visitor_id, erasures, []) if message else None
    events = session.events if session else ()
    return Member(
        visitor_id=visitor_id, events=len(events), last_event_at=events[-1].occurred_at if events else None
    )


def _refuse_unknown(people: IdentityGraph, wanted: VisitorQuery) -> None:
    user = visitor_of(wanted.visitor_id)
    if people.members(user) != {user}:
        raise CheckFailed(f"no visitor {wanted.visitor_id}, but a user of that id: look at {user}")
    raise CheckFailed(
        f"nothing is known of a visitor {wanted.visitor_id}: no session, no user, and no event from "
        f"{wanted.times}; look further back with --from 30d"
    )


def _interests(  # noqa: PLR0917 - of what, and where from
    reader: RangeReader, session: Session, tuning: Tuning, name: Names, progress: Progress, unasked: list[str]
) -> tuple[InterestInWords, ...]:
    if not session.interests:
        return ()
    form, _, named_layout = session.layout.partition("/")
    layout = layout_of(named_layout)
    if form != FORM or layout is None:
        unasked.append(f"the session's vectors have a form that is not known here: {session.layout}")
        return interests.name_only(session, name)
    all_of_them = vectors.read(reader, layout, progress)
    if not all_of_them.products:
        unasked.append("no product has vectors of the session's layout: interests are named, not described")
        return interests.name_only(session, name)
    return interests.describe(
        InterestContext(session, all_of_them, tuning, name.beside(all_of_them.products))
    )


def _profile(settings: OpsSettings, visitor_id: str, until: int | None, unasked: list[str]) -> object | None:
    try:
        with Recommender(settings) as recommender:
            profile = recommender.profile(visitor_id)
    except Unanswered as error:
        unasked.append(str(error))
        return None
    if until is not None and any(event["occurred_at"] <= until for event in profile["events"]):
        unasked.append(
            f"the recommender at {settings.recommender_url} still remembers what was before the erasure: it "
            "is not shown; see that it reads the topics (`ops lag`)"
        )
        return None
    found: object = profile
    return found
