"""One process that answers for several tenants: each has an app of its own, found by host or by path.

Nothing is shared between the apps but the process. What no tenant's host and path lead to is answered here:
the health of the whole process, and 404.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from services.version import describe_build
from services.web import problems
from services.web.health import health_routes
from services.web.problems import Problem
from services.web.rates import HEALTH

NOBODY: Final = "~"  # the label of what was refused before a tenant was known; no tenant is called so


class UnknownTenant(Problem):
    """Neither the host nor the path is a tenant's. Which there are is nobody's business."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-tenant"

    def __init__(self) -> None:
        super().__init__("no tenant answers at this host and path: see `hosts` and `path` in EDDY_TENANTS")


class TenantNotReady(Problem):
    """The tenant's state is still being read; those of others may be there already."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "not-ready"

    def __init__(self, missing: str) -> None:
        super().__init__(f"still reading {missing}", headers={"Retry-After": "1"})


@dataclass(frozen=True, slots=True)
class Site:
    """A tenant's app, and where it answers: at each of the hosts, and below the path at any other.

    The app's state has `registry` with its metrics, and `waiting_for`, what keeps it from being ready.
    """

    tenant: str
    app: FastAPI
    hosts: frozenset[str] = frozenset()
    path: str = ""

    @property
    def waiting_for(self) -> str | None:
        """What keeps this tenant from being served."""
        missing: str | None = self.app.state.waiting_for()
        return missing


class FrontMetrics:
    """What a process of several tenants counts where it knows no tenant."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        describe_build(self.registry)
        # limit: unknown (host and path are no tenant's), or those of connections, which all tenants share:
        # header_bytes, body_bytes, slow_headers, slow_body, malformed, connections.
        self.refused = Counter(
            "eddy_tenants_refused_total",
            "Requests and connections refused before it was known whose they are",
            ["limit"],
            registry=self.registry,
        )


class TenantsApp:
    """The ASGI application in front. `state` is for the server: see `create_server`."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = tuple(sites)
        self._by_host = {host: site for site in sites for host in site.hosts}
        self._by_path = {site.path: site for site in sites if site.path}
        self._metrics = FrontMetrics()
        registries = {site.tenant: site.app.state.registry for site in sites}
        self._front = FastAPI(openapi_url=None, lifespan=self._run)
        self._front.include_router(
            health_routes(
                self._waiting_for,
                registries | {NOBODY: self._metrics.registry},
                lambda: {"tenants": len(self._sites)},
            )
        )
        problems.install(self._front, lambda _status: None)
        self.state = SimpleNamespace(
            on_refused=lambda limit: self._metrics.refused.labels(limit).inc(),
            waiting_for=self._waiting_for,
            sockets_waiting_for=lambda: None,  # each waits for its own tenant, below
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket, or the life of all apps."""
        if scope["type"] == "lifespan":
            await self._front(scope, receive, send)
            return
        site, inner = self._find(scope)
        if site is None:
            if scope["type"] == "http" and scope["path"] in HEALTH:
                await self._front(scope, receive, send)
                return
            self._metrics.refused.labels("unknown").inc()
            await problems.refuse(UnknownTenant(), scope, receive, send)
            return
        if scope["type"] == "websocket" and (missing := site.waiting_for):
            await problems.refuse(TenantNotReady(missing), inner, receive, send)
            return
        with bound_contextvars(tenant=site.tenant):
            await site.app(inner, receive, send)

    def _find(self, scope: Scope) -> tuple[Site | None, Scope]:
        """Whose request this is, and how the tenant's app is to see it.

        A host that is a tenant's counts first: what its pages ask for never leads to another tenant.
        """
        if (site := self._by_host.get(_host_of(scope))) is not None:
            return site, scope
        path: str = scope["path"]
        first = path[: path.find("/", 1)] if "/" in path[1:] else path
        if (site := self._by_path.get(first)) is None:
            return None, scope
        rest = path[len(first) :] or "/"
        # As an app at the root sees it; `app_root_path` is for addresses that it tells of itself.
        return site, {**scope, "path": rest, "raw_path": quote(rest).encode(), "app_root_path": first}

    def _waiting_for(self) -> str | None:
        """What keeps the process from being ready: it is when all tenants are."""
        reasons = (f"{each.tenant}: {missing}" for each in self._sites if (missing := each.waiting_for))
        return next(reasons, None)

    @asynccontextmanager
    async def _run(self, _front: FastAPI) -> AsyncIterator[None]:
        """The lives of all apps; what they start logs whose it is."""
        async with AsyncExitStack() as stack:
            for site in self._sites:
                with bound_contextvars(tenant=site.tenant):
                    await stack.enter_async_context(site.app.router.lifespan_context(site.app))
            yield


def _host_of(scope: Scope) -> str:
    """The Host header without a port, in lower case; empty without one."""
    for name, value in scope["headers"]:
        if name == b"host":
            host: str = value.decode("latin-1").lower()
            return host if host.endswith("]") else host.partition(":")[0] if host.count(":") == 1 else host
    return ""
