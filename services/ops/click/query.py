"""One visitor of its own opens a page, clicks, and waits for the row that follows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec
from tenacity import Retrying
from ulid import ULID
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from schemas import events
from schemas.events import Event
from schemas.live import Pong, ProtocolError, Recommendations, Slot, Subscribe
from schemas.unreadable import Unreadable, read
from services.clock import now_ms
from services.errors import CheckFailed
from services.ops.services import PATIENCE_S, Unanswered, asking_ingest, patience, require_time

TOKEN: Final = "X-Eddy-Token"  # noqa: S105 - a header's name
SLOT: Final = Slot(name="for_you", kind="for_you", k=4)


class Click(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the click. Times are ms: of the POST until its 202, from the POST to the push at this
    end, and what the push says of its way in between. `items` are the products of the row that followed.
    """

    visitor_id: str
    product_id: str
    event_id: str
    accepted_ms: float
    pushed_ms: float
    folded_ms: float | None
    items: tuple[str, ...]


class _Visitor(msgspec.Struct, frozen=True):
    visitor_id: str
    token: str


_visitor = msgspec.json.Decoder(_Visitor)
_row = msgspec.json.Decoder(Recommendations | ProtocolError | Pong)


def send_click(ingest: str, recommender: str, within_s: float, product_id: str | None = None) -> Click:
    """Clicks on `product_id`, else on the first product of the row; the visitor is erased at the end.

    Raises Unanswered where a service does not answer, and CheckFailed where the page is not told of the click
    in time, or has nothing to click on.
    """
    with (
        httpx.Client(base_url=ingest, timeout=PATIENCE_S) as http,
        _visitor_of_ours(http, within_s) as visitor,
    ):
        try:
            with _page(recommender, visitor) as page:
                return _click(http, page, visitor, within_s, product_id)
        except (WebSocketException, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Unanswered(
                f"the recommender at {recommender} keeps no live socket open: {reason}"
            ) from None


@contextmanager
def _visitor_of_ours(http: httpx.Client, within_s: float) -> Iterator[_Visitor]:
    """A visitor whom nobody has to remember: erased by its own token, whatever happens."""
    answer = _ask(http, within_s, "POST", "/v1/visitors")
    try:
        visitor = read(_visitor.decode, answer.content)
    except Unreadable:
        raise Unanswered(f"what answers at {http.base_url} is no ingest: it gives no visitor") from None
    try:
        yield visitor
    finally:
        _ask(http, within_s, "DELETE", f"/v1/visitors/{visitor.visitor_id}", token=visitor.token)


@contextmanager
def _page(recommender: str, visitor: _Visitor) -> Iterator[ClientConnection]:
    """A page that shows the visitor's row."""
    url = f"{recommender.replace('http', 'ws', 1)}/v1/live?visitor_id={visitor.visitor_id}"
    with connect(url, open_timeout=PATIENCE_S, close_timeout=1) as page:
        page.send(msgspec.json.encode(Subscribe(slots=(SLOT,), token=visitor.token)).decode())
        yield page


def _click(
    http: httpx.Client, page: ClientConnection, visitor: _Visitor, within_s: float, product_id: str | None
) -> Click:
    if (first := _next_row(page, time.monotonic() + within_s, caused_by=None)) is None:
        raise CheckFailed(
            f"the page has no row after {within_s:g} s: `python -m services.ops doctor` tells why"
        )
    if product_id is None:
        if not first.items:
            raise CheckFailed("there is no product to click on: `catalogue load` brings some")
        product_id = first.items[0].product_id
    event = Event(
        event_id=str(ULID()),
        type="view_item",
        visitor_id=visitor.visitor_id,
        occurred_at=int(now_ms()),
        product_id=product_id,
    )
    body = b'{"events": [' + events.encode(event) + b"]}"
    began = time.monotonic()
    _ask(http, within_s, "POST", "/v1/events", token=visitor.token, body=body)
    accepted = time.monotonic()
    row = _next_row(page, began + within_s, caused_by=event.event_id)
    if row is None:
        raise CheckFailed(
            f"ingest took the click, and the page was not told within {within_s:g} s: `lag` and `doctor` "
            "of python -m services.ops tell where it waits"
        )
    way = row.timing
    folded = way.folded_at - way.accepted_at if way and way.folded_at and way.accepted_at else None
    return Click(
        visitor_id=visitor.visitor_id,
        product_id=product_id,
        event_id=event.event_id,
        accepted_ms=round((accepted - began) * 1000, 1),
        pushed_ms=round((time.monotonic() - began) * 1000, 1),
        folded_ms=None if folded is None else round(folded, 1),
        items=tuple(each.product_id for each in row.items),
    )


def _next_row(page: ClientConnection, until: float, caused_by: str | None) -> Recommendations | None:
    """The next row that this event caused, or any row for None; nothing when it does not come in time."""
    while (left := until - time.monotonic()) > 0:
        try:
            told = read(_row.decode, page.recv(left, decode=False))
        except TimeoutError:
            return None
        except Unreadable:
            raise Unanswered("what came over the live socket is no message of a recommender") from None
        if isinstance(told, ProtocolError):
            raise Unanswered(f"the recommender does not give the page its row: {told.detail}")
        if isinstance(told, Recommendations) and caused_by in (None, told.caused_by):
            return told
    return None


def _ask(
    http: httpx.Client, within_s: float, method: str, path: str, *, token: str = "", body: bytes = b"{}"
) -> httpx.Response:
    """The answer of ingest; what may be different a moment later is asked again. Raises Unanswered."""
    headers = {"Content-Type": "application/json"} | ({TOKEN: token} if token else {})

    def ask() -> httpx.Response:
        with asking_ingest(str(http.base_url)):
            answer = http.request(method, path, headers=headers, content=body)
        require_time(answer)
        if not answer.is_success:
            raise Unanswered(f"ingest answered {answer.status_code} to {method} {path}: {answer.text[:300]}")
        return answer

    return Retrying(**patience(within_s))(ask)
