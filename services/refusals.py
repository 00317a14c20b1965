"""Which of many identical refusals get a dead letter: a sender that repeats itself fills no disk."""

import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from cachetools import TTLCache

KINDS_MAX: Final = 50_000  # 150 bytes each
WITHIN_S: Final = 60 * 60.0  # a refusal that comes again after so long has a letter again


class RefusalSampler:
    """The 1st, 10th, 100th … of identical refusals get a letter, which says for how many it stands.

    Identical are the same bytes from the same sender, refused for the same reason: the first letter has all
    that there is to put back, and nothing is lost with the others.
    """

    def __init__(
        self,
        within_s: float = WITHIN_S,
        most: int = KINDS_MAX,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seen: TTLCache[bytes, list[int]] = TTLCache(most, within_s, timer)

    def sample(self, *parts: bytes | str | None) -> int:
        """For how many refusals of these parts a letter stands that is written now; 0: none is needed."""
        name = _name(parts)
        if (count := self._seen.get(name)) is None:
            count = self._seen[name] = [0]  # a list: what is counted in it keeps the age of the first
        count[0] += 1
        number = count[0]
        if number == 1:
            return 1
        return number - number // 10 if number == 10 ** (len(str(number)) - 1) else 0

    def reset(self) -> None:
        """Letters may not have been written after all: the next refusal of each kind is the first again."""
        self._seen.clear()


def _name(parts: tuple[bytes | str | None, ...]) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"-" if raw is None else b"%d:%b" % (len(raw), raw))
    return digest.digest()
