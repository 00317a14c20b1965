"""What a running service tells of itself: /readyz and /metrics, and by its Date header, its clock."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from services.kafka import now_ms
from services.ops.settings import OpsSettings

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
