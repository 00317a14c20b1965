"""Who asks for a row, and where on the page it is."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header, Query

VisitorId = Annotated[
    str,
    Query(
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="whose session, experiments and purchases count; needs the token or the API key",
    ),
]
Token = Annotated[str | None, Query(description="the visitor's token, from ingest's POST /v1/visitors")]
Key = Annotated[str | None, Header(include_in_schema=False)]
Slot = Annotated[
    str | None, Query(min_length=1, max_length=64, description="the row's name on the page, for rules")
]


@dataclass(frozen=True, slots=True)
class Who:
    """A visitor as the request names it, nobody where there is none, and what is shown for it."""

    visitor_id: str | None = None
    token: str | None = None
    slot: str | None = None
    authorization: str | None = None


async def own(
    visitor_id: VisitorId, token: Token = None, slot: Slot = None, authorization: Key = None
) -> Who:
    """For rows that are a visitor's."""
    return Who(visitor_id, token, slot, authorization)


async def some(
    visitor_id: VisitorId | None = None, token: Token = None, slot: Slot = None, authorization: Key = None
) -> Who:
    """For rows that may be anybody's."""
    return Who(visitor_id, token, slot, authorization)


OwnVisitor = Annotated[Who, Depends(own)]
SomeVisitor = Annotated[Who, Depends(some)]

WHO: Final = ("visitor_id", "token", "slot")  # the query parameters among them
