"""WS /v1/live: the client says which slots it shows, the server keeps them fresh.

A socket has no task while nothing is due. Its handler is called with what comes; rows are made in a task that
ends with the last stale slot.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Annotated, Final

import msgspec
import structlog
from fastapi import APIRouter
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from schemas.live import Ping, Pong, ProtocolError, Slot, Subscribe, check
from schemas.traces import parse
from services.clock import now_ms
from services.logging import hash_visitor
from services.recommender.live.protocol import LiveSubscription
from services.recommender.live.registry import SOCKETS_MAX, SubscriptionRegistry
from services.recommender.metrics import Metrics
from services.web.auth import ReaderAuth, token_of
from services.web.problems import NotAuthorised
from services.web.routes import SocketRoute
from services.web.sockets import BROKEN, OpenSocket, take_over

LIVE: Final = "/v1/live"
REFUSED: Final = 1008  # RFC 6455: policy violation; the page is to renew its token
TRY_LATER: Final = 1013  # IANA: try again later
REASON_BYTES: Final = 123  # RFC 6455, 5.5: what fits a close frame

FIRST_WITHIN_S: Final = 5.0  # a page sends its first message when the socket is open
ERASED_GRACE_S: Final = 0.5  # the page is shown what a new visitor sees, before its socket ends
LOOK_AGAIN_S: Final = 1.0  # tokens end with a whole second

log = structlog.get_logger()

Subscribers = Callable[[str], LiveSubscription]  # visitor_id → a socket's state


class SlotBody(Slot, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A slot as pages send it: a filter that is silently left out would show what was to be hidden."""


class SubscribeBody(Subscribe, frozen=True, tag="subscribe", tag_field="type", forbid_unknown_fields=True):
    """A subscription as pages send it."""

    slots: Annotated[tuple[SlotBody, ...], msgspec.Meta(min_length=1, max_length=16)]


class Shown(msgspec.Struct, frozen=True):
    """What a message shows whose other fields are wrong."""

    token: str | None = None


_decoder: msgspec.json.Decoder[SubscribeBody | Ping] = msgspec.json.Decoder(SubscribeBody | Ping)
_shown_decoder = msgspec.json.Decoder(Shown)
_encoder = msgspec.json.Encoder()


def live_routes(
    door: ReaderAuth,
    hub: SubscriptionRegistry,
    subscribers: Subscribers,
    *,
    metrics: Metrics,
    slow_reader_s: float,
) -> APIRouter:
    """The live route. Sockets are opened once the service is ready: see `Connections.waiting_for`."""
    admission = Admission(hub, subscribers, metrics)

    async def live(scope: Scope, _receive: Receive, send: Send) -> None:
        # Accepted first: a browser learns nothing of why a handshake was refused, but sees a close code.
        await send({"type": "websocket.accept"})
        take_over(scope, partial(LiveConnection, admission, Credentials(door, scope)), slow_reader_s)

    router = APIRouter()
    router.routes.append(SocketRoute(LIVE, live))
    return router


class Admission:
    """Who gets a subscription, and is told of changes."""

    def __init__(self, hub: SubscriptionRegistry, subscribers: Subscribers, metrics: Metrics) -> None:
        self._hub = hub
        self._subscribers = subscribers
        self.metrics = metrics

    def enter(self, visitor_id: str) -> LiveSubscription | None:
        """A new subscription; None where the visitor has too many."""
        if self._hub.is_full(visitor_id):
            self.metrics.refused.labels("sockets").inc()
            return None
        subscription = self._subscribers(visitor_id)
        self._hub.add(subscription)
        return subscription

    def leave(self, subscription: LiveSubscription) -> None:
        """Its socket is closed."""
        self._hub.remove(subscription)


class Credentials:
    """What a socket was opened with. It ends when its token does, or when the visitor is erased."""

    __slots__ = ("_authorization", "_door", "_token", "expires_at", "visitor_id")

    def __init__(self, door: ReaderAuth, scope: Scope) -> None:
        request = HTTPConnection(scope)
        self.visitor_id = request.query_params.get("visitor_id", "")
        self._door = door
        self._token = token_of(request)  # in the query of older pages
        self._authorization = request.headers.get("authorization")
        self.expires_at = inf  # Unix ms

    @property
    def are_missing(self) -> bool:
        """Whether the first message has to bring the token."""
        return self._token is None and self._authorization is None

    def show(self, token: str | None = None) -> None:
        """Checks what is shown, or a newer token. Raises NotAuthorised."""
        shown = token or self._token
        access = self._door.require_visitor(self.visitor_id, shown, self._authorization)
        self._token, self.expires_at = shown, access.expires_at or inf


