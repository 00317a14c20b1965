"""A body taken apart into its entries without a look into them: one that is odd takes none with it. Pure.

A JSON decoder refuses a whole body for half an emoji, a control character or a number with a leading 0 in one
entry. Here only brackets, strings, commas and colons count; what an entry holds shows when it is decoded.
"""

import re
from typing import Final

import msgspec

_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_SPACE: Final = rb"[ \t\n\r]*"
_TOKEN: Final = re.compile(_SPACE + rb"(" + _STRING + rb'|[\[\]{}:,]|[^ \t\n\r"\[\]{}:,]+)', re.DOTALL)
_MEMBER: Final = re.compile(_SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":(.*)", re.DOTALL)
_CLOSING: Final = {b"[": b"]", b"{": b"}"}


def split_list(raw: bytes) -> list[bytes] | None:
    """The entries of a JSON list; None for what is none, or does not close what it opens."""
    return _parts(raw, b"[")


def split_object(raw: bytes) -> dict[str, bytes] | None:
    """The members of a JSON object, the last of each name; None as `split_list`."""
    parts = _parts(raw, b"{")
    if parts is None:
        return None
    members: dict[str, bytes] = {}
    for part in parts:
        found = _MEMBER.fullmatch(part)
        if found is None:
            return None
        try:
            members[msgspec.json.decode(found[1], type=str)] = found[2].strip()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue  # nobody asks for such a name
    return members


def _parts(raw: bytes, opening: bytes) -> list[bytes] | None:
    parts: list[bytes] = []
    expected: list[bytes] = []  # the brackets that are to close, innermost last
    position = start = 0
    raw = raw.strip(b" \t\n\r")
    while position < len(raw):
        found = _TOKEN.match(raw, position)
        if found is None:  # a text that does not end
            return None
        token, position = found[1], found.end()
        if not expected:
            if start or token != opening:
                return None
            start = position
            expected.append(_CLOSING[opening])
        elif token in _CLOSING:
            expected.append(_CLOSING[token])
        elif token in {b"]", b"}"}:
            if expected.pop() != token:
                return None
            if not expected:
                parts.append(raw[start : found.start(1)].strip())
        elif token == b"," and len(expected) == 1:
            parts.append(raw[start : found.start(1)].strip())
            start = position
    if expected or not parts:
        return None
    if parts == [b""]:
        return []
    return parts if all(parts) else None
