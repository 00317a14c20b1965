"""What the admin routes take and answer: the bodies of their requests and responses."""

from typing import Annotated, Final

import msgspec

from schemas.experiments import Experiment, Variant
from schemas.rules import RULES_MAX, Rule


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
