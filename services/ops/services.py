"""What a recommender says of itself, over HTTP; where it does not answer, a sentence says why."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_not_result,
    stop_after_delay,
    wait_fixed,
)

from services.clock import now_ms
from services.ops.settings import OpsSettings

Json = Any

PATIENCE_S: Final = 5.0
AGAIN_S: Final = 0.2
SERVED: Final = "eddy_recommender_model_served"
DETAIL_MAX: Final = 300  # characters of an answer that is no JSON


class Unanswered(Exception):
    """The recommender gave no answer that can be used; the text says why, and what to do."""


class Recommender:
    """One recommender at `recommender_url`. All methods block, and raise Unanswered."""

    def __init__(self, settings: OpsSettings) -> None:
        self.url = settings.recommender_url.rstrip("/")
        key = settings.api_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)
        except httpx.InvalidURL as error:
            raise self._away(str(error)) from None

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

    def similar(self, product_id: str, k: int) -> Json:
        """The row of products like this one."""
        return self._json(f"/v1/products/{quote(product_id, safe='')}/similar", k=str(k), explain="true")

    def served(self, model: str) -> str | None:
        """The version of a model that serves; None where none does."""
        for family in text_string_to_metric_families(self._get("/metrics").text):
            for sample in family.samples:
                if sample.name == SERVED and sample.labels.get("model") == model and sample.value == 1:
                    return sample.labels["version"]
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
        return bool(asking(lambda: self.served(model) == version))

    def _json(self, path: str, **parameters: str) -> Json:
        answer = self._get(path, **parameters)
        try:
            return msgspec.json.decode(answer.content)
        except msgspec.DecodeError:
            raise Unanswered(f"what answers at {self.url} is no recommender: {path} is no JSON") from None

    def _get(self, path: str, **parameters: str) -> httpx.Response:
        try:
            answer = self._http.get(path, params=parameters)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._away(str(error) or type(error).__name__) from None
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise Unanswered(
                f"the recommender at {self.url} does not take the API key: set EDDY_API_KEY to its own"
            )
        if not answer.is_success:
            raise Unanswered(
                f"the recommender at {self.url} answered {answer.status_code}: {_detail(answer)}"
            )
        return answer

    def _away(self, reason: str) -> Unanswered:
        return Unanswered(
            f"no recommender answers at {self.url} ({reason}): start it, or set EDDY_RECOMMENDER_URL"
        )


def _detail(answer: httpx.Response) -> str:
    """What a problem document says, or the beginning of another answer."""
    try:
        return str(msgspec.json.decode(answer.content)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return answer.text[:DETAIL_MAX].strip() or "nothing"


ANSWER_S: Final = 2.0

SERVICES: Final = ("ingest", "session_processor", "embedder", "recommender")


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What /readyz said; `error` where nothing or nonsense came back.

    `ahead_s`: how far the service's clock is ahead of this machine's, to about a second.
    """

    service: str
    url: str
    ready: bool
    waiting_for: str | None = None
    products: int | None = None
    error: str | None = None
    ahead_s: float | None = None

    @property
    def told(self) -> str:
        """In words."""
        if self.error is not None:
            return f"does not answer at {self.url}: {self.error}"
        return "ready" if self.ready else f"not ready, waits for {self.waiting_for}"


class _Readiness(msgspec.Struct, frozen=True):
    status: str
    waiting_for: str | None = None
    products: int | None = None


def url_of(settings: OpsSettings, service: str) -> str:
    """Where a service answers, by its setting."""
    urls: Mapping[str, str] = {
        "ingest": settings.ingest_url,
        "session_processor": settings.session_processor_url,
        "embedder": settings.embedder_url,
        "recommender": settings.recommender_url,
    }
    return urls[service].rstrip("/")


def asked(settings: OpsSettings, service: str, within_s: float = ANSWER_S) -> Health:
    """Asks /readyz; whatever goes wrong is in the answer."""
    url = url_of(settings, service)
    try:
        before = now_ms()
        answer = httpx.get(f"{url}/readyz", timeout=within_s)
        read = msgspec.json.decode(answer.content, type=_Readiness)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Health(service=service, url=url, ready=False, error=str(error) or type(error).__name__)
    except msgspec.MsgspecError:
        reason = f"status {answer.status_code}, and no answer of an Eddy service"
        return Health(service=service, url=url, ready=False, error=reason)
    return Health(
        service=service,
        url=url,
        ready=answer.status_code == httpx.codes.OK,
        waiting_for=read.waiting_for,
        products=read.products,
        ahead_s=ahead_s(answer.headers.get("date"), before, now_ms()),
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


def samples(settings: OpsSettings, service: str, metric: str) -> list[tuple[dict[str, str], float]]:
    """The samples of one metric at a service's /metrics: labels and value. Raises httpx.HTTPError."""
    answer = httpx.get(f"{url_of(settings, service)}/metrics", timeout=ANSWER_S).raise_for_status()
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == metric
    ]
