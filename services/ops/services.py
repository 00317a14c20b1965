"""Our own services over HTTP: how they are asked and for how long, and one sentence where none answers."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_not_result,
    stop_after_delay,
    wait_fixed,
    wait_random_exponential,
)

from schemas.unreadable import Unreadable, read
from services.clock import now_ms
from services.errors import OperationFailed
from services.ops.settings import OpsSettings

Json = Any
M = TypeVar("M", bound=msgspec.Struct)

SERVICES: Final = ("ingest", "session_processor", "embedder", "recommender")
READY_S: Final = 2.0  # for /readyz and /metrics
PATIENCE_S: Final = 5.0
AGAIN_S: Final = 0.2
SERVED: Final = "eddy_recommender_model_served"
IDS_A_REQUEST: Final = 40  # of the longest ids, in the longest script, fit into a request's first line
DETAIL_MAX: Final = 300  # characters of an answer that is no JSON
BUSY: Final = frozenset({429, 502, 503, 504})  # it may take the same a moment later


class Unanswered(OperationFailed):
    """A service gave no answer that can be used; the text says why, and what to do."""


class Passing(Unanswered):
    """It may go well a moment later, or after `after_s` where the service asks for that."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


def patience(within_s: float, *, first_s: float = 0.2, longest_s: float = 5.0) -> dict[str, Any]:
    """The one retry policy, for tenacity: what is Passing is tried again, `within_s` seconds at most.

    It waits as long as the service asks, else longer and longer, with jitter; the last failure is raised.
    """
    jitter = wait_random_exponential(multiplier=first_s, max=longest_s)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return (error.after_s if isinstance(error, Passing) else None) or jitter(state)

    return {
        "retry": retry_if_exception_type(Passing),
        "stop": stop_after_delay(within_s),
        "wait": wait,
        "reraise": True,
    }


