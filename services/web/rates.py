"""How many requests a second: of a token, a key, an address, and of a whole tenant. Refused ones get 429."""

import math
import time
from base64 import b64decode
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.events import MAX_BATCH_EVENTS
from services.web import problems
from services.web.auth import TOKEN_HEADER
from services.web.bounds import BoundsSettings
from services.web.problems import Problem

BURST_S: Final = 10.0  # so many seconds' worth may come at once: pages open, phones leave tunnels
KEYS_MAX: Final = 50_000  # tokens or addresses that are remembered, twice: some 10 MB
HEALTH: Final = frozenset({"/healthz", "/readyz", "/metrics"})
NEW_VISITOR: Final = ("POST", "/v1/visitors")
TOKEN: Final = TOKEN_HEADER.lower().encode()
LIMITS: Final = "eddy.rates"  # where a request's scope keeps what its entries are counted by

COUNT_REFUSAL: Final = "eddy.on_refused"  # where a request's scope keeps whom to tell of a limit's name

OnRefused = Callable[[str], None]  # the limit's name, for a service's metrics


class TooManyRequests(Problem):
    """More than somebody may ask for; Retry-After says when there is room again. `limit` is for metrics."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    kind = "too-many-requests"

    def __init__(self, whose: str, wait_s: float, limit: str) -> None:
        self.limit = limit
        seconds = max(1, math.ceil(wait_s))
        super().__init__(
            f"more than this {whose} may send: wait {seconds} s and send the same again",
            headers={"Retry-After": str(seconds)},
        )


class QuotaExceeded(TooManyRequests):
    """All clients of a tenant together send more than it may have of this process."""

    kind = "quota-exceeded"

    def __init__(self, what: str, per_s: float, wait_s: float, limit: str) -> None:
        super().__init__("tenant", wait_s, limit)
        self.detail = f"all of this tenant together may have {per_s:g} {what} a second here: {self.detail}"


class RateLimit:
    """At most `per_s` of each key a second, and `burst` at once; `clock` in seconds.

    The generic cell rate algorithm (ITU-T I.371): one number a key, when it would be quiet again.
    Keys that were not used for long are forgotten, which gives them a full burst: they had it anyway.
    """

    def __init__(
        self,
        per_s: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        keys_max: int = KEYS_MAX,
    ) -> None:
        self.burst = burst
        self._interval = 1 / per_s
        self._tolerance = burst / per_s
        self._clock = clock
        self._keys_max = keys_max
        self._quiet_at: dict[Hashable, float] = {}
        self._former: dict[Hashable, float] = {}  # the keys before the newest; a key that is used moves over

    def __len__(self) -> int:
        return len(self._quiet_at) + len(self._former)

    def take(self, key: Hashable, cost: float = 1.0) -> float:
        """0 where there is room for so many, which are counted; else the seconds to wait, and none is."""
        now = self._clock()
        quiet_at = self._quiet_at.get(key)
        if quiet_at is None:
            quiet_at = self._former.get(key, now)
            if len(self._quiet_at) >= self._keys_max:
                self._former, self._quiet_at = self._quiet_at, {}
        ahead = max(quiet_at - now, 0.0) + cost * self._interval
        if ahead > self._tolerance * (1 + 1e-9):  # what was waited for as told is let in
            return ahead - self._tolerance
        self._quiet_at[key] = now + ahead
        return 0.0


def limit_to(
    per_s: float, clock: Callable[[], float], *, least: float = 1.0, keys_max: int = KEYS_MAX
) -> RateLimit | None:
    """Ten seconds' worth may come at once, and `least` in any case; 0 is no limit."""
    return RateLimit(per_s, max(per_s * BURST_S, least), clock, keys_max) if per_s else None


