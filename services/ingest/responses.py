"""What the ingest API takes and answers: the bodies of its requests and responses."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from starlette.responses import Response

from schemas.events import MAX_BATCH_EVENTS, Event, VisitorId
from schemas.products import MAX_BATCH_PRODUCTS, Product
from services.ingest.validation import Outdated, Rejected
from services.web.problems import Problem, ProblemDocument, RefusedByKafka


class EventBatch(msgspec.Struct, frozen=True):
    """The body of POST /v1/events."""

    events: Annotated[list[Event], msgspec.Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]


class ProductBatch(msgspec.Struct, frozen=True):
    """The body of PUT /v1/products."""

    products: Annotated[list[Product], msgspec.Meta(min_length=1, max_length=MAX_BATCH_PRODUCTS)]


class Rejection(msgspec.Struct, frozen=True):
    """One refused entry of a batch: its place, from 0, and what is wrong with it."""

    index: int
    reason: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many entries Kafka has, which were refused, and which say nothing new: older than what is there."""

    accepted: int
    rejected: list[Rejection]
    ignored: list[Rejection] = []


class NothingAccepted(ProblemDocument, frozen=True, kw_only=True):
    """The problem document of a batch without one acceptable entry."""

    accepted: int
    rejected: list[Rejection]


class VisitorRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of POST /v1/visitors; an empty one asks for a new visitor.

    `token` renews that visitor's token, up to a year after its issue. `visitor_id` needs the API key.
    """

    token: str | None = None
    visitor_id: VisitorId | None = None


class VisitorAnswer(msgspec.Struct, frozen=True):
    """A visitor and the token that speaks for it until `expires_at`, Unix time in ms."""

    visitor_id: str
    token: str
    expires_at: int


class ErasureAnswer(msgspec.Struct, frozen=True):
    """All visitors that are forgotten, the one that was named among them; `erased_at` is Unix time in ms."""

    visitor_id: str
    erased: tuple[str, ...]
    erased_at: int


class SegmentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Segment's `{"success": true}`, and how many messages became events or joins, or had nothing to say.

    `success` is false where all messages are refused.
    `outdated`: whose word on who a visitor is was older than what is there; their events are taken.
    """

    success: bool = True
    accepted: int
    ignored: int
    rejected: list[Rejection]
    outdated: list[Rejection] | msgspec.UnsetType = msgspec.UNSET


class SegmentSettings(msgspec.Struct, frozen=True):
    """What Segment's SDKs read before they send: which of their plugins run, here only the one that sends."""

    integrations: dict[str, dict[str, str]]

    @classmethod
    def of(cls, write_key: str, host: str, protocol: str) -> "SegmentSettings":
        """Everything goes to `host`, which is without the scheme, by `protocol`."""
        return cls({"Segment.io": {"apiKey": write_key, "apiHost": host, "protocol": protocol}})


class Source(msgspec.Struct, frozen=True, rename="camel"):
    """A source of RudderStack's: one that sends to nobody from the page, and reports no errors to others."""

    id: str = "eddy"
    name: str = "Eddy"
    enabled: bool = True
    config: dict[str, object] = {}
    destinations: tuple[()] = ()
    workspace_id: str = "eddy"


class SourceConfig(msgspec.Struct, frozen=True):
    """What RudderStack's SDKs read before they send."""

    source: Source = Source()


class SegmentProblem(ProblemDocument, frozen=True, kw_only=True):
    """A problem document with what RudderStack's SDK reads of an error: without `code` it would try again."""

    code: str
    message: str
    rejected: list[Rejection] | None = None


class NothingAcceptable(Problem):
    """No entry of the batch could be taken; the document says why for each."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "nothing-acceptable"


class NoMessageAcceptable(Problem):
    """No message of a Segment call could be taken: 400, as Segment's own API answers."""

    status = HTTPStatus.BAD_REQUEST
    kind = "nothing-acceptable"


class NoVisitor(Problem):
    """What is named cannot be a visitor."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "no-visitor"


def json_response(body: msgspec.Struct, status: int, *, cached: bool = True) -> Response:
    """A struct as a JSON response."""
    headers = None if cached else {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def answer_of(accepted: int, rejected: Sequence[Rejected], ignored: Sequence[Outdated] = ()) -> Response:
    """202 with what was accepted, refused and ignored. Raises NothingAcceptable where all was refused."""
    answer = Answer(accepted, describe_rejected(rejected), describe_outdated(ignored))
    if not accepted and not ignored:
        detail = "none of the entries can be taken" if rejected else "the batch is empty"
        raise NothingAcceptable(detail, fields={"accepted": 0, "rejected": answer.rejected})
    return json_response(answer, 202)


def answer_of_refusal(
    refusal: RefusedByKafka, accepted: Sequence[object], rejected: Sequence[Rejected]
) -> Response:
    """The same where Kafka refuses some of the accepted for good. Raises NothingAcceptable likewise."""
    judged = {each.index for each in rejected}
    places = [place for place in range(len(accepted) + len(rejected)) if place not in judged]
    refused = [Rejected(places[place], "broker", why, b"") for place, why in refusal.refused.items()]
    everything = sorted([*rejected, *refused], key=lambda each: each.index)
    return answer_of(len(accepted) - len(refused), everything)


def describe_rejected(rejected: Sequence[Rejected]) -> list[Rejection]:
    """Refused entries as an answer tells them."""
    return [Rejection(each.index, each.reason) for each in rejected]


def describe_outdated(ignored: Sequence[Outdated]) -> list[Rejection]:
    """Ignored entries as an answer tells them, by their place."""
    return [Rejection(each.index, each.reason) for each in sorted(ignored, key=lambda each: each.index)]
