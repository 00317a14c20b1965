"""Settings of the local stack: its folder, its ports, its catalogue."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.stack.broker import ROOT


class StackSettings(BaseSettings):
    """Where one whole flow lives. The ports are the services' own settings, under the same names."""

    model_config = SettingsConfigDict(env_prefix="EDDY_", frozen=True, extra="ignore")

    stack_folder: Path = Field(ROOT / "build" / "stack", description="logs, secrets and Kafka's data")
    catalogue_dir: Path = Field(
        ROOT / "build" / "demo" / "catalogue", description="the demo catalogue, made if it is missing"
    )
    stack_products: int = Field(2400, ge=50, le=100_000, description="products of the demo catalogue")
    kafka_bootstrap: str | None = Field(
        None, description="your own Kafka; the stack then starts none and creates only what is missing"
    )
    kafka_port: int = Field(9092, ge=1, le=65535, description="port of the stack's own broker")
    kafka_controller_port: int = Field(9093, ge=1, le=65535, description="port of its controller")
    kafka_metrics_port: int = Field(
        0, ge=0, le=65535, description="port of the broker's own metrics for Prometheus; 0 for none"
    )
    kafka_quick_start: bool = Field(
        False, description="the stack's broker starts with less CPU and needs more for each event: for tests"
    )
    shop_port: int = Field(8000, ge=1, le=65535, description="port of the demo shop")
    ingest_port: int = Field(8001, ge=1, le=65535, description="port of ingest")
    recommender_port: int = Field(8002, ge=1, le=65535, description="port of the recommender")
    session_processor_port: int = Field(8003, ge=1, le=65535, description="health of the session processor")
    embedder_port: int = Field(8004, ge=1, le=65535, description="health of the embedder")
