"""WS /v1/live: the client says which slots it shows, the server keeps them fresh."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from schemas.live import ProtocolError, Subscribe, check
from services.clock import now_ms
from services.recommender.live.protocol import LiveSubscription, Send
from services.recommender.live.registry import SOCKETS_MAX, SubscriptionRegistry
from services.recommender.metrics import Metrics
from services.web.auth import ReaderAuth, token_of
from services.web.connections import abort
from services.web.problems import NotAuthorised

REFUSED: Final = 1008  # RFC 6455: policy violation; the page is to renew its token
TRY_LATER: Final = 1013  # IANA: try again later
CLOSE_WITHIN_S: Final = 1.0
REASON_BYTES: Final = 123  # RFC 6455, 5.5: what fits a close frame

FIRST_WITHIN_S: Final = 5.0  # a page sends its first message when the socket is open
ERASED_GRACE_S: Final = 0.5  # the page is shown what a new visitor sees, before its socket ends
LOOK_AGAIN_MS: Final = 3_600_000.0

Subscribers = Callable[[str], LiveSubscription]  # visitor_id → a socket's state

_decoder = msgspec.json.Decoder(Subscribe)
_encoder = msgspec.json.Encoder()


class SlowReader(Exception):
    """The client takes no data; it is dropped rather than buffered for without bound, or waited for."""


def live_routes(
    door: ReaderAuth,
    hub: SubscriptionRegistry,
    subscribers: Subscribers,
    *,
    waiting_for: Callable[[], str | None],
    metrics: Metrics,
    slow_reader_s: float,
) -> APIRouter:
    """The live route."""
    router = APIRouter()

    @router.websocket("/v1/live")
    async def live(socket: WebSocket) -> None:
        # Accepted first: a browser learns nothing of why a handshake was refused, but sees a close code.
        await socket.accept()
        credentials = Credentials(door, socket)
        try:
            first = await _first_subscribe(socket) if credentials.are_missing else None
            credentials.show(first.token if first else None)
        except WebSocketDisconnect:
            return
        except SlowReader:
            await _close(socket, TRY_LATER, f"no token was shown within {FIRST_WITHIN_S:.0f} s")
            return
        except NotAuthorised as refusal:
            await _close(socket, REFUSED, refusal.detail)
            return
        if missing := waiting_for():
            await _close(socket, TRY_LATER, f"still reading {missing}")
            return
        if hub.is_full(credentials.visitor_id):
            metrics.refused.labels("sockets").inc()
            await _close(socket, TRY_LATER, f"this visitor has {SOCKETS_MAX} sockets open: close one")
            return
        subscriber = subscribers(credentials.visitor_id)
        with hub.register(subscriber), suppress(WebSocketDisconnect):
            try:
                if first is not None:
                    subscriber.subscribe(first.slots)
                await _serve(socket, subscriber, credentials, slow_reader_s)
            except SlowReader:
                metrics.slow_readers.inc()
                abort(socket)
            except NotAuthorised as refusal:
                await _close(socket, REFUSED, refusal.detail)

    return router


class Credentials:
    """What a socket was opened with. It ends when its token does, or when the visitor is erased."""

    def __init__(self, door: ReaderAuth, socket: WebSocket) -> None:
        self.visitor_id = socket.query_params.get("visitor_id", "")
        self._door = door
        self._token = token_of(socket)  # in the query of older pages
        self._authorization = socket.headers.get("authorization")
        self._expires_at: int | None = None

    @property
    def are_missing(self) -> bool:
        """Whether the first message has to bring the token."""
        return self._token is None and self._authorization is None

    def show(self, token: str | None = None) -> None:
        """Checks what is shown, or a newer token. Raises NotAuthorised."""
        shown = token or self._token
        access = self._door.require_visitor(self.visitor_id, shown, self._authorization)
        self._token, self._expires_at = shown, access.expires_at

    async def wait_until_refused(self, erased: asyncio.Event) -> None:
        """Raises NotAuthorised when what was shown opens no socket any more."""
        while True:
            left_ms = min((self._expires_at or inf) - now_ms(), LOOK_AGAIN_MS)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(left_ms, 0) / 1000):
                    await erased.wait()
            if erased.is_set():
                erased.clear()
                await asyncio.sleep(ERASED_GRACE_S)
            self.show()


async def _first_subscribe(socket: WebSocket) -> Subscribe:
    """The first message. Raises SlowReader where none comes in time, NotAuthorised where it is another."""
    try:
        async with asyncio.timeout(FIRST_WITHIN_S):
            subscribe = _subscribe(_wish_of(await socket.receive()))
    except TimeoutError:
        raise SlowReader from None
    except ValueError as error:
        raise NotAuthorised(f"the first message is to show the visitor's token: {error}") from None
    return subscribe


async def _serve(
    socket: WebSocket, subscriber: LiveSubscription, credentials: Credentials, slow_reader_s: float
) -> None:
    """Both directions until one ends. Raises WebSocketDisconnect, SlowReader or NotAuthorised."""

    async def send(message: bytes) -> None:
        try:
            async with asyncio.timeout(slow_reader_s):
                await socket.send_text(message.decode())
        except TimeoutError:
            raise SlowReader from None

    directions = {
        asyncio.create_task(_listen(socket, subscriber, credentials, send)),
        asyncio.create_task(subscriber.run(send)),
        asyncio.create_task(credentials.wait_until_refused(subscriber.erased)),
    }
    try:
        ended, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        ended.pop().result()
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _listen(
    socket: WebSocket, subscriber: LiveSubscription, credentials: Credentials, send: Send
) -> None:
    while True:
        wish = _wish_of(await socket.receive())
        try:
            subscribe = _subscribe(wish)
            if subscribe.token is not None:
                credentials.show(subscribe.token)
            subscriber.subscribe(subscribe.slots)
        except ValueError as error:
            await send(_encoder.encode(ProtocolError(str(error)[:500])))


def _wish_of(message: Message) -> str | bytes:
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    return message.get("text") or message.get("bytes") or b""


def _subscribe(wish: str | bytes) -> Subscribe:
    """What is asked for. Raises ValueError with a sentence for the client."""
    try:
        subscribe = _decoder.decode(wish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if nonsense := check(subscribe):
        raise ValueError(nonsense)
    return subscribe


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        with suppress(WebSocketDisconnect, RuntimeError):  # it has gone by itself
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await socket.close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
    except TimeoutError:  # it does not take what was sent before, so it never gets to read why
        abort(socket)
