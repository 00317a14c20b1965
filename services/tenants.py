"""Several tenants in one process: the list of EDDY_TENANTS, each with settings of its own, and their apps.

What a tenant's entry leaves open is as the environment says for the process; keys never are.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

import msgspec
from pydantic import SecretStr, ValidationError
from starlette.types import ASGIApp

from schemas.tenants import label
from services.settings import HttpSettings, TenantListSettings, load

if TYPE_CHECKING:
    from fastapi import FastAPI

# What opens a tenant's doors: an entry without one has none, whatever the process's environment holds.
KEYS: Final = tuple(
    each + also
    for each in ("token_secret", "api_key", "admin_key", "write_key", "identity_key")
    for also in ("", "_also")
)
# What tenants may have apart. All else is the process's: ports, connections, folders, logs.
OF_A_TENANT: Final = frozenset(
    (
        *KEYS,
        *("topic_prefix", "allowed_origins", "auth", "person_visitors_max", "placeholder_ids"),
        *("kafka_username", "kafka_password", "text_width", "image_width", "model_store", "model_name"),
        *("rate_token", "rate_token_events", "rate_key", "rate_address", "rate_new_visitors"),
        *("tenant_events_per_s", "tenant_sockets_per_s", "tenant_searches_per_s"),
        *("sessions_max", "sessions_mb", "snapshot_products", "live_learning_s", "live_visitors_max"),
        *("diversity", "brand_max", "objective", "explore_share", "impressions", "popular_half_life_hours"),
        *("embedder_url", "qdrant_url", "qdrant_api_key", "qdrant_collection"),
        *("nlq_url", "nlq_key", "nlq_model"),
    )
)
# The first parts of what apps answer: a tenant of that path would hide them, or look like them.
RESERVED: Final = frozenset(
    f"/{each}"
    for each in ("v1", "beacon", "sourceConfig", "docs", "openapi.json", "healthz", "readyz", "metrics")
)

S = TypeVar("S", bound=HttpSettings)


class Place(msgspec.Struct, frozen=True):
    """Where a tenant answers: at hosts, below a path, or both."""

    hosts: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class Tenant(Generic[S]):
    """One tenant of the process. `place` is None where it is the only one, and answers everywhere."""

    settings: S
    place: Place | None = None


class TenantsRefused(Exception):
    """The list is wrong; the text says where, and holds no key."""


def load_tenants(kind: type[S]) -> tuple[Tenant[S], ...]:
    """The tenants of this process, at least one; a wrong list ends it with a sentence on stderr."""
    listed = load(TenantListSettings)
    if listed.tenants is None and listed.tenants_file is None:
        return (Tenant(load(kind)),)
    if listed.tenants is not None and listed.tenants_file is not None:
        _end("EDDY_TENANTS and EDDY_TENANTS_FILE are both set: say it once")
    variable = "EDDY_TENANTS" if listed.tenants_file is None else f"EDDY_TENANTS_FILE ({listed.tenants_file})"
    try:
        text = (
            listed.tenants_file.read_text()
            if listed.tenants_file is not None
            else (listed.tenants or SecretStr("")).get_secret_value()
        )
        return read_tenants(kind, text)
    except (TenantsRefused, UnicodeDecodeError) as error:
        _end(f"{variable}: {error}")
    except OSError as error:
        _end(f"{variable}: {error.strerror}")


def read_tenants(kind: type[S], text: str) -> tuple[Tenant[S], ...]:
    """The tenants of a JSON list. Raises TenantsRefused."""
    try:
        entries = msgspec.json.decode(text, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise TenantsRefused(f"this is no JSON list of objects: {error}") from None
    if not entries:
        raise TenantsRefused("the list is empty: leave the variable out for one tenant")
    tenants = tuple(_read(kind, entry, number) for number, entry in enumerate(entries, 1))
    _require_apart(tenants)
    return tenants


def _read(kind: type[S], entry: Mapping[str, Any], number: int) -> Tenant[S]:
    prefix = entry.get("topic_prefix")
    if not isinstance(prefix, str):
        raise TenantsRefused(f"entry {number} has no topic_prefix; empty is one, too")
    where = f"entry {number} ({label(prefix)})"
    fields = Place.__struct_fields__
    if unknown := sorted(entry.keys() - OF_A_TENANT - set(fields)):
        raise TenantsRefused(
            f"{where}: {', '.join(unknown)} cannot be set for one tenant; these can: "
            f"{', '.join(sorted([*OF_A_TENANT, *fields]))}"
        )
    try:
        place = msgspec.convert({each: entry[each] for each in fields if each in entry}, Place)
    except msgspec.ValidationError as error:
        raise TenantsRefused(f"{where}: hosts is a list of names, path a text: {error}") from None
    if "token_secret" not in entry:
        raise TenantsRefused(f"{where}: token_secret is missing, which signs this tenant's visitor tokens")
    own = {name: value for name, value in entry.items() if name in OF_A_TENANT}
    try:
        settings = kind.model_validate(dict.fromkeys([*KEYS, "tenants", "tenants_file"]) | own)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise TenantsRefused(f"{where}: {wrong.removeprefix(': ')}") from None
    return Tenant(settings, _normalise(place, where))


def _normalise(place: Place, where: str) -> Place:
    """The place in lower case. Raises TenantsRefused for one that no request can lead to."""
    if not place.hosts and not place.path:
        raise TenantsRefused(f"{where}: hosts or path is needed, else no request leads there")
    for host in place.hosts:
        if not host or host != host.strip() or "/" in host or ":" in host.rpartition("]")[2]:
            raise TenantsRefused(f"{where}: {host!r} is no name of a host, without port")
    is_one_part = place.path[1:].replace("-", "").replace("_", "").replace(".", "").isalnum()
    if place.path and not (place.path.startswith("/") and place.path.isascii() and is_one_part):
        raise TenantsRefused(f"{where}: {place.path!r} is no path such as /shop-a")
    if place.path in RESERVED:
        raise TenantsRefused(f"{where}: {place.path} is what services answer at: take another path")
    return Place(tuple(host.lower() for host in place.hosts), place.path)


def _require_apart(tenants: Sequence[Tenant[S]]) -> None:
    """Raises TenantsRefused where two tenants share what tells them apart, or a key of one opens another."""
    owners: dict[tuple[str, str], Tenant[S]] = {}
    for tenant in tenants:
        assert tenant.place is not None
        told = [("topic_prefix", tenant.settings.topic_prefix)]
        told += [("host", host) for host in tenant.place.hosts]
        told += [("path", tenant.place.path)] if tenant.place.path else []
        # Keys of all kinds together: an API key of one tenant is no admin key of another either.
        told += [("key", key) for name in KEYS if (key := _plain(tenant.settings, name))]
        for what, value in told:
            owner = owners.setdefault((what, value), tenant)
            if owner is not tenant:
                names = f"{owner.settings.tenant} and {tenant.settings.tenant}"
                shown = what if what == "key" else f"{what} {value!r}"
                raise TenantsRefused(f"{names} have the same {shown}")


def _plain(settings: HttpSettings, name: str) -> str | None:
    key = getattr(settings, name, None)
    return key.get_secret_value() if isinstance(key, SecretStr) else None


def create_app_for(create_app: "Callable[[S], FastAPI]", tenants: Sequence[Tenant[S]]) -> ASGIApp:
    """The app of the only tenant, or one in front of an app for each. Call it in the loop that serves."""
    if len(tenants) == 1 and tenants[0].place is None:
        return create_app(tenants[0].settings)
    from services.web.tenants import Site, TenantsApp  # noqa: PLC0415 - commands start without FastAPI

    sites = []
    for tenant in tenants:
        assert tenant.place is not None
        app = create_app(tenant.settings)
        sites.append(Site(tenant.settings.tenant, app, frozenset(tenant.place.hosts), tenant.place.path))
    return TenantsApp(sites)


def _end(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(2)
