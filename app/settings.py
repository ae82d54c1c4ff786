"""All settings, from the environment, `.env` and the running `make run` of the same DATA_DIR. The only reader of both.

Order, first wins: environment, `NAME_FILE` (a path whose content is the value; for secrets), `.env`,
`DATA_DIR/run.env` (written by `make run`, so that `make admin` and the like find its servers).
`.env.example` and the README's table are generated from this model (`python -m app.cli settings`).
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

TlsMode = Literal["starttls", "implicit", "none"]
WEAK_SECRETS = {"secret", "changeme", "change-me", "password", "development", "dev", "test"}
SECRET_SIZE_MIN = 32
IN_FLIGHT_MAX = 50


class ConfigError(Exception):
    """A setting is missing or wrong. The message is one line that says which and what to do."""


class RelayAddress:
    """An SMTP server: where, how it is encrypted, who we are there. Made from SMTP_URL."""

    __slots__ = ("allow_plain_auth", "host", "in_flight", "password", "port", "tls", "username", "verify")

    def __init__(
        self, host: str, port: int, *, tls: TlsMode, username: str | None = None, password: str | None = None,
        verify: bool = True, allow_plain_auth: bool = False, in_flight: int = 1,
    ) -> None:  # fmt: skip
        self.host, self.port, self.tls = host, port, tls
        self.username, self.password = username, password
        self.verify, self.allow_plain_auth = verify, allow_plain_auth
        self.in_flight = in_flight

    @classmethod
    def from_url(cls, url: str) -> "RelayAddress":
        """Read `smtp://user:pass@host:587?tls=starttls|implicit|none`. `smtps://` means implicit TLS.

        Without `tls`: implicit on port 465, none on loopback and on port 25, else starttls. `verify=no` accepts any
        certificate, `plain_auth=yes` allows AUTH without TLS; both for relays on a private wire.
        `in_flight=8`: so many messages of one connection may be in doubt after a crash, which makes them go faster.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ConfigError("SMTP_URL must look like smtp://user:pass@host:587?tls=starttls")
        query = parse_qs(parts.query)
        try:
            port = parts.port or (465 if parts.scheme == "smtps" else 587)
        except ValueError:
            raise ConfigError("SMTP_URL has a port that is not a number from 1 to 65535") from None
        if parts.scheme == "smtps" or port == 465:
            default: TlsMode = "implicit"
        elif parts.hostname in ("localhost", "127.0.0.1", "::1") or port == 25:
            default = "none"
        else:
            default = "starttls"
        tls = query.get("tls", [default])[0]
        if tls not in ("starttls", "implicit", "none"):
            raise ConfigError("SMTP_URL: tls must be starttls, implicit or none")
        return cls(
            parts.hostname, port, tls=tls,  # type: ignore[arg-type]
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            verify=query.get("verify", ["yes"])[0] != "no",
            allow_plain_auth=query.get("plain_auth", ["no"])[0] == "yes", in_flight=_read_in_flight(query),
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"RelayAddress({self.host!r}, {self.port}, tls={self.tls!r}, username={self.username!r})"


def _read_in_flight(query: dict[str, list[str]]) -> int:
    text = query.get("in_flight", ["1"])[0]
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= IN_FLIGHT_MAX:
        raise ConfigError(f"SMTP_URL: in_flight must be a number from 1 to {IN_FLIGHT_MAX}")
    return int(text)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, env_file=".env", env_file_encoding="utf-8")

    # Where the servers are.
    database_url: str = Field("", description="PostgreSQL, as a URL. Unset: DB_*, else `make run` brings its own.")
    database_direct_url: str = Field("", description="PostgreSQL past a PgBouncer, for workers, which must LISTEN.")
    db_host: str = Field("", description="The original's form of DATABASE_URL.")
    db_port: int = 5432
    db_user: str = "postgres"
    db_pass: str = ""
    db_name: str = "mailtide"
    redis_url: str = Field("", description="Redis or Valkey, for the rate counter only. Unset: REDIS_*, else own.")
    redis_host: str = Field("", description="The original's form of REDIS_URL.")
    redis_port: int = 6379
    smtp_url: str = Field(
        "", description="`smtp://user:pass@host:587?tls=starttls|implicit|none`. Unset: SMTP_*, else the sandbox."
    )
    smtp_host: str = Field("", description="The original's form of SMTP_URL.")
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_pass: str = ""
    relays_allow_private: bool = Field(
        False, description="Let accounts name relays in private networks, on any port and without TLS."
    )
    sandbox_host: str = Field("127.0.0.1", description="Where the SMTP sandbox listens.")
    sandbox_port: int = Field(2525, description="`make run` takes a free port when this one is taken.")

    # The web process.
    port: int = Field(3000, ge=0, le=65535, description="Where the dashboard and the API listen.")
    host: str = Field("127.0.0.1", description="The address that PORT is opened on; 0.0.0.0 for all.")
    base_url: str = Field("", description="How people reach this installation, for links in mail.")
    secret_key: str = Field("", description="Signs sessions, seals stored passwords: 32 characters or more.")
    web_concurrency: int = Field(2, ge=1, le=64, description="Web processes; more than cores are of no use.")
    web_threads: int = Field(8, ge=1, le=256, description="Threads in each web process.")

    # The worker process.
    worker_concurrency: int = Field(5, ge=1, le=200, description="Batches at once in a worker process.")
    worker_port: int = Field(0, ge=0, le=65535, description="The worker's own health and metrics port; 0 for none.")

    # Who may enter.
    demo_mode: bool = Field(False, description="Offer 'Try the demo'. On in `make run`.")
    oidc_issuer: str = Field("https://accounts.google.com", description="The OpenID Connect provider.")
    google_client_id: str = Field("", description="Unset: no Google button.")
    google_client_secret: str = ""
    signup_domains: str = Field("", description="Comma-separated domains whose people may sign up. Empty: nobody new.")
    admin_emails: str = Field("", description="Comma-separated addresses that may sign up, as administrators.")

    account_limit_per_hour: int = Field(1000, ge=0, le=1_000_000_000, description="For new accounts; 0 for none.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    log_format: Literal["text", "json"] = Field("text", description="For people or for machines.")
    data_dir: Path = Field(Path(".data"), description="Where `make run` keeps its servers' files.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        data_dir = env_settings().get("data_dir") or dotenv_settings().get("data_dir") or ".data"
        run_env = DotEnvSettingsSource(settings_cls, env_file=Path(data_dir) / "run.env")
        return init_settings, env_settings, _FilesNamedInEnvironment(settings_cls), dotenv_settings, run_env

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @cached_property
    def postgres_url(self) -> str:
        """DATABASE_URL, or the same made from DB_*. Raises ConfigError when there is neither."""
        if self.database_url:
            return self.database_url
        if not self.db_host:
            raise ConfigError("DATABASE_URL is not set: give one, or start everything with `make run`")
        secret = f":{quote(self.db_pass, safe='')}" if self.db_pass else ""
        return f"postgresql://{quote(self.db_user, safe='')}{secret}@{self.db_host}:{self.db_port}/{self.db_name}"

    @cached_property
    def postgres_direct_url(self) -> str:
        """For workers, which LISTEN, and for migrations, which lock: a PgBouncer in transaction mode can pass on neither."""
        return self.database_direct_url or self.postgres_url

    @property
    def is_behind_pooler(self) -> bool:
        """DATABASE_URL leads to a PgBouncer, or DATABASE_DIRECT_URL would not be needed: no session state there."""
        return bool(self.database_direct_url) and self.database_direct_url != self.database_url

    @cached_property
    def valkey_url(self) -> str:
        if self.redis_url:
            return self.redis_url
        if not self.redis_host:
            raise ConfigError("REDIS_URL is not set: give one, or start everything with `make run`")
        return f"redis://{self.redis_host}:{self.redis_port}/0"

    @cached_property
    def relay(self) -> RelayAddress | None:
        """The installation's SMTP server; None means that all mail goes to the sandbox."""
        if self.smtp_url:
            return RelayAddress.from_url(self.smtp_url)
        if not self.smtp_host:
            return None
        user = f"{quote(self.smtp_user, safe='')}:{quote(self.smtp_pass, safe='')}@" if self.smtp_user else ""
        return RelayAddress.from_url(f"smtp://{user}{self.smtp_host}:{self.smtp_port}")

    @cached_property
    def sandbox(self) -> RelayAddress:
        return RelayAddress(self.sandbox_host, self.sandbox_port, tls="none")

    @cached_property
    def public_url(self) -> str:
        """BASE_URL without a slash at its end."""
        return (self.base_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @cached_property
    def signup_domain_set(self) -> frozenset[str]:
        return frozenset(part.strip().lower().lstrip("@") for part in self.signup_domains.split(",") if part.strip())

    @cached_property
    def admin_email_set(self) -> frozenset[str]:
        return frozenset(part.strip().lower() for part in self.admin_emails.split(",") if part.strip())

    def require_secret(self) -> None:
        """Stop a start without a real secret. Raises ConfigError."""
        if len(self.secret_key) < SECRET_SIZE_MIN or self.secret_key.lower() in WEAK_SECRETS:
            raise ConfigError(
                f"SECRET_KEY is missing or shorter than {SECRET_SIZE_MIN} characters: set it to the output of "
                'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        if len(set(self.secret_key)) < 8:
            raise ConfigError("SECRET_KEY repeats a few characters: set it to random ones")


class _FilesNamedInEnvironment(PydanticBaseSettingsSource):
    """`NAME_FILE=/run/secrets/x` gives NAME the content of that file."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            raise ConfigError(f"{field_name.upper()}_FILE: cannot read {path}: {error.strerror}") from error

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


def load_settings(**overrides: Any) -> Settings:
    """Read all settings. Raises ConfigError with one line that names the wrong ones."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = (f"{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
        raise ConfigError("; ".join(faults)) from error
