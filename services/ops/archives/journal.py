"""How far an import has come, on disk: one that was killed goes on where the broker had all before."""

import fcntl
import os
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Self

import msgspec

from services.endings import CannotBeDone
from services.history.archive_digest import Digest


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """All before these offsets is on the broker, or was left out; counts and digests are of what that was."""

    offsets: dict[int, int] = {}
    read: int = 0
    read_digest: str = "0"
    written: int = 0
    written_digest: str = "0"
    erased: int = 0

    @property
    def read_so_far(self) -> Digest:
        """Of all messages that were read."""
        return Digest.parsed(self.read_digest, self.read)

    @property
    def written_so_far(self) -> Digest:
        """Of those that were written."""
        return Digest.parsed(self.written_digest, self.written)


class _Kept(msgspec.Struct, frozen=True):
    about: str
    reached: Reached


class ImportJournal:
    """Of one import: what, from where, to where. Used in a `with`; holds a lock as long as it is open."""

    def __init__(self, folder: Path, about: str, *, anew: bool = False) -> None:
        """`about` names archive, range and target. Raises CannotBeDone while the same import runs."""
        self._path = folder / f"{blake2b(about.encode(), digest_size=12).hexdigest()}.json"
        self._about = about
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            lock = stack.enter_context(self._path.with_suffix(".lock").open("wb"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotBeDone("the same import is under way: let it end first") from None
            self._open = stack.pop_all()
        if anew:
            self.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def reached(self) -> Reached:
        """How far the import has come; nowhere, where nothing is kept or what is kept is none of it."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Reached()
        return kept.reached if kept.about == self._about else Reached()

    def keep(self, reached: Reached) -> None:
        """Replaces what was kept, in one step."""
        part = self._path.with_suffix(".part")
        with part.open("wb") as stream:
            stream.write(msgspec.json.encode(_Kept(self._about, reached)))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self._path)

    def remove(self) -> None:
        """Forgets all: the import is complete."""
        self._path.unlink(missing_ok=True)
