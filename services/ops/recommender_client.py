"""What a recommender says of itself, over HTTP; where it does not answer, a sentence says why."""

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
