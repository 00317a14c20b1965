"""Both HTTP APIs keep to their OpenAPI documents: schemathesis asks real processes whatever may be asked.

What no document can tell, the words of a refusal, is in the table below that: every kind of bad input.
"""

import gzip
import json
import os
import subprocess
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

import pytest

from infra.stack.broker import ROOT, Broker
from services.ingest.segment.messages import KINDS
from services.web.openapi import problem
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import Json, Shop, get, open_shop

pytestmark = pytest.mark.timeout(300)

ADMIN: Final = "the key of the shop's people"
WRITE: Final = "the write key of the shop"
ENVIRONMENT: Final = {
    "EDDY_ADMIN_KEY": ADMIN,
    "EDDY_WRITE_KEY": WRITE,
    "EDDY_AUTH": "required",
    "EDDY_EMBEDDER_URL": "",
    "EDDY_RATE_TOKEN": "0",  # a visitor's token asks thousands of times: a 429 would say nothing of the rest
}
SEED: Final = 5
EXAMPLES: Final = 12  # drawn for each operation, beside those that try every bound of every parameter
# Of these so many for all but back ends: one seed draws the same for everybody, only the key is another, and
# drawing one takes as long as ten requests that try a bound.
DRAWN_AGAIN: Final = """
[phases.fuzzing.generation]
max-examples = 3
[phases.stateful.generation]
max-examples = 3
"""
# A visitor's parameters are read as everybody's: back ends, and those who show nothing, try all their bounds.
NO_BOUNDS: Final = """
[phases.coverage]
enabled = false
"""
VISITOR: Final = "somebody"

# What no schema tells: the grammar of weights and objectives, and which products there are.
KNOWN: Final = {
    "query.weights": "brand:0.2,price:-1",
    "query.objective": "buy:0.7,click:0.3",
    "path.product_id": "p9",
}
ANY_WEIGHTS: Final = """
[checks.positive_data_acceptance]
enabled = false  # most texts are no weights
"""

# 413 says that a list is too long; schemathesis does not know it as a refusal.
REFUSALS: Final = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 413, 414, 415, 422, 431]
"""
# Checks that cannot hold, each with its reason.
LEFT_OUT: Final = {
    "recommender": """
# No schema says that a rule names something, that shares add up to 1 at most, that ends lie behind starts.
[[operations]]
include-method = "PUT"
checks.positive_data_acceptance.enabled = false
# Nor that slots have names of their own, that a search needs a query, and a row about a product the product.
[[operations]]
include-path-regex = "^/v1/page$"
checks.positive_data_acceptance.enabled = false
""",
    "ingest": """
