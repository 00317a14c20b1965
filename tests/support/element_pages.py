"""A shop's page with the element in it, and a recommender that says what a test wants."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from playwright.sync_api import Route
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from schemas.live import Recommendations, RecommendedItem, Slot, Subscribe, check
from tests.support.browser import Site
from tests.support.patience import patiently

# What the page itself can tell of: breaches of its policy, and what the element says to a screen reader.
WATCH: Final = """
  window.breaches = [];
  addEventListener("securitypolicyviolation", (event) =>
    window.breaches.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
  window.said = [];
  window.watch = (element) => {
    const status = element.shadowRoot.querySelector("[part=status]");
    const note = () => status.textContent && window.said.push(status.textContent);
    new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
  };
  window.selected = [];
  window.updates = [];
  addEventListener("eddy-select", (event) => {
    window.selected.push({ ...event.detail, cancelable: event.cancelable });
    if (window.stays) event.preventDefault();
  });
  addEventListener("eddy-update", ({ detail }) => window.updates.push(detail));
"""
SHOP_JS: Final = """
  import { configure } from "/eddy/live.js";
  window.tracked = [];
  const { recommender } = document.documentElement.dataset;
  const visitor = async () => ({ visitor_id: "visitor-1", token: "token-1" });
  configure({
    recommender,
    profile: "/profile",
    tracker: { visitor, track: (...what) => (window.tracked.push(what), "seen-1") },
    onStatus: (status) => (document.documentElement.dataset.status = status),
  });
  for (const element of document.querySelectorAll("eddy-recommendations")) window.watch(element);
"""
SHOP_CSS: Final = """
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 0 auto; max-width: 1120px; padding: 24px 20px; }
  eddy-recommendations { margin-bottom: 32px; }
"""
FOR_YOU: Final = '<eddy-recommendations slot="for_you" k="12"></eddy-recommendations>'
COLOURS: Final = ("#c7d2c0", "#d9c3b0", "#b9c7d6", "#d8cfe0", "#e2d7b5", "#b7d0cb")


def item(number: int, **more: Any) -> RecommendedItem:
    usual: dict[str, Any] = {
        "product_id": f"p{number}",
        "score": 1 / (number + 1),
        "source": "content",
        "why": "because you looked at Ankle boots",
        "name": f"Product {number}",
        "brand": "Northwind",
        "price": 20 + number,
        "currency": "EUR",
        "availability": "in_stock",
        "image_url": f"/pictures/{number % len(COLOURS)}.svg",
        "url": f"/product/p{number}",
    }
    return RecommendedItem(**(usual | more))


def items(*numbers: int) -> list[RecommendedItem]:
    return [item(number) for number in numbers]


class Recommender:
    """Speaks the live protocol as schemas/live.py has it, and says what a test tells it to."""

    def __init__(self) -> None:
        self.sockets: list[ServerConnection] = []
        self.subscriptions: list[tuple[Slot, ...]] = []
        self.requests: list[str] = []
        self.rows: dict[str, list[RecommendedItem]] = {}  # kind → what HTTP answers
        self._seq = 0
        self.server: Final = serve(self._live, "127.0.0.1", 0, process_request=self._http)
        self.url: Final = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def _live(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        try:
            for message in socket:
                subscribe = msgspec.json.decode(message, type=Subscribe)
                assert check(subscribe) is None
                self.subscriptions.append(subscribe.slots)
        except ConnectionClosed:
            pass
        finally:
            self.sockets.remove(socket)

    def _http(self, _socket: ServerConnection, request: Request) -> Response | None:
        if not request.path.startswith("/v1/live"):
            return Response(HTTPStatus.NOT_FOUND, "", Headers())
        self.requests.append(request.path)
        return None

    def answer(self, route: Route) -> None:
        """A row by HTTP, in the browser: this server of sockets takes no question of CORS."""
        path = route.request.url.removeprefix(self.url)
        self.requests.append(path)
        if (
            path == "/v1/page"
        ):  # a recommender of before: how one of today is asked is tested in live.test.mjs
            route.fulfill(status=404, headers={"Access-Control-Allow-Origin": "*"})
            return
        answer = {
            "items": self.rows.get(path.split("?")[0], []),
            "models": {},
            "recommendation_id": "by-http",
        }
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        body = msgspec.json.encode(answer).decode()
        route.fulfill(body=body, headers=headers, content_type="application/json")

    def push(self, what: Sequence[RecommendedItem], slot: str = "for_you", **more: Any) -> None:
        self._seq += 1
        message = Recommendations(slot=slot, seq=self._seq, items=tuple(what), models={}, **more)
        self.sockets[-1].send(msgspec.json.encode(message).decode())

    @patiently(15)
    def wait_for_subscription(self, *slots: tuple[str, str]) -> None:
        """Waits until the newest subscription has these names and kinds."""
        assert [(slot.name, slot.kind) for slot in self.subscriptions[-1]] == [*slots]


def prepare(site: Site, recommender: Recommender) -> None:
    live = recommender.url.replace("http", "ws", 1)
    site.policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        f"connect-src {recommender.url} {live}; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    site.files["/shop.js"] = SHOP_JS
    site.files["/favicon.ico"] = "<svg/>"
    for number, colour in enumerate(COLOURS):
        site.files[f"/pictures/{number}.svg"] = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="320">'
            f'<rect width="320" height="320" fill="{colour}"/>'
            f'<path d="M70 230q20-90 90-{100 + 8 * number} 80 10 90 110z" fill="#fff" opacity=".75"/></svg>'
        )
    for number in range(40):
        site.files[f"/product/p{number}"] = f"<title>Product {number}</title><h1>Product {number}</h1>"


def document(body: str, recommender_url: str) -> str:
    return (
        f'<!doctype html><html lang="en" data-recommender="{recommender_url}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>A shop</title>'
        '<link rel="stylesheet" href="/eddy/eddy.css">'
        '<link rel="stylesheet" href="/shop.css"><script type="module" src="/shop.js"></script>'
        f"<body><main>{body}</main></body></html>"
    )
