"""Which model serves: the newest released one that is sound, swapped between two requests."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
import structlog
from cachetools import LRUCache
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from schemas import models
from schemas.models import ModelRelease
from services.model.artifact import ArtifactRefused
from services.model.behaviour import Behaviour
from services.model.loader import load
from services.model.store import StoreFailed
from services.recommender.metrics import Metrics

log = structlog.get_logger()

KEPT: Final = 2  # the one that serves and the one before: going back loads nothing
WAIT_MAX_S: Final = 60  # between two attempts at a store that is away


class ServedModel:
    """What `models` says about one model, followed: loaded in a thread, served by a change of one reference.

    `model` is the generation that serves, None for none. Whoever makes something of it takes it once: what
    the reference points to never changes.
    """

    def __init__(self, cache: Path, metrics: Metrics, name: str = "") -> None:
        self.model: Behaviour | None = None
        self.released: Behaviour | None = None  # as it was loaded; `model` may have grown by live visits
        self._cache = cache
        self._name = name
        self._metrics = metrics
        self._kept: LRUCache[str, Behaviour] = LRUCache(KEPT)
        self._following: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._tried.set()

    def follow(self, message: bytes | None) -> None:
        """Takes the newest message about the model, None for a tombstone. Call it in the loop that serves.

        Whatever an older message led to and is not done yet is given up.
        """
        if self._following is not None:
            self._following.cancel()
        self._tried = asyncio.Event()
        self._following = asyncio.create_task(self._follow(message, self._tried))

    async def wait_until_settled(self) -> None:
        """Returns when the newest release serves or is refused, or its store has failed to give it once."""
        while not (tried := self._tried).is_set():
            await tried.wait()

    def stop(self) -> None:
        """Stops following, and serves no more."""
        if self._following is not None:
            self._following.cancel()
        self._serve(None)

    async def close(self) -> None:
        """Stops following; what serves goes on."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _follow(self, message: bytes | None, tried: asyncio.Event) -> None:
        try:
            release = models.decode(message) if message is not None else None
            self._serve(await self._load(release, tried) if release else None)
        except msgspec.MsgspecError as error:
            self._refuse("unknown", "the message on models", str(error))
        except ArtifactRefused as error:
            self._refuse(_version(message), error.name, str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a model, the one before serves on
            self._refuse(_version(message), "unknown", f"{type(error).__name__}: {error}")
        finally:
            tried.set()

    async def _load(self, release: ModelRelease, tried: asyncio.Event) -> Behaviour:
        """The released model, asked for until its store gives it. Raises ArtifactRefused."""

        def note_failure(state: RetryCallState) -> None:
            self._tell_away(release, state)
            tried.set()

        if (kept := self._kept.get(release.digest)) is not None:
            return kept
        attempts = AsyncRetrying(
            retry=retry_if_exception_type((StoreFailed, OSError)),  # OSError: no room in the cache
            wait=wait_exponential(max=WAIT_MAX_S),
            before_sleep=note_failure,
        )
        model: Behaviour = await attempts(asyncio.to_thread, load, release, self._cache)
        self._kept[release.digest] = model
        return model

    def grow(self, released: Behaviour, grown: Behaviour) -> None:
        """Serves a generation that has grown, unless another was released meanwhile."""
        if self.released is released:
            self.model = grown

    def _serve(self, model: Behaviour | None) -> None:
        before = self.released
        if model is before:
            return
        self.released = self.model = model
        if before is not None:
            self._metrics.model_served.remove(self._name, before.version)
        if model is not None:
            self._metrics.model_served.labels(self._name, model.version).set(1)
        self._metrics.model_swaps.inc()
        log.info(
            "model swapped", model=self._name, version=_describe_model(model), before=_describe_model(before)
        )

    def _refuse(self, version: str, file: str, reason: str) -> None:
        self._metrics.model_refused.inc()
        log.error(
            "model refused", version=version, file=file, reason=reason, serving=_describe_model(self.model)
        )

    def _tell_away(self, release: ModelRelease, state: RetryCallState) -> None:
        assert state.outcome is not None
        assert state.next_action is not None
        self._metrics.model_store_away.inc()
        log.warning(
            "the model store does not give the model, asking again",
            version=release.version,
            error=str(state.outcome.exception()),
            in_s=state.next_action.sleep,
            serving=_describe_model(self.model),
        )


def _describe_model(model: Behaviour | None) -> str:
    return model.version if model else "none"


def _version(message: bytes | None) -> str:
    return models.decode(message).version if message else "none"


class ModelRegistry:
    """By the name of its key on `models`, the generations of a line of releases.

    The shop's own line is always followed, another one while an experiment names it. `create` makes the
    follower of one more line.
    """

    def __init__(self, own: str, generations: ServedModel, create: Callable[[str], ServedModel]) -> None:
        self._own = own
        self._followed = {own: generations}
        self._create = create
        self._newest: dict[str, bytes | None] = {}

    def model(self, name: str | None) -> Behaviour | None:
        """What serves of a line, None for the shop's own; an empty name is no model at all."""
        followed = self._followed.get(self._own if name is None else name)
        return followed.model if followed is not None else None

    def take_release(self, name: str, message: bytes | None) -> None:
        """The newest message about a line."""
        self._newest[name] = message
        if name in self._followed:
            self._followed[name].follow(message)

    def follow(self, names: Iterable[str]) -> None:
        """Follows these and the shop's own; others are let go."""
        wanted = {self._own, *filter(None, names)}
        for name in self._followed.keys() - wanted:
            self._followed.pop(name).stop()
        for name in wanted - self._followed.keys():
            followed = self._followed[name] = self._create(name)
            if name in self._newest:
                followed.follow(self._newest[name])

    async def wait_until_settled(self) -> None:
        """Returns when each line's newest release serves or is refused, or its store has failed once."""
        for followed in list(self._followed.values()):
            await followed.wait_until_settled()

    async def close(self) -> None:
        """Stops following; what serves goes on."""
        for followed in self._followed.values():
            await followed.close()
