"""`python -m services.embedder`: one member of the embedders' group."""

import os
import signal
import sys
from types import FrameType

from services.cli import start
from services.embedder.app import create_app
from services.embedder.settings import EmbedderSettings


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Until the models are loaded there is nothing to finish."""
    os._exit(0)


def main() -> None:
    """Reads the settings and runs until SIGTERM."""
    settings = start(
        EmbedderSettings,
        "embedder",
        "Turns [products] into vectors on [product-vectors], and in a Qdrant server where one is configured.",
        "EDDY_CATALOGUE_DIR=build/demo/catalogue python -m services.embedder",
    )
    signal.signal(signal.SIGTERM, _leave)
    create_app(settings).run()
    sys.stderr.flush()
    os._exit(0)  # a picture may still be on its way; its thread would be waited for


if __name__ == "__main__":
    main()
