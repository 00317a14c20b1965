"""The only place that builds the embedder's parts: models, pictures, Kafka, Qdrant, health endpoints."""

import logging
import os
import signal
import time
from functools import partial
from typing import Final

import structlog

from schemas import words
from schemas.times import DAY_MS
from services.embedder.catalogue import Catalogue
from services.embedder.embedding import Embedder
from services.embedder.metrics import Metrics
from services.embedder.models.device import choose_device
from services.embedder.models.port import PictureModel, TextModel, check_width, folder_of
from services.embedder.pictures.decoder import DecoderPool
from services.embedder.pictures.fetch import Downloads, PictureSource
from services.embedder.pictures.prepare import Preparation
from services.embedder.publisher import Publisher
from services.embedder.qdrant_writer import ServerIndex
from services.embedder.recipe import Recipe
from services.embedder.settings import EmbedderSettings
from services.embedder.words_endpoint import WordsApp, encoder
from services.embedder.worker import Worker
from services.kafka.clients import producer_config
from services.web.health import HealthServer

log = structlog.get_logger()

EX_SOFTWARE: Final = 70  # sysexits.h: an internal error; the supervisor starts the embedder again
LINGER_MS: Final = 1.0
SERVER_STOP_S: Final = 1.0
WORKERS_MAX: Final = 4  # more would wait for Python's lock rather than for the models


def create_app(settings: EmbedderSettings) -> "EmbedderProcess":
    """An embedder, not started: models are loaded by `run`."""
    return EmbedderProcess(settings)


def load_models(settings: EmbedderSettings) -> tuple[TextModel, PictureModel]:
    """The configured models, loaded. Raises ModelUnavailable and WidthMismatch. Takes seconds."""
    local = settings.text_model.startswith("package:") or folder_of(settings.text_model)
    if local and folder_of(settings.image_model):
        os.environ["HF_HUB_OFFLINE"] = "1"  # before the hub's library is imported: nothing is asked of it
    import torch  # noqa: PLC0415 - seconds, and only processes that embed need it

    from services.embedder.models.image import ClipModel  # noqa: PLC0415
    from services.embedder.models.text import SentenceModel  # noqa: PLC0415

    torch.set_num_threads(max(1, settings.embedder_threads // workers_of(settings)))
    device = choose_device(settings.embedder_device, has_gpu=torch.cuda.is_available())
    text = SentenceModel(settings.text_model, device)
    pictures = ClipModel(settings.image_model, device)
    log.info("models compute", device=device.name, half_precision=device.is_half)
    check_width(settings.text_model, "EDDY_TEXT_WIDTH", text.width, settings.text_width)
    check_width(settings.image_model, "EDDY_IMAGE_WIDTH", pictures.width, settings.image_width)
    return text, pictures


def create_embedder(
    settings: EmbedderSettings, text: TextModel, pictures: PictureModel, metrics: Metrics
) -> Embedder:
    """The models with the threads around them, started."""
    downloads = Downloads(
        private_allowed=settings.picture_private_hosts,
        bytes_max=settings.picture_bytes_max,
        timeout_s=settings.picture_timeout_s,
    )
    decoders = max(1, settings.embedder_threads // 2)
    preparation = Preparation(
        pictures,
        PictureSource(downloads, settings.catalogue_dir, settings.picture_bytes_max, settings.catalogue_url),
        DecoderPool(
            decoders,
            pixels_max=settings.picture_pixels_max,
            edge=pictures.edge,
            memory_bytes=settings.picture_memory_mb << 20,
            timeout_s=settings.picture_timeout_s,
        ),
        fetchers=settings.picture_threads,
        fetchers_a_host=settings.picture_threads_a_host,
        decoders=decoders,
        metrics=metrics,
    )
    return Embedder(
        text,
        pictures,
        preparation,
        batch=settings.embedder_batch,
        workers=workers_of(settings),
        metrics=metrics,
    )


def workers_of(settings: EmbedderSettings) -> int:
    """Batches that are in the models at a time; each has its share of the threads."""
    return min(settings.embedder_threads, WORKERS_MAX)


class EmbedderProcess:
    """Models first, then the consumer group; ready when this member has its partitions."""

    def __init__(self, settings: EmbedderSettings) -> None:
        self._settings = settings
        self.metrics = Metrics()
        self._worker: Worker | None = None
        self._server: ServerIndex | None = None
        self._words = WordsApp(self.metrics)
        self._health = HealthServer(
            "embedder",
            settings.embedder_host,
            settings.embedder_port,
            {settings.tenant: self.metrics.registry},
            self.waiting_for,
            apps={words.PATH: self._words},
        )

    def waiting_for(self) -> str | None:
        """What keeps this process from embedding."""
        if self._worker is None:
            return "the models"
        if self._server is not None and self._server.products is None:
            return "the Qdrant server"
        return self._worker.waiting_for

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT. Whatever else ends it ends the process, uncommitted work and all."""
        for library in ("httpx", "sentence_transformers", "transformers"):
            logging.getLogger(library).setLevel(logging.WARNING)
        self._health.start()
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - told, and then the process ends
            log.critical(
                "embedder ends, unfinished products will be read again", error=_describe_error(error)
            )
            os._exit(EX_SOFTWARE)
        self._health.stop()

    def _work(self) -> None:
        settings = self._settings
        started = time.monotonic()
        text, pictures = load_models(settings)
        models = {"text": text.identity, "image": pictures.identity, "caption": pictures.identity}
        log.info("models loaded", seconds=round(time.monotonic() - started, 1), **models)
        self._words.use(encoder(text, pictures, settings.layout))
        embedder = create_embedder(settings, text, pictures, self.metrics)
        self._server = server = self._start_server()
        worker = Worker(
            settings=settings,
            new_catalogue=partial(
                Catalogue,
                Recipe(settings.layout, models),
                picture_retry_s=settings.picture_retry_s,
                picture_retries=settings.picture_retries,
                timer=time.monotonic,
            ),
            embedder=embedder,
            # A broker that is away is waited for.
            publisher=Publisher(producer_config(settings, linger_ms=LINGER_MS, timeout_ms=DAY_MS)),
            server=server,
            metrics=self.metrics,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._begin_stop(worker))
        self._worker = worker
        worker.run()
        if server is not None:
            server.stop(SERVER_STOP_S)
        embedder.close()

    def _begin_stop(self, worker: Worker) -> None:
        """Readiness turns before anything else; words are answered until the end."""
        self._health.begin_stop()
        worker.stop()

    def _start_server(self) -> ServerIndex | None:
        """The Qdrant server's writer, started, where there is a server."""
        settings = self._settings
        if settings.qdrant_url is None:
            return None
        from services.qdrant import open_for_writing  # noqa: PLC0415 - qdrant-client: a second

        server = ServerIndex(partial(open_for_writing, settings), self.metrics)
        server.start()
        return server


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
