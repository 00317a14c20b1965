"""Which products a target has acknowledged, on disk: a load that was killed goes on where it was.

A file a feed and target: a line that says what it is about, then 16 bytes a product, appended after each
acknowledged batch: hashes of its id and of its content (all fields but `updated_at`). Half a record at the
end, of a kill in the middle of a write, is dropped. Nothing is believed that was not acknowledged.
"""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from schemas import products
from schemas.products import Product
from services.errors import OperationFailed
from services.files import lock, write_atomically

HASH_BYTES: Final = 8
RECORD_BYTES: Final = 2 * HASH_BYTES
WASTE_MAX: Final = 10_000  # records that newer ones replace, before the file is written anew


class JournalUnusable(OperationFailed):
    """The state folder cannot be used, or another load of the feed uses it now; the text says what to do."""


class Journal:
    """The acknowledged products of one feed. Used in a `with`; holds a lock as long as it is open."""

    def __init__(self, folder: Path, about: str, version: str, *, fresh: bool = False) -> None:
        """`about` names feed and target, `version` the feed's content: another begins anew, as `fresh` does.

        Raises JournalUnusable.
        """
        self._path = folder / f"{blake2b(about.encode(), digest_size=12).hexdigest()}.journal"
        self._head = msgspec.json.encode({"about": about, "version": version}) + b"\n"
        self._to_mend = msgspec.json.encode({"about": about, "version": "to be mended"}) + b"\n"
        self._known: dict[bytes, bytes] = {}
        with ExitStack() as stack:
            try:
                refusal = JournalUnusable("another load of this file to this ingest is under way")
                stack.enter_context(lock(self._path.with_suffix(".lock"), lambda _holder: refusal))
                self._file = stack.enter_context(self._open_file(fresh))
            except OSError as error:
                raise JournalUnusable(
                    f"{folder} cannot hold the load's state ({error}): set --state"
                ) from error
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def __len__(self) -> int:
        return len(self._known)

    def has(self, product: Product) -> bool:
        """Whether the product was acknowledged as it is now, whatever its `updated_at`."""
        return self._known.get(_hash(product.product_id.encode())) == _content(product)

    def add(self, acknowledged: Iterable[Product]) -> None:
        """Keeps these, in one write."""
        fresh = {_hash(each.product_id.encode()): _content(each) for each in acknowledged}
        self._known |= fresh
        try:
            self._file.write(b"".join(key + content for key, content in fresh.items()))
        except OSError as error:
            raise JournalUnusable(f"{self._path} cannot be written: {error}") from error

    def keep_for_mended(self) -> None:
        """The feed broke off: once it is mended, whatever its version, the load goes on where it was."""
        known = b"".join(key + content for key, content in self._known.items())
        write_atomically(self._path, self._to_mend + known)

    def remove(self) -> None:
        """Forgets all: the load is complete."""
        self._path.unlink(missing_ok=True)

    def _open_file(self, fresh: bool) -> IO[bytes]:
        """The file, at its end, without what is not whole; written anew where it is another or wasteful."""
        content = self._path.read_bytes() if self._path.exists() and not fresh else b""
        was_broken = content.startswith(self._to_mend)
        head = self._to_mend if was_broken else self._head
        records = content.removeprefix(head) if content.startswith(head) else b""
        records = records[: len(records) // RECORD_BYTES * RECORD_BYTES]
        for at in range(0, len(records), RECORD_BYTES):
            self._known[records[at : at + HASH_BYTES]] = records[at + HASH_BYTES : at + RECORD_BYTES]
        wasted = len(records) // RECORD_BYTES - len(self._known)
        if not records or was_broken or wasted > WASTE_MAX:
            known = b"".join(key + content for key, content in self._known.items())
            write_atomically(self._path, self._head + known)
        file = self._path.open("r+b", buffering=0)
        size = file.seek(0, os.SEEK_END)
        file.truncate(size - (size - len(self._head)) % RECORD_BYTES)
        file.seek(0, os.SEEK_END)
        return file


def _content(product: Product) -> bytes:
    return _hash(products.encode(msgspec.structs.replace(product, updated_at=0)))


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=HASH_BYTES).digest()
