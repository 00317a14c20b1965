"""The collections behind one alias on a Qdrant server: a new one beside the old, and the change of place."""

import re
from contextlib import suppress
from typing import Final

from qdrant_client import QdrantClient

from schemas.vectors import Layout
from services.qdrant import FIRST, ProductCollection, alias_target, create, point_alias

STAMP: Final = re.compile(r"\.[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")


class Shelf:
    """What is, was and will be found under one name. Calls block, and raise what Qdrant raises."""

    def __init__(self, client: QdrantClient, name: str, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        self.name = name

    @property
    def serving(self) -> str | None:
        """The collection that serves now; None where there is none."""
        behind = alias_target(self._client, self.name)
        if behind is None and self._client.collection_exists(self.name):
            return self.name  # of a former version, which knew no alias
        return behind

    def beside(self, stamp: str) -> ProductCollection:
        """A new, empty collection, which nobody asks yet."""
        name = f"{self.name}.{stamp}"
        try:
            create(self._client, name, self._layout)
            return ProductCollection(self._client, name, self._layout)
        except BaseException:
            with suppress(Exception):  # what stays is removed by the next rebuild
                self.drop(name)
            raise

    def switch(self, to: str) -> None:
        """Lets the name lead to this collection from now on.

        A collection of that very name has to go first: for some milliseconds there is none, rows are made
        without the index, and an embedder that writes just then starts anew. It happens once.
        """
        if self.serving == self.name:
            self._client.delete_collection(self.name)
        point_alias(self._client, self.name, to)

    def drop(self, name: str) -> None:
        """Removes a collection."""
        self._client.delete_collection(name)

    def left_over(self) -> list[str]:
        """Collections of this name that do not serve: former ones, and those of rebuilds that were killed."""
        serving = self.serving
        names = (each.name for each in self._client.get_collections().collections)
        return sorted(name for name in names if name != serving and self._is_ours(name))

    def _is_ours(self, name: str) -> bool:
        behind = name.removeprefix(self.name)
        return behind != name and (behind == FIRST or STAMP.fullmatch(behind) is not None)
