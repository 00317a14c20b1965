"""Which of the shop's rules mean a product, and by what. Pure."""

from collections.abc import Iterable, Iterator

from schemas.points import CATEGORY_SEPARATOR, category_prefixes
from schemas.products import Product
from schemas.rules import Rule
from services.ops.product.report import RuleOn


def meaning(rules: Iterable[Rule], product: Product, now_ms: float) -> tuple[RuleOn, ...]:
    """The rules that name the product, sorted by id; those first that hold at `now_ms`."""
    found = []
    for rule in rules:
        by = tuple(_named(rule, product))
        if by:
            moves = rule.action in ("boost", "bury")
            found.append(
                RuleOn(
                    rule_id=rule.rule_id,
                    action=rule.action,
                    by=by,
                    slots=rule.slots,
                    holds_now=rule.holds(now_ms),
                    starts_at=rule.starts_at,
                    ends_at=rule.ends_at,
                    factor=rule.factor if moves else None,
                    position=_place(rule, product) if rule.action == "pin" else None,
                    note=rule.note,
                )
            )
    return tuple(sorted(found, key=lambda rule: (not rule.holds_now, rule.rule_id)))


def _named(rule: Rule, product: Product) -> Iterator[str]:
    if product.product_id in rule.products:
        yield "its id"
    if product.brand is not None and product.brand in rule.brands:
        yield f"brand {product.brand}"
    named = {each.rstrip(CATEGORY_SEPARATOR) for each in rule.categories}
    yield from (f"category {each}" for each in category_prefixes(product.category) if each in named)
    yield from (f"tag {each}" for each in product.tags if each in rule.tags)


def _place(rule: Rule, product: Product) -> int:
    return rule.position + rule.products.index(product.product_id)