class LiveConnection:
    """The handler of one live socket, and the page of its subscription."""

    __slots__ = ("_admission", "_credentials", "_pushing", "_socket", "_subscription", "_timer")

    def __init__(self, admission: Admission, credentials: Credentials, socket: OpenSocket) -> None:
        self._admission = admission
        self._credentials = credentials
        self._socket = socket
        self._subscription: LiveSubscription | None = None  # before the token was shown
        self._pushing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None  # for the first message, an erasure or the token's end

    def start(self) -> None:
        """The socket is open."""
        if self._credentials.are_missing:
            self._wait(FIRST_WITHIN_S, self._give_up)
        else:
            self._enter()

    def _give_up(self) -> None:
        self._close(TRY_LATER, f"no token was shown within {FIRST_WITHIN_S:.0f} s")

    def receive(self, message: str | bytes) -> None:
        """What the client says."""
        try:
            subscribe = _decode(message)
            if isinstance(subscribe, Ping):
                self._answer_ping()
                return
        except ValueError as error:
            self._refuse(error, message)
            return
        if self._subscription is None:
            self._enter(subscribe.token, subscribe)
            return
        if subscribe.token is None or self._show(subscribe.token):
            self._subscription.subscribe(subscribe.slots)

    def _answer_ping(self) -> None:
        if self._subscription is None:
            raise ValueError("a ping has none")
        self._socket.send(_encoder.encode(Pong()))

    def _refuse(self, error: ValueError, message: str | bytes) -> None:
        if self._subscription is None:
            # A page whose token is good would ask for another one, and be refused the same way for ever.
            if (token := _token_in(message)) is None:
                self._close(REFUSED, f"the first message is to show the visitor's token: {error}")
                return
            self._enter(token)
        if self._subscription is not None:
            self._socket.send(_encoder.encode(ProtocolError(str(error)[:500])))

    def _enter(self, token: str | None = None, first: Subscribe | None = None) -> None:
        self._stop_waiting()
        if not self._show(token):
            return
        self._subscription = self._admission.enter(self._credentials.visitor_id)
        if self._subscription is None:
            self._close(TRY_LATER, f"this visitor has {SOCKETS_MAX} sockets open: close one")
            return
        self._subscription.page = self
        if first is not None:
            self._subscription.subscribe(first.slots)

    def _show(self, token: str | None = None) -> bool:
        """Whether the credentials open the socket; it is closed where they do not."""
        try:
            self._credentials.show(token)
        except NotAuthorised as refusal:
            self._close(REFUSED, refusal.detail)
            return False
        self.look(self._socket.period_s)
        return True

    def look(self, next_s: float) -> None:
        """Waits for the token's end, where that comes before the next look."""
        left_s = (self._credentials.expires_at - now_ms()) / 1000
        if left_s <= next_s:
            self._wait(max(left_s, LOOK_AGAIN_S), self._show)

    def erase(self) -> None:
        """The visitor was erased, and its token is good no more."""
        self._wait(ERASED_GRACE_S, self._show)

    def push(self) -> None:
        """A slot is stale."""
        if self._pushing is None:
            self._pushing = asyncio.get_running_loop().create_task(self._push())

    async def _push(self) -> None:
        assert self._subscription is not None
        try:
            await self._subscription.push(self._send)
        except Exception:
            log.exception("a row was not made", **_describe_row(self._subscription))
            self._close(BROKEN, "this should not have happened: the service's log says what")
        finally:
            self._pushing = None

    async def _send(self, message: bytes) -> None:
        await self._socket.drain()
        self._socket.send(message)

    def stall(self) -> None:
        """The client takes no data; it is dropped rather than buffered for without bound, or waited for."""
        self._admission.metrics.slow_readers.inc()

    def end(self) -> None:
        """The socket closes."""
        self._stop_waiting()
        if self._pushing is not None:
            self._pushing.cancel()
        if self._subscription is not None:
            self._admission.leave(self._subscription)

    def _close(self, code: int, reason: str) -> None:
        self._socket.close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))

    def _wait(self, seconds: float, then: Callable[[], object]) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _describe_row(subscription: LiveSubscription) -> dict[str, str]:
    """The row that was being made, for the log: its slot, the visitor, the event and its trace."""
    slot_name, published = subscription.under_way or ("", None)
    context = parse(published.traceparent) if published is not None else None
    told = {
        "slot": slot_name,
        "visitor": hash_visitor(subscription.visitor_id),
        "event_id": published.caused_by if published is not None else None,
        "trace_id": context.trace_id if context is not None else None,
    }
    return {name: value for name, value in told.items() if value}


def _decode(wish: str | bytes) -> Subscribe | Ping:
    """What is asked for. Raises ValueError with a sentence for the client."""
    try:
        try:
            said = _decoder.decode(wish)
        except msgspec.ValidationError:
            said = _decoder.decode(drop_nulls(wish))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        known = f"; a slot has {', '.join(Slot.__struct_fields__)}" if "unknown field" in str(error) else ""
        raise ValueError(f"{error}{known}") from None
    if isinstance(said, Subscribe) and (nonsense := check(said)):
        raise ValueError(nonsense)
    return said


def drop_nulls(wish: str | bytes) -> str | bytes:
    """Serializers write `"product_ids": null` for what a slot does not say. Raises msgspec.DecodeError."""
    members = msgspec.json.decode(wish, type=dict[str, msgspec.Raw])
    if "slots" not in members:
        return wish
    slots = msgspec.json.decode(members["slots"], type=list[dict[str, msgspec.Raw]])
    said = [{name: each for name, each in slot.items() if bytes(each) != b"null"} for slot in slots]
    return msgspec.json.encode({**members, "slots": said})


def _token_in(message: str | bytes) -> str | None:
    try:
        return _shown_decoder.decode(message).token
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
