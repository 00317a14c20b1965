"""Reads what admin requests send: rules and experiments, or a problem that names the field."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from schemas import experiments, rules
from schemas.experiments import Experiment
from schemas.rules import MAX_RULE_BYTES, Rule
from services.bodies import TooLarge, UnreadableBody
from services.problems import Problem
from services.recommender.admin.answers import ExperimentBody, RuleBody, RulesBody

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
    return _rule(_as(RuleBody, _named(_json(body), "rule_id", rule_id)), "")


def experiment_of(body: bytes, name: str, weight_names: WeightNames) -> Experiment:
    """One experiment, whose name the path tells. Raises a Problem when it is not to be taken.

    `weight_names` are the weights that each kind of row knows; of a kind that it lacks any may be named.
    """
    sent = _as(ExperimentBody, _named(_json(body), "name", name))
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
    return decode(message)


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


def _named(value: object, field: str, name: str) -> object:
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
