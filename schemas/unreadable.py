"""What cannot be read: one exception for whatever bytes there are, and texts that are safe to show."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

REASON_MAX: Final = 500  # characters: a decoder's message may quote the sender's whole input

# What a terminal obeys or does not show: C0 and C1 controls (but line feed and tab), marks and overrides of
# the direction of writing, lone surrogates, tags. Joiners stay: emoji and Persian names need them.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


class Unreadable(msgspec.ValidationError):
    """Bytes that are no such message; the text is the reason, short and printable."""

    @property
    def for_log(self) -> str:
        """The reason without what identifies a person."""
        return str(self)


class UnderAnotherKey(Unreadable):
    """A message lies under a key that is not the id that it names."""

    def __init__(self, key: str, own: str) -> None:
        super().__init__(f"the message's key is not the {key} {own!r}")
        self._key = key

    @property
    def for_log(self) -> str:
        """The reason; the id may be a visitor's."""
        return f"the message's key is not its {self._key}"


def read(decode: Callable[[bytes], T], raw: bytes) -> T:
    """What a decoder makes of some bytes. Raises Unreadable, and nothing else, whatever the bytes are.

    msgspec's own exceptions are not all that it raises: bytes that are no UTF-8 are a UnicodeDecodeError, and
    what is nested a thousand levels deep is a RecursionError.
    """
    try:
        return decode(raw)
    except Unreadable:
        raise
    except UnicodeDecodeError as error:
        raise Unreadable(f"the bytes are no UTF-8: {error.reason}") from None
    except RecursionError:
        raise Unreadable("the value is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise Unreadable(reason_of(error)) from None


def reason_of(error: object) -> str:
    """Why, as dead letters and logs hold it: without addresses of objects, with which no two would group."""
    return printable(_ADDRESS.sub("", str(error)))[:REASON_MAX]


def printable(text: str) -> str:
    """The text with an escape, such as `\\x1b`, for each character that a terminal obeys or does not show."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable_json(text: str) -> str:
    """A JSON document, its value unchanged, with the escapes that JSON leaves to the writer."""
    return _UNPRINTABLE.sub(_escape_json, text)


def _escape_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
