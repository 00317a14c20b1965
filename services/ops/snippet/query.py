"""What a page of an origin would meet: each step as a browser takes it."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Origin

from schemas.live import Pong, ProtocolError, Recommendations, Slot, Subscribe
from schemas.unreadable import Unreadable, read
from services.errors import UsageError
from services.ops.doctor.report import Finding

WITHIN_S: Final = 5.0
TOKEN: Final = "X-Eddy-Token"  # noqa: S105 - a header's name
SETTING: Final = "EDDY_ALLOWED_ORIGINS"
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SLOT: Final = Slot(name="snippet", kind="for_you", k=1)


class _Visitor(msgspec.Struct, frozen=True):
    visitor_id: str
    token: str


_visitor = msgspec.json.Decoder(_Visitor)
_row = msgspec.json.Decoder(Recommendations | ProtocolError | Pong)


def parse_origin(text: str) -> str:
    """An origin as browsers say it. Raises UsageError for what is none, such as a page's whole address."""
    try:
        parts = urlsplit(text.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise UsageError(f"{text!r} is no origin: it is like https://shop.example") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{text!r} is no origin: it is like https://shop.example")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise UsageError(f"an origin ends before the path: say {parts.scheme}://{host}{port}")
    return f"{parts.scheme}://{host}{port}"


def examine(origin: str, ingest: str, recommender: str) -> tuple[Finding, ...]:
    """Mixed content, a visitor's token, the visitor's row, a live row: the first that fails ends it."""
    found = [_secure(origin, {"ingest": ingest, "recommender": recommender})]
    visitor: _Visitor | None = None
    with httpx.Client(headers={"Origin": origin}, timeout=WITHIN_S) as http:
        finding, visitor = _token(http, origin, ingest)
        found.append(finding)
        if visitor is not None:
            found += [_rows(http, origin, recommender, visitor), _live(origin, recommender, visitor)]
    return tuple(found)


def _secure(origin: str, services: Mapping[str, str]) -> Finding:
    if not origin.startswith("https:"):
        return Finding("https", "warn", f"pages of {origin} are not encrypted", "serve the shop by https")
    plain = [
        f"{name} at {url}"
        for name, url in services.items()
        if url.startswith("http:") and urlsplit(url).hostname not in LOCAL
    ]
    if plain:
        what = "put both behind a proxy with a certificate (infra/proxy/nginx.conf), and name those addresses"
        return Finding(
            "https", "bad", f"browsers let pages of https call no http: {' and '.join(plain)}", what
        )
    return Finding("https", "ok", "a page of https may call them")


def _token(http: httpx.Client, origin: str, ingest: str) -> tuple[Finding, _Visitor | None]:
    try:
        answer = http.post(f"{ingest}/v1/visitors", content=b"{}", headers={"Content-Type": "text/plain"})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _away("ingest", ingest, error), None
    if (refusal := _refusal("ingest", origin, answer)) is not None:
        return refusal, None
    try:
        visitor = read(_visitor.decode, answer.content)
    except Unreadable:
        return _other("ingest", ingest, answer), None
    return Finding("ingest", "ok", f"gives pages of {origin} a visitor's token"), visitor


def _rows(http: httpx.Client, origin: str, recommender: str, visitor: _Visitor) -> Finding:
    url, asked = f"{recommender}/v1/recommendations", {"visitor_id": visitor.visitor_id, "k": "1"}
    wanted = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": TOKEN.lower()}
    try:
        preflight = http.options(url, headers=wanted)
        answer = http.get(url, params=asked, headers={TOKEN: visitor.token})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _away("recommender", recommender, error)
    if (refusal := _refusal("recommender", origin, answer)) is not None:
        return refusal
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return Finding(
            "recommender",
            "bad",
            "it refuses the token that ingest has just given",
            "set EDDY_TOKEN_SECRET, and EDDY_TOPIC_PREFIX, of ingest and recommender to the same",
        )
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return Finding("recommender", "bad", "it still reads its topics", "ask again in a moment")
    if not answer.is_success or not preflight.is_success:
        return _other("recommender", recommender, answer)
    return Finding("recommender", "ok", f"answers pages of {origin} with a row")


def _live(origin: str, recommender: str, visitor: _Visitor) -> Finding:
    url = f"{recommender.replace('http', 'ws', 1)}/v1/live?visitor_id={visitor.visitor_id}"
    try:
        with connect(url, origin=Origin(origin), open_timeout=WITHIN_S, close_timeout=1) as socket:
            socket.send(msgspec.json.encode(Subscribe(slots=(SLOT,), token=visitor.token)).decode())
            row = read(_row.decode, socket.recv(WITHIN_S, decode=False))
    except (WebSocketException, OSError, TimeoutError, Unreadable) as error:
        return Finding(
            "live rows",
            "warn",
            f"no WebSocket to {url.partition('?')[0]} ({str(error) or type(error).__name__}): pages ask "
            "every few seconds instead",
            "let the proxy before the recommender pass on Upgrade and Connection (infra/proxy/nginx.conf)",
        )
    items = len(row.items) if isinstance(row, Recommendations) else 0
    if not items:
        what = "python -m services.ops catalogue load FEED, or look at `ops doctor`"
        return Finding("live rows", "warn", "a row comes, and there is no product in it", what)
    return Finding("live rows", "ok", "a row comes over a WebSocket")


def _refusal(service: str, origin: str, answer: httpx.Response) -> Finding | None:
    """Where the page may not read the answer: refused, or without the header that lets it."""
    allowed = answer.headers.get("Access-Control-Allow-Origin", "")
    if answer.status_code != httpx.codes.FORBIDDEN and allowed in ("*", origin):
        return None
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None  # something else: its own line says so
    what = f"name {origin} in {SETTING} of the {service}, and start it again"
    return Finding(service, "bad", f"it lets no page of {origin} call", what)


def _away(service: str, url: str, error: Exception) -> Finding:
    what = f"start it, or say where pages reach it: --{service} https://…, or EDDY_{service.upper()}_URL"
    reason = str(error) or type(error).__name__
    return Finding(service, "bad", f"no {service} answers at {url} ({reason})", what)


def _other(service: str, url: str, answer: httpx.Response) -> Finding:
    what = f"say where pages reach it: --{service} https://…, or EDDY_{service.upper()}_URL"
    return Finding(service, "bad", f"what answers at {url} is no {service} ({answer.status_code})", what)
