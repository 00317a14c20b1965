"""`python -m services.<name>`: `--help` from the settings themselves, and the start of a process."""

import argparse
from typing import TypeVar

from pydantic_core import PydanticUndefined

from services.observability import configure_logging
from services.settings import ServiceSettings, load

S = TypeVar("S", bound=ServiceSettings)


def start(kind: type[S], service: str, purpose: str, example: str) -> S:
    """The process's settings, with logging configured; ends the process on `--help` or a bad setting."""
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{service}",
        description=purpose,
        epilog=f"settings, from the environment:\n{described(kind)}\n\nexample:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    settings = load(kind)
    configure_logging(settings, service)
    return settings


def described(kind: type[ServiceSettings]) -> str:
    """A line a setting: its name, its default, what it means."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    return "\n".join(
        f"  {prefix}{name.upper()}={_shown(field.get_default(call_default_factory=True))}\n"
        f"      {field.description}"
        for name, field in kind.model_fields.items()
    )


def _shown(default: object) -> str:
    if default is PydanticUndefined:
        return "(required)"
    return "" if default is None else str(default)
