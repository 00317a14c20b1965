"""/v1/rules and /v1/experiments: what a shop's people change without code, behind the admin key."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from schemas import experiments as experiment_messages
from schemas import rules as rule_messages
from schemas.experiments import EXPERIMENTS_MAX, Experiment
from schemas.rules import RULES_MAX, Rule
from schemas.topics import EXPERIMENTS, RULES, Topic
from services.kafka.clients import AcknowledgedProducer, NotDelivered
from services.recommender.api import admin_bodies
from services.recommender.api.admin_bodies import (
    BODY_MAX_BYTES,
    Deleted,
    ExperimentList,
    ExperimentPut,
    RuleList,
    RulesPut,
    Unacceptable,
    WeightNames,
    experiment_of,
    rule_of,
    rules_of,
)
from services.recommender.api.errors import NotReady
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.experiments import ExperimentSchedule
from services.recommender.pipeline.merchandising import RuleSchedule
from services.recommender.pipeline.scheduled import Schedule
from services.settings import ServiceSettings
from services.web.auth import AdminAuth
from services.web.problems import BrokerAway, Problem, RefusedByKafka
from services.web.requests import JSON, read_body

APPLIED_WITHIN_S: Final = 2.0

Publish = Callable[[Topic, str, bytes | None], Awaitable[None]]  # topic, key, message (None: a tombstone)
E = TypeVar("E", Rule, Experiment)


class ScheduleEditor(Generic[E]):
    """Writes to one book's topic. The book itself changes only by what is read: all recommenders alike."""

    def __init__(
        self,
        topic: Topic,
        book: Schedule[E],
        encode: Callable[[E], bytes],
        publish: Publish,
        clock: Callable[[], float],
    ) -> None:
        self._topic = topic
        self._book: Schedule[E] = book
        self._encode: Callable[[E], bytes] = encode
        self._publish = publish
        self._clock = clock
        self._newest = 0

    def stamp(self, entries: Mapping[str, E]) -> dict[str, E]:
        """The entries with an `updated_at` of now, or just after what they replace: it only grows."""
        known = [entry.updated_at for name in entries if (entry := self._book.get(name)) is not None]
        self._newest = max(int(self._clock()), self._newest + 1, *(each + 1 for each in known))
        return {
            name: msgspec.structs.replace(entry, updated_at=self._newest) for name, entry in entries.items()
        }

    async def put(self, stamped: Mapping[str, E]) -> bool:
        """Whether the book has them; False when Kafka has, but it was not read back in time.

        Raises what `publish` does when Kafka does not acknowledge.
        """
        await self._publish_all((name, self._encode(entry)) for name, entry in stamped.items())

        def is_read(name: str) -> bool:
            known = self._book.get(name)
            return known is not None and known.updated_at >= stamped[name].updated_at

        return await self._read(lambda: all(map(is_read, stamped)))

    async def delete(self, names: Sequence[str]) -> bool:
        """Whether the book is without them; else as `put`."""
        await self._publish_all((name, None) for name in names)
        return await self._read(lambda: all(self._book.get(name) is None for name in names))

    async def _publish_all(self, messages: Iterable[tuple[str, bytes | None]]) -> None:
        sends = (self._publish(self._topic, name, message) for name, message in messages)
        for outcome in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _read(self, done: Callable[[], bool]) -> bool:
        heard = asyncio.Event()
        with self._book.watch(heard.set):
            try:
                async with asyncio.timeout(APPLIED_WITHIN_S):
                    while not done():
                        heard.clear()
                        await heard.wait()
            except TimeoutError:
                return False
        return True


NAME: Final = r"^[A-Za-z0-9_.-]{1,64}$"  # pydantic's `$` is the end of the text, and nothing before it

RuleId = Annotated[str, Path(pattern=NAME, description="the rule's id")]
RuleIds = Annotated[
    list[Annotated[str, Field(pattern=NAME)]],
    Query(alias="rule_id", min_length=1, max_length=RULES_MAX, description="ids of rules, one or more"),
]
Name = Annotated[str, Path(pattern=NAME, description="the experiment's name")]
Clock = Callable[[], float]  # Unix ms


