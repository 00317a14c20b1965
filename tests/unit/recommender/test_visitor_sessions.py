"""Sessions within bounds of memory: invented visitors push out each other."""

from dataclasses import replace

from schemas.directions import form
from schemas.events import EventType
from schemas.sessions import KIND_OF, Session, SessionEvent, encode
from schemas.vectors import Layout
from services.recommender.visitor_sessions import PublishedSession, Sessions
from tests.support.sessions import LAYOUT as SMALL
from tests.support.sessions import event, fold_all

LAYOUT = Layout.of(text_width=4, image_width=4)
BYTES_MAX = 200_000


def put(sessions: Sessions, visitor_id: str, *types: EventType) -> list[str]:
    """Who was forgotten for it."""
    events = tuple(
        SessionEvent(number, bytes([number]), "p", KIND_OF[type_]) for number, type_ in enumerate(types)
    )
    session = Session(visitor_id, events, form(LAYOUT))
    return [gone for gone, _ in sessions.put(visitor_id, PublishedSession(encode(session)), session)]


def test_forty_batches_of_invented_visitors_push_out_nobody_real() -> None:
    open_pages = {"looks"}
    sessions = Sessions(LAYOUT, 100_000, BYTES_MAX, is_open=open_pages.__contains__)
    put(sessions, "bought", "view_item", "purchase")
    put(sessions, "looked around", "view_item", "add_to_cart")
    put(sessions, "looks", "view_item")
    gone = [each for number in range(40 * 2500) for each in put(sessions, f"invented-{number}", "view_item")]
    assert all(sessions.session(each) for each in ("bought", "looked around", "looks"))
    assert sessions.bytes <= BYTES_MAX
    assert len(gone) + len(sessions) == 40 * 2500 + 3
    assert all(each.startswith("invented-") for each in gone)
    assert sessions.latest(gone[0]) is None


def test_a_buyer_is_forgotten_when_there_is_nobody_else() -> None:
    sessions = Sessions(LAYOUT, 3)
    for number in range(10):
        put(sessions, f"buyer-{number}", "purchase")
    assert sessions.visitor_ids == ("buyer-7", "buyer-8", "buyer-9")


def test_a_quiet_session_is_news_only_where_the_event_before_it_was_not_seen() -> None:
    sessions = Sessions(SMALL, 10)
    first = fold_all([event(1, 0)], layout=SMALL)
    clicked = PublishedSession(encode(first), caused_by="one")
    assert sessions.is_news("v", clicked, first)
    sessions.put("v", clicked, first)
    assert sessions.is_news("v", clicked, first), "the same again is told: a page may wait for it"
    assert not sessions.is_news("v", replace(clicked, is_quiet=True), first)
    assert sessions.is_news("v", replace(clicked, caused_by="two", is_quiet=True), first)
    unnamed = replace(clicked, caused_by=None, is_quiet=True)
    assert not sessions.is_news("v", unnamed, first)
    assert sessions.is_news("v", unnamed, fold_all([event(1, 0), event(2, 1)], layout=SMALL))
    assert not sessions.is_news("somebody else", unnamed, first)
