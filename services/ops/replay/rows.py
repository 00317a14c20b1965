"""Rows asked of a recommender: each case as a visitor of its own, with the session of just after its event.

The recommender has to be one of the replay's own, on topics of its own: what is written here would count as
visitors, and what is asked for as shown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from schemas import sessions
from schemas.sessions import CAUSED_BY, identity
from services.endings import CannotBeDone
from services.history.past import PastHeaders, PastMessage, headers_of
from services.history.writing import BulkWriter
from services.ops.replay.cases import Case

AT_ONCE: Final = 8  # rows under way: enough to keep one recommender busy
ANSWER_S: Final = 10.0
PATIENCE_S: Final = 60.0  # a recommender that restarts, or reads what was just written
TOLD_MAX: Final = 200  # characters of an answer that an error repeats
PASSING: Final = frozenset({429, 500, 502, 503, 504})


class RowsRefused(CannotBeDone):
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

    @property
    def row(self) -> Row:
        return Row(
            tuple(each.product_id for each in self.items), self.fallback, self.models, self.experiments
        )


class _Passing(Exception):
    """It may go well a moment later."""


_decoder = msgspec.json.Decoder(_Answer)


def states_of(cases: Collection[Case], messages: Iterable[PastMessage]) -> dict[Case, bytes]:
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
        caused_by = dict(headers_of(message)).get(CAUSED_BY) or b""
        value = message.value()
        for case in wanted.get((message.key() or b"", caused_by), ()):
            if value is not None and _is_of(case, value):
                found[case] = value
    return {case: found[case] for case in sorted(found)}


def _is_of(case: Case, value: bytes) -> bool:
    try:
        session = sessions.decode(value)
    except msgspec.MsgspecError:
        return False
    newest = session.events[-1] if session.events else None
    return (
        newest is not None
        and (newest.occurred_at, newest.identity) == (case.at, identity(case.event_id))
        and all(event.product_id != case.target for event in session.events)
    )


def put_cases(writer: BulkWriter, sessions_topic: str, states: Mapping[Case, bytes]) -> None:
    """Writes each state as the session of a visitor of its own, so that one recommender knows them all."""
    for visitor_id, case in _visitors(states):
        session = msgspec.structs.replace(sessions.decode(states[case]), visitor_id=visitor_id)
        headers: PastHeaders = [(CAUSED_BY, case.event_id.encode())]
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
) -> dict[Case, Row]:
    """The row of each case, from a recommender that reads what `put_cases` has written.

    A row counts only where its session is the case's: an answer of before it was read is asked for again.
    What passes is waited for, `patience_s` long each. Raises RowsRefused.
    """
    todo = _visitors(states)
    found: dict[Case, Row] = {}

    async def work(client: httpx.AsyncClient) -> None:
        for visitor_id, case in todo:
            found[case] = await _patiently(partial(_row, client, visitor_id, case.event_id, k), patience_s)
            on_row()

    headers = {"Authorization": f"Bearer {api_key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_S, trust_env=False) as client:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work(client))
        except BaseExceptionGroup as errors:  # the others were only told to stop
            raise _first(errors) from None
    return {case: found[case] for case in sorted(found)}


async def _patiently(ask: Callable[[], Awaitable[Row]], patience_s: float) -> Row:
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_Passing),
        stop=stop_after_delay(patience_s),
        wait=wait_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )
    try:
        return await retrying(ask)
    except _Passing as error:
        raise RowsRefused(f"{error}; it was asked for {patience_s:g} s") from error


async def _row(client: httpx.AsyncClient, visitor_id: str, event_id: str, k: int) -> Row:
    where = f"the recommender at {client.base_url}"
    try:
        response = await client.get("/v1/recommendations", params={"visitor_id": visitor_id, "k": k})
    except httpx.TransportError as error:
        raise _Passing(f"{where} does not answer ({str(error) or type(error).__name__})") from error
    if response.status_code in PASSING:
        raise _Passing(f"{where} answers {response.status_code}: {response.text[:TOLD_MAX]}")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise RowsRefused(
            f"{where} does not take the API key: it has to be started with the same EDDY_API_KEY"
        )
    if response.status_code != httpx.codes.OK:
        raise RowsRefused(f"{where} answers {response.status_code}: {response.text[:TOLD_MAX]}")
    try:
        answer = _decoder.decode(response.content)
    except msgspec.MsgspecError as error:
        raise RowsRefused(f"what answers at {client.base_url} is no recommender: {error}") from error
    if answer.caused_by != event_id:
        raise _Passing(
            f"{where} does not know the session of {visitor_id}: it reads another EDDY_TOPIC_PREFIX, or its "
            "EDDY_SESSIONS_MAX is less than there are cases"
        )
    return answer.row


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
