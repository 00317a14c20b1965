"""GET /v1/visitors/{visitor_id}/profile: what a visitor seems to like, and the events that tell so."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from schemas.events import EventType
from schemas.identities import USER_PREFIX
from schemas.products import Product
from schemas.sessions import Session, SessionEvent
from schemas.vectors import Layout, Vector
from services.model import interests
from services.model.interests import InterestContext, InterestInWords, Neighbour, Price, ProductName
from services.model.session import Tuning
from services.recommender.api.errors import NotReady, UnknownParameter
from services.recommender.api.parameters import SHOWN_MAX, HeaderToken, Key, Token
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.experiments import Assignment
from services.recommender.visitor_sessions import MergedSessions
from services.vector_replica import VectorReplica
from services.visitors.identity_graph import IdentityGraph
from services.web.auth import ReaderAuth
from services.web.openapi import TOKEN_OR_KEY, Description, answer, problem

VisitorId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,64}$", description="whose profile it is")]

SAMPLE: Final = 1_000  # products that stand for all of a category: 3 ms an interest

_encoder = msgspec.json.Encoder()


class ProfileEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One remembered event; `occurred_at` is Unix time in ms. There is no name of what is no longer sold."""

    type: EventType
    product_id: str
    occurred_at: int
    name: str | None = None


class ProfileSearch(msgspec.Struct, frozen=True, kw_only=True):
    """One remembered search; `words` may be cut."""

    words: str
    occurred_at: int


class ProfileInterest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A top-level category that the visitor looks at; weights sum to 1. `because`: what weighs most in it.

    In words: `path` is the category that most of it is of; types, tags and brands set it apart, the most
    telling first. All but the first three fields may be missing.
    """

    category: str
    weight: float
    because: ProfileEvent
    path: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    price: Price | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What rows for a visitor are made from; of somebody unknown nothing.

    By the visitor's token: without what other visitors have done of whom it is only claimed that they are the
    same person. By the API key: all of it.

    `interests` are the strongest first, `events` the newest first. `visitors` counts the browsers that are
    known to be one person with this one, itself included. `experiments`: experiment → variant. `searches` are
    the newest first.
    """

    visitor_id: str
    interests: tuple[ProfileInterest, ...]
    events: tuple[ProfileEvent, ...]
    visitors: int
    experiments: dict[str, str]
    searches: tuple[ProfileSearch, ...] = ()


