"""Settings of the demo shop."""

from pathlib import Path

from pydantic import Field, SecretStr

from services.settings import ServiceSettings


class ShopSettings(ServiceSettings):
    """What the demo shop needs to know."""

    shop_host: str = Field(
        "127.0.0.1",
        description="address to listen on; on any but this machine's own the back office is left out",
    )
    shop_port: int = Field(8000, ge=1, le=65535, description="port of the shop")
    ingest_url: str = Field("http://127.0.0.1:8001", description="where browsers find ingest")
    shop_ingest_url: str | None = Field(
        None,
        description="where the shop itself finds ingest, if elsewhere than its browsers do, as in a network "
        "of containers (default: EDDY_INGEST_URL)",
    )
    recommender_url: str = Field("http://127.0.0.1:8002", description="where browsers find the recommender")
    catalogue_dir: Path = Field(
        Path("build/demo/catalogue"), description="folder of products.jsonl and pictures/"
    )
    catalogue_url: str | None = Field(
        None, description="where browsers find that folder, for pages of other hosts that show its products"
    )
    api_key: SecretStr | None = Field(
        None, min_length=16, description="what the back office shows to ingest as Authorization: Bearer"
    )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the shop."""
        return self.shop_host in ("127.0.0.1", "::1", "localhost")
