"""The catalogue's own words, kept up with it: built in a thread, swapped between two searches."""

import asyncio
from typing import Final

from services.recommender.catalogue import Catalogue
from services.recommender.search.vocabulary import Vocabulary

EVERY_S: Final = 2.0  # a new brand is understood so late at most


class Vocabularies:
    """`newest` is never changed: a new one takes its place."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.newest = Vocabulary.of(())
        self._catalogue = catalogue
        self._of = -1

    async def renewed(self) -> None:
        """Builds it anew where the catalogue's words have changed."""
        wording = self._catalogue.wording
        if wording != self._of:
            self.newest = await asyncio.to_thread(Vocabulary.of, self._catalogue.products())
            self._of = wording

    async def run(self) -> None:
        """Again and again, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.renewed()
