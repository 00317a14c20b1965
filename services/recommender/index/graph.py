"""A new graph for the embedded index, built by a process of its own while the index serves.

What is written after the graph was built is searched one by one, which takes ever longer in a shop whose
products change all day, and qdrant-edge holds Python's lock while it builds: here nothing could be served.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from time import perf_counter
from typing import Final

import structlog
from qdrant_edge import EdgeShard

from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics

LOOK_EVERY_S: Final = 5.0
AFTER_FAILURE_S: Final = 600.0
BUILT_WITHIN_S: Final = 3_600.0
NICENESS: Final = 10  # rows come first

log = structlog.get_logger()


class GraphNotBuilt(Exception):
    """The process that builds has failed."""


class GraphBuilder:
    """Looks now and then whether the index has outgrown its graph.

    While `turn` is held nobody else writes to the index.
    """

    def __init__(self, index: EdgeIndex, turn: asyncio.Lock, metrics: Metrics) -> None:
        self._index = index
        self._turn = turn
        self._metrics = metrics

    async def run(self) -> None:
        """For ever."""
        while True:
            self._metrics.beside_graph.set(self._index.beside_graph)
            failed = self._index.is_overgrown and not await self.build()
            await asyncio.sleep(AFTER_FAILURE_S if failed else LOOK_EVERY_S)

    async def build(self) -> bool:
        """Whether the index has a new graph, over all that it held when this began.

        Changes wait while its files are copied, and while what has changed since is written to the new ones.
        """
        began = perf_counter()
        folder = self._index.next_folder
        try:
            async with self._turn:
                self._index.flush()
                await asyncio.to_thread(shutil.copytree, self._index.folder, folder)
                self._index.follow_copy()
            await _optimise(folder)
            async with self._turn:
                for _ in self._index.move_to(folder):
                    await asyncio.sleep(0)
        except (OSError, GraphNotBuilt) as error:
            log.warning("the index has no new graph, questions take longer", error=str(error))
            return False
        finally:
            if self._index.folder != folder:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        seconds = round(perf_counter() - began, 1)
        log.info("the index has a new graph", products=self._index.count(), seconds=seconds)
        return True


async def _optimise(folder: Path) -> None:
    """Raises GraphNotBuilt."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(folder), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(BUILT_WITHIN_S):
            _, said = await process.communicate()
    except TimeoutError:
        raise GraphNotBuilt(f"it took longer than {BUILT_WITHIN_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise GraphNotBuilt(f"status {process.returncode}: {said.decode(errors='replace')[-500:]}")


def main(folder: str) -> None:
    """Builds the graph of an index that lies in a folder."""
    os.nice(NICENESS)
    shard = EdgeShard.load(folder)
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    main(sys.argv[1])
