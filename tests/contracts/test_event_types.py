"""Event types stand in one table: a row more, and every part knows the new type."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra import event_types
from infra.stack.broker import ROOT

# schemas.events with one row more and no other change; then all that is derived from it.
WITH_ONE_MORE = r"""
import json, sys, types
from pathlib import Path

file, search = Path("schemas/events.py"), '        "dismiss_item": EventKind('
row = '        "view_promotion": EventKind("saw promoted", "Saw", "saw", is_click=True, weight=-0.2),\n'
before, after = file.read_text().split(search)
line, rest = after.split("\n", 1)
events = sys.modules["schemas.events"] = types.ModuleType("schemas.events")
exec(compile(f"{before}{search}{line}\n{row}{rest}", file, "exec"), events.__dict__)

import msgspec
from infra import event_types
from schemas import jsonschema, products, sessions
from services.ingest.validation import validate_events
from services.ingest.responses import EventBatch
from services.model.settings import SessionSettings
from services.model.interests import event_words
from schemas.live import Reason
from services.recommender.pipeline.explanation import cause_of, say
from services.trainer import cases

GOLDEN = json.loads(Path("schemas/examples/view_item.json").read_text()) | {"type": "view_promotion"}
product = products.decode(Path("schemas/examples/product.json").read_bytes())
tracker = Path(sys.argv[1])
tracker.write_text(event_types.generate(event_types.STOREFRONT / "tracker.js"))
event = msgspec.convert(GOLDEN, events.Event)
remembered = sessions.SessionEvent(0, b"", "p", sessions.KIND_OF["view_promotion"])
bare = msgspec.convert({k: v for k, v in GOLDEN.items() if k != "product_id"}, events.Event)
batch = [msgspec.Raw(json.dumps(GOLDEN).encode())]
print(json.dumps({
    "kept": events.decode(events.encode(event)).type,
    "needs a product": events.check(bare),
    "kind": [sessions.KIND_OF["view_promotion"], remembered.type],
    "schema": json.dumps(jsonschema.json_schema(events.Event)),
    "openapi": json.dumps(jsonschema.components([EventBatch], "#/{name}")).count('"view_promotion"'),
    "ingest": len(validate_events(batch, received_at=0, visitor_id=None).accepted),
    "weight": SessionSettings(kafka_bootstrap="x:1").tuning.type_weights["view_promotion"],
    "is a click": "view_promotion" in events.CLICKS,
    "for operators": event_words("view_promotion"),
    "for shoppers": say(
        Reason(kind="co_visited", cause=cause_of(remembered), product_id="p"), lambda _id: product
    ),
    "speaks against": cases.AGAINST,
    "profile.js": 'view_promotion: "Saw"' in event_types.profile(),
}))
"""

FROM_GA4 = """
import { fromGA4 } from "%s";
const items = [{ item_id: "p1" }];
console.log(JSON.stringify(fromGA4({ event: "view_promotion", ecommerce: { items } })));
"""


def test_the_browsers_part_is_that_of_the_table() -> None:
    for file in event_types.FILES:
        assert event_types.generate(file) == file.read_text(), "run python -m infra.event_types"


def test_one_row_more_is_a_type_everywhere(tmp_path: Path) -> None:
    tracker = tmp_path / "tracker.mjs"
    found = run_command(sys.executable, "-c", WITH_ONE_MORE, str(tracker))
    assert found["kept"] == "view_promotion"
    assert found["needs a product"] == "view_promotion needs a product_id or at least one item"
    assert found["kind"] == [10, "view_promotion"]
    assert '"view_promotion"' in found["schema"]
    assert found["openapi"] == 1
    assert found["ingest"] == 1
    assert found["weight"] == -0.2
    assert found["is a click"]
    assert found["for operators"] == "saw promoted"
    assert found["for shoppers"].startswith("because you saw ")
    assert found["speaks against"] == [4, 9, 10]
    assert found["profile.js"]
    in_browser = run_command("node", "--input-type=module", "-e", FROM_GA4 % tracker)
    assert in_browser == ["view_promotion", {"product_id": "p1"}]


def run_command(*command: str) -> Any:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
