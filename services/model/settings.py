"""Settings that several services must have alike: what counts in a session, and where models are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import Field, FiniteFloat, field_validator

from schemas.events import EVENT_TYPES
from schemas.sessions import KINDS
from schemas.times import DAY_MS
from services.model.session import MINUTE_MS, TYPE_WEIGHTS, Tuning
from services.settings import ServiceSettings

ROOT: Final = Path(__file__).resolve().parents[2]
WITH_PRODUCTS: Final = tuple(type_ for type_ in KINDS if not EVENT_TYPES[type_].needs_query)


class SessionSettings(ServiceSettings):
    """What makes a session of events: the same for who keeps it, who reads it and who learns from it."""

    session_type_weights: dict[str, FiniteFloat] = Field(
        dict(TYPE_WEIGHTS),
        description="what an event type counts in a session, as a JSON object; "
        "types left out keep their default, 0 leaves a type out",
    )
    session_clicks_give_way: bool = Field(
        True,
        description="a select_item is remembered only until something newer of its product is known: the "
        "view_item that follows is the same interest, not a second one",
    )
    session_half_life_events: float = Field(
        6.0, gt=0, description="an event counts half after so many newer ones of its visit"
    )
    session_half_life_minutes: float = Field(
        60.0, gt=0, description="an event counts half after so long within its visit"
    )
    session_gap_minutes: float = Field(30.0, gt=0, le=1440, description="silence after which a visit is over")
    session_slow_half_life_days: float = Field(
        14.0, gt=0, description="an older visit counts half in the slow profile after so long"
    )
    session_slow_weight: float = Field(
        0.15, ge=0, le=10, description="what the slow profile counts beside the visit's events"
    )
    session_interests: int = Field(
        3,
        ge=0,
        le=3,
        description="top-level categories of a visit, the newest, that are interests by themselves",
    )
    session_idle_days: float = Field(
        30.0,
        ge=1,
        le=30,  # the retention of `sessions`
        description="events that lie so long before the visitor's newest are forgotten, "
        "and a visitor who was idle for so long altogether",
    )

    @field_validator("session_type_weights")
    @classmethod
    def _weights_of_known_types(cls, weights: Mapping[str, float]) -> Mapping[str, float]:
        unknown = sorted(set(weights) - set(WITH_PRODUCTS))
        if unknown:
            known = ", ".join(WITH_PRODUCTS)
            raise ValueError(f"no such event type with a product: {', '.join(unknown)}; there are {known}")
        merged = {**TYPE_WEIGHTS, **weights}
        if max(merged.values()) <= 0:
            raise ValueError("no event type counts for more than 0, so there would be no recommendations")
        return merged

    @property
    def tuning(self) -> Tuning:
        """The session formula's constants."""
        return Tuning(
            type_weights=self.session_type_weights,
            half_life_rank=self.session_half_life_events,
            half_life_age_ms=self.session_half_life_minutes * MINUTE_MS,
            half_life_slow_ms=self.session_slow_half_life_days * DAY_MS,
            slow_weight=self.session_slow_weight,
            gap_ms=round(self.session_gap_minutes * MINUTE_MS),
            idle_ms=round(self.session_idle_days * DAY_MS),
            interests_max=self.session_interests,
            clicks_give_way=self.session_clicks_give_way,
        )


class ModelSettings(ServiceSettings):
    """Where the trainer puts models, and services find them."""

    model_store: str = Field(
        str(ROOT / "build" / "models"),
        min_length=1,
        description="where models are kept: a local folder or an fsspec URL (s3://…, gs://…); of a topic "
        "prefix in a folder of its name",
    )
    model_name: str = Field(
        "behaviour",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="the model's folder in the store, and its key on the topic models",
    )

    @property
    def tenant_store(self) -> str:
        """Where this topic prefix has its models: no tenant sees the versions of another."""
        return (
            f"{self.model_store.rstrip('/')}/{self.topic_prefix}" if self.topic_prefix else self.model_store
        )
