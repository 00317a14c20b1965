"""A visitor of running services: a click that moves a row on an open page, and clicks that are counted."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from ulid import ULID
from websockets.sync.client import connect
from websockets.typing import Origin

CLICK_WITHIN_S: Final = 60.0


class NotYet(Exception):
    """What is waited for has not come; the text says what."""


def wait_until(question: Callable[[], int], within_s: float) -> int:
    """The answer, once there is one. Raises the last NotYet."""
    asked = retry(
        retry=retry_if_exception_type(NotYet),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(within_s),
        reraise=True,
    )
    return asked(question)()


@dataclass(frozen=True, slots=True)
class Visits:
    """Where pages reach the services, and the shop's own address."""

    ingest: str
    recommender: str
    shop: str

    def begin(self) -> "Visitor":
        """A visitor nobody has seen before."""
        made = httpx.post(f"{self.ingest}/v1/visitors", timeout=30).raise_for_status().json()
        return Visitor(self, made["visitor_id"], made["token"])

    def popular(self, k: int) -> list[str]:
        """Products that can be clicked."""
        told = httpx.get(f"{self.recommender}/v1/popular", params={"k": k}, timeout=30).raise_for_status()
        return [each["product_id"] for each in told.json()["items"]]

    def watch_a_click(self) -> list[str]:
        """A visitor opens a page, clicks, and the page's row is told anew because of that click."""
        visitor = self.begin()
        rows = httpx.get(
            f"{self.recommender}/v1/recommendations",
            params={"visitor_id": visitor.visitor_id},
            headers={"X-Eddy-Token": visitor.token},
            timeout=30,
        ).json()
        live = f"{self.recommender}/v1/live?visitor_id={visitor.visitor_id}".replace("http", "ws", 1)
        with connect(live, origin=Origin(self.shop)) as socket:
            slots = [{"name": "for_you", "kind": "for_you", "k": 12}]
            socket.send(json.dumps({"type": "subscribe", "token": visitor.token, "slots": slots}))
            before = json.loads(socket.recv(CLICK_WITHIN_S))
            clicked = time.monotonic()
            product, event_id = rows["items"][0]["product_id"], str(ULID())
            visitor.post(event_id, product)
            while time.monotonic() < clicked + CLICK_WITHIN_S:
                row = json.loads(socket.recv(CLICK_WITHIN_S))
                if row.get("caused_by") == event_id:
                    told = (time.monotonic() - clicked) * 1000
                    print(f"         a click on {product} is on the page after {told:.0f} ms")
                    same = [each["product_id"] for each in row["items"]] == [
                        each["product_id"] for each in before["items"]
                    ]
                    return ["the row is the same after the click"] if same else []
        return [f"no row followed the click within {CLICK_WITHIN_S:.0f} s"]


@dataclass(slots=True)
class Visitor:
    """One visitor, and what it clicked: each click must be in its profile, and once."""

    visits: Visits
    visitor_id: str
    token: str
    clicked: list[str] = field(default_factory=list)

    def click(self, product_id: str, within_s: float) -> tuple[float, float]:
        """Clicks until there is a 202; seconds until then, and until the profile has it. Raises NotYet."""
        event_id, began = str(ULID()), time.monotonic()
        wait_until(lambda: self.post(event_id, product_id), within_s)
        taken = time.monotonic() - began
        self.clicked.append(product_id)
        wait_until(self.count_clicks, within_s)
        return taken, time.monotonic() - began

    def post(self, event_id: str, product_id: str) -> int:
        """Posts a click, the same one again where there was no answer. Raises NotYet."""
        event = {
            **{"event_id": event_id, "type": "view_item", "visitor_id": self.visitor_id},
            **{"product_id": product_id, "occurred_at": int(time.time() * 1000)},
        }
        try:
            answer = httpx.post(
                f"{self.visits.ingest}/v1/events",
                json={"events": [event]},
                headers={"X-Eddy-Token": self.token},
                timeout=10,
            )
        except httpx.HTTPError as error:
            raise NotYet(f"ingest does not answer: {error!r}") from error
        if answer.status_code != httpx.codes.ACCEPTED:
            raise NotYet(f"ingest answers {answer.status_code} to a click: {answer.text}")
        return answer.status_code

    def count_clicks(self) -> int:
        """How many the profile has, once these are all of them, each once, in order. Raises NotYet."""
        try:
            answer = httpx.get(
                f"{self.visits.recommender}/v1/visitors/{self.visitor_id}/profile",
                headers={"X-Eddy-Token": self.token},
                timeout=10,
            )
            events = answer.raise_for_status().json()["events"]
        except httpx.HTTPError as error:
            raise NotYet(f"the recommender does not answer: {error!r}") from error
        found = [each["product_id"] for each in events][::-1]
        if found != self.clicked:
            raise NotYet(f"the visitor clicked {self.clicked}, the profile has {found}")
        return len(found)
