"""Typed settings, read once from the environment; the same names in every service and client."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

from platformdirs import user_data_path
from pydantic import BeforeValidator, ByteSize, Field, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cryomamba.errors import InvalidRequestError
from cryomamba.field_problems import field_problem
from cryomamba.suggestions import did_you_mean

PREFIX: Final = "CRYOMAMBA_"
# Variables with the prefix that are no settings: the client's server, its configuration file, and those of 'deploy'.
OTHER_VARIABLES: Final = ("CRYOMAMBA_SERVER", "CRYOMAMBA_CONFIG", "CRYOMAMBA_NAME", "CRYOMAMBA_DATA")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("text", "json")
# The longest path of a Unix socket, in bytes: the field of the system's address without the zero at its end.
IPC_PATH_MAX: Final = 103 if sys.platform == "darwin" else 107
_GIGABYTE: Final = 1e9


def ipc_problem(endpoint: str) -> str:
    """Return what is wrong with the path of an ``ipc://`` endpoint; empty if nothing is, or for another endpoint."""
    scheme, _, path = endpoint.partition("://")
    nbytes = len(os.fsencode(path))
    if scheme != "ipc" or nbytes <= IPC_PATH_MAX:
        return ""
    return f"the path has {nbytes} bytes, and the system allows {IPC_PATH_MAX} for a socket"


def parse_log_setting(setting: str) -> tuple[str, str]:
    """Parse ``CRYOMAMBA_LOG``, such as ``debug,json``, into level and format; the format is text if none is given.

    Raises
    ------
    ValueError
        The level or the format is unknown.
    """
    level, _, log_format = (part.strip() for part in setting.lower().partition(","))
    if level not in LOG_LEVELS or log_format not in {"", *LOG_FORMATS}:
        raise ValueError(
            f"'{setting}' is not a level ({', '.join(LOG_LEVELS)}), optionally followed by a comma and a format "
            f"({', '.join(LOG_FORMATS)})"
        )
    return level, log_format or "text"


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return int(TypeAdapter(ByteSize).validate_python(value.strip()))
    except ValidationError:
        raise ValueError("give a number of bytes, or one with a unit, such as 500 MB, 4GB or 2GiB") from None


def _gigabytes(value: object) -> object:
    with_unit = isinstance(value, str) and value.strip()[-1:].isalpha()
    return int(str(_bytes(value))) / _GIGABYTE if with_unit else value


# Beyond these a value is a mistake, and would not fit into a date, a wait or a number of the operating system.
COUNT_MAX: Final = 1_000_000_000
GIGABYTES_MAX: Final = 1_000_000_000.0
NBYTES_MAX: Final = 2**62
DAYS_MAX: Final = 36_500.0
LEASE_MAX_S: Final = 30 * 86_400.0
PROCESSES_MAX: Final = 4096

Bytes = Annotated[int, BeforeValidator(_bytes)]
Gigabytes = Annotated[float, BeforeValidator(_gigabytes)]


