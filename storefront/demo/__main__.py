"""`python -m storefront.demo`: the demo shop."""

import argparse
import socket
import sys
from typing import Final

import uvicorn

from services.cli import described
from services.observability import configure_logging
from services.settings import load
from storefront.demo.app import create_app
from storefront.demo.settings import ShopSettings
from storefront.demo.stock import CatalogueMissing

GRACE_S: Final = 2


def main() -> None:
    """Reads the settings and the catalogue, and serves until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m storefront.demo",
        description="The demo shop: pages, pictures, a cart, and a row that follows every click.",
        epilog=f"settings, from the environment:\n{described(ShopSettings)}\n\n"
        "example:\n  EDDY_SHOP_PORT=9000 python -m storefront.demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    settings = load(ShopSettings)
    configure_logging(settings, "shop")
    try:
        app = create_app(settings)
    except CatalogueMissing as missing:
        sys.exit(str(missing))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    uvicorn.Server(config).run(sockets=[_listen(settings.shop_host, settings.shop_port)])


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket; a port in use ends the process with what to do about it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        sys.exit(
            f"the shop cannot listen on {host}:{port}: {error.strerror}. Free it, or set EDDY_SHOP_PORT."
        )


if __name__ == "__main__":
    main()