# No schema says "userId or anonymousId", "a search needs a query", "a token or a visitor_id, not both".
[[operations]]
include-path-regex = "^/v1/"
checks.positive_data_acceptance.enabled = false
# Links hand over a token that was just given out: it is a good one, whatever else the call makes up.
[[operations]]
include-method = "DELETE"
include-path-regex = "^/v1/visitors/"
checks.ignored_auth.enabled = false
# Each entry is judged on its own: a batch with one good among bad ones is taken. SDKs of Segment drop what is
# refused, so a message needs to be well formed only where it is read.
[[operations]]
include-path-regex = "^/v1/(events|products|batch|track|identify|page|screen|group|alias)$"
checks.positive_data_acceptance.enabled = false
checks.negative_data_rejection.enabled = false
""",
}

Service = Literal["ingest", "recommender"]
Statuses = Mapping[str, Counter[int]]  # of each operation


@dataclass(frozen=True)
class Asker:
    """Who asks: what is shown, by security scheme, what parameters are held fast, what is not checked."""

    shows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""
    drawn: str = DRAWN_AGAIN

    def toml(self) -> str:
        """As schemathesis is told; a JSON text is one of TOML, too."""
        tables = {"parameters": self.fixed} | {f"auth.openapi.{name}": it for name, it in self.shows.items()}
        return "\n".join(
            line
            for name, table in tables.items()
            for line in (f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(it)}" for key, it in table.items()))
        )


BACK_END: Final = Asker(
    {
        "api_key": {"bearer": KEY},
        "admin_key": {"bearer": ADMIN},
        "write_key": {"username": WRITE, "password": ""},
    },
    KNOWN,
    drawn="",
)
NOBODY: Final = Asker(left_out=ANY_WEIGHTS)


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


@pytest.fixture(scope="module")
def ingest(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    log = tmp_path_factory.mktemp("ingest") / "log"
    with run_service("ingest", shop.settings, log, environment=ENVIRONMENT) as service:
        yield service


@pytest.fixture(scope="module")
def recommender(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    log = tmp_path_factory.mktemp("recommender") / "log"
    with run_service("recommender", shop.settings, log, environment=ENVIRONMENT) as service:
        yield service


def run_schemathesis(name: Service, service: RunningService, asker: Asker, folder: Path) -> Statuses:
    """What the service answered; fails with schemathesis's report where it does not keep to its document."""
    config = folder / "schemathesis.toml"
    config.write_text(asker.toml() + asker.left_out + asker.drawn + REFUSALS + LEFT_OUT[name])
    command = [
        str(ROOT / ".venv" / "bin" / "schemathesis"), f"--config-file={config}", "run",
        f"{service.url}/openapi.json", f"--seed={SEED}", f"--max-examples={EXAMPLES}",
        "--generation-database=none", "--suppress-health-check=all", "--no-color",
    ]  # fmt: skip
    # Tables of Unicode are kept there: computing them takes seconds. Nobody looks for a proxy each time.
    environment = os.environ | {
        "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.process.poll() is None
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for operation, status, count in json.loads((folder / "counts.json").read_text()):
        found[operation][status] = count
    return found


def find_successes(statuses: Statuses) -> set[str]:
    """Operations that were answered with success at least once."""
    return {name for name, counts in statuses.items() if any(status < 300 for status in counts)}


def operations(service: RunningService) -> set[str]:
    """All that the document names."""
    paths: Json = get(service, "/openapi.json")["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_the_recommender_keeps_to_its_document_for_back_ends(
    recommender: RunningService, tmp_path: Path
) -> None:
    statuses = run_schemathesis("recommender", recommender, BACK_END, tmp_path)
    assert find_successes(statuses) == operations(recommender)
    assert sum(counts.total() for counts in statuses.values()) > 1000


def test_the_recommender_keeps_to_its_document_for_visitors(
    recommender: RunningService, shop: Shop, tmp_path: Path
) -> None:
    own = Asker(
        {"visitor_token": {"api_key": shop.token(VISITOR)}},
        {"path.product_id": "p9", "query.visitor_id": VISITOR, "path.visitor_id": VISITOR},
        ANY_WEIGHTS,
        DRAWN_AGAIN + NO_BOUNDS,
    )
    statuses = run_schemathesis("recommender", recommender, own, tmp_path)
    rows = {name for name in operations(recommender) if "rules" not in name and "experiments" not in name}
    assert find_successes(statuses) == rows


def test_the_recommender_keeps_to_its_document_for_anybody(
    recommender: RunningService, tmp_path: Path
) -> None:
    statuses = run_schemathesis("recommender", recommender, NOBODY, tmp_path)
    assert {"GET /v1/popular", "GET /v1/search", "GET /metrics", "GET /readyz"} <= find_successes(statuses)
    assert not {name for name in find_successes(statuses) if "rules" in name or "experiments" in name}
    assert 404 in statuses["GET /v1/products/{product_id}/similar"]


def test_ingest_keeps_to_its_document_for_back_ends(ingest: RunningService, tmp_path: Path) -> None:
    assert find_successes(run_schemathesis("ingest", ingest, BACK_END, tmp_path)) == operations(ingest)


def test_ingest_keeps_to_its_document_for_anybody(ingest: RunningService, tmp_path: Path) -> None:
    # The last by a token that was given out a moment before: whoever asks for a visitor may forget that one.
    everybody = {
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "POST /v1/visitors",
        "DELETE /v1/visitors/{visitor_id}",
    }
    assert find_successes(run_schemathesis("ingest", ingest, NOBODY, tmp_path)) == everybody


def test_documents_promise_problem_documents_for_all_errors(
    ingest: RunningService, recommender: RunningService
) -> None:
    for service in (ingest, recommender):
        for path, methods in get(service, "/openapi.json")["paths"].items():
            for method, operation in methods.items():
                for status, told in operation["responses"].items():
                    if status < "400" or path == "/readyz":  # which says what it waits for
                        continue
                    assert told["content"].keys() == problem("")["content"].keys(), (method, path, status)


class Bad(NamedTuple):
    """A request that is refused, with what its problem document says."""

    method: str
    path: str
    status: int
    says: str
    params: Mapping[str, str | float | list[int]] = {}
    shows: str | None = f"Bearer {KEY}"
    body: bytes | None = None
    media_type: str = "application/json"
    packed: str = "identity"


ABOUT: Final = ("similar", "also-liked", "complements")
ROWS: Final = ("recommendations", "popular", "search", *(f"products/p9/{kind}" for kind in ABOUT))
NEEDED: Final = {"recommendations": {"visitor_id": VISITOR}, "search": {"q": "boots"}}
ADMIN_BEARER: Final = f"Bearer {ADMIN}"
WRITE_BASIC: Final = f"Basic {b64encode(f'{WRITE}:'.encode()).decode()}"
FILTERS_ARE: Final = "those are price_min, price_max, category, brand, type, tag, market"


def rows(row: str) -> Iterator[Bad]:
    """Every kind of row refuses the same."""
    path = f"/v1/{row}"
    needed = NEEDED.get(row, {})
    wrong: list[tuple[int, str, dict[str, str | float | list[int]]]] = [
        (422, "weight 'brnd'", {"weights": "brnd:1"}),
        (422, "weight 'brand'", {"weights": "brand:11"}),
        (422, "weight 'brand'", {"weights": "brand:a lot"}),
        (422, "no JSON object", {"weights": '{"brand":'}),
        (422, "k: Input should be less than or equal to 100", {"k": 101}),
        (422, "k: Input should be greater than or equal to 1", {"k": 0}),
        (422, f"'colour' is no filter on a field that is indexed; {FILTERS_ARE}", {"colour": "red"}),
        (422, "price_max", {"price_max": "cheap"}),
        (422, "'price_max' is given 2 times", {"price_max": [10, 20]}),
        (422, "diversity", {"diversity": 1.5}),
        (422, "visitor_id", {"visitor_id": "who are you?"}),
    ]
    for status, says, given in wrong:
        yield Bad("GET", path, status, says, {**needed, **given})
    asked = {**needed, "visitor_id": VISITOR}
    yield Bad("GET", path, 401, "show the visitor's token", asked, shows=None)
    yield Bad("GET", path, 401, "token", asked | {"token": "no.such.token"}, shows=None)
    yield Bad("GET", path, 401, "not the one of EDDY_API_KEY", asked, shows="Bearer wrong")


def of_recommender() -> Iterator[Bad]:
    """What the recommender refuses."""
    for row in ROWS:
        yield from rows(row)
    for kind in ABOUT:
        yield Bad("GET", f"/v1/products/nobody/{kind}", 404, "there is no product 'nobody'")
    yield Bad("GET", "/v1/search", 422, "q")
    yield Bad("GET", "/v1/search", 422, "q", {"q": "x" * 201})
    yield Bad("GET", "/v1/products/p9/complements", 422, "by", {"by": "colour"})
    yield Bad("GET", f"/v1/visitors/{VISITOR}/profile", 401, "token", shows=None)
    for path in ("/v1/rules", "/v1/rules/one", "/v1/experiments/one"):
        yield Bad("GET", path, 401, "admin key", shows=None)
        for method in ("GET", "PUT"):
            yield Bad(method, path, 401, "admin key", body=b"{}" if method == "PUT" else None)
        put = partial(Bad, "PUT", path, shows=ADMIN_BEARER)
        yield put(status=400, says="no JSON", body=b"{")
        yield put(status=413, says="1048576 ", body=b" " * 1048577)
        yield put(status=415, says="application/json", body=b"{}", media_type="text/html")
        yield put(status=422, says="colour", body=b'{"colour": "red"}')
    for path, what in {"/v1/rules/one": "rule", "/v1/experiments/one": "experiment"}.items():
        yield Bad("GET", path, 404, f"there is no {what} 'one'", shows=ADMIN_BEARER)
        yield Bad("GET", f"{path}%20one", 422, "pattern", shows=ADMIN_BEARER)


def of_ingest() -> Iterator[Bad]:
    """What ingest refuses."""
    limits = {"/v1/events": 500 * 1024, "/v1/products": 5 * 1024 * 1024, "/v1/batch": 500 * 1024}
    limits |= {f"/v1/{kind}": 32 * 1024 for kind in KINDS} | {"/v1/visitors": 4096}
    for path, limit in limits.items():
        is_segment = path.rpartition("/")[2] in ("batch", *KINDS)
        put = partial(Bad, "PUT" if path == "/v1/products" else "POST", path)
        take = partial(put, shows=WRITE_BASIC) if is_segment else put
        yield put(401, "not the one of EDDY_", shows="Bearer wrong", body=b"{}")
        if path != "/v1/visitors":
            yield put(401, "need", shows=None, body=b"{}")
        yield take(400, "expected", body=b"{")
        yield take(400, "gzip", body=b"{}", packed="gzip")
        yield take(413, f"{limit} ", body=b" " * (limit + 1))
        yield take(413, f"{limit} ", body=gzip.compress(b" " * (limit + 1)), packed="gzip")
        if not is_segment:  # whose SDKs call JSON a form, or text
            yield take(415, "application/json", body=b"<a/>", media_type="application/xml")
        yield take(415, "gzip", body=b"{}", packed="br")
    for path, entries in {"/v1/events": "events", "/v1/products": "products"}.items():
        method = "PUT" if entries == "products" else "POST"
        yield Bad(method, path, 422, "none of the entries", body=b'{"%s": [{}]}' % entries.encode())
        yield Bad(method, path, 422, "empty", body=b'{"%s": []}' % entries.encode())
    yield Bad("POST", "/v1/track", 400, "none of the messages", shows=WRITE_BASIC, body=b"{}")
    yield Bad("POST", "/v1/track", 401, "EDDY_WRITE_KEY", shows="Basic d3Jvbmc6", body=b"{}")
    yield Bad("POST", "/v1/visitors", 401, "token", shows=None, body=b'{"token": "no.such.token"}')
    yield Bad("POST", "/v1/visitors", 401, "API key", shows=None, body=b'{"visitor_id": "customer-17"}')
    yield Bad("DELETE", "/v1/products/p1", 401, "API key", shows=None)
    yield Bad("DELETE", f"/v1/products/{'x' * 129}", 422, "1 to 128 characters")


def check_refusal(service: RunningService, bad: Bad) -> Json:
    """The problem document; says which request was answered otherwise."""
    headers = {"Content-Type": bad.media_type, "Content-Encoding": bad.packed} if bad.body is not None else {}
    if bad.shows is not None:
        headers["Authorization"] = bad.shows
    answer = service.http.request(
        bad.method, bad.path, params=bad.params or None, content=bad.body, headers=headers
    )
    assert answer.headers["content-type"] == "application/problem+json", (bad, answer.text)
    document: Json = answer.json()
    assert (answer.status_code, document["status"]) == (bad.status, bad.status), (bad, document)
    assert bad.says in document["detail"], (bad, document)
    assert document["type"].startswith("urn:eddy:problem:")
    return document


def test_the_recommender_says_what_is_wrong(recommender: RunningService) -> None:
    for bad in of_recommender():
        check_refusal(recommender, bad)
    unknown = check_refusal(recommender, Bad("GET", "/v1/popular", 422, "", {"colour": "red"}))
    assert unknown["parameter"] == "colour"
    assert {"brand", "category", "price_max", "exclude_seen"} <= set(unknown["filters"])
    weight = check_refusal(recommender, Bad("GET", "/v1/popular", 422, "", {"weights": "brnd:1"}))
    assert (weight["weight"], "brand" in weight["weights"]) == ("brnd", True)


def test_ingest_says_what_is_wrong(ingest: RunningService) -> None:
    for bad in of_ingest():
        check_refusal(ingest, bad)


def test_a_refused_method_is_told_all_that_there_are(
    recommender: RunningService, ingest: RunningService
) -> None:
    for service, path, methods in [
        (recommender, "/v1/rules", "DELETE, GET, PUT"),
        (recommender, "/v1/experiments/one", "DELETE, GET, PUT"),
        (recommender, "/v1/popular", "GET"),
        (ingest, "/v1/products", "PUT"),
    ]:
        answer = service.http.patch(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_a_product_id_may_be_any_text(recommender: RunningService, ingest: RunningService) -> None:
    path = "/v1/products/" + quote("a/b ä\u00a0c", safe="")
    shown = {"Authorization": f"Bearer {KEY}"}
    assert ingest.http.delete(path, headers=shown).json()["accepted"] == 1
    assert "a/b ä" in get(recommender, f"{path}/similar", 404)["detail"]
