"""One validated settings object for the server: from flags, the environment (``RAGKIT_SERVE_…``) and a TOML file, in that order."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ragkit.errors import InvalidInputError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=1024)]
#: What every client of an OpenAI-compatible endpoint may need upstream; anything else is dropped unless it is allowed by name.
_REQUEST_HEADERS = (
    "accept", "accept-language", "anthropic-*", "api-key", "authorization", "content-encoding", "content-type", "idempotency-key", "openai-*", "traceparent", "tracestate",
    "user-agent", "x-api-key", "x-request-id", "x-stainless-*",
)  # fmt: skip


class Upstream(BaseModel):
    """An OpenAI-compatible endpoint: ``url`` as its clients' ``base_url`` ("https://api.openai.com/v1"), for the ``models`` it serves.

    ``models`` are names or patterns such as "gpt-*". ``api_key`` replaces the client's own; leave it out to pass that on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    models: tuple[str, ...] = ("*",)
    api_key: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _a_web_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is no http(s) address, such as https://api.openai.com/v1")
        if parts.username or parts.password:
            raise ValueError("the address holds a password; use api_key")
        return url.rstrip("/")

    def serves(self, model: str) -> bool:
        """Whether a model's name fits one of ``models``."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


class Price(BaseModel):
    """What a million tokens of a model cost, in any one currency: ``read`` by it, and ``written``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: float = Field(ge=0)
    written: float = Field(ge=0)


class Settings(BaseSettings):
    """Everything ``ragkit serve`` can be told. Times are seconds, sizes bytes.

    ``upstreams`` are asked in order for the first that serves a model. ``cache`` is the database; ``policy`` what may be served
    by meaning ("exact", "static", "calibrated", "certified", or a file of ``ragkit cache calibrate``), ``threshold`` the cosine of
    "static". ``embedder`` names the model that compares prompts, ``judge`` what tells a certified policy whether two answers say the
    same. ``stale_if_error`` seconds past their time entries are still served when no upstream answers, or only with 500, 502, 503 or
    504. ``prices`` by model tell the money saved. ``max_embeddings`` is how large the file of embeddings may grow; the oldest make
    room. ``shared_tenant`` makes all API keys one tenant; without it nothing is shared between keys. ``scope_headers`` are request
    headers that must match exactly, too. What may be None is "none" in the environment and in a file.

    Raises InvalidInputError, from ``load``, for anything that is unknown or out of range.
    """

    model_config = SettingsConfigDict(
        env_prefix="RAGKIT_SERVE_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    upstreams: tuple[Upstream, ...] = Field(min_length=1)
    cache: Path = Path("cache.lance")
    policy: str = "certified"
    threshold: float | None = Field(default=None, ge=-1, le=1)
    embedder: str | None = None
    judge: Literal["similar", "same-text", "none"] = "similar"
    ttl: Seconds | None = 7 * 24 * 3600.0
    max_entries: int | None = Field(default=100_000, ge=1)
    max_entry: Bytes = 256 * 1024
    max_embeddings: Bytes | None = 1024 * 1024 * 1024
    max_body: Bytes = 32 * 1024 * 1024
    max_temperature: float = Field(default=1.0, ge=0, le=2)

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    admin_host: str = "127.0.0.1"
    admin_port: int | None = Field(default=8081, ge=0, le=65535)
    admin_token: SecretStr | None = None
    secret_file: Path | None = None
    shared_tenant: str = ""
    scope_headers: tuple[str, ...] = ()
    request_headers: tuple[str, ...] = _REQUEST_HEADERS

    connect_timeout: Seconds = 5.0
    read_timeout: Seconds = 120.0
    deadline: Seconds = 600.0
    retries: int = Field(default=2, ge=0, le=10)
    breaker_failures: int = Field(default=10, ge=1)
    breaker_seconds: Seconds = 10.0
    drain: Seconds = 30.0
    connections: int = Field(default=1000, ge=1)
    stale_if_error: float = Field(default=0, ge=0)
    prices: Mapping[str, Price] = Field(default_factory=dict)
    show_prompts: bool = False
    trace_prompts: bool = False

    @field_validator("scope_headers", "request_headers")
    @classmethod
    def _lower(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in names)

    @field_validator("ttl", "max_entries", "max_embeddings", "admin_port", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == "none" else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.threshold is not None and self.policy != "static":
            raise ValueError(f"threshold belongs to policy 'static', and policy is {self.policy!r}")
        if self.admin_port is not None and self.admin_port == self.port != 0 and self.admin_host == self.host:
            raise ValueError("admin_port is port; the admin pages need an address of their own")
        local = self.admin_host in ("127.0.0.1", "::1", "localhost")
        if self.admin_port is not None and not local and self.admin_token is None:
            raise ValueError(f"admin_host is {self.admin_host!r}, which others can reach: set an admin_token")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then the environment; ``load`` puts the file beneath them. No .env is read unasked."""
        return init_settings, env_settings

    @property
    def secret_path(self) -> Path:
        """Where the key of tenants' digests lies: beside the cache, unless told otherwise."""
        return self.secret_file or self.cache.with_name(self.cache.name + ".secret")

    def cost(self, model: str, *, read: int, written: int) -> float:
        """What so many tokens of a model cost; 0 without a price."""
        price = self.prices.get(model)
        return 0.0 if price is None else (read * price.read + written * price.written) / 1e6

    def upstream_for(self, model: str) -> Upstream | None:
        """The first upstream that serves a model; None where none does."""
        return next((one for one in self.upstreams if one.serves(model)), None)


def load(*, file: Path | None = None, **flags: Any) -> Settings:
    """Settings from ``flags`` (None: not given), over the environment, over a TOML file.

    Raises InvalidInputError naming each setting that is unknown or out of range, and what is wrong with it; never its value where it is a secret.
    """
    told: dict[str, Any] = {}
    if file is not None:
        try:
            told = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidInputError(f"The settings file {str(file)!r} cannot be read: {error}.") from error
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        environment = _environment()
        return Settings(**{**told, **environment, **given})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'settings'}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)
        )
        raise InvalidInputError(f"The settings cannot be used: {wrong}. See ragkit serve --help.") from error


def _environment() -> dict[str, Any]:
    """What the environment says, so that a file may stand beneath it."""
    return EnvSettingsSource(Settings)()
