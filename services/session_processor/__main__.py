"""`python -m services.session_processor`: one worker of the session processor."""

import asyncio

import uvloop

from services.cli import start
from services.session_processor.app import create_app
from services.session_processor.settings import SessionProcessorSettings


async def _run(settings: SessionProcessorSettings) -> None:
    await create_app(settings).run()


def main() -> None:
    """Reads the settings and runs until SIGTERM."""
    settings = start(
        SessionProcessorSettings,
        "session_processor",
        "Keeps each visitor's rolling session vector: folds [events] into a table, publishes [sessions].",
        "EDDY_KAFKA_BOOTSTRAP=kafka:9092 python -m services.session_processor",
    )
    # Faust takes its loop from the policy; `loop="uvloop"` fails (DESIGN §9).
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_run(settings))


if __name__ == "__main__":
    main()