async def run_together(count: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """So many workers at once; raises the first failure, after all have stopped."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(work())
    except BaseExceptionGroup as errors:  # the others were only told to stop
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def batches(source: Iterable[M], size: int, most_bytes: int) -> Iterator[list[M]]:
    """The source in lists of at most `size` messages and `most_bytes` of JSON; a larger one goes alone."""
    batch: list[M] = []
    filled = 0
    for message in source:
        length = len(msgspec.json.encode(message)) + 1  # and a comma
        if batch and (len(batch) >= size or filled + length > most_bytes):
            yield batch
            batch, filled = [], 0
        batch.append(message)
        filled += length
    if batch:
        yield batch


def url_of(settings: OpsSettings, service: str) -> str:
    """Where a service answers, by its setting."""
    urls: Mapping[str, str] = {
        "ingest": settings.ingest_url,
        "session_processor": settings.session_processor_url,
        "embedder": settings.embedder_url,
        "recommender": settings.recommender_url,
    }
    return urls[service].rstrip("/")


def bearer(key: SecretStr | str | None) -> dict[str, str]:
    """The header that shows a key; none without one."""
    if not key:
        return {}
    return {"Authorization": f"Bearer {key if isinstance(key, str) else key.get_secret_value()}"}


def absent(service: str, url: str, reason: str) -> Unanswered:
    """Nobody listens there."""
    variable = f"EDDY_{service.upper()}_URL"
    return Unanswered(f"no {service} answers at {url} ({reason}): start it, or set {variable}")


@contextmanager
def asking_ingest(url: str) -> Iterator[None]:
    """For one request: Unanswered where nobody listens, Passing where the connection broke."""
    try:
        yield
    except httpx.ConnectError as error:
        raise absent("ingest", url, str(error)) from None
    except httpx.TransportError as error:
        raise Passing(str(error) or type(error).__name__) from error


def require_time(answer: httpx.Response) -> None:
    """Raises Passing where the service has no time for it now."""
    if answer.status_code in BUSY:
        raise Passing(answer.text, float(answer.headers.get("Retry-After", 0)) or None)


class Recommender:
    """One recommender at `recommender_url`. All methods block, and raise Unanswered."""

    def __init__(self, settings: OpsSettings) -> None:
        self.url = settings.recommender_url.rstrip("/")
        try:
            self._http = httpx.Client(base_url=self.url, headers=bearer(settings.api_key), timeout=PATIENCE_S)
        except httpx.InvalidURL as error:
            raise absent("recommender", self.url, str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._http.close()

    def profile(self, visitor_id: str) -> Json:
        """What the visitor seems to like; the API key lets operators ask."""
        return self._json(f"/v1/visitors/{quote(visitor_id, safe='')}/profile")

    def product(self, product_id: str) -> Json | None:
        """The product as rows would show it, or None."""
        items = self._json("/v1/products", product_id=product_id)["items"]
        return items[0] if items else None

    def find_known(self, product_ids: Sequence[str]) -> dict[str, bool]:
        """Of each product whether the recommender knows it."""
        known: set[str] = set()
        for begin in range(0, len(product_ids), IDS_A_REQUEST):
            some = list(product_ids[begin : begin + IDS_A_REQUEST])
            known |= {
                str(each["product_id"]) for each in self._json("/v1/products", product_id=some)["items"]
            }
        return {each: each in known for each in product_ids}

    def similar(self, product_id: str, k: int) -> Json:
        """The row of products like this one."""
        return self._json(f"/v1/products/{quote(product_id, safe='')}/similar", k=str(k), explain="true")

    def version_of(self, model: str) -> str | None:
        """The version of a model that serves; None where none does."""
        for labels, value in samples(self._get("/metrics"), SERVED):
            if labels.get("model") == model and value == 1:
                return labels["version"]
        return None

    def serves(self, model: str, version: str, within_s: float) -> bool:
        """Waits until this version serves; False when something else still does by then.

        Unanswered is raised only where the recommender did not answer at the end.
        """
        asking = Retrying(
            retry=retry_if_exception_type(Unanswered) | retry_if_not_result(bool),
            stop=stop_after_delay(within_s),
            wait=wait_fixed(AGAIN_S),
            retry_error_callback=lambda last: bool(last.outcome and last.outcome.result()),
        )
        return bool(asking(lambda: self.version_of(model) == version))

    def _json(self, path: str, **parameters: str | list[str]) -> Json:
        answer = self._get(path, **parameters)
        try:
            return read(msgspec.json.decode, answer.content)
        except Unreadable:
            raise Unanswered(f"what answers at {self.url} is no recommender: {path} is no JSON") from None

    def _get(self, path: str, **parameters: str | list[str]) -> httpx.Response:
        try:
            answer = self._http.get(path, params=parameters)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise absent("recommender", self.url, str(error) or type(error).__name__) from None
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise Unanswered(
                f"the recommender at {self.url} does not take the API key: set EDDY_API_KEY to its own"
            )
        if not answer.is_success:
            raise Unanswered(
                f"the recommender at {self.url} answered {answer.status_code}: {_detail(answer)}"
            )
        return answer


def _detail(answer: httpx.Response) -> str:
    """What a problem document says, or the beginning of another answer."""
    try:
        return str(read(msgspec.json.decode, answer.content)["detail"])
    except (Unreadable, KeyError, TypeError):
        return answer.text[:DETAIL_MAX].strip() or "nothing"


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What /readyz said; `error` where nothing or nonsense came back.

    `cluster`: which Kafka, and which topics of it, ingest writes. `ahead_s`: how far the service's clock is
    ahead of this machine's, to about a second.
    """

    service: str
    url: str
    ready: bool
    waiting_for: str | None = None
    products: int | None = None
    error: str | None = None
    ahead_s: float | None = None
    cluster: str | None = None

    @property
    def summary(self) -> str:
        """In words."""
        if self.error is not None:
            return f"does not answer at {self.url}: {self.error}"
        return "ready" if self.ready else f"not ready, waits for {self.waiting_for}"


class _Readiness(msgspec.Struct, frozen=True):
    status: str
    waiting_for: str | None = None
    products: int | None = None
    cluster: str | None = None


_readiness = msgspec.json.Decoder(_Readiness)


class Liveness(msgspec.Struct, frozen=True):
    """What /healthz says; releases before 0.2.0 tell no version there."""

    status: str
    version: str | None = None


decode_health: Final = msgspec.json.Decoder(Liveness).decode


def health(settings: OpsSettings, service: str, within_s: float = READY_S) -> Health:
    """Asks /readyz; whatever goes wrong is in the answer."""
    url = url_of(settings, service)
    try:
        before = now_ms()
        answer = httpx.get(f"{url}/readyz", timeout=within_s)
        told = read(_readiness.decode, answer.content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Health(service=service, url=url, ready=False, error=str(error) or type(error).__name__)
    except Unreadable:
        reason = f"status {answer.status_code}, and no answer of an Eddy service"
        return Health(service=service, url=url, ready=False, error=reason)
    return Health(
        service=service,
        url=url,
        ready=answer.status_code == httpx.codes.OK,
        waiting_for=told.waiting_for,
        products=told.products,
        ahead_s=ahead_s(answer.headers.get("date"), before, now_ms()),
        cluster=told.cluster,
    )


def ahead_s(date: str | None, before: float, after: float) -> float | None:
    """How far a Date header is ahead of what this machine's clock said meanwhile (Unix ms); 0 where it fits.

    The header has whole seconds, rounded down: it fits where its second overlaps the time of the request.
    """
    if date is None:
        return None
    try:
        second = parsedate_to_datetime(date).timestamp() * 1000
    except ValueError:
        return None
    if second > after:
        return (second - after) / 1000
    return min(0.0, (second + 1000 - before) / 1000)


def samples(answer: httpx.Response, metric: str) -> Iterable[tuple[Mapping[str, str], float]]:
    """The samples of one metric in what /metrics answered: labels and value."""
    return (
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == metric
    )
