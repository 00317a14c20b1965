"""What was warmed is not compiled again when the first row is made."""

from typing import Any, Final

from services.recommender.pipeline import candidate_list, diversity
from services.recommender.pipeline.warmup import warm
from tests.support.pipeline import PipelineShop, ids

COMPILED: Final[tuple[Any, ...]] = (
    candidate_list._dot_products,
    candidate_list.distinct,
    diversity._interleave,
)


async def test_what_was_warmed_is_not_compiled_again(model_shop: PipelineShop) -> None:
    warm()
    before = [len(each.signatures) for each in COMPILED]
    assert ids(await model_shop.row("p0", "p3", "p1"))
    assert [len(each.signatures) for each in COMPILED] == before
