"""WS /v1/live: the client says which slots it shows, the server keeps them fresh."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from schemas.live import ProtocolError, Slot, Subscribe, check
from services.recommender.live.protocol import LiveSubscription, Send
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.metrics import Metrics
from services.web.auth import ReaderAuth
from services.web.problems import NotAuthorised

REFUSED: Final = 1008  # RFC 6455: policy violation; the page is to renew its token
TRY_LATER: Final = 1013  # IANA: try again later
REASON_BYTES: Final = 123  # RFC 6455, 5.5: what fits a close frame

Subscribers = Callable[[str], LiveSubscription]  # visitor_id → a socket's state

_decoder = msgspec.json.Decoder(Subscribe)
_encoder = msgspec.json.Encoder()


class SlowReader(Exception):
    """The client takes no data; it is dropped rather than buffered for without bound."""


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
        visitor_id = socket.query_params.get("visitor_id", "")
        try:
            door.require_visitor(
                visitor_id, socket.query_params.get("token"), socket.headers.get("authorization")
            )
        except NotAuthorised as refusal:
            await _close(socket, REFUSED, refusal.detail)
            return
        if missing := waiting_for():
            await _close(socket, TRY_LATER, f"still reading {missing}")
            return
        subscriber = subscribers(visitor_id)
        with hub.register(subscriber), suppress(WebSocketDisconnect):
            try:
                await _serve(socket, subscriber, slow_reader_s)
            except SlowReader:
                metrics.slow_readers.inc()
                await _close(socket, TRY_LATER, "the reader is too slow")

    return router


async def _serve(socket: WebSocket, subscriber: LiveSubscription, slow_reader_s: float) -> None:
    """Both directions until one ends. Raises WebSocketDisconnect or SlowReader."""

    async def send(message: bytes) -> None:
        try:
            async with asyncio.timeout(slow_reader_s):
                await socket.send_text(message.decode())
        except TimeoutError:
            raise SlowReader from None

    directions = {
        asyncio.create_task(_listen(socket, subscriber, send)),
        asyncio.create_task(subscriber.run(send)),
    }
    try:
        ended, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        ended.pop().result()
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _listen(socket: WebSocket, subscriber: LiveSubscription, send: Send) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        wish = message.get("text") or message.get("bytes") or b""
        try:
            subscriber.subscribe(_slots(wish))
        except ValueError as error:
            await send(_encoder.encode(ProtocolError(str(error)[:500])))


def _slots(wish: str | bytes) -> Sequence[Slot]:
    """The slots asked for. Raises ValueError with a sentence for the client."""
    try:
        subscribe = _decoder.decode(wish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if nonsense := check(subscribe):
        raise ValueError(nonsense)
    return subscribe.slots


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # it has gone by itself
        await socket.close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
