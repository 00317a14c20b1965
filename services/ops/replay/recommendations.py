"""Rows asked of a recommender: each case as a visitor of its own, with the session of just after its event.

The recommender has to be one of the replay's own, on topics of its own: what is written here would count as
visitors, and what is asked for as shown.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

import httpx
import msgspec
from tenacity import AsyncRetrying

from schemas import sessions
from schemas.impressions import Shown
from schemas.products import Availability
from schemas.sessions import CAUSED_BY, identity
from schemas.topics import RECOMMENDATIONS
from schemas.unreadable import Unreadable, read
from services.kafka.messages import IMPRESSION, headers_by_name, read_value
from services.kafka.ranges import HistoryReader, MessageHeaders, TopicMessage
from services.kafka.writer import BulkWriter
from services.ops.replay.figures import SHOWN
from services.ops.replay.next_click import Case
from services.ops.services import BUSY, Passing, Unanswered, bearer, patience, run_together
from services.time_range import TimeRange
from services.visitors import erasure

AT_ONCE: Final = 8  # rows under way: enough to keep one recommender busy
ANSWER_S: Final = 10.0
PATIENCE_S: Final = 60.0  # a recommender that restarts, or reads what was just written
TOLD_MAX: Final = 200  # characters of an answer that an error repeats


class RowsRefused(Unanswered):
    """The recommender does not answer with rows; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """The products of one row in their order, and how it came about.

    `fallback` tells why it is not what was asked for, `models` what made it: name → version. `experiments`
    are the variants that it is of: experiment → variant.
    """

    product_ids: tuple[str, ...]
    fallback: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    experiments: Mapping[str, str] = field(default_factory=dict)


class _Item(msgspec.Struct, frozen=True):
    product_id: str


class _Answer(msgspec.Struct, frozen=True):
    items: tuple[_Item, ...]
    models: dict[str, str] = {}
    caused_by: str | None = None
    fallback: str | None = None
    experiments: dict[str, str] = {}


_decoder = msgspec.json.Decoder(_Answer)


def states_of(cases: Collection[Case], messages: Iterable[TopicMessage]) -> dict[Case, bytes]:
    """The session of just after each case's event, from all messages of a `sessions` topic.

    The newest message that the event has caused counts, of those that hold nothing of after it: an event
    that is sent once more later publishes the session of then, which knows the answer. A case whose target
    the session holds already is left out, as is one without a session: no row can be asked for.
    """
    wanted: dict[tuple[bytes, bytes], list[Case]] = {}
    for case in cases:
        wanted.setdefault((case.visitor_id.encode(), case.event_id.encode()), []).append(case)
    found: dict[Case, bytes] = {}
    for message in messages:
        caused_by = headers_by_name(message).get(CAUSED_BY) or b""
        value = message.value()
        matching = wanted.get((message.key() or b"", caused_by))
        if not matching or value is None:
            continue
        try:
            events = sessions.decode(value).events
        except Unreadable:
            continue
        newest = (events[-1].occurred_at, events[-1].identity) if events else None
        for case in matching:
            is_of = newest == (case.at, identity(case.event_id))
            if is_of and all(event.product_id != case.target for event in events):
                found[case] = value
    return {case: found[case] for case in sorted(found)}


def put_cases(writer: BulkWriter, sessions_topic: str, states: Mapping[Case, bytes]) -> None:
    """Writes each state as the session of a visitor of its own, so that one recommender knows them all."""
    for visitor_id, case in _visitors(states):
        session = msgspec.structs.replace(sessions.decode(states[case]), visitor_id=visitor_id)
        headers: MessageHeaders = [(CAUSED_BY, case.event_id.encode())]
        writer.write(sessions_topic, visitor_id.encode(), sessions.encode(session), headers=headers)


def _visitors(states: Mapping[Case, bytes]) -> Iterator[tuple[str, Case]]:
    for number, case in enumerate(sorted(states)):
        yield f"case:{number}", case


async def rows_of(
    url: str,
    api_key: str,
    states: Mapping[Case, bytes],
    k: int,
    on_row: Callable[[], object],
    *,
    patience_s: float = PATIENCE_S,
    objective: str | None = None,
    only: Collection[Case] | None = None,
) -> dict[Case, Row]:
    """The row of each case, or of some, from a recommender that reads what `put_cases` has written.

    `objective` is what rows are ordered for, None for the recommender's own.

    A row counts only where its session is the case's: an answer of before it was read is asked for again.
    What passes is waited for, `patience_s` long each. Raises RowsRefused.
    """
    todo = ((visitor_id, case) for visitor_id, case in _visitors(states) if only is None or case in only)
    parameters = {"k": str(k)} | ({"objective": objective} if objective else {})
    found: dict[Case, Row] = {}
    patiently = AsyncRetrying(**patience(patience_s, first_s=0.1, longest_s=1.0))

    async def work(client: httpx.AsyncClient) -> None:
        for visitor_id, case in todo:
            try:
                found[case] = await patiently.copy()(_row, client, visitor_id, case.event_id, parameters)
            except Passing as error:
                raise RowsRefused(f"{error}; it was asked for {patience_s:g} s") from error
            on_row()

    async with httpx.AsyncClient(
        base_url=url, headers=bearer(api_key), timeout=ANSWER_S, trust_env=False
    ) as client:
        await run_together(AT_ONCE, partial(work, client))
    return {case: found[case] for case in sorted(found)}


