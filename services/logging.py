"""Logging: one line an event, in which no key and no visitor's token stands."""

import logging
import re
import sys
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import structlog
from pydantic import BaseModel, SecretStr

from schemas.unreadable import printable
from services.settings import ServiceSettings
from services.tracing.port import current_span

REDACTED: Final = "***"
# What itsdangerous signs: the visitor, the time in base 64, 32 bytes of HMAC-SHA256 in base 64.
SIGNED: Final = r"[A-Za-z0-9_.:~-]{1,80}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
# Of an address that a library logs, and of headers: whatever is shown there, right or wrong.
SHOWN: Final = r"""(?<=[?&]token=)[^&\s"']+|(?<=bearer )[^\s"',]+|(?<=basic )[^\s"',]+"""
NAMED: Final = re.compile(f"{SIGNED}|{SHOWN}", re.IGNORECASE)


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Writes no secret, whoever has logged it: an exception's text, a library, a web server."""

    def __init__(self, secrets: Iterable[str], **options: Any) -> None:  # noqa: ANN401 - as the class above has them
        super().__init__(**options)
        told = sorted(set(secrets), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, told))) if told else None

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = NAMED.sub(REDACTED, super().format(record))
        return line if self._secrets is None else self._secrets.sub(REDACTED, line)


def _make_printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """What somebody else has named or sent does not tell the terminal of who reads along what to do."""
    return {key: printable(each) if isinstance(each, str) else each for key, each in event.items()}


def _name_trace(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A line that is written while something is traced names the trace."""
    if (span := current_span()) is not None:
        event.setdefault("trace_id", span.trace_id)
    return event


def hash_visitor(visitor_id: str | bytes) -> str:
    """A visitor as lines name it: the same everywhere, and not the id, with which one may ask for all of it.

    Without a key, so that whoever knows an id can find its lines in all services: ids that we give have 80
    random bits and cannot be guessed, ids that a shop gives may be.
    """
    raw = visitor_id.encode() if isinstance(visitor_id, str) else visitor_id
    return blake2b(raw, digest_size=8, person=b"eddy-visitor").hexdigest()


def configure_logging(settings: ServiceSettings, service: str, *others: ServiceSettings) -> None:
    """One line an event on stderr, as JSON or for people; libraries' own loggers come out the same way.

    `others` are further tenants of this process: their keys are written no more than its own.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[structlog.typing.Processor] = (
        [
            structlog.processors.format_exc_info,  # before: an exception's text is others' words, too
            _make_printable,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # Not rich's, which prints the local variables of every frame: keys, tokens, whole bodies.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
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
        RedactingFormatter(
            set().union(*map(secrets_of, (settings, *others))),
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    structlog.contextvars.bind_contextvars(service=service)
    if any(each.auth == "optional" for each in (settings, *others)):
        structlog.get_logger().warning(
            "EDDY_AUTH=optional: anybody who reaches ingest may change products and send events of any "
            "visitor; set EDDY_API_KEY and leave EDDY_AUTH out before a shop uses this"
        )


def secrets_of(settings: BaseModel) -> set[str]:
    """The values of all settings that are secret."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return {each.get_secret_value() for each in values if isinstance(each, SecretStr)} - {""}
