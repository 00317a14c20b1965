"""The query parameters that all routes of recommendations share."""

from typing import Annotated, Final

from fastapi import Query
from pydantic import BaseModel, Field

from services.recommender.vector_index import AVAILABLE, Where

K: Final = 12
K_MAX: Final = 100
EXCLUDED_MAX: Final = 500


class RowParameters(BaseModel):
    """How many products, and what they must be like."""

    k: int = Field(K, ge=1, le=K_MAX, description="how many products")
    price_min: float | None = Field(None, ge=0, description="least price, inclusive")
    price_max: float | None = Field(None, ge=0, description="greatest price, inclusive")
    category: str | None = Field(None, description="a category path or its beginning, such as Women/Shoes")
    brand: str | None = Field(None, description="only this brand")
    type: str | None = Field(None, description="only this product type")
    tag: str | None = Field(None, description="only products with this tag")
    market: str | None = Field(None, description="only products sold in this market")
    in_stock: bool = Field(True, description="false shows what is sold out, too")
    exclude: list[str] = Field([], max_length=EXCLUDED_MAX, description="ids of products to leave out")

    @property
    def where(self) -> Where:
        """The hard filters."""
        return Where(
            availability=AVAILABLE if self.in_stock else frozenset(),
            price_min=self.price_min,
            price_max=self.price_max,
            category=self.category.rstrip("/") if self.category else None,
            brand=self.brand,
            type=self.type,
            tag=self.tag,
            market=self.market,
            exclude=frozenset(self.exclude),
        )


Parameters = Annotated[RowParameters, Query()]