class Settings(BaseSettings):
    """The settings of a CryoMamba process; every field is the environment variable ``CRYOMAMBA_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(
        default_factory=lambda: user_data_path("cryomamba"),
        description="Data directory: database, uploads, work files, artifacts, connection file and keys.",
    )
    gateway_host: str = Field("127.0.0.1", description="Address on which the gateway listens.")
    gateway_port: int = Field(8000, ge=0, le=65535, description="Port of the gateway; 0 picks a free one.")
    gateway_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins of further web pages that may use the gateway, such as https://lab.example.org, separated "
        "by commas.",
    )
    bus_jobs: str = Field("tcp://127.0.0.1:5560", description="ZeroMQ endpoint for requests and replies.")
    bus_preview_in: str = Field(
        "tcp://127.0.0.1:5561", description="Endpoint to which inference services publish previews."
    )
    bus_preview_out: str = Field("tcp://127.0.0.1:5562", description="Endpoint from which clients receive previews.")
    bus_events: str = Field(
        "tcp://127.0.0.1:5563", description="Endpoint from which clients receive job states and progress."
    )
    roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default_factory=lambda: (Path.home(),),
        description=f"Allowed input directories: where volumes may be read by path, separated by '{os.pathsep}'. "
        "Anyone who may submit jobs can list their folders and tomograms.",
    )
    models: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description=f"Further folders with trained models, separated by '{os.pathsep}'; each of their subfolders is a "
        "model. Those in 'models' of the data directory are found without it.",
    )
    gateway_certfile: Path | None = Field(None, description="Certificate chain (PEM) for TLS on the gateway.")
    gateway_keyfile: Path | None = Field(None, description="Private key (PEM) of the certificate.")
    gateway_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Host names of the gateway besides its address, such as em.example.org, separated by commas."
    )
    requests_per_minute: int = Field(
        600, ge=1, le=COUNT_MAX, description="Maximum number of requests per token and minute."
    )
    sockets_per_token: int = Field(
        32, ge=1, le=COUNT_MAX, description="Maximum number of open WebSockets and event streams per token."
    )
    max_unauthenticated: int = Field(
        512,
        ge=1,
        le=COUNT_MAX,
        description="Maximum number of connections without a valid token (gateway) or key (broker); for one more, the "
        "oldest of them is closed, by the broker only if it has sent nothing for 5 s.",
    )
    max_unauthenticated_per_address: int = Field(
        128,
        ge=1,
        le=COUNT_MAX,
        description="The same per client address (for IPv6, per /64 network). Behind a proxy, all connections have the "
        "address of the proxy.",
    )
    uploads_per_token: int = Field(
        16, ge=1, le=COUNT_MAX, description="Maximum number of unfinished uploads per token."
    )
    upload_max_gb: Gigabytes = Field(
        64.0, gt=0, le=GIGABYTES_MAX, description="Maximum size of an uploaded file, in GB (10^9 bytes) or with a unit."
    )
    upload_quota_gb: Gigabytes = Field(
        256.0,
        gt=0,
        le=GIGABYTES_MAX,
        description="Maximum total size of the uploaded files of one owner, in GB or with a unit.",
    )
    upload_hours: float = Field(
        24.0,
        gt=0,
        le=24 * DAYS_MAX,
        description="Hours after which an unfinished upload is removed if no part arrives.",
    )
    volume_cache: Bytes = Field(
        128 * 1024 * 1024,
        ge=0,
        le=NBYTES_MAX,
        description="Memory of the gateway for sections and binned levels of volumes that are read over HTTP, in "
        "bytes or with a unit.",
    )
    volume_levels: Bytes = Field(
        32 * 1024**3,
        ge=0,
        le=NBYTES_MAX,
        description="Disk space in the data directory for binned levels of volumes above 512 MiB that are read over "
        "HTTP, in bytes or with a unit; 0 keeps none.",
    )
    webhook_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (),
        description="Networks that webhooks may reach besides public addresses, such as 10.1.0.0/16, separated by "
        "commas; in these also with http and on every port.",
    )
    webhooks_per_owner: int = Field(
        16, ge=0, le=COUNT_MAX, description="Maximum number of webhooks per owner; 0 refuses them all."
    )
    keep_days: float = Field(
        30.0, ge=0, le=DAYS_MAX, description="Days after which 'cryomamba gc' deletes finished jobs and uploaded files."
    )
    token: SecretStr | None = Field(None, description="Token that clients send to a gateway that requires one.")
    key: Path | None = Field(
        None, description="Key file of this process for the bus; by default the one in the data directory."
    )
    log: str = Field(
        "info", description="Level and, optionally, format of the log: 'info', 'debug,json', 'warning,text'."
    )
    audit_log: Path | None = Field(
        None,
        description="File to which services and commands append the audit log; by default 'audit.jsonl' in the data "
        "directory.",
    )
    lease_s: float = Field(
        30.0,
        gt=0,
        le=LEASE_MAX_S,
        description="Seconds after which a running job is requeued if its worker does not renew the lease.",
    )
    disk_reserve: Bytes = Field(
        256 * 1024 * 1024,
        ge=0,
        le=NBYTES_MAX,
        description="Space that must stay free on the disk of the data directory, in bytes or with a unit (4GB, 2GiB); "
        "jobs that need it are refused.",
    )
    job_memory: Bytes = Field(
        0,
        ge=0,
        le=NBYTES_MAX,
        description="Maximum memory of all processes of a job, in bytes or with a unit; jobs that exceed it fail. 0 "
        "means no limit.",
    )
    job_seconds: float = Field(
        0.0,
        ge=0,
        le=86_400 * DAYS_MAX,
        description="Maximum duration of one attempt at a job, in seconds; 0 means no limit.",
    )
    slots: int = Field(
        1, ge=1, le=64, description="Number of jobs that an inference service runs at a time; each slot is a worker."
    )
    processes: int = Field(
        0,
        ge=0,
        le=PROCESSES_MAX,
        description="Number of processes that compute the tiles of a job; 0 means one per core, shared by the slots.",
    )
    dask: str | None = Field(
        None,
        description="Dask scheduler whose workers compute tiles: its address, such as tcp://10.1.2.3:8786, the path of "
        "its scheduler file, or 'config' for the one in Dask's own configuration.",
    )
    dask_volumes: str | None = Field(
        None,
        description="Address of the gateway, such as https://em.example.org: from there Dask workers read tomograms "
        "whose paths they do not see, with the token in CRYOMAMBA_TOKEN.",
    )
    preview_codec: Literal["auto", "raw", "deflate", "zstd"] = Field(
        "auto", description="Compression of previews; 'auto' is none on this machine and deflate for others."
    )

    @field_validator("roots", "models", mode="before")
    @classmethod
    def _split_folders(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)
        return value

    @field_validator("gateway_hosts", "gateway_origins", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("log", mode="after")
    @classmethod
    def _known_log(cls, value: str) -> str:
        parse_log_setting(value)
        return value

    @field_validator("bus_jobs", "bus_preview_in", "bus_preview_out", "bus_events", mode="after")
    @classmethod
    def _short_path(cls, value: str) -> str:
        problem = ipc_problem(value)
        if problem:
            raise ValueError(problem)
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
        """Uploaded files, finished and unfinished."""
        return self.home / "uploads"

    @property
    def levels(self) -> Path:
        """Coarser levels of large volumes that were read over HTTP; can be made again."""
        return self.home / "levels"

    @property
    def own_models(self) -> Path:
        """Trained models that were added to this data directory, one folder each."""
        return self.home / "models"

    @property
    def licences(self) -> Path:
        """Which licences of trained models were accepted."""
        return self.home / "licences"

    @property
    def keys(self) -> Path:
        """Keys and tokens, readable by their owner only."""
        return self.home / "keys"

    @property
    def audit_file(self) -> Path:
        """The audit log."""
        return self.audit_log or self.home / "audit.jsonl"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """Folders of the data directory from which no client may read by path."""
        return self.artifacts, self.work, self.uploads, self.levels, self.own_models, self.licences, self.keys

    @property
    def connection_file(self) -> Path:
        """The file in which the broker writes how it can be reached."""
        return self.home / "bus.json"

    @property
    def gateway_file(self) -> Path:
        """The file in which a gateway writes its URL."""
        return self.home / "gateway.json"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    InvalidRequestError
        A variable has an invalid value, or there is no such setting; the message names it.
    """
    _require_known(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = f"{PREFIX}{first['loc'][0]}".upper() if first["loc"] else "The configuration"
        problem = field_problem(first)
        raise InvalidRequestError(
            f"{variable} is invalid: {problem}.",
            hint="Correct it in the environment, in .env or in cryomamba.toml; see docs/reference/configuration.md.",
        ) from None


def _require_known(environment: Mapping[str, str]) -> None:
    """Refuse variables with our prefix that are no settings: a misspelt one would silently have no effect."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields] + [*OTHER_VARIABLES]
    for name in environment:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise InvalidRequestError(
                f"There is no setting {name}.",
                hint=f"{did_you_mean(name, known)}Correct or remove the variable in the environment or in .env; see "
                "docs/reference/configuration.md.",
            )
