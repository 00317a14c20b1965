"""GET /v1/visitors/{visitor_id}/profile: what a visitor seems to like, and the events that tell so."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from schemas.events import EventType
from schemas.identities import USER_PREFIX
from schemas.sessions import Session, SessionEvent
from services.recommender.api.errors import NotReady, UnknownParameter
from services.recommender.api.parameters import SHOWN_MAX, HeaderToken, Key, Token
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.experiments import Assignment
from services.recommender.visitor_sessions import MergedSessions
from services.visitors.identity_graph import IdentityGraph
from services.web.auth import ReaderAuth
from services.web.openapi import TOKEN_OR_KEY, Description, answer, problem

VisitorId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,64}$", description="whose profile it is")]

_encoder = msgspec.json.Encoder()


class ProfileEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One remembered event; `occurred_at` is Unix time in ms. There is no name of what is no longer sold."""

    type: EventType
    product_id: str
    occurred_at: int
    name: str | None = None


class ProfileInterest(msgspec.Struct, frozen=True, kw_only=True):
    """A top-level category that the visitor looks at; weights sum to 1. `because`: what weighs most in it."""

    category: str
    weight: float
    because: ProfileEvent


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What rows for a visitor are made from; of somebody unknown nothing.

    By the visitor's token: without what other visitors have done of whom it is only claimed that they are the
    same person. By the API key: all of it.

    `interests` are the strongest first, `events` the newest first. `visitors` counts the browsers that are
    known to be one person with this one, itself included. `experiments`: experiment → variant.
    """

    visitor_id: str
    interests: tuple[ProfileInterest, ...]
    events: tuple[ProfileEvent, ...]
    visitors: int
    experiments: dict[str, str]


def profile_of(
    visitor_id: str,
    session: Session | None,
    members: frozenset[str],
    catalogue: Catalogue,
    experiments: dict[str, str],
) -> Profile:
    """A profile, from what is known of the visitor's person."""
    events = tuple(_profile_event(event, catalogue) for event in session.events) if session else ()
    browsers = {member for member in members if not member.startswith(USER_PREFIX)} | {visitor_id}
    return Profile(
        visitor_id=visitor_id,
        interests=_interests(session, events),
        events=events[::-1],
        visitors=len(browsers),
        experiments=experiments,
    )


def _interests(session: Session | None, events: Sequence[ProfileEvent]) -> tuple[ProfileInterest, ...]:
    found = sorted(session.interests if session else (), key=lambda interest: -interest.weight)
    return tuple(
        ProfileInterest(
            category=interest.category, weight=round(interest.weight, 4), because=events[interest.event]
        )
        for interest in found
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
    treatment: Callable[[str | None], Assignment],
    waiting_for: Callable[[], str | None],
) -> APIRouter:
    """The route of profiles."""
    router = APIRouter(tags=["visitors"])

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
        found = profile_of(
            visitor_id,
            sessions.session(visitor_id, proven=not access.is_back_end),
            people.members(visitor_id, proven=not access.is_back_end),
            catalogue,
            dict(treatment(visitor_id).names),
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
