"""Typed settings, read once from the environment; the same names in every service and client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cryomamba.errors import InvalidRequestError


class Settings(BaseSettings):
    """What a CryoMamba process needs to know; every field is the variable ``CRYOMAMBA_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="CRYOMAMBA_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(
        default_factory=lambda: user_data_path("cryomamba"),
        description="Folder of all state: database, uploads, work files, artifacts, connection file, keys.",
    )
    gateway_host: str = Field("127.0.0.1", description="Address on which the gateway listens.")
    gateway_port: int = Field(8000, ge=0, le=65535, description="Port of the gateway; 0 picks a free one.")
    gateway_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins of web pages, such as https://lab.example.org, that may use the gateway besides its own, "
        "separated by commas.",
    )
    bus_jobs: str = Field("tcp://127.0.0.1:5560", description="Endpoint of requests and replies.")
    bus_preview_in: str = Field("tcp://127.0.0.1:5561", description="Endpoint to which inference publishes previews.")
    bus_preview_out: str = Field("tcp://127.0.0.1:5562", description="Endpoint from which previews are read.")
    bus_events: str = Field("tcp://127.0.0.1:5563", description="Endpoint of job states and progress.")
    roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default_factory=lambda: (Path.home(),),
        description=f"Folders from which volumes may be read by path, separated by '{os.pathsep}'. "
        "The home folder unless set.",
    )
    gateway_certfile: Path | None = Field(
        None, description="Certificate chain (PEM) with which the gateway serves TLS."
    )
    gateway_keyfile: Path | None = Field(None, description="Private key (PEM) that belongs to the certificate.")
    gateway_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names under which the gateway is reached besides its address, such as em.example.org, "
        "separated by commas.",
    )
    requests_per_minute: int = Field(600, ge=1, description="Requests that one token may send in a minute.")
    sockets_per_token: int = Field(32, ge=1, description="WebSockets that one token may hold open.")
    max_unauthenticated: int = Field(
        512,
        ge=1,
        description="Connections at once that have not shown a token; for one more, the one that has waited longest is "
        "closed.",
    )
    max_unauthenticated_per_address: int = Field(
        128,
        ge=1,
        description="The same for the connections of one address, or of IPv6 of one network of 64 bits; behind a proxy "
        "that is the proxy's.",
    )
    uploads_per_token: int = Field(16, ge=1, description="Unfinished uploads that one token may have.")
    upload_max_gb: float = Field(64.0, gt=0, description="Largest file that may be uploaded, in GB (10^9 bytes).")
    upload_quota_gb: float = Field(256.0, gt=0, description="What all uploaded files of one owner may take, in GB.")
    upload_hours: float = Field(24.0, gt=0, description="Hours after which an upload without a new part is removed.")
    keep_days: float = Field(
        30.0, ge=0, description="Days for which 'cryomamba gc' keeps jobs that have ended and uploaded files."
    )
    token: SecretStr | None = Field(None, description="Token with which clients ask a gateway that wants one.")
    key: Path | None = Field(
        None, description="Key file with which this process speaks on the bus; the home's own one unless set."
    )
    log: str = Field("info", description="Level, and optionally the form: 'info', 'debug,json', 'warning,text'.")
    lease_s: float = Field(30.0, gt=0, description="Seconds a claimed job is held without a sign of life.")
    disk_reserve: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="Bytes that must stay free on the disk of the home folder; jobs that would go below are refused.",
    )
    job_memory: int = Field(
        0,
        ge=0,
        description="Bytes of memory that a job's processes may hold together before they are ended; 0 means no limit.",
    )
    job_seconds: float = Field(0.0, ge=0, description="Seconds that one attempt at a job may take; 0 means no limit.")
    processes: int = Field(0, ge=0, description="Processes over which tiles are spread; 0 means one per core.")
    preview_codec: Literal["auto", "raw", "deflate", "zstd"] = Field(
        "auto", description="How previews are packed; 'auto' is raw on this machine and deflate beyond it."
    )

    @field_validator("roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)
        return value

    @field_validator("gateway_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("gateway_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def database(self) -> Path:
        """The broker's job store."""
        return self.home / "jobs.sqlite"

    @property
    def artifacts(self) -> Path:
        """Finished files, one folder per job."""
        return self.home / "artifacts"

    @property
    def work(self) -> Path:
        """Unfinished files, one folder per job and attempt."""
        return self.home / "work"

    @property
    def uploads(self) -> Path:
        """Files that clients sent, finished and unfinished."""
        return self.home / "uploads"

    @property
    def keys(self) -> Path:
        """Keys and tokens, for their owner's eyes only."""
        return self.home / "keys"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """Folders of the home from which no client may read by path."""
        return self.artifacts, self.work, self.uploads, self.keys

    @property
    def connection_file(self) -> Path:
        """Where the broker says how it can be reached."""
        return self.home / "bus.json"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    InvalidRequestError
        A variable does not fit; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = f"CRYOMAMBA_{first['loc'][0]}".upper() if first["loc"] else "The configuration"
        raise InvalidRequestError(
            f"{variable} is not usable: {first['msg']}.",
            hint="Correct the variable in the environment or in .env; docs/reference/configuration.md lists them all.",
        ) from None