async def _row(
    client: httpx.AsyncClient, visitor_id: str, event_id: str, parameters: Mapping[str, str]
) -> Row:
    where = f"the recommender at {client.base_url}"
    try:
        response = await client.get("/v1/recommendations", params={"visitor_id": visitor_id, **parameters})
    except httpx.TransportError as error:
        raise Passing(f"{where} does not answer ({str(error) or type(error).__name__})") from error
    if response.status_code in BUSY | {500}:
        raise Passing(f"{where} answers {response.status_code}: {response.text[:TOLD_MAX]}")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise RowsRefused(
            f"{where} does not take the API key: it has to be started with the same EDDY_API_KEY"
        )
    if response.status_code != httpx.codes.OK:
        raise RowsRefused(f"{where} answers {response.status_code}: {response.text[:TOLD_MAX]}")
    try:
        answer = read(_decoder.decode, response.content)
    except Unreadable as error:
        raise RowsRefused(f"what answers at {client.base_url} is no recommender: {error}") from error
    if answer.caused_by != event_id:
        raise Passing(
            f"{where} does not know the session of {visitor_id}: it reads another EDDY_TOPIC_PREFIX, or its "
            "EDDY_SESSIONS_MAX is less than there are cases"
        )
    product_ids = tuple(each.product_id for each in answer.items)
    return Row(product_ids, answer.fallback, answer.models, answer.experiments)


_Rank = tuple[int, int]


def read_shown_rows(reader: HistoryReader, cases: Collection[Case], times: TimeRange) -> dict[Case, Row]:
    """Each case's row on the visitor's page, where `recommendations` holds one within a range of time.

    That is the newest row for the visitor which the case's event has caused and which was shown before the
    next click; of none, the newest that was shown between the two by the clocks of browser and server. What
    erased visitors were shown is left out. Keeps one row a case. Raises BrokerAway, TopicMissing.
    """
    erasures = erasure.read(reader)
    of = defaultdict[bytes, list[Case]](list)
    for case in cases:
        of[case.visitor_id.encode()].append(case)
    best: dict[Case, tuple[_Rank, Row]] = {}
    for message in chain.from_iterable(reader.read(reader.spans(RECOMMENDATIONS, times))):
        key = message.key() or b""
        if key not in of:  # rows of visitors without a case are not even decoded
            continue
        shown = read_value(IMPRESSION, message)
        if shown is None or shown.kind != "for_you":
            continue
        if erasures.leave_out(shown.visitor_id, shown.shown_at, message.timestamp()[1]):
            continue
        product_ids = tuple(item.product_id for item in shown.items)
        row = Row(product_ids, shown.fallback, shown.models, shown.experiments)
        for case in of[key]:
            rank = _rank(case, shown)
            if rank is not None and (case not in best or rank > best[case][0]):
                best[case] = rank, row
    return {case: row for case, (_, row) in sorted(best.items())}


def _rank(case: Case, shown: Shown) -> _Rank | None:
    """How well a row fits a case, the greatest best; None where it does not."""
    if shown.caused_by == case.event_id:
        if shown.shown_at < case.next_at:
            return 2, shown.shown_at
        # The browser's clock is behind the server's, or the next page asked before its own event was folded:
        # what came first is what was clicked on.
        return 1, -shown.shown_at
    return (0, shown.shown_at) if case.at <= shown.shown_at < case.next_at else None


PRODUCTS_AT_ONCE: Final = 50  # products a question: of the longest ids, what fits into a line


@dataclass(frozen=True, slots=True)
class LostTargets:
    """Cases whose target the catalogue has not any more, and whose target is sold out now."""

    gone: int
    sold_out: int

    def notes(self, cases: int) -> Iterator[str]:
        """What a reader of figures about so many cases has to know."""
        found = ((self.gone, "is no longer in the catalogue"), (self.sold_out, "is sold out now"))
        for count, what in found:
            if count:
                of = f"{count:,} of {cases:,} cases"
                yield f"The next product of {of} {what}: a miss for all but “{SHOWN}”."


class _Product(msgspec.Struct, frozen=True):
    product_id: str
    availability: Availability


class _KnownProducts(msgspec.Struct, frozen=True):
    items: tuple[_Product, ...]


def find_lost_targets(url: str, cases: Collection[Case]) -> LostTargets:
    """Asks a recommender that is ready for the cases' targets. Blocks; raises RowsRefused."""
    wanted = Counter(case.target for case in cases)
    ids, known = sorted(wanted), dict[str, Availability]()
    with httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client:
        where = f"the recommender at {client.base_url}"
        for begin in range(0, len(ids), PRODUCTS_AT_ONCE):
            asked = {"product_id": ids[begin : begin + PRODUCTS_AT_ONCE]}
            try:
                response = client.get("/v1/products", params=asked)
            except httpx.TransportError as error:
                raise RowsRefused(f"{where} does not answer ({error})") from error
            if response.status_code != httpx.codes.OK:
                raise RowsRefused(f"{where} answers {response.status_code}: {response.text[:TOLD_MAX]}")
            answer = msgspec.json.decode(response.content, type=_KnownProducts)
            known |= {product.product_id: product.availability for product in answer.items}
    return LostTargets(
        gone=sum(count for product_id, count in wanted.items() if product_id not in known),
        sold_out=sum(wanted[product_id] for product_id, state in known.items() if state == "out_of_stock"),
    )
