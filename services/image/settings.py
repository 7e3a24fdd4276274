"""What the image service can be told."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.image.links import LinkKeys
from services.image.plan import Limits
from services.image.studio import StudioOptions
from services.mesh.settings import ReportingSettings


class ImageSettings(ReportingSettings):
    """The image service: draws, edits and enlarges pictures."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_IMAGE_")

    triton_target: str = "127.0.0.1:8001"
    """Address of Triton's gRPC endpoint, host:port."""
    database_url: SecretStr = SecretStr("sqlite:///image.db")
    """Where jobs, and what is known of pictures, are stored, as a SQLAlchemy URL (sqlite or postgresql)."""
    pictures_url: str = "pictures"
    """Where pictures are kept: a folder, or `s3://bucket/prefix` or another URL that fsspec knows. Every replica must
    reach it. Credentials come from the environment."""
    public_url: str = ""
    """Address by which clients reach the gateway, e.g. `https://parley.example.com`: for the URLs of pictures. Empty:
    the one that the client asked."""
    link_key: LinkKeys = SecretStr("")
    """Keys that links to pictures are signed with, separated by commas; each 32 random bytes, urlsafe base64. The first
    signs, all are good: to change it, put the new one in front, and drop the old one when its links have expired. All
    replicas need the same. Empty: there are no links that work without a credential."""
    link_seconds: float = Field(default=3600.0, ge=1)
    """How long a link to a picture is good, in seconds; never longer than the picture is kept."""
    keep_seconds: float = Field(default=7 * 86400.0, gt=0)
    """How long pictures and jobs are kept, in seconds; after that they are deleted."""
    jobs_running: int = Field(default=4, ge=1, le=64)
    """How many jobs this process has in the model server at the same time. Those of one size and model are drawn
    together there, which is faster than one after the other."""
    jobs_waiting: int = Field(default=64, ge=0)
    """How many jobs may wait in this process; a further one gets RESOURCE_EXHAUSTED. Each holds its request."""
    jobs_waiting_each: int = Field(default=8, ge=0)
    """How many jobs of one user may wait in this process."""
    max_side: int = Field(default=2048, ge=64, le=4096, multiple_of=8)
    """Longest side of a picture that is drawn, in pixels."""
    max_pixels: int = Field(default=2048 * 2048, ge=64 * 64)
    """Most pixels of a picture that is drawn, after its second pass."""
    max_job_pixels: int = Field(default=16 * 1024 * 1024, ge=64 * 64, le=24_000_000)
    """Most pixels of all pictures of a job together, and of a picture that is enlarged."""
    batch_pixels: int = Field(default=2 * 1024 * 1024, ge=64 * 64)
    """Pixels of the pictures of a job that are drawn together; those beyond are drawn after them."""
    max_input_pixels: int = Field(default=32 * 1024 * 1024, ge=64 * 64, le=80_000_000)
    """Most pixels of a picture that is sent; looked up in its header, before it is unpacked."""
    catalog_seconds: float = Field(default=10.0, ge=0)
    """How long the lists of models, LoRAs and so on are remembered, in seconds."""
    lease_seconds: float = Field(default=15.0, ge=2)
    """After how long without a sign of life a process's jobs are given up, in seconds."""
    models_wait_seconds: float = Field(default=0.0, ge=0, le=3600)
    """How long jobs wait in the queue for a model server that is away, in seconds: more than its start takes, where it
    is scaled to zero until somebody draws. The service is ready without it then. 0: they fail at once."""

    @property
    def options(self) -> StudioOptions:
        """How the studio draws."""
        return StudioOptions(
            Limits(self.max_side, self.max_pixels, self.max_job_pixels, self.batch_pixels),
            self.max_input_pixels,
            self.catalog_seconds,
            self.lease_seconds,
            self.models_wait_seconds,
        )
