"""What /docs says of the admin routes: their bodies, answers and problems."""

from importlib.resources import files
from typing import Final

import msgspec

from schemas.experiments import Experiment
from schemas.jsonschema import Schema, components
from schemas.rules import Rule
from services.openapi import REF, Description, answer, problem, reference
from services.recommender.admin.answers import (
    Deleted,
    ExperimentBody,
    ExperimentList,
    ExperimentPut,
    RuleBody,
    RuleList,
    RulesBody,
    RulesPut,
)

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


def _described(struct: type[msgspec.Struct], meaning: str, *problems: int) -> Description:
    described = answer(200, struct, meaning)
    described["responses"] |= {each: problem(PROBLEMS[each]) for each in (401, 403, 503, *problems)}
    return described | {"openapi_extra": {"security": SECURITY}}


def _changing(
    struct: type[msgspec.Struct], meaning: str, body: Schema | None = None, example: object = None
) -> Description:
    described = _described(struct, meaning, *([400, 413, 415, 422] if body else [422]))
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


GET_RULES: Final = _described(RuleList, "All rules")
GET_RULE: Final = _described(Rule, "The rule", 404, 422)
PUT_RULES: Final = _changing(
    RulesPut, "The rules hold, on open pages too", reference(RulesBody), {"rules": [_example("rule")]}
)
PUT_RULE: Final = _changing(
    RulesPut, "The rule holds, on open pages too", _without(RuleBody, "rule_id"), _example("rule", "rule_id")
)
DELETE_RULES: Final = _changing(Deleted, "The rules hold no more, on open pages neither")
GET_EXPERIMENTS: Final = _described(ExperimentList, "All experiments")
GET_EXPERIMENT: Final = _described(Experiment, "The experiment", 404, 422)
PUT_EXPERIMENT: Final = _changing(
    ExperimentPut, "The experiment runs", _without(ExperimentBody, "name"), _example("experiment", "name")
)
DELETE_EXPERIMENT: Final = _changing(Deleted, "The experiment runs no more")
