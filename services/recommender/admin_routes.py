"""/v1/rules and /v1/experiments: what a shop's people change without code, behind the admin key."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from schemas import experiments as experiment_messages
from schemas import rules as rule_messages
from schemas.experiments import EXPERIMENTS_MAX, Experiment
from schemas.rules import RULES_MAX, Rule
from schemas.topics import EXPERIMENTS, RULES
from services.admin_door import AdminDoor
from services.bodies import JSON, read_body
from services.problems import Problem
from services.recommender.admin import openapi, warnings
from services.recommender.admin.answers import (
    Deleted,
    ExperimentList,
    ExperimentPut,
    RuleList,
    RulesPut,
)
from services.recommender.admin.bodies import (
    BODY_MAX_BYTES,
    Unacceptable,
    WeightNames,
    experiment_of,
    rule_of,
    rules_of,
)
from services.recommender.admin.keeping import APPLIED_WITHIN_S, BookKeeper, Publish
from services.recommender.catalogue import Catalogue
from services.recommender.experiment_book import ExperimentBook
from services.recommender.refusals import NotReady
from services.recommender.rule_book import RuleBook
from services.recommender.timed_book import TimedBook

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
    door: AdminDoor,
    rules: RuleBook,
    experiments: ExperimentBook,
    publish: Publish,
    *,
    catalogue: Catalogue,
    clock: Clock,
    waiting_for: Callable[[], str | None],
    weight_names: WeightNames,
) -> APIRouter:
    """Both routers. The books are changed by the topics' readers, in this loop, not here."""

    async def admitted(authorization: Annotated[str | None, Header(include_in_schema=False)] = None) -> None:
        door.require(authorization)
        if missing := waiting_for():
            raise NotReady(missing)

    router = APIRouter(dependencies=[Depends(admitted)])
    rule_keeper = BookKeeper(RULES, rules, rule_messages.encode, publish, clock)
    keeper = BookKeeper(EXPERIMENTS, experiments, experiment_messages.encode, publish, clock)
    router.include_router(_rule_routes(rules, rule_keeper, catalogue, clock))
    router.include_router(_experiment_routes(experiments, keeper, clock, weight_names))
    return router


def _rule_routes(book: RuleBook, keeper: BookKeeper[Rule], catalogue: Catalogue, clock: Clock) -> APIRouter:
    router = APIRouter(tags=["rules"])

    async def put(wanted: Sequence[Rule]) -> Response:
        _require_room(book, [rule.rule_id for rule in wanted], RULES_MAX)
        told = [
            warning
            for rule in wanted
            for warning in warnings.of_rule(rule, lambda each: catalogue.get(each) is not None, clock())
        ]
        stamped = keeper.stamped({rule.rule_id: rule for rule in wanted})
        is_read = await keeper.put(stamped)
        return _changed(RulesPut(tuple(stamped.values()), _noted(told, is_read)), is_read)

    async def delete(rule_ids: Sequence[str]) -> Response:
        told = [f"there was no rule {each!r}" for each in rule_ids if book.get(each) is None]
        is_read = await keeper.delete(rule_ids)
        return _changed(Deleted(tuple(rule_ids), _noted(told, is_read)), is_read)

    @router.get("/v1/rules", **openapi.GET_RULES)
    async def get_rules() -> Response:
        """All rules, whether or not they hold now."""
        return _json(RuleList(book.rules))

    @router.put("/v1/rules", **openapi.PUT_RULES)
    async def put_rules(request: Request) -> Response:
        """Adds or replaces rules; others stay. One bad rule, and none is taken."""
        return await put(rules_of(await read_body(request, BODY_MAX_BYTES, JSON)))

    @router.delete("/v1/rules", **openapi.DELETE_RULES)
    async def delete_rules(rule_ids: RuleIds) -> Response:
        """Deletes rules. An id that nobody knows is no error."""
        return await delete(tuple(dict.fromkeys(rule_ids)))

    @router.get("/v1/rules/{rule_id}", **openapi.GET_RULE)
    async def get_rule(rule_id: RuleId) -> Response:
        """One rule."""
        return _json(_known(book.get(rule_id), f"there is no rule {rule_id!r}"))

    @router.put("/v1/rules/{rule_id}", **openapi.PUT_RULE)
    async def put_rule(rule_id: RuleId, request: Request) -> Response:
        """Adds or replaces one rule. 200 means that open pages follow it."""
        return await put([rule_of(await read_body(request, BODY_MAX_BYTES, JSON), rule_id)])

    @router.delete("/v1/rules/{rule_id}", **openapi.DELETE_RULES)
    async def delete_rule(rule_id: RuleId) -> Response:
        """Deletes one rule. An id that nobody knows is no error."""
        return await delete([rule_id])

    return router


def _experiment_routes(
    book: ExperimentBook, keeper: BookKeeper[Experiment], clock: Clock, weight_names: WeightNames
) -> APIRouter:
    router = APIRouter(tags=["experiments"])

    @router.get("/v1/experiments", **openapi.GET_EXPERIMENTS)
    async def get_experiments() -> Response:
        """All experiments, whether or not they run now."""
        return _json(ExperimentList(book.experiments))

    @router.get("/v1/experiments/{name}", **openapi.GET_EXPERIMENT)
    async def get_experiment(name: Name) -> Response:
        """One experiment."""
        return _json(_known(book.get(name), f"there is no experiment {name!r}"))

    @router.put("/v1/experiments/{name}", **openapi.PUT_EXPERIMENT)
    async def put_experiment(name: Name, request: Request) -> Response:
        """Starts or replaces an experiment. Of two that set one knob the first by name wins."""
        wanted = experiment_of(await read_body(request, BODY_MAX_BYTES, JSON), name, weight_names)
        _require_room(book, [name], EXPERIMENTS_MAX)
        told = list(warnings.of_experiment(wanted, book.get(name), book.experiments, clock()))
        stamped = keeper.stamped({name: wanted})
        is_read = await keeper.put(stamped)
        return _changed(ExperimentPut(stamped[name], _noted(told, is_read)), is_read)

    @router.delete("/v1/experiments/{name}", **openapi.DELETE_EXPERIMENT)
    async def delete_experiment(name: Name) -> Response:
        """Ends and deletes an experiment; what was shown in it stays. A name nobody knows is no error."""
        told = [] if book.get(name) else [f"there was no experiment {name!r}"]
        is_read = await keeper.delete([name])
        return _changed(Deleted((name,), _noted(told, is_read)), is_read)

    return router


def _require_room(book: TimedBook[Rule] | TimedBook[Experiment], names: Sequence[str], most: int) -> None:
    new = [name for name in names if book.get(name) is None]
    if len(book) + len(new) > most:
        raise Unacceptable(f"there are {len(book)} already, and at most {most}: delete some first")


def _known(found: Rule | Experiment | None, otherwise: str) -> msgspec.Struct:
    if found is None:
        raise Unknown(otherwise)
    return found


def _noted(told: Sequence[str], is_read: bool) -> tuple[str, ...]:
    late = f"Kafka has it, but it was not read back within {APPLIED_WITHIN_S:.0f} s: open pages will follow"
    return tuple(told) if is_read else (*told, late)


def _changed(answer: msgspec.Struct, is_read: bool) -> Response:
    return _json(answer, HTTPStatus.OK if is_read else HTTPStatus.ACCEPTED)


def _json(answer: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(answer), status, headers, "application/json")
