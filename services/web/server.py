"""How every HTTP service listens: uvicorn on a socket that was taken before anything else started."""

import socket
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp

from services.web.bounds import BoundsSettings
from services.web.connections import Connections, HttpConnection
from services.web.ports import BACKLOG, bind_shared, listen, multiply
from services.web.shutdown import GracefulServer, ShutdownMiddleware, StopFlag
from services.web.sockets import KeepAlive, SocketConfig, SocketConnection
from services.web.workers import WorkerServer

KEEP_ALIVE_S: Final = 30  # a shopper's next click mostly finds the connection open
GRACE_S: Final = 5  # requests under way when SIGTERM comes
PING_S: Final = 20.0  # a live socket that does not answer for so long again is gone
MESSAGE_MAX_BYTES: Final = 64 * 1024  # of what a client says on a socket


def serve(
    create_app: Callable[[], ASGIApp],
    service: str,
    host: str,
    port: int,
    *,
    sockets: bool = False,
    grace_s: int = GRACE_S,
    stop_delay_s: float = 0.0,
    bounds: BoundsSettings | None = None,
    shared_port: int | None = None,
    setting: str | None = None,
) -> None:
    """Serves until SIGTERM, and WebSockets where `sockets`. Blocks.

    For `stop_delay_s` after SIGTERM all is still answered, and /readyz says that it ends. `shared_port`:
    where other workers listen, too, and this one as soon as it is ready. `setting`: see `listen`.
    """
    listening = listen(service, host, port, setting)
    server = create_server(
        create_app,
        sockets=sockets,
        grace_s=grace_s,
        stop_delay_s=stop_delay_s,
        bounds=bounds,
        sharing=None if shared_port is None else bind_shared(service, host, shared_port),
    )
    server.run(sockets=multiply(listening))


def create_server(
    create_app: Callable[[], ASGIApp],
    *,
    sockets: bool = False,
    grace_s: int = GRACE_S,
    stop_delay_s: float = 0.0,
    bounds: BoundsSettings | None = None,
    sharing: socket.socket | None = None,
) -> GracefulServer:
    """The server of an app, which is created in the loop that serves. For whoever has a listening socket.

    A FastAPI app may have `state.on_refused`, which is told the name of a limit that a connection went over,
    and `state.waiting_for`, what keeps it from being ready: until then no socket is opened, unless
    `state.sockets_waiting_for` says otherwise. `sharing`: see `WorkerServer`.
    """
    stop = StopFlag()
    bounds = bounds or BoundsSettings()
    connections = Connections(bounds)

    def create() -> ASGIApp:
        app = create_app()
        state = getattr(app, "state", None)
        connections.on_refused = getattr(state, "on_refused", connections.on_refused)
        connections.waiting_for = getattr(state, "waiting_for", connections.waiting_for)
        connections.sockets_waiting_for = getattr(state, "sockets_waiting_for", connections.waiting_for)
        return ShutdownMiddleware(app, stop)

    config = SocketConfig(
        create,
        factory=True,  # clients are built in the loop that serves
        loop="uvloop",
        http=HttpConnection,
        ws=SocketConnection if sockets else "none",
        ws_max_size=MESSAGE_MAX_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,  # 14 KiB a connection instead of 64 (DESIGN §9)
        log_config=None,
        access_log=False,  # the query may hold a token
        server_header=False,
        proxy_headers=bool(bounds.proxies),
        forwarded_allow_ips=bounds.proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
        timeout_graceful_shutdown=grace_s,
    )
    config.connections, config.keep_alive = connections, KeepAlive(PING_S)
    return (
        GracefulServer(config, stop, stop_delay_s)
        if sharing is None
        else WorkerServer(config, stop, stop_delay_s, sharing)
    )