class CatalogueVectors:
    """The catalogue's products with their vectors, as services.model.interests asks for them.

    Of a large category a sample stands for all: to compare a visitor with each of a hundred thousand products
    would hold up every row meanwhile.
    """

    def __init__(self, catalogue: Catalogue, replica: VectorReplica, layout: Layout) -> None:
        self.layout = layout
        self._catalogue = catalogue
        self._replica = replica

    def find(self, product_id: str) -> Product | None:
        """The product, or None."""
        return self._catalogue.get(product_id)

    def top_categories(self, product_ids: Sequence[str]) -> list[str | None]:
        """The first step of each product's category path, or None for one without a vector."""
        return self._replica.top_categories(product_ids)

    def among(self, category: str) -> list[str]:
        """The ids of products of a top-level category, at most SAMPLE, from all over it."""
        everyone = np.arange(len(self._replica.numbers), dtype=np.int32)
        found = everyone[self._replica.category_codes(everyone) == self._replica.category_code(category)]
        step = -(-len(found) // SAMPLE) or 1
        return [each for each in self._replica.numbers.ids(found[::step]) if self._catalogue.get(each)]

    def nearest(self, query: Vector, product_ids: Sequence[str], k: int) -> list[Neighbour]:
        """The k of these products with the greatest dot product with a (width,) query, the best first."""
        scores = self._replica.units(product_ids) @ query
        best = np.argsort(-scores, kind="stable")[:k].tolist()
        found = ((self._catalogue.get(product_ids[row]), float(scores[row])) for row in best)
        return [Neighbour(product, score) for product, score in found if product is not None]


def profile_of(
    visitor_id: str,
    session: Session | None,
    members: frozenset[str],
    catalogue: Catalogue,
    *,
    experiments: dict[str, str],
    words: Sequence[InterestInWords] = (),
) -> Profile:
    """A profile, from what is known of the visitor's person; `words` are of the session's interests."""
    events = tuple(_profile_event(event, catalogue) for event in session.events) if session else ()
    browsers = {member for member in members if not member.startswith(USER_PREFIX)} | {visitor_id}
    searches = session.searches[::-1] if session else ()
    return Profile(
        visitor_id=visitor_id,
        interests=_interests(session, events, words),
        events=events[::-1],
        visitors=len(browsers),
        experiments=experiments,
        searches=tuple(ProfileSearch(words=each.words, occurred_at=each.occurred_at) for each in searches),
    )


def _interests(
    session: Session | None, events: Sequence[ProfileEvent], words: Sequence[InterestInWords]
) -> tuple[ProfileInterest, ...]:
    found = session.interests if session else ()
    told: Sequence[InterestInWords | None] = words or [None] * len(found)
    return tuple(
        ProfileInterest(
            category=interest.category,
            weight=round(interest.weight, 4),
            because=events[interest.event],
            path=said.path if said else (),
            types=tuple(each.word for each in said.types) if said else (),
            tags=tuple(each.word for each in said.tags) if said else (),
            brands=tuple(each.word for each in said.brands) if said else (),
            price=said.price if said else None,
        )
        for interest, said in sorted(zip(found, told, strict=True), key=lambda each: -each[0].weight)
    )


def _profile_event(event: SessionEvent, catalogue: Catalogue) -> ProfileEvent:
    product = catalogue.get(event.product_id)
    return ProfileEvent(
        type=event.type,
        product_id=event.product_id,
        occurred_at=event.occurred_at,
        name=product.name if product else None,
    )


def profile_routes(
    door: ReaderAuth,
    sessions: MergedSessions,
    people: IdentityGraph,
    catalogue: Catalogue,
    *,
    vectors: CatalogueVectors,
    tuning: Tuning,
    treatment: Callable[[str | None], Assignment],
    waiting_for: Callable[[], str | None],
) -> APIRouter:
    """The route of profiles."""
    router = APIRouter(tags=["visitors"])

    def describe(session: Session) -> tuple[InterestInWords, ...]:
        return interests.describe(InterestContext(session, vectors, tuning, name))

    def name(product_id: str) -> ProductName:
        product = catalogue.get(product_id)
        return ProductName(product_id, product.name if product else None)

    @router.get("/v1/visitors/{visitor_id}/profile", **_describe())
    async def profile(
        request: Request,
        visitor_id: VisitorId,
        token: Token = None,
        shown: HeaderToken = None,
        authorization: Key = None,
    ) -> Response:
        """Interests and events of a visitor, for a page that shows them to the visitor itself."""
        access = door.require_visitor(visitor_id, token if shown is None else shown, authorization)
        for name in request.query_params.keys() - {"token"}:
            raise UnknownParameter(name[:SHOWN_MAX], ["token"])
        if missing := waiting_for():
            raise NotReady(missing)
        session = sessions.session(visitor_id, proven=not access.is_back_end)
        found = profile_of(
            visitor_id,
            session,
            people.members(visitor_id, proven=not access.is_back_end),
            catalogue,
            experiments=dict(treatment(visitor_id).names),
            # In a thread: the matrices are large, and rows of other visitors wait for none.
            words=await asyncio.to_thread(describe, session) if session else (),
        )
        headers = {"Cache-Control": "no-store"}
        return Response(_encoder.encode(found), media_type="application/json", headers=headers)

    return router


REFUSALS: Final = {
    401: problem("A token or key is missing or wrong"),
    422: problem("The id can be no visitor's, or a parameter is unknown"),
    503: problem("The catalogue is still being read: ask again after Retry-After"),
}


def _describe() -> Description:
    described = answer(200, Profile, "What is known of the visitor")
    described["responses"] |= REFUSALS
    described["openapi_extra"] = {"security": [*TOKEN_OR_KEY]}
    return described
