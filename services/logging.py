"""Logging, and the health and metrics endpoints of services that have no HTTP API of their own."""

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from schemas.unreadable import printable
from services.settings import ServiceSettings

if TYPE_CHECKING:
    pass


def _make_printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """What somebody else has named or sent does not tell the terminal of who reads along what to do."""
    return {key: printable(each) if isinstance(each, str) else each for key, each in event.items()}


def configure_logging(settings: ServiceSettings, service: str) -> None:
    """One line an event on stderr, as JSON or for people; libraries' own loggers come out the same way."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[structlog.typing.Processor] = (
        [_make_printable, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if settings.log_format == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    structlog.contextvars.bind_contextvars(service=service)
    if settings.auth == "optional":
        structlog.get_logger().warning(
            "EDDY_AUTH=optional: anybody who reaches ingest may change products and send events of any "
            "visitor; set EDDY_API_KEY and leave EDDY_AUTH out before a shop uses this"
        )
