"""A digest of a multiset of messages: whatever their order and however they are split, the same."""

from hashlib import blake2b
from struct import Struct
from typing import Final, Self

from services.kafka.ranges import MessageHeaders, TopicMessage, headers_of

BYTES: Final = 16
MODULUS: Final = 1 << (8 * BYTES)
# What a message says, wherever it lies: key, value, Unix ms, headers.
Content = tuple[bytes | None, bytes | None, int, MessageHeaders]

_FIXED: Final = Struct("<qii")
_HEADER: Final = Struct("<ii")


class Digest:
    """The sum of the messages' hashes modulo 2¹²⁸, and their number: MSet-Add-Hash of Clarke, Devadas, van
    Dijk, Gassend and Suh, "Incremental Multiset Hash Functions and Their Application to Memory Integrity
    Checking", ASIACRYPT 2003, with BLAKE2b as the hash.

    It tells what was lost, doubled or changed by accident; forging is for the files' SHA-256 to tell.
    """

    __slots__ = ("_sum", "count")

    def __init__(self, total: int = 0, count: int = 0) -> None:
        self._sum = total
        self.count = count

    @classmethod
    def parse(cls, text: str, count: int) -> Self:
        """From its hexadecimal digits. Raises ValueError."""
        return cls(int(text, 16), count)

    def add(self, message: TopicMessage) -> None:
        """One more message: its key, value, timestamp and headers count, not where it lies."""
        self.include(content(message))

    def include(self, said: Content) -> None:
        """One more message, by what it says."""
        self.include_hash(hash_message(*said))

    def include_hash(self, number: int) -> None:
        """One more message, by its hash."""
        self._sum = (self._sum + number) % MODULUS
        self.count += 1

    def add_all(self, other: "Digest") -> None:
        """All that another has taken."""
        self._sum = (self._sum + other._sum) % MODULUS
        self.count += other.count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self._sum, self.count) == (other._sum, other.count)

    __hash__ = None  # type: ignore[assignment] # it grows

    def __str__(self) -> str:
        return f"{self._sum:0{2 * BYTES}x}"

    def __repr__(self) -> str:
        return f"Digest({self}, {self.count})"


def content(message: TopicMessage) -> Content:
    """What a message says."""
    return message.key(), message.value(), message.timestamp()[1], headers_of(message)


def hash_message(key: bytes | None, value: bytes | None, timestamp: int, headers: MessageHeaders) -> int:
    """One message's hash; lengths go before texts, so that no two messages are the same bytes."""
    parts = [
        _FIXED.pack(timestamp, -1 if key is None else len(key), -1 if value is None else len(value)),
        key or b"",
        value or b"",
    ]
    for name, given in headers:
        raw = name.encode("utf-8", "surrogatepass")
        # confluent_kafka reads the bytes of a header, and may be given a text.
        said = given.encode() if isinstance(given, str) else given
        parts += [_HEADER.pack(len(raw), -1 if said is None else len(said)), raw, said or b""]
    return int.from_bytes(blake2b(b"".join(parts), digest_size=BYTES).digest(), "little")
