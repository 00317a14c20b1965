"""The stack that `make up` started on this machine: its addresses and keys, for commands told none."""

import socket
from pathlib import Path
from typing import Final

import msgspec
from pydantic import SecretStr

from services.ops.settings import OpsSettings

FILE: Final = "local.json"  # written by the stack at its start: EDDY_NAME → value
SOCKET: Final = "supervisor.sock"
ANSWER_S: Final = 1.0
# Who sets one of these to something else speaks of another flow: it gets no key of the stack.
FIELDS: Final = frozenset(
    (
        *("kafka_bootstrap", "topic_prefix", "api_key", "admin_key"),
        *("ingest_url", "recommender_url", "session_processor_url", "embedder_url"),
    )
)


class NoLocalStack(Exception):
    """The stack has left no file that can be read; the text says what to do."""


def settings(given: OpsSettings, *, wanted: bool) -> OpsSettings:
    """`given`, with what it leaves open taken from the stack's file; what the environment sets wins.

    Unless `wanted`, only where the stack runs and the environment sets none of FIELDS to something else;
    `make keys` sets them to the same. Raises NoLocalStack.
    """
    if not wanted and not runs(given.stack_folder):
        return given
    names = {name: f"EDDY_{name.upper()}" for name in FIELDS}
    told = read(given.stack_folder)
    own = given.model_fields_set & FIELDS
    if not wanted and any(_plain(getattr(given, name)) != told.get(names[name]) for name in own):
        return given
    return OpsSettings.model_validate(
        {name: told[names[name]] for name in FIELDS - own if names[name] in told}
    )


def _plain(value: SecretStr | str | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def runs(folder: Path) -> bool:
    """Whether a stack has left its file here, and its supervisor takes connections."""
    if not (folder / FILE).exists():
        return False
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_S)
        try:
            client.connect(str(folder.resolve() / SOCKET))
        except OSError:
            return False
    return True


def read(folder: Path) -> dict[str, str]:
    """The stack's file: EDDY_NAME → value. Raises NoLocalStack."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        raise NoLocalStack(
            f"no stack was started here ({path} is not there): `make up` starts one. "
            "For a stack in another folder set EDDY_STACK_FOLDER"
        ) from None
    except OSError as error:
        raise NoLocalStack(f"{path}: {error.strerror}. Who started the stack may read it") from None
    except msgspec.DecodeError as error:
        raise NoLocalStack(
            f"{path} is broken ({error}): start the stack anew, with `make down` and `make up`"
        ) from None
