"""Pictures made ready for the model in threads of their own, while the models work on others."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from services.embedder.metrics import Metrics
from services.embedder.models.port import PictureModel, Pixels
from services.embedder.pictures.decode import decode_picture
from services.embedder.pictures.fetch import is_remote


class PictureReader(Protocol):
    """Where pictures come from; `services.embedder.pictures.fetch.PictureSource` knows."""

    def read(self, address: str) -> bytes:
        """The picture's bytes. Raises PictureRefused."""


class Preparation:
    """Two kinds of threads: many that wait for the network, and one a core that decodes and scales."""

    def __init__(
        self,
        model: PictureModel,
        source: PictureReader,
        *,
        fetchers: int,
        decoders: int,
        pixels_max: int,
        metrics: Metrics,
    ) -> None:
        self._model = model
        self._source = source
        self._pixels_max = pixels_max
        self._metrics = metrics
        self._fetching = ThreadPoolExecutor(fetchers, "fetch")
        self._decoding = ThreadPoolExecutor(decoders, "decode")

    def start(self, address: str) -> "Future[Pixels]":
        """The picture at this address, as the model wants it; its exception may be PictureRefused."""
        if is_remote(address):
            return self._fetching.submit(self._fetch, address)
        return self._decoding.submit(self._read, address)

    def close(self) -> None:
        """Drops what has not begun; waits for nothing."""
        for pool in (self._fetching, self._decoding):
            pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, address: str) -> Pixels:
        with self._metrics.stage_seconds.labels("fetch").time():
            raw = self._source.read(address)
        return self._decoding.submit(self._decode, raw).result()

    def _read(self, address: str) -> Pixels:
        return self._decode(self._source.read(address))

    def _decode(self, raw: bytes) -> Pixels:
        with self._metrics.stage_seconds.labels("prepare").time():
            picture = decode_picture(raw, pixels_max=self._pixels_max, edge=self._model.edge)
            return self._model.prepare(picture)
