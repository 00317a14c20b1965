"""`python -m storefront.demo`: the demo shop."""

import argparse
import sys
from typing import Final

from services.cli import describe_settings
from services.logging import configure_logging
from services.settings import load
from services.web.server import serve
from storefront.demo.app import create_app
from storefront.demo.settings import ShopSettings
from storefront.demo.stock import CatalogueMissing

GRACE_S: Final = 2


def main() -> None:
    """Reads the settings and the catalogue, and serves until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m storefront.demo",
        description="The demo shop: pages, pictures, a cart, and a row that follows every click.",
        epilog=f"settings, from the environment:\n{describe_settings(ShopSettings)}\n\n"
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
    serve(lambda: app, "shop", settings.shop_host, settings.shop_port, grace_s=GRACE_S)


if __name__ == "__main__":
    main()
