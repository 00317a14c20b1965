"""Messages as today's code writes them, each kind at least once: what `python -m infra.freeze` keeps."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np

from schemas import deadletters, sessions
from schemas.events import Event, EventType
from schemas.jsonschema import FOLDER as JSON_SCHEMAS
from schemas.live import (
    Cause,
    CauseProduct,
    Funnel,
    PageContext,
    Ping,
    Pong,
    ProtocolError,
    Reason,
    Recommendations,
    RecommendedItem,
    Slot,
    Source,
    Subscribe,
    Timing,
)
from schemas.products import Product
from schemas.released import CODECS, HEADERS, MEANING, meaning
from schemas.sessions import KINDS, Session
from schemas.times import DAY_MS
from schemas.traces import TRACEPARENT
from schemas.vectors import Layout, ProductVectors, Vector, pack
from schemas.words import WordsRequest, WordVectors
from services.ingest.publisher import ACCEPTED_AT
from services.model.session import MINUTE_MS, Tuning, fold
from services.vector_replica import VectorReplica

EXAMPLES: Final = JSON_SCHEMAS.parent / "examples"
SMALL: Final = Layout.of(text_width=16, image_width=8)
FULL: Final = Layout.of(text_width=384, image_width=64)
CATEGORIES: Final = (("Women", "Shoes"), ("Men", "Jackets"), ("Home",), ("Women", "Dresses"))
TYPES: Final[tuple[EventType, ...]] = ("view_item", "view_item", "add_to_wishlist", "add_to_cart", "purchase")
START: Final = 1_767_225_600_000  # 2026-01-01
VISITOR: Final = "01JD3Y5A0H8GQ2VN4S6E7TKPWM"
VIEWED: Final = Cause(type="view_item", product_id="p0007", occurred_at=START)
TRACEPARENT_OF_CLICK: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # as W3C has it
MODEL: Final = "20241124T041507Z-3f9a"
TEXT_MODELS: Final = {"text": "all-MiniLM-L6-v2@384", "image": "eddy-demo-clip@64"}


def files() -> dict[str, bytes]:
    """File name → bytes: each message, and beside the binary ones what they say."""
    found: dict[str, bytes] = {}
    for name, variant, message in _messages():
        raw = CODECS[name].encode(message)
        if raw.startswith(b"{"):
            found[f"{name}.{variant}.json"] = raw
            continue
        found[f"{name}.{variant}.msgpack"] = raw
        found[f"{name}.{variant}{MEANING}"] = msgspec.json.encode(meaning(message)) + b"\n"
    for variant, headers in _headers().items():
        found[f"{HEADERS}.{variant}.json"] = msgspec.json.encode(headers)
    return found


def _messages() -> Iterator[tuple[str, str, Any]]:
    """Kind, variant and message."""
    for path in sorted(EXAMPLES.glob("*.json")):
        name = path.stem if path.stem in CODECS else "event"
        yield name, path.stem if name == "event" else "full", CODECS[name].decode(path.read_bytes())
    for event in _events(1, 0):
        for type_ in KINDS:
            if not (EXAMPLES / f"{type_}.json").exists():
                yield "event", type_, msgspec.structs.replace(event, type=type_)
    yield "product", "least", _product(0)
    yield "product_vectors", "full", _vectors(3, SMALL, behaviour=True)
    yield (
        "product_vectors",
        "least",
        ProductVectors(
            product=_product(0), layout=SMALL.id, content=_content(0, SMALL), hashes={}, models={}
        ),
    )
    yield from (("session", variant, session) for variant, session in folded().items())
    yield from _words()
    yield from _live()


def folded() -> dict[str, Session]:
    """Variant → what the fold itself makes of events, from none to more than a session holds."""
    small, full = _replica(SMALL, range(20)), _replica(FULL, range(20))
    several = _events(12, MINUTE_MS)
    removed = msgspec.structs.replace(several[3], event_id=_id(100), type="remove_from_cart")
    return {
        "empty": Session(VISITOR),
        "one_event": _folded(_events(1, MINUTE_MS), small, SMALL),
        "interests": _folded([*several, removed], small, SMALL),
        "some_missing": _folded(several, _replica(SMALL, (0, 1, 2, 5)), SMALL),
        "all_missing": _folded(several[:3], _replica(SMALL, ()), SMALL),
        # Numbers stand for types in a session: in a shop that weighs them all, each is there once.
        "every_type": _folded(
            [
                msgspec.structs.replace(event, type=type_)
                for event, type_ in zip(several, KINDS, strict=False)
            ],
            small,
            SMALL,
            Tuning(type_weights=dict.fromkeys(KINDS, 1.0)),
        ),
        "searched_and_shown": _folded(_searched_and_shown(), small, SMALL),
        "many_visits": _folded(_events(90, DAY_MS // 7), full, FULL),
    }


def _folded(
    events: Sequence[Event], replica: VectorReplica, layout: Layout, tuning: Tuning | None = None
) -> Session:
    session = Session(VISITOR)
    for event in events:
        session = fold(session, event, replica, layout, tuning or Tuning())
    return session


def _events(count: int, apart_ms: int) -> list[Event]:
    return [
        Event(
            event_id=_id(number),
            type=TYPES[number % len(TYPES)],
            visitor_id=VISITOR,
            occurred_at=START + number * apart_ms,
            product_id=f"p{number * 7 % 20:04}",
        )
        for number in range(count)
    ]


def _searched_and_shown() -> list[Event]:
    first, asked, *seen = _events(4, MINUTE_MS)
    asked = msgspec.structs.replace(asked, type="search", product_id=None, query="ankle boots")
    rows = [
        msgspec.structs.replace(each, type="view_item_list", recommendation_id="01JD7Z9K4M3N5R2V9W4T6Y8B1C")
        for each in seen
    ]
    return [first, asked, *rows]


def _id(number: int) -> str:
    """UUIDs as SDKs make them, and ULIDs as the tracker does, in turn."""
    if number % 2:
        return str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128))
    return f"01JD3Y7F2C9XA6M0D8J4QV{number:04}"


def _product(number: int) -> Product:
    return Product(
        product_id=f"p{number:04}",
        name=f"Product {number}",
        price=10.5 + number,
        currency="EUR",
        availability="in_stock",
        updated_at=START,
        category=CATEGORIES[number % len(CATEGORIES)] if number else (),
    )


def _content(number: int, layout: Layout) -> bytes:
    """A vector of a product, drawn from its number."""
    drawn: Vector = np.random.default_rng(number).normal(size=layout.width).astype(np.float32)
    return pack(layout.normalise(drawn))


def _vectors(number: int, layout: Layout, *, behaviour: bool) -> ProductVectors:
    return ProductVectors(
        product=_product(number),
        layout=layout.id,
        content=_content(number, layout),
        hashes={"text": "9f86d081884c7d65", "price": "10.5"},
        models=TEXT_MODELS,
        behaviour=_content(number, SMALL)[:32] if behaviour else None,
    )


def _replica(layout: Layout, numbers: Sequence[int]) -> VectorReplica:
    replica = VectorReplica(layout)
    for number in numbers:
        vectors = _vectors(number, layout, behaviour=False)
        replica.apply(vectors.product.product_id, vectors)
    return replica


def _words() -> Iterator[tuple[str, str, Any]]:
    yield "words_request", "two", WordsRequest(["ankle boots", "rain jacket"])
    yield (
        "word_vectors",
        "two",
        WordVectors(
            SMALL.id,
            TEXT_MODELS,
            [pack(np.random.default_rng(seed).normal(size=16)) for seed in range(2)],
            [pack(np.random.default_rng(seed).normal(size=8)) for seed in range(2)],
        ),
    )


def _live() -> Iterator[tuple[str, str, Any]]:
    slots = (
        Slot(name="top", kind="for_you", k=4, category="Women/Shoes"),
        Slot(name="like-this", kind="similar", product_id="p0001"),
        Slot(name="found", kind="search", query="ankle boots under 100 €"),
        Slot(name="cart", kind="complement_type", product_id="p0001"),
        Slot(name="hot", kind="popular"),
        Slot(name="prices", kind="products", product_ids=("p0001", "p0042")),
        Slot(
            name="again",
            kind="for_you",
            distinct=False,
            page=PageContext(type="category", category="Women/Shoes"),
            objective="buy:0.7,click:0.3",
            debug=True,
        ),
    )
    yield "live_subscribe", "one", Subscribe(slots[4:5])
    yield "live_subscribe", "many", Subscribe(slots)
    yield (
        "live_recommendations",
        "popular",
        Recommendations(slot="hot", seq=1, items=(_item("popular"),), models={}, fallback="new_visitor"),
    )
    yield (
        "live_recommendations",
        "explained",
        Recommendations(
            slot="top",
            seq=7,
            items=(_item("behaviour", explained=True), _item("content", explained=True), _item("rule")),
            models={**TEXT_MODELS, "behaviour": MODEL},
            caused_by=_id(2),
            timing=Timing(pushed_at=START + 7.25, accepted_at=float(START), folded_at=START + 3.5),
            recommendation_id="01JD7Z9K4M3N5R2V9W4T6Y8B1C",
            notice="only 3 products are in Women/Shoes",
            experiments={"less-brand": "as-is"},
            causes={
                "p0007": CauseProduct(name="Product 7", price=17.5, currency="EUR", url="/products/p0007")
            },
            funnel=Funnel(
                sources={"behaviour": 180, "content": 64},
                left={"filters": 201, "rank": 96, "diversity": 3},
                ms={"retrieve": 1.25, "rank": 0.5},
            ),
            traceparent=TRACEPARENT_OF_CLICK,
        ),
    )
    yield "live_error", "slots", ProtocolError("slot 'like-this' of kind similar needs a product_id")
    yield "live_ping", "full", Ping()
    yield "live_pong", "full", Pong()


def _item(source: Source, *, explained: bool = False) -> RecommendedItem:
    return RecommendedItem(
        product_id="p0003",
        score=1.25,
        source=source,
        why="like Product 7 that you viewed",
        name="Product 3",
        price=13.5,
        currency="EUR",
        availability="in_stock",
        category=CATEGORIES[3],
        brand="Norwell",
        image_url="pictures/p0003.webp",
        url="/products/p0003",
        cause=VIEWED if explained else None,
        parts={"text": 0.75, "image": 0.25} if explained else None,
        rules=("summer-sale",) if source == "rule" else (),
        reason=Reason(kind="co_visited", strength=0.75, cause=VIEWED, product_id="p0007", visits=12)
        if explained
        else None,
    )


def _headers() -> dict[str, dict[str, str]]:
    """Which message, and variant → header → text."""
    letter = deadletters.headers(
        reason="Object missing required field `type`",
        service="session_processor",
        stage="decode",
        source="events/3/4711",
        failed_at=START,
        attempts=2,
    )
    _, mark = deadletters.mark(deadletters.LetterId("events.dlq", 0, 17), "requeued", at=START, attempts=2)
    folded_at = f"{START + 3.5:.3f}"
    return {
        "event.folded": {ACCEPTED_AT: str(START)},
        "event.traced": {ACCEPTED_AT: str(START), TRACEPARENT: TRACEPARENT_OF_CLICK},
        "event.again": {name: text.decode() for name, text in [deadletters.attempts_header(2)]},
        "session.folded": {
            sessions.CAUSED_BY: _id(2),
            sessions.ACCEPTED_AT: str(START),
            sessions.FOLDED_AT: folded_at,
        },
        "session.traced": {
            sessions.CAUSED_BY: _id(2),
            sessions.ACCEPTED_AT: str(START),
            sessions.FOLDED_AT: folded_at,
            TRACEPARENT: TRACEPARENT_OF_CLICK,
        },
        "session.erased": {
            sessions.FOLDED_AT: folded_at,
            sessions.ERASED_AT: str(START),
            sessions.EVENTS_REMOVED: "3",
        },
        "session.seen": {sessions.CAUSED_BY: _id(2), sessions.FOLDED_AT: folded_at, sessions.QUIET: "1"},
        "dead_letter.refused": {name: text.decode() for name, text in letter},
        "dead_letter.mark": {name: text.decode() for name, text in mark},
    }
