"""What a client may take of an HTTP service: requests a second, bytes of headers, time, connections."""

from ipaddress import ip_network
from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

BODY_BYTES: Final = 16 << 20  # of one message as it comes; what a path takes is less, and told by the path


class BoundsSettings(BaseSettings):
    """The bounds of a service that browsers talk to; a rate of 0 is no limit."""

    model_config = SettingsConfigDict(env_prefix="EDDY_", frozen=True, extra="ignore")

    rate_token: float = Field(
        30.0,
        ge=0,
        description="requests a second with one visitor token, ten times as many at once; 0: no limit",
    )
    rate_token_events: float = Field(
        100.0, ge=0, description="events a second with one visitor token, a full batch at once; 0: no limit"
    )
    rate_key: float = Field(
        5_000.0, ge=0, description="requests a second with one of the shop's keys; 0: no limit"
    )
    rate_address: float = Field(
        2_000.0,
        ge=0,
        description="requests a second from one address (of IPv6 a /64) without a key of the back end: many "
        "people share one, and so do all who come through a proxy that is not trusted; 0: no limit",
    )
    rate_new_visitors: float = Field(
        50.0, ge=0, description="visitors a second that one address may ask a token for; 0: no limit"
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks of your own reverse proxies, comma-separated: from these, "
        "and nobody else, X-Forwarded-For tells who is asking",
    )
    header_bytes_max: int = Field(
        65_000, ge=1024, le=65_535, description="bytes of a request's first line and headers"
    )
    header_timeout_s: float = Field(
        10.0, gt=0, description="how long a client may take for a request's first line and headers"
    )
    body_timeout_s: float = Field(60.0, gt=0, description="how long a client may take for a request's body")
    connections_max: int = Field(10_000, ge=1, description="open connections, live sockets among them")
    connections_per_address: int = Field(
        2_000, ge=1, description="open connections of one address that is no trusted proxy"
    )

    @property
    def proxies(self) -> list[str]:
        """The trusted proxies, one by one."""
        return [each.strip() for each in self.trusted_proxies.split(",") if each.strip()]

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: str) -> str:
        for each in filter(None, map(str.strip, proxies.split(","))):
            try:
                ip_network(each, strict=False)
            except ValueError:
                raise ValueError(f"{each!r} is no address and no network such as 10.0.0.0/8") from None
        return proxies