class Quota:
    """What a tenant may have of this process, whoever asks: `per_s` of `what`; 0 is no limit.

    `limit` is its name in metrics.
    """

    def __init__(
        self,
        limit: str,
        what: str,
        per_s: float,
        *,
        least: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._what, self._per_s = limit, what, per_s
        self._rate = limit_to(per_s, clock, least=least, keys_max=1)

    def check(self, cost: float = 1.0) -> QuotaExceeded | None:
        """Counts so many; a problem, and none is counted, where they are too many.

        What is more than may ever come at once costs as much as that: waiting would not help.
        """
        wait_s = self._rate.take(None, min(cost, self._rate.burst)) if self._rate is not None else 0.0
        return QuotaExceeded(self._what, self._per_s, wait_s, self._limit) if wait_s else None


NO_QUOTAS: Final[Mapping[str, Quota]] = MappingProxyType({})


class RateLimits:
    """All limits of a service. The back end's keys have one of their own and none by address.

    `quotas`: what all of a tenant may ask for, by path.
    """

    def __init__(
        self,
        settings: BoundsSettings,
        keys: Iterable[SecretStr | None],
        write_keys: Iterable[SecretStr | None] = (),
        clock: Callable[[], float] = time.monotonic,
        quotas: Mapping[str, Quota] = NO_QUOTAS,
    ) -> None:
        self._tokens = limit_to(settings.rate_token, clock)
        self._keys = limit_to(settings.rate_key, clock)
        self._addresses = limit_to(settings.rate_address, clock)
        self._new_visitors = limit_to(settings.rate_new_visitors, clock)
        self._events = limit_to(settings.rate_token_events, clock, least=MAX_BATCH_EVENTS)
        self._back_ends = {_digest(each.get_secret_value().encode()) for each in keys if each}
        self._write_keys = {_digest(each.get_secret_value().encode()) for each in write_keys if each}
        self._quotas = quotas

    def check(self, scope: Scope) -> TooManyRequests | None:
        """Counts a request or handshake; a problem where it is too many."""
        # A client that is refused for its own sake takes nothing of what all have together.
        quota = self._quotas.get(scope["path"])
        return self._check_client(scope) or (quota.check() if quota is not None else None)

    def _check_client(self, scope: Scope) -> TooManyRequests | None:
        shown = _credential(scope)
        name = _digest(shown) if shown else None
        if name in self._back_ends:
            return _refusal("key", self._keys, name)
        address = network(scope["client"][0]) if scope["client"] else ""
        refusal = _refusal("address", self._addresses, address)
        if refusal is None and (scope.get("method"), scope["path"]) == NEW_VISITOR:
            refusal = _refusal("address", self._new_visitors, address, limit="new_visitors")
        if refusal is None and name is not None:
            is_write_key = name in self._write_keys
            refusal = _refusal(*(("key", self._keys) if is_write_key else ("token", self._tokens)), name)
            if not is_write_key:
                scope[LIMITS] = (self._events, name)
        return refusal


def _refusal(
    whose: str, rate: RateLimit | None, key: Hashable, cost: float = 1.0, *, limit: str | None = None
) -> TooManyRequests | None:
    wait_s = rate.take(key, cost) if rate is not None else 0.0
    return TooManyRequests(whose, wait_s, limit or whose) if wait_s else None


def count_events(request: Request, events: int) -> None:
    """Counts the events of a batch that a token came with. Raises TooManyRequests, and none is taken."""
    rate, key = request.scope.get(LIMITS, (None, None))
    if refusal := _refusal("token", rate, key, events, limit="events"):
        request.scope[COUNT_REFUSAL](refusal.limit)
        raise refusal


class RateMiddleware:
    """Refuses before anything is read or parsed; health checks are never refused."""

    def __init__(self, app: ASGIApp, limits: RateLimits, on_refused: OnRefused) -> None:
        self._app = app
        self._limits = limits
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] == "lifespan" or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        refusal = self._limits.check(scope)
        if refusal is None:
            scope[COUNT_REFUSAL] = self._on_refused
            await self._app(scope, receive, send)
            return
        self._on_refused(refusal.limit)
        await problems.refuse(refusal, scope, receive, send)


def _credential(scope: Scope) -> bytes | None:
    """The key or token that a request shows, unchecked: whoever invents some is held by the address."""
    token = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, shown = value.partition(b" ")
            return _name_of(shown) if scheme.lower() == b"basic" else bytes(shown.strip())
        if name == TOKEN:
            token = value
    if token is None and b"token=" in scope["query_string"]:
        for pair in scope["query_string"].split(b"&"):
            if pair.startswith(b"token="):
                return unquote_to_bytes(pair[6:])
    return token


def _name_of(shown: bytes) -> bytes | None:
    """The name of HTTP basic auth, which is where Segment's SDKs put a key."""
    try:
        return b64decode(shown.strip(), validate=True).partition(b":")[0]
    except ValueError:
        return None


def _digest(shown: bytes) -> bytes:
    """What a credential is known by here: as long for a header of 60 KB as for a token."""
    return blake2b(shown, digest_size=16).digest()


@lru_cache(maxsize=4096)
def network(host: str) -> str:
    """An address as it is counted: of IPv6 the /64, which is what one customer gets."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()
