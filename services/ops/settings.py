"""Settings of the operations commands: from the environment, else of the stack that runs on this machine."""

import logging
import socket
from contextvars import ContextVar
from pathlib import Path
from tempfile import gettempdir
from typing import Final

import msgspec
from pydantic import Field, SecretStr

from services.errors import OperationFailed
from services.model.settings import ROOT, ModelSettings
from services.settings import QdrantSettings, TopicSettings, load

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


is_local: Final = ContextVar("is_local", default=False)  # whether `--local` was said


class OpsSettings(ModelSettings, QdrantSettings, TopicSettings):
    """Where the commands find Kafka and the services, and what they show to be let in."""

    ingest_url: str = Field("http://127.0.0.1:8001", description="where ingest answers")
    recommender_url: str = Field("http://127.0.0.1:8002", description="where a recommender answers")
    session_processor_url: str = Field(
        "http://127.0.0.1:8003", description="health endpoints of a session processor"
    )
    embedder_url: str = Field("http://127.0.0.1:8004", description="health endpoints of the embedder")
    api_key: SecretStr | None = Field(None, description="the shop's API key, shown as Authorization: Bearer")
    admin_key: SecretStr | None = Field(None, description="the admin key, shown as Authorization: Bearer")
    stack_folder: Path = Field(
        ROOT / "build" / "stack", description="where a stack on this machine tells its addresses and keys"
    )
    session_processor_group: str = Field("session-processor", description="consumer group, after the prefix")
    embedder_group: str = Field("embedder", description="consumer group, after the prefix")
    catalogue_delete_after_days: float = Field(
        30.0,
        ge=0,
        description="`catalogue load --full`: days after which what it has sold out is deleted; 0 at once",
    )
    ops_datadir: Path = Field(
        default_factory=lambda: Path(gettempdir()) / "eddy-ops",
        description="what long commands keep for the time being (default: in the folder of temporary files)",
    )


class NoLocalStack(OperationFailed):
    """The stack has left no file that can be read; the text says what to do."""


def fill_from_local_stack(given: OpsSettings, *, wanted: bool) -> OpsSettings:
    """`given`, with what it leaves open taken from the stack's file; what the environment sets wins.

    Unless `wanted`, only where the stack runs and the environment sets none of FIELDS to something else;
    `make keys` sets them to the same. Raises NoLocalStack.
    """
    if not wanted and not stack_runs(given.stack_folder):
        return given
    names = {name: f"EDDY_{name.upper()}" for name in FIELDS}
    told = read_local_stack(given.stack_folder)
    own = given.model_fields_set & FIELDS
    if not wanted and any(_plain(getattr(given, name)) != told.get(names[name]) for name in own):
        return given
    return OpsSettings.model_validate(
        {name: told[names[name]] for name in FIELDS - own if names[name] in told}
    )


def _plain(value: SecretStr | str | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def stack_runs(folder: Path) -> bool:
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


def read_local_stack(folder: Path) -> dict[str, str]:
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


def load_settings() -> OpsSettings:
    """The command's settings; librdkafka is quiet, since what goes wrong is told in a sentence.

    Raises NoLocalStack for `--local` where no stack is.
    """
    found = fill_from_local_stack(load(OpsSettings), wanted=is_local.get())
    if found.log_level != "DEBUG":
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    return found
