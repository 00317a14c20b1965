"""Event ids made from a file's rows: the same row is the same event, however often it is loaded."""

from typing import Final
from uuid import NAMESPACE_URL, uuid5

NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:eddy:ops:load")


def event_id(kind: str, number: int, *parts: object) -> str:
    """The id of row `number`, counted from 1, of a file of this kind."""
    return str(uuid5(NAMESPACE, ":".join([kind, str(number), *(str(part) for part in parts)])))
