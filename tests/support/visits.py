"""What browsers send to ingest: looks at products, and a log-in."""

from datetime import UTC, datetime
from uuid import uuid4

from services.clock import now_ms
from tests.support.services import KEY, WRITE_KEY, RunningService


def send_views(
    ingest: RunningService, visitor_id: str, *product_ids: str, at: float | None = None
) -> list[str]:
    """The visitor looks at products a millisecond apart, from Unix ms `at` or now; the ids of the events."""
    begin = int(now_ms() if at is None else at)
    events = [
        {
            "event_id": str(uuid4()),
            "type": "view_item",
            "visitor_id": visitor_id,
            "product_id": product_id,
            "occurred_at": begin + number,
        }
        for number, product_id in enumerate(product_ids)
    ]
    answer = ingest.http.post(
        "/v1/events", json={"events": events}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert answer.json() == {"accepted": len(events), "rejected": []}
    return [str(each["event_id"]) for each in events]


def identify(
    ingest: RunningService, visitor_id: str, user_id: str, at: float | None = None, *, outdated: int = 0
) -> None:
    """The browser's log-in at Unix ms `at` or now, as Segment's SDK sends it; so many joins came too late."""
    timestamp = datetime.fromtimestamp((now_ms() if at is None else at) / 1000, UTC).isoformat()
    body = {"anonymousId": visitor_id, "userId": user_id, "timestamp": timestamp}
    answer = ingest.http.post("/v1/identify", json=body, auth=(WRITE_KEY, ""))
    told = answer.json()
    assert len(told.pop("outdated", [])) == outdated
    assert told == {"success": True, "accepted": 1, "ignored": 0, "rejected": []}
