"""Reads what admin requests send: rules and experiments, or a problem that names the field."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated, Final, TypeVar

import msgspec

from schemas import experiments, rules
from schemas.experiments import Experiment, Variant
from schemas.jsonschema import Schema, components
from schemas.rules import MAX_RULE_BYTES, RULES_MAX, Rule
from schemas.unreadable import Unreadable
from services.recommender.pipeline.experiments import knobs, overlap
from services.web.openapi import REF, Description, answer, problem, reference
from services.web.problems import Problem
from services.web.requests import TooLarge, UnreadableBody


class RuleBody(Rule, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A rule as it is sent. The server sets `updated_at`; a field that is not a rule's is refused."""


class RulesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/rules: rules to add, or to put in the place of those with their ids."""

    rules: Annotated[tuple[RuleBody, ...], msgspec.Meta(min_length=1, max_length=RULES_MAX)]


class VariantBody(Variant, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A variant as it is sent; a field that is not a variant's is refused."""


class ExperimentBody(Experiment, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment as it is sent. The server sets `updated_at`; a field that is not its own is refused."""

    variants: Annotated[tuple[VariantBody, ...], msgspec.Meta(min_length=2, max_length=20)]


class RuleList(msgspec.Struct, frozen=True):
    """All rules, sorted by id, whether or not they hold now."""

    rules: tuple[Rule, ...]


class RulesPut(msgspec.Struct, frozen=True):
    """Rules as they were written, and what their author may want to look at again."""

    rules: tuple[Rule, ...]
    warnings: tuple[str, ...]


class ExperimentList(msgspec.Struct, frozen=True):
    """All experiments, sorted by name, whether or not they run now."""

    experiments: tuple[Experiment, ...]


class ExperimentPut(msgspec.Struct, frozen=True):
    """An experiment as it was written, and what its author may want to look at again."""

    experiment: Experiment
    warnings: tuple[str, ...]


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted; an id that nobody knows is no error, but is told."""

    deleted: tuple[str, ...]
    warnings: tuple[str, ...]


STRUCTS: Final = (
    Rule, RulesBody, RuleList, RulesPut, Experiment, VariantBody, ExperimentList, ExperimentPut, Deleted,
)  # fmt: skip


BODY_MAX_BYTES: Final = 1024 * 1024

T = TypeVar("T")
Sent = TypeVar("Sent")
WeightNames = Mapping[str, Collection[str]]  # kind of row → the weights that it has


class Unacceptable(Problem):
    """A field is not what it must be; the text names it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "unacceptable"


def rules_of(body: bytes) -> list[Rule]:
    """The rules of `{"rules": […]}`. Raises a Problem when any of them is not to be taken."""
    found = [_rule(each, f"rules[{number}]") for number, each in enumerate(_as(RulesBody, _json(body)).rules)]
    for rule_id, times in Counter(rule.rule_id for rule in found).items():
        if times > 1:
            raise Unacceptable(f"{times} rules have the rule_id {rule_id!r}")
    return found


def rule_of(body: bytes, rule_id: str) -> Rule:
    """One rule, whose id the path tells. Raises a Problem when it is not to be taken."""
    return _rule(_as(RuleBody, _check_name(_json(body), "rule_id", rule_id)), "")


def experiment_of(body: bytes, name: str, weight_names: WeightNames) -> Experiment:
    """One experiment, whose name the path tells. Raises a Problem when it is not to be taken.

    `weight_names` are the weights that each kind of row knows; of a kind that it lacks any may be named.
    """
    sent = _as(ExperimentBody, _check_name(_json(body), "name", name))
    if nonsense := experiments.check(sent) or _unknown_weight(sent, weight_names):
        raise Unacceptable(nonsense)
    return _on_topic(sent, "", experiments.encode, experiments.decode)


def _rule(sent: RuleBody, place: str) -> Rule:
    if nonsense := rules.check(sent):
        raise Unacceptable(f"{place}: {nonsense}" if place else nonsense)
    return _on_topic(sent, place, rules.encode, rules.decode)


def _on_topic(sent: Sent, place: str, encode: Callable[[Sent], bytes], decode: Callable[[bytes], T]) -> T:
    """As readers of the topic will see it."""
    message = encode(sent)
    if len(message) > MAX_RULE_BYTES:
        raise TooLarge(f"{place or 'this'} has {len(message)} bytes, at most {MAX_RULE_BYTES} are taken")
    try:
        return decode(message)
    except Unreadable as reason:  # what a reader would leave out is not written
        raise Unacceptable(f"{place}: {reason}" if place else str(reason)) from None


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBody(f"the body is no JSON: {error}") from None


def _as(kind: type[T], value: object) -> T:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unacceptable(str(error)) from None


def _check_name(value: object, field: str, name: str) -> object:
    """The path names what is sent; the body may do so, too."""
    if not isinstance(value, dict):
        return value
    if value.get(field, name) != name:
        raise Unacceptable(f"{field} is another one in the path: leave it out of the body, or write {name!r}")
    return {**value, field: name}


def _unknown_weight(experiment: Experiment, names: WeightNames) -> str | None:
    for number, variant in enumerate(experiment.variants):
        for kind, weights in variant.weights.items():
            unknown = sorted(set(weights) - set(names.get(kind, weights)))
            if unknown:
                known = ", ".join(sorted(names[kind]))
                return f"variants[{number}].weights.{kind}.{unknown[0]} is no weight; there are: {known}"
    return None


NAMED_MAX: Final = 5  # products that one warning names


def of_rule(rule: Rule, is_product: Callable[[str], bool], now: float) -> Iterator[str]:
    """`is_product`: whether the catalogue knows a product id; `now`: Unix ms."""
    unknown = [product_id for product_id in rule.products if not is_product(product_id)]
    if unknown:
        yield f"{rule.rule_id}: the catalogue does not know {_join_names(unknown)}"
    if rule.action == "boost" and rule.factor < 1:
        yield f"{rule.rule_id}: a boost by less than 1 moves products down"
    if rule.action == "bury" and rule.factor < 1:
        yield f"{rule.rule_id}: a bury by less than 1 moves products up"
    if rule.action in ("boost", "bury") and rule.factor == 1:
        yield f"{rule.rule_id}: a factor of 1 changes nothing"
    if rule.ends_at is not None and rule.ends_at <= now:
        yield f"{rule.rule_id}: ends_at is past, it holds no more"


def of_experiment(
    experiment: Experiment, before: Experiment | None, others: Iterable[Experiment], now: float
) -> Iterator[str]:
    """`before` is what it replaces, `others` are all known ones; `now`: Unix ms."""
    if experiment.ends_at is not None and experiment.ends_at <= now:
        yield "ends_at is past, it runs no more"
    if before is not None and before.runs(now) and _parts(before) != _parts(experiment):
        yield (
            "it was running: with other variants or shares some visitors change sides. "
            "A new name starts clean"
        )
    if not knobs(experiment):
        yield "no variant sets a weight, a model, an objective or a diversity: all visitors get the same"
    mine = knobs(experiment)
    for other in others:
        shared = sorted(mine & knobs(other))
        if other.name != experiment.name and shared and overlap(experiment, other):
            winner = min(experiment.name, other.name)
            yield (
                f"{other.name} sets {_join_names(shared)} at the same time: for visitors in both, "
                f"{winner} wins, as the first by name"
            )


def _parts(experiment: Experiment) -> list[tuple[str, float]]:
    return [(variant.name, variant.share) for variant in experiment.variants]


def _join_names(names: Sequence[str]) -> str:
    told = ", ".join(names[:NAMED_MAX])
    return told if len(names) <= NAMED_MAX else f"{told} and {len(names) - NAMED_MAX} more"


PROBLEMS: Final = {
    400: "The body is no JSON",
    401: "The admin key is missing or wrong",
    403: "No admin key is set: EDDY_ADMIN_KEY",
    404: "Nothing has this name",
    413: "The body, or one entry of it, is too large",
    415: "Declared as something else than JSON",
    422: "A field is not what it must be; the document names it",
    503: "Kafka has not acknowledged, or state is still being read: send the same again after Retry-After",
}
READ_LATER: Final = "Kafka has it, but it was not read back within 2 s: open pages will follow"
SECURITY: Final = [{"admin_key": list[str]()}]


def _describe(struct: type[msgspec.Struct], meaning: str, *problems: int) -> Description:
    described = answer(200, struct, meaning)
    described["responses"] |= {each: problem(PROBLEMS[each]) for each in (401, 403, 503, *problems)}
    return described | {"openapi_extra": {"security": SECURITY}}


def _changing(
    struct: type[msgspec.Struct], meaning: str, body: Schema | None = None, example: object = None
) -> Description:
    described = _describe(struct, meaning, *([400, 413, 415, 422] if body else [422]))
    later = {"description": READ_LATER, "content": {"application/json": {"schema": reference(struct)}}}
    described["responses"] |= {202: later}
    if body is not None:
        content = {"schema": body, "examples": {"golden": {"value": example}}}
        described["openapi_extra"] |= {
            "requestBody": {"required": True, "content": {"application/json": content}}
        }
    return described


def _without(struct: type[msgspec.Struct], named: str) -> Schema:
    """A body whose path names it already."""
    schema: Schema = components([struct], REF)[struct.__name__]
    properties = {name: each for name, each in schema["properties"].items() if name != named}
    required = [each for each in schema["required"] if each != named]
    return schema | {"properties": properties, "required": required}


def _example(name: str, *without: str) -> dict[str, object]:
    """A golden message of schemas/examples, as it is sent."""
    raw = (files("schemas") / "examples" / f"{name}.json").read_bytes()
    found = msgspec.json.decode(raw, type=dict[str, object])
    return {name: each for name, each in found.items() if name not in without}


GET_RULES: Final = _describe(RuleList, "All rules")
GET_RULE: Final = _describe(Rule, "The rule", 404, 422)
PUT_RULES: Final = _changing(
    RulesPut, "The rules hold, on open pages too", reference(RulesBody), {"rules": [_example("rule")]}
)
PUT_RULE: Final = _changing(
    RulesPut, "The rule holds, on open pages too", _without(RuleBody, "rule_id"), _example("rule", "rule_id")
)
DELETE_RULES: Final = _changing(Deleted, "The rules hold no more, on open pages neither")
GET_EXPERIMENTS: Final = _describe(ExperimentList, "All experiments")
GET_EXPERIMENT: Final = _describe(Experiment, "The experiment", 404, 422)
PUT_EXPERIMENT: Final = _changing(
    ExperimentPut, "The experiment runs", _without(ExperimentBody, "name"), _example("experiment", "name")
)
DELETE_EXPERIMENT: Final = _changing(Deleted, "The experiment runs no more")
