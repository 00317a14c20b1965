"""Settings of the recommender."""

from pathlib import Path
from tempfile import gettempdir

from pydantic import Field

from services.settings import HttpSettings, QdrantSettings


class RecommenderSettings(HttpSettings, QdrantSettings):
    """What the recommender needs to know."""

    recommender_port: int = Field(
        8002, ge=1, le=65535, description="port of the HTTP API and the live sockets"
    )
    recommender_datadir: Path | None = Field(
        None,
        description="folder of the index in process, emptied at the start "
        "(default: one by the port, in the folder of temporary files)",
    )
    sessions_max: int = Field(
        100_000, ge=1, description="visitors whose newest session is kept; about 5 KB each"
    )
    diversity: float = Field(
        0.2, ge=0, le=1, description="how much unlike each other a row's products should be (1 − λ of MMR)"
    )
    brand_max: int = Field(4, ge=1, description="products of one brand in a row")
    slow_reader_s: float = Field(
        10.0, gt=0, description="a socket that takes no data for so long is closed with 1013"
    )

    @property
    def index_folder(self) -> Path:
        """Where the index in process lives."""
        return self.recommender_datadir or Path(gettempdir()) / f"eddy-recommender-{self.recommender_port}"
