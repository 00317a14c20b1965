"""What many look at, as a row or to fill one: of the page's category first, on the page of one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from schemas.live import Reason
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Hit
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.diversity import RankedProduct
from services.recommender.pipeline.request import CandidateSet, RecommendationRequest


class PopularRetriever:
    """Asks the catalogue, which counts."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def retrieve(
        self, asked: RecommendationRequest, most: int, brand_max: int, beside: Iterable[str | None] = ()
    ) -> CandidateSet:
        """In their order; `beside` are the brands that are in the row already."""
        found = self._find(asked, most, brand_max, [*beside])
        popular = CandidateList.of(found, self._catalogue.numbers)
        top = max([hit.score for hit in found], default=0.0) or 1.0

        def explain(chosen: Sequence[RankedProduct]) -> list[Reason]:
            shares = [round(max(each.score, 0.0) / top, 4) for each in chosen]
            return [Reason(kind="popular", strength=share) for share in shares]

        return CandidateSet(
            [popular], [1.0], explain, fills=False, in_order=True, found={"popular": [popular.numbers]}
        )

    def _find(
        self, asked: RecommendationRequest, most: int, brand_max: int, beside: Sequence[str | None]
    ) -> list[Hit]:
        where, category = asked.where, asked.page_category
        first: list[Hit] = []
        if category and not where.category:
            here = replace(where, category=frozenset({category}))
            first = self._catalogue.popular(most, here, brand_max, row=asked.k, beside=beside)
            where = replace(where, exclude=where.exclude | {hit.product_id for hit in first})
        if len(first) >= most:
            return first
        rest = self._catalogue.popular(most - len(first), where, brand_max, row=asked.k, beside=beside)
        return [*first, *rest]
