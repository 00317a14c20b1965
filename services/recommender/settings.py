"""Settings of the recommender."""

from pathlib import Path
from tempfile import gettempdir

from pydantic import Field, SecretStr, field_validator

from schemas import objectives, tenants
from services.model.settings import ModelSettings, SessionSettings
from services.recommender.pipeline.exploration import SHARE_MAX
from services.settings import HttpSettings, QdrantSettings


class RecommenderSettings(HttpSettings, QdrantSettings, SessionSettings, ModelSettings):
    """What the recommender needs to know."""

    recommender_port: int = Field(
        8002, ge=1, le=65535, description="port of the HTTP API and the live sockets"
    )
    recommender_workers: int = Field(
        1,
        ge=1,
        le=64,
        description="processes behind that port; each reads all topics and has its own index and limits",
    )
    recommender_worker_port: int = Field(
        8101,
        ge=1,
        le=65_000,
        description="where there are several: the own port of the first, for its health and metrics; the "
        "others' follow",
    )
    recommender_datadir: Path | None = Field(
        None,
        description="folder of the index in process, and of the copy of the products that a restart begins "
        "with, of a topic prefix in a folder of its own (default: one by the port, in the folder of "
        "temporary files)",
    )
    snapshot_products: int = Field(
        5_000,
        ge=1,
        description="from so many products on such a copy is kept; fewer are read from Kafka as quickly",
    )
    recommender_models: Path = Field(
        default_factory=lambda: Path(gettempdir()) / "eddy-models",
        description="folder of fetched models, which several recommenders may share, of a topic prefix in a "
        "folder of its own (default: in the folder of temporary files)",
    )
    tenant_sockets_per_s: float = Field(
        0.0,
        ge=0,
        description="live sockets a second that one recommender process opens for its tenant, ten times as "
        "many at once; 0: no limit",
    )
    tenant_searches_per_s: float = Field(
        0.0,
        ge=0,
        description="searches a second that one recommender process answers to its tenant, ten times as many "
        "at once; 0: no limit",
    )
    sessions_max: int = Field(
        100_000,
        ge=1,
        description="visitors whose newest session is kept; 6 KB each with the default models, 12 KB at most",
    )
    sessions_mb: int = Field(
        1024,
        ge=1,
        description="memory for these sessions; beyond it those with one event are forgotten first, those "
        "with a purchase or an open page last",
    )
    live_learning_s: float = Field(
        60.0, ge=0, description="how often the newest visits join the model that serves; 0 for never"
    )
    live_visitors_max: int = Field(
        20_000, ge=1, description="visitors whose visits since the model's learning count, the newest"
    )
    diversity: float = Field(
        0.2, ge=0, le=1, description="how much unlike each other a row's products should be (1 − λ of MMR)"
    )
    objective: str = Field(
        "click",
        description="what the learned order is for where no request, experiment or rule says: click, cart, "
        "buy or a mixture such as buy:0.7,click:0.3",
    )
    brand_max: int = Field(4, ge=1, description="products of one brand in a row")
    embedder_url: str | None = Field(
        "http://127.0.0.1:8004",
        pattern=r"^(https?://\S+)?$",
        description="an embedder, which makes vectors of a shopper's words; empty for searches without",
    )
    words_timeout_s: float = Field(
        1.0, gt=0, le=60, description="how long the embedder may take for the words of a search"
    )
    impressions: bool = Field(
        True, description="whether rows that were shown are recorded on the topic recommendations"
    )
    explore_share: float = Field(
        0.02,
        ge=0,
        le=SHARE_MAX,
        description="share of the places below the third, in the visitor's own row and what is popular, "
        "whose product chance chooses among those ranked near: from these is estimated how much each place "
        "is looked at, and what another order would bring; 0 for none, and none without impressions",
    )
    popular_half_life_hours: float = Field(
        72.0, gt=0, description="after so many hours an event counts half as much for what is popular"
    )
    nlq_url: str | None = Field(
        None,
        pattern=r"^(https?://\S+)?$",
        description="an OpenAI-compatible API that understands searches, such as http://127.0.0.1:11434/v1; "
        "without it, or while it is away, a parser does",
    )
    nlq_key: SecretStr | None = Field(None, description="key of that API")
    nlq_model: str = Field("gpt-4o-mini", min_length=1, description="model of that API")
    nlq_timeout_s: float = Field(
        1.5, gt=0, le=60, description="how long that API may take before the parser's word counts"
    )
    slow_reader_s: float = Field(10.0, gt=0, description="a socket that takes no data for so long is aborted")

    @property
    def popular_half_life_ms(self) -> float:
        """The half-life in ms."""
        return self.popular_half_life_hours * 3_600_000

    @property
    def process_datadir(self) -> Path:
        """Where this process, of whatever tenants, keeps what it has on disk."""
        return self.recommender_datadir or Path(gettempdir()) / f"eddy-recommender-{self.recommender_port}"

    @property
    def datadir(self) -> Path:
        """Where the index in process and the copy of the products live, of this tenant alone."""
        return self.process_datadir / tenants.folder(self.topic_prefix)

    @property
    def modelsdir(self) -> Path:
        """Where fetched models live, of this tenant alone: only the newest few stay in a folder."""
        return self.recommender_models / tenants.folder(self.topic_prefix)

    @field_validator("objective")
    @classmethod
    def _require_objective(cls, text: str) -> str:
        objectives.parse(text)
        return text
