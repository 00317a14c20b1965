"""Searches over HTTP on the whole stack, once the words' vectors are known: all but the models' own time."""

import time
from collections.abc import Callable
from itertools import cycle
from typing import Final

import httpx
import msgspec
import numpy as np

from schemas.live import QUERY_MAX
from services.recommender.search.parser import parse
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.spread import Spread
from tests.benchmark.system import System
from tests.support.search.query_set import cases, vocabulary

ROUNDS: Final = 5
VISITORS: Final = 16  # one alone would ask more often than a token may
LOOKED_AT: Final = 8  # products, so that the visitor's taste is part of every search


class SearchFigures(msgspec.Struct, frozen=True):
    """Milliseconds of one GET /v1/search: with words seen for the first time, and with known ones."""

    machine: Machine
    products: int
    queries: int
    first_ms: dict[str, float]
    known_ms: dict[str, float]
    bare_ms: dict[str, float]  # GET /healthz in the same run: what HTTP itself takes
    held_out: int  # sentences of the query set that nothing was tuned on
    held_out_right: int  # of them, all parameters exactly as expected


def measure(system: System, tell: Callable[[str], None]) -> SearchFigures:
    """Every query once, and then `ROUNDS` times again, one after the other on one connection."""
    queries = [case.query for case in cases() if case.query.strip() and len(case.query) <= QUERY_MAX]
    held_out = [case for case in cases() if case.split == "held_out"]
    products = system.products()
    visitors = [_welcome(system, products[:LOOKED_AT]) for _ in range(VISITORS)]
    asked = [*zip(queries, cycle(visitors), strict=False)]
    with httpx.Client(base_url=system.recommender_url, timeout=30) as http:
        tell(f"{len(queries)} queries, {len(products):,} products")
        first = [_time_search(http, query, who) for query, who in asked]
        known = [_time_search(http, query, who) for _ in range(ROUNDS) for query, who in asked]
        bare = [_time_search(http, None, {}) for _ in range(len(queries))]
    return SearchFigures(
        this_machine(),
        len(products),
        len(queries),
        _spread(first),
        _spread(known),
        _spread(bare),
        len(held_out),
        sum(parse(case.query, vocabulary(case.catalogue)) == case.expected for case in held_out),
    )


def _time_search(http: httpx.Client, query: str | None, who: dict[str, str]) -> float:
    started = time.perf_counter()
    path, params = ("/healthz", {}) if query is None else ("/v1/search", {"q": query} | who)
    http.get(path, params=params).raise_for_status()
    return time.perf_counter() - started


def _welcome(system: System, products: list[str]) -> dict[str, str]:
    """A visitor who has looked at these products."""
    with httpx.Client(base_url=system.ingest_url) as ingest:
        visitor = ingest.post("/v1/visitors").json()
    who = {"visitor_id": visitor["visitor_id"], "token": visitor["token"]}
    events = [
        {
            "event_id": f"00000000-0000-4000-8000-{number:012d}",
            "type": "view_item",
            "visitor_id": who["visitor_id"],
            "product_id": product_id,
            "occurred_at": int(time.time() * 1000) + number,
        }
        for number, product_id in enumerate(products)
    ]
    with httpx.Client(base_url=system.ingest_url) as ingest:
        ingest.post("/v1/events", params={"token": who["token"]}, json={"events": events}).raise_for_status()
    return who


def _spread(seconds: list[float]) -> dict[str, float]:
    found = Spread.of(np.array(seconds))
    return {"p50": round(found.p50, 2), "p90": round(found.p90, 2), "p99": round(found.p99, 2)}
