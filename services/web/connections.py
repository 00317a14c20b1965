"""uvicorn's connections, with what it leaves out: an end that does not wait for the client."""

from typing import Any, Final

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT: Final = "eddy.abort"  # an ASGI extension of ours: what ends a socket at once


class SocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that its application can abort."""

    async def run_asgi(self) -> None:
        """The application, from the handshake to the end."""
        extensions: dict[str, Any] = self.scope["extensions"] or {}
        extensions[ABORT] = {"abort": self.transport.abort}
        await super().run_asgi()


def abort(socket: WebSocket) -> None:
    """Ends a socket whose client takes no data.

    A close frame would lie behind what the client does not take, and closing waits for all of it to leave.
    """
    extension = (socket.scope.get("extensions") or {}).get(ABORT)
    if extension is not None:  # another server than `services.web.server`, as in a unit test
        extension["abort"]()