class Unknown(Problem):
    """Nothing has this name."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-name"


def admin_routes(
    door: AdminAuth,
    rules: RuleSchedule,
    experiments: ExperimentSchedule,
    publish: Publish,
    *,
    catalogue: Catalogue,
    clock: Clock,
    waiting_for: Callable[[], str | None],
    weight_names: WeightNames,
) -> APIRouter:
    """Both routers. The books are changed by the topics' readers, in this loop, not here."""

    async def require_admin(
        authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> None:
        door.require(authorization)
        if missing := waiting_for():
            raise NotReady(missing)

    router = APIRouter(dependencies=[Depends(require_admin)])
    rule_keeper = ScheduleEditor(RULES, rules, rule_messages.encode, publish, clock)
    keeper = ScheduleEditor(EXPERIMENTS, experiments, experiment_messages.encode, publish, clock)
    router.include_router(_rule_routes(rules, rule_keeper, catalogue, clock))
    router.include_router(_experiment_routes(experiments, keeper, clock, weight_names))
    return router


def _rule_routes(
    book: RuleSchedule, keeper: ScheduleEditor[Rule], catalogue: Catalogue, clock: Clock
) -> APIRouter:
    router = APIRouter(tags=["rules"])

    async def put(wanted: Sequence[Rule]) -> Response:
        _require_room(book, [rule.rule_id for rule in wanted], RULES_MAX)
        told = [
            warning
            for rule in wanted
            for warning in admin_bodies.of_rule(rule, lambda each: catalogue.get(each) is not None, clock())
        ]
        stamped = keeper.stamp({rule.rule_id: rule for rule in wanted})
        is_read = await keeper.put(stamped)
        return _change_response(RulesPut(tuple(stamped.values()), _warnings_of(told, is_read)), is_read)

    async def delete(rule_ids: Sequence[str]) -> Response:
        told = [f"there was no rule {each!r}" for each in rule_ids if book.get(each) is None]
        is_read = await keeper.delete(rule_ids)
        return _change_response(Deleted(tuple(rule_ids), _warnings_of(told, is_read)), is_read)

    @router.get("/v1/rules", **admin_bodies.GET_RULES)
    async def get_rules() -> Response:
        """All rules, whether or not they hold now."""
        return _json(RuleList(book.rules))

    @router.put("/v1/rules", **admin_bodies.PUT_RULES)
    async def put_rules(request: Request) -> Response:
        """Adds or replaces rules; others stay. One bad rule, and none is taken."""
        return await put(rules_of(await read_body(request, BODY_MAX_BYTES, JSON)))

    @router.delete("/v1/rules", **admin_bodies.DELETE_RULES)
    async def delete_rules(rule_ids: RuleIds) -> Response:
        """Deletes rules. An id that nobody knows is no error."""
        return await delete(tuple(dict.fromkeys(rule_ids)))

    @router.get("/v1/rules/{rule_id}", **admin_bodies.GET_RULE)
    async def get_rule(rule_id: RuleId) -> Response:
        """One rule."""
        return _json(_require_known(book.get(rule_id), f"there is no rule {rule_id!r}"))

    @router.put("/v1/rules/{rule_id}", **admin_bodies.PUT_RULE)
    async def put_rule(rule_id: RuleId, request: Request) -> Response:
        """Adds or replaces one rule. 200 means that open pages follow it."""
        return await put([rule_of(await read_body(request, BODY_MAX_BYTES, JSON), rule_id)])

    @router.delete("/v1/rules/{rule_id}", **admin_bodies.DELETE_RULES)
    async def delete_rule(rule_id: RuleId) -> Response:
        """Deletes one rule. An id that nobody knows is no error."""
        return await delete([rule_id])

    return router


def _experiment_routes(
    book: ExperimentSchedule, keeper: ScheduleEditor[Experiment], clock: Clock, weight_names: WeightNames
) -> APIRouter:
    router = APIRouter(tags=["experiments"])

    @router.get("/v1/experiments", **admin_bodies.GET_EXPERIMENTS)
    async def get_experiments() -> Response:
        """All experiments, whether or not they run now."""
        return _json(ExperimentList(book.experiments))

    @router.get("/v1/experiments/{name}", **admin_bodies.GET_EXPERIMENT)
    async def get_experiment(name: Name) -> Response:
        """One experiment."""
        return _json(_require_known(book.get(name), f"there is no experiment {name!r}"))

    @router.put("/v1/experiments/{name}", **admin_bodies.PUT_EXPERIMENT)
    async def put_experiment(name: Name, request: Request) -> Response:
        """Starts or replaces an experiment. Of two that set one knob the first by name wins."""
        wanted = experiment_of(await read_body(request, BODY_MAX_BYTES, JSON), name, weight_names)
        _require_room(book, [name], EXPERIMENTS_MAX)
        told = list(admin_bodies.of_experiment(wanted, book.get(name), book.experiments, clock()))
        stamped = keeper.stamp({name: wanted})
        is_read = await keeper.put(stamped)
        return _change_response(ExperimentPut(stamped[name], _warnings_of(told, is_read)), is_read)

    @router.delete("/v1/experiments/{name}", **admin_bodies.DELETE_EXPERIMENT)
    async def delete_experiment(name: Name) -> Response:
        """Ends and deletes an experiment; what was shown in it stays. A name nobody knows is no error."""
        told = [] if book.get(name) else [f"there was no experiment {name!r}"]
        is_read = await keeper.delete([name])
        return _change_response(Deleted((name,), _warnings_of(told, is_read)), is_read)

    return router


def _require_room(book: Schedule[Rule] | Schedule[Experiment], names: Sequence[str], most: int) -> None:
    new = [name for name in names if book.get(name) is None]
    if len(book) + len(new) > most:
        raise Unacceptable(f"there are {len(book)} already, and at most {most}: delete some first")


def _require_known(found: Rule | Experiment | None, otherwise: str) -> msgspec.Struct:
    if found is None:
        raise Unknown(otherwise)
    return found


def _warnings_of(told: Sequence[str], is_read: bool) -> tuple[str, ...]:
    late = f"Kafka has it, but it was not read back within {APPLIED_WITHIN_S:.0f} s: open pages will follow"
    return tuple(told) if is_read else (*told, late)


def _change_response(answer: msgspec.Struct, is_read: bool) -> Response:
    return _json(answer, HTTPStatus.OK if is_read else HTTPStatus.ACCEPTED)


def _json(answer: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(answer), status, headers, "application/json")


class Publisher:
    """Messages of topics that people change, one by one."""

    def __init__(self, producer: AcknowledgedProducer, settings: ServiceSettings) -> None:
        self._producer = producer
        self._settings = settings

    async def publish(self, topic: Topic, key: str, message: bytes | None) -> None:
        """Returns once the broker has the message; None is a tombstone. Raises BrokerAway."""
        try:
            await self._producer.send_all(self._settings.topic(topic), [(key.encode(), message, [])])
        except NotDelivered as error:
            raise (RefusedByKafka(error.refused) if error.is_final else BrokerAway(str(error))) from error
