"""Settings of the trainer."""

from pathlib import Path
from tempfile import gettempdir
from typing import Final

from pydantic import Field

from services.model.propensity import ROWS_MAX
from services.model.settings import ModelSettings, SessionSettings
from services.trainer import gate

DISMISSALS: Final = frozenset({"dismiss_item"})


class TrainerSettings(SessionSettings, ModelSettings):
    """What the trainer needs to know."""

    trainer_datadir: Path = Field(
        default_factory=lambda: Path(gettempdir()) / "eddy-trainer",
        description="folder for work in progress and fetched models "
        "(default: in the folder of temporary files)",
    )
    trainer_events_max: int = Field(
        20_000_000,
        ge=1_000,
        description="of more events the newest sessions that have so many together are learned from",
    )
    trainer_rows_max: int = Field(
        ROWS_MAX,
        ge=0,
        description="so many rows that visitors saw, the newest, teach beside their events what is clicked "
        "where; 0 for none",
    )
    gate_tolerance: float = Field(
        gate.TOLERANCE,
        ge=0,
        lt=1,
        description="by what share a model may be worse than the released one and still be released",
    )
    gate_cases_min: int = Field(
        gate.CASES_MIN, ge=1, description="held-out cases that a model must have been measured on"
    )

    @property
    def event_types(self) -> frozenset[str]:
        """The types of events that are learned from: those that count in a session.

        But what was waved away on a card was never looked at: it is beside nothing.
        """
        return frozenset(name for name, weight in self.session_type_weights.items() if weight) - DISMISSALS
