"""Pictures made ready for the model in threads of their own, while the models work on others."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol

from PIL import Image

from services.embedder.errors import PictureRefused, TooLarge, Unreadable
from services.embedder.metrics import Metrics
from services.embedder.models.port import PictureModel, Pixels
from services.embedder.pictures.fetch import host_of, is_remote
from services.embedder.pictures.hosts import HostPlaces


class PictureReader(Protocol):
    """Where pictures come from; `services.embedder.pictures.fetch.PictureSource` knows."""

    def read(self, address: str) -> bytes:
        """The picture's bytes. Raises PictureRefused."""


class PictureDecoder(Protocol):
    """What decodes; `services.embedder.pictures.decoder.DecoderPool` does."""

    def decode(self, raw: bytes) -> Image.Image:
        """The picture, in RGB. Raises PictureRefused."""

    def close(self) -> None:
        """Waits for nothing."""


class Preparation:
    """Two kinds of threads: many that wait for the network, and one a decoder.

    Whatever goes wrong with a picture refuses this picture, and nothing else.
    """

    def __init__(
        self,
        model: PictureModel,
        source: PictureReader,
        decoder: PictureDecoder,
        *,
        fetchers: int,
        fetchers_a_host: int,
        decoders: int,
        metrics: Metrics,
    ) -> None:
        self._model = model
        self._source = source
        self._decoder = decoder
        self._metrics = metrics
        self._fetching = ThreadPoolExecutor(fetchers, "fetch")
        self._decoding = ThreadPoolExecutor(decoders, "decode")
        self._places: HostPlaces[Pixels] = HostPlaces(self._fetching.submit, fetchers_a_host)

    @property
    def queued(self) -> int:
        """Pictures that wait for a place at their host: they hold nothing but their address."""
        return len(self._places)

    def start(self, address: str) -> "Future[Pixels]":
        """The picture at this address, as the model wants it; its exception is a PictureRefused."""
        if is_remote(address):
            return self._places.submit(host_of(address), partial(_refuse_failures, self._fetch, address))
        return self._decoding.submit(_refuse_failures, self._read, address)

    def close(self) -> None:
        """Drops what has not begun; waits for nothing."""
        for pool in (self._fetching, self._decoding):
            pool.shutdown(wait=False, cancel_futures=True)
        self._decoder.close()

    def _fetch(self, address: str) -> Pixels:
        with self._metrics.stage_seconds.labels("fetch").time():
            raw = self._source.read(address)
        # Waited for: pictures that are fetched faster than decoded would fill the memory.
        return self._decoding.submit(self._decode, raw).result()

    def _read(self, address: str) -> Pixels:
        return self._decode(self._source.read(address))

    def _decode(self, raw: bytes) -> Pixels:
        with self._metrics.stage_seconds.labels("prepare").time():
            return self._model.prepare(self._decoder.decode(raw))


def _refuse_failures(make: Callable[[str], Pixels], address: str) -> Pixels:
    """What `make` gives. Raises PictureRefused, whatever `make` raises."""
    try:
        return make(address)
    except PictureRefused:
        raise
    except MemoryError:
        raise TooLarge("there is no memory left for the picture") from None
    except Exception as error:
        raise Unreadable(f"the picture cannot be prepared: {type(error).__name__}: {error}") from error
