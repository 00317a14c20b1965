"""The end of an HTTP service: it says so first, finishes what is under way, and waits for no slow client."""

import asyncio
import socket
import time
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READY_PATH: Final = "/readyz"
STOPPING: Final = {"status": "stopping", "waiting_for": "requests under way, before the service ends"}
RESTART: Final = 1012  # IANA: service restart; a page comes back by itself
LINGER_S: Final = 5  # a connection that is closed and does not take its last bytes for so long is aborted
ABORT_AFTER_S: Final = 1.0  # the same at the end, where the process waits
TICKS: Final = LINGER_S * 10  # uvicorn looks ten times a second
LOOK_S: Final = 0.05


class StopFlag:
    """Whether the process was told to stop. Set in a signal handler, read everywhere."""

    def __init__(self) -> None:
        self.is_set = False


class ShutdownMiddleware:
    """Outermost: once the service is told to stop, /readyz says so and nobody gets a connection to keep."""

    def __init__(self, app: ASGIApp, stop: StopFlag) -> None:
        self._app = app
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if not self._stop.is_set or scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Accepted first: a browser learns nothing of why a handshake was refused.
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": RESTART, "reason": "the service restarts"})
        elif scope["path"] == READY_PATH:
            await JSONResponse(STOPPING, 503)(scope, receive, _closing(send))
        else:
            await self._app(scope, receive, _closing(send))


def _closing(send: Send) -> Send:
    async def send_closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return send_closing


class GracefulServer(uvicorn.Server):
    """uvicorn, which goes on answering for `delay_s` after SIGTERM, and aborts clients that take nothing."""

    def __init__(self, config: uvicorn.Config, stop: StopFlag, delay_s: float) -> None:
        super().__init__(config)
        self._stop = stop
        self.delay_s = delay_s
        self._closing: set[Any] = set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        self._stop.is_set = True
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % TICKS == 0:
            self._abort_lingering()
        return await super().on_tick(counter)

    def _abort_lingering(self) -> None:
        """Those that were closed before the last look: uvicorn closes, and the loop waits for the client."""
        closing = {each for each in self.server_state.connections if each.transport.is_closing()}
        for connection in closing & self._closing:
            connection.transport.abort()
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Says so at /readyz, answers on for a while, then closes: sockets with 1012, requests when done."""
        self._stop.is_set = True  # a server may end without a signal, too
        began = time.monotonic()
        while time.monotonic() < began + self.delay_s and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        aborting = asyncio.create_task(self._abort_when_late())
        try:
            await super().shutdown(sockets)
        finally:
            aborting.cancel()

    async def _abort_when_late(self) -> None:
        while True:
            await asyncio.sleep(ABORT_AFTER_S)
            self._closing = set(self.server_state.connections)
            self._abort_lingering()
