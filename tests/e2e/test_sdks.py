"""SDKs of Segment and RudderStack as they come from npm, in a real Chromium, on a real ingest and broker."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from infra.stack.broker import Broker
from schemas import events, identities
from schemas.events import Event, id_of_order
from schemas.topics import EVENTS, IDENTITIES
from services.settings import ServiceSettings
from tests.support.browser import Site, launch_chromium, serve_site
from tests.support.kafka import create_topics, read_topic
from tests.support.npm import install_sdks
from tests.support.patience import patiently
from tests.support.services import WRITE_KEY, run_service

SCRIPTS: Final = {
    "/segment.js": "@segment/analytics-next/dist/umd/index.js",
    # Plugins of the other builds are loaded from RudderStack's own hosts.
    "/rudderstack.js": "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js",
}
PRODUCT: Final = {"product_id": "p1", "price": 89.5, "currency": " eur "}
ORDER: Final = {"order_id": "o-1", "revenue": 179, "products": [PRODUCT]}


def segment(ingest: str, **delivery: Any) -> tuple[str, str]:
    """Its script, and a page's code that starts it: settings come from ingest, as from Segment's CDN."""
    settings = {"writeKey": WRITE_KEY, "cdnURL": ingest}
    options = {"integrations": {"Segment.io": delivery}}
    load = f"AnalyticsNext.AnalyticsBrowser.load({json.dumps(settings)}, {json.dumps(options)})"
    return "/segment.js", f"window.sdk = {load};"


def segment_in_batches(ingest: str) -> tuple[str, str]:
    """The same, sending as pages that are gone in a moment do."""
    batching = {"strategy": "batching", "config": {"size": 50, "timeout": 300}}
    return segment(ingest, deliveryStrategy=batching)


def rudderstack(ingest: str, **options: Any) -> tuple[str, str]:
    """Its script, and a page's code that starts it with its defaults."""
    told = json.dumps({"configUrl": ingest, **options})
    start = (
        f"window.sdk = new rudderanalytics.RudderAnalytics(); sdk.load({WRITE_KEY!r}, {ingest!r}, {told});"
    )
    return "/rudderstack.js", start


def rudderstack_in_batches(ingest: str) -> tuple[str, str]:
    """The same, several messages a request."""
    return rudderstack(ingest, queueOptions={"batch": {"enabled": True, "flushInterval": 300}})


def rudderstack_by_beacon(ingest: str) -> tuple[str, str]:
    """The same by navigator.sendBeacon, which shows its key in the query and calls JSON text."""
    return rudderstack(ingest, useBeacon=True, beaconQueueOptions={"flushQueueInterval": 300})


SDKS: Final = [segment, segment_in_batches, rudderstack, rudderstack_in_batches, rudderstack_by_beacon]


@dataclass(frozen=True)
class Shop:
    """A page without an SDK yet, where it sends to, and what it has complained of."""

    site: Site
    ingest: str
    topics: ServiceSettings
    page: Page
    complaints: list[str]


@pytest.fixture(scope="module")
def topics(broker: Broker) -> ServiceSettings:
    return create_topics(broker)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    packages = install_sdks() / "node_modules"
    with serve_site() as site:
        site.files |= {path: (packages / file).read_text() for path, file in SCRIPTS.items()}
        site.files["/favicon.ico"] = "<svg/>"
        yield site


@pytest.fixture(scope="module")
def ingest(topics: ServiceSettings, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where one listens that lets in who shows a key."""
    keys = {"EDDY_WRITE_KEY": WRITE_KEY, "EDDY_AUTH": "required", "EDDY_ALLOWED_ORIGINS": site.url}
    log = tmp_path_factory.mktemp("sdks") / "ingest.log"
    with run_service("ingest", topics, log, environment=keys) as service:
        yield service.url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launch_chromium() as browser:
        yield browser


@pytest.fixture
def shop(topics: ServiceSettings, site: Site, ingest: str, chromium: Browser) -> Iterator[Shop]:
    context, complaints = chromium.new_context(), list[str]()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", note)
    yield Shop(site, ingest, topics, page, complaints)
    context.close()


@pytest.mark.parametrize("start", SDKS, ids=lambda start: start.__name__)
def test_what_a_page_tells_an_sdk_lies_on_the_topic(
    shop: Shop, start: Callable[[str], tuple[str, str]]
) -> None:
    script, code = start(shop.ingest)
    shop.site.files["/"] = (
        f'<!doctype html><html lang="en"><title>A shop</title><script src="{script}"></script>'
        f"<script>{code}</script>"
    )
    shop.page.goto(shop.site.url)
    user = f"user-{uuid4().hex}"
    calls: list[tuple[Any, ...]] = [
        ("page", "Home"),
        ("track", "Product Viewed", PRODUCT),
        ("track", "Viewed Product", PRODUCT),  # the spec's first version
        ("track", "Signed Up", {"plan": "free"}),
        ("identify", user, {"plan": "free"}),
        ("group", "g1"),
        ("track", "Order Completed", ORDER),
        ("track", "Order Completed", ORDER),
    ]
    shop.page.evaluate("calls => calls.forEach(([name, ...given]) => sdk[name](...given))", calls)
    first, second, *orders = find_events(shop, user)
    assert [(each.type, each.product_id, each.currency) for each in (first, second)] == [
        ("view_item", "p1", "EUR")
    ] * 2
    assert {(each.type, each.event_id) for each in orders} == {("purchase", id_of_order("purchase", "o-1"))}
    assert [(each.value, each.currency, each.user_id) for each in orders] == [(179, "EUR", user)] * 2
    assert first.context is not None
    assert first.context.page == "/"
    joins = [identities.decode(each.value() or b"") for each in read_topic(shop.topics, IDENTITIES)]
    assert {each.visitor_id for each in joins if each.user_id == user} == {first.visitor_id}
    assert shop.complaints == []


@patiently(20)
def find_events(shop: Shop, user: str) -> list[Event]:
    """The four events of the visitor who became that user, views first."""
    found = [events.decode(each.value() or b"") for each in read_topic(shop.topics, EVENTS)]
    mine = {each.visitor_id for each in found if each.user_id == user}
    told = [each for each in found if each.visitor_id in mine]
    assert len(told) == 4, (told, shop.complaints)
    return sorted(told, key=lambda each: each.type, reverse=True)
