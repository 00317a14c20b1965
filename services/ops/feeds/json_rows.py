"""Rows of JSON: an object a line, or one long list of objects, which is never held whole."""

import json
import re
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from services.ops.feeds.rows import Broken, CutOff, Row

LIST: Final = re.compile(r'\s*(?:\{\s*"products"\s*:\s*)?\[')  # a list, or Shopify's {"products": [
CHUNK: Final = 256 * 1024  # characters
OBJECT_MAX: Final = 16 * 1024 * 1024  # characters of one object
_GAP: Final = re.compile(r"[\s,]*")


def lines(file: IO[bytes]) -> Iterator[Row | Broken]:
    """An object a line; empty lines are passed over."""
    decoder = msgspec.json.Decoder(Row)
    for number, line in enumerate(file):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if not text.strip():
            continue
        try:
            yield decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield Broken(f"is no JSON object: {error}")


def listed(text: IO[str]) -> Iterator[Row]:
    """The objects of a list, or of the list named products. Raises CutOff where the text is no JSON."""
    decoder = json.JSONDecoder()
    buffer = text.read(CHUNK).removeprefix("\ufeff")
    opening = LIST.match(buffer)
    if opening is None:
        raise CutOff('it is no list of objects, nor {"products": [ … ]}')
    at, number = opening.end(), 1
    while True:
        at = _end_of_gap(buffer, at)
        if at < len(buffer) and buffer[at] == "]":
            return
        found, end = _object(decoder, buffer, at)
        if found is not None:
            yield found
            at, number = end, number + 1
            continue
        more = text.read(CHUNK)
        buffer, at = buffer[at:] + more, 0
        if not more or len(buffer) > OBJECT_MAX:
            raise CutOff(f"object {number} of the list is no JSON, or is cut off")


def _end_of_gap(buffer: str, at: int) -> int:
    gap = _GAP.match(buffer, at)
    return gap.end() if gap else at


def _object(decoder: json.JSONDecoder, buffer: str, at: int) -> tuple[Row | None, int]:
    """The object that begins here, and where it ends; None where the buffer does not hold all of it."""
    if at >= len(buffer):
        return None, at
    if buffer[at] != "{":
        raise CutOff(f"the list has something other than objects: {buffer[at : at + 20]!r}")
    try:
        found, end = decoder.raw_decode(buffer, at)
    except (json.JSONDecodeError, RecursionError):
        return None, at
    return found, end
