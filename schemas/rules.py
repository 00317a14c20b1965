"""A rule of the shop on the topic `rules` (JSON): what to pin, boost, bury or block, or what to order for."""

from typing import Annotated, Final, Literal

import msgspec

from schemas.events import END, Millis, ProductId
from schemas.objectives import OBJECTIVE_MAX
from schemas.objectives import check as check_objective
from schemas.products import Word
from schemas.unreadable import read

Action = Literal["pin", "boost", "bury", "block", "objective"]

RULES_MAX: Final = 1_000
MAX_RULE_BYTES: Final = 64 * 1024

RuleId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}" + END)]
CategoryPrefix = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]  # "Women/Shoes"
SlotName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Factor = Annotated[float, msgspec.Meta(gt=0, le=100)]


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What happens to products in rows, or, with the action `objective`, what the order of rows is for.

    A product is meant when any of `products`, `brands`, `categories` (beginnings of paths, joined by "/") or
    `tags` names it. `slots` are names or kinds of slots, none for all. The rule holds from `starts_at` up to,
    not including, `ends_at`, Unix time in ms. `factor` is what a score is multiplied by (boost) or divided by
    (bury); `position` is the first place, from 1, that pinned products take, in the order of `products`.
    `objective` is such as buy:0.7,click:0.3: a rule of that action names no products. Of several in one row
    one that names slots counts before one for all, then that of the newest `starts_at`, then the first by id.
    """

    rule_id: RuleId
    action: Action
    products: tuple[ProductId, ...] = ()
    brands: tuple[Word, ...] = ()
    categories: tuple[CategoryPrefix, ...] = ()
    tags: tuple[Word, ...] = ()
    slots: tuple[SlotName, ...] = ()
    starts_at: Millis | None = None
    ends_at: Millis | None = None
    factor: Factor = 2.0
    position: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    objective: Annotated[str, msgspec.Meta(max_length=OBJECTIVE_MAX)] | None = None
    note: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    updated_at: Millis = 0

    def holds(self, now: float) -> bool:
        """Whether it is in force at `now`, Unix ms."""
        return (self.starts_at is None or self.starts_at <= now) and (
            self.ends_at is None or now < self.ends_at
        )


def check(rule: Rule) -> str | None:
    """Why a well-formed rule still makes no sense, as a sentence for its sender, or None."""
    if rule.action == "objective":
        return _check_objective(rule)
    if rule.objective is not None:
        return f"a rule with an objective has the action objective, not {rule.action}"
    if not (rule.products or rule.brands or rule.categories or rule.tags):
        return "a rule names products, brands, categories or tags"
    if rule.action == "pin" and not rule.products:
        return "a pin names products: a brand, category or tag has no order"
    if rule.action == "pin" and (rule.brands or rule.categories or rule.tags):
        return "a pin names products only"
    return _check_times(rule)


def _check_objective(rule: Rule) -> str | None:
    if rule.objective is None:
        return "a rule of the action objective says which, such as buy:0.7,click:0.3"
    if rule.products or rule.brands or rule.categories or rule.tags:
        return "an objective is for whole rows: name slots, not products, brands, categories or tags"
    return check_objective(rule.objective) or _check_times(rule)


def _check_times(rule: Rule) -> str | None:
    if rule.starts_at is not None and rule.ends_at is not None and rule.ends_at <= rule.starts_at:
        return "ends_at must come after starts_at"
    return None


_decoder = msgspec.json.Decoder(Rule)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Rule:
    """From the bytes of one topic message. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(rule: Rule) -> bytes:
    """The bytes of one message on `rules`."""
    return _encoder.encode(rule)
