"""Every setting: name, default, help. `.env.example` lists the same; a test compares the two.

Standard library only, because the edge's hot path imports it.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stackfluence.errors import SettingsError

MIN_SECRET_BYTES = 32  # as long as the HMAC-SHA256 output it keys (RFC 2104, section 3)


def _setting(default: str, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment as text, one field a variable `SF_<NAME>`; the properties give usable values."""

    data_dir: str = _setting("./data", "directory of the embedded stores, the journal and generated secrets")
    database_url: str = _setting("", "catalog and ledger; empty: SQLite in the data directory")
    event_store_url: str = _setting(
        "", "ClickHouse, https://user:password@host:8443/db; empty: chDB in the data directory"
    )
    redis_url: str = _setting("", "optional shared state; no click waits for it")
    click_id_secret: str = _setting("", "kid:secret[,kid:secret]; the first signs, the others verify; empty: generated")
    master_key: str = _setting("", "core only; derives credential, cookie and customer-hash keys; empty: generated")
    click_id_ttl_days: str = _setting("30", "how long a click ID is accepted")
    base_url: str = _setting("", "public address of links, https://go.brand.example; empty: the address of the request")
    trusted_proxies: str = _setting("", "CIDRs whose X-Forwarded-For is believed, separated by commas")
    geoip_country_db: str = _setting(
        "", "path of a MaxMind country or city database; empty: that of `geoip update`, else the demo's"
    )
    geoip_asn_db: str = _setting("", "path of a MaxMind ASN or ISP database; empty: the same")
    maxmind_account_id: str = _setting("", "for `stackfluence geoip update`; a free account has both")
    maxmind_license_key: str = _setting("", "for `stackfluence geoip update`; belongs to the account id")
    edge_workers: str = _setting("1", "edge processes behind the one port")
    journal_fsync: str = _setting("always", "always: on disk before the answer; never: only for benches")
    smtp_url: str = _setting("", "smtp://user:password@host:587 for notices by mail; not used yet")
    api_rate: str = _setting("600", "requests a minute that one key may make of the API")

    @property
    def data_path(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data_dir).expanduser().absolute()

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy's URL of the catalog, with an async driver."""
        url = self.database_url or f"sqlite:///{self.data_path / 'catalog.sqlite'}"
        for plain, driver in (
            ("sqlite://", "sqlite+aiosqlite://"),
            ("postgresql://", "postgresql+asyncpg://"),
            ("postgres://", "postgresql+asyncpg://"),
        ):
            if url.startswith(plain):
                return driver + url[len(plain) :]
        return url

    @property
    def store_url(self) -> str:
        """clickhouse-connect's address of the event store."""
        return self.event_store_url or f"chdb://{self.data_path / 'events'}"

    @property
    def is_embedded_store(self) -> bool:
        """Whether the event store runs inside the core process."""
        return self.store_url.startswith("chdb:")

    @property
    def click_id_ttl_hours(self) -> int:
        """The click ID's lifetime in hours, 1 to 65,535."""
        hours = self._integer("click_id_ttl_days") * 24
        if not 24 <= hours <= 65_535:
            raise SettingsError("SF_CLICK_ID_TTL_DAYS must be 1 to 2730.")
        return hours

    @property
    def click_id_secrets(self) -> dict[int, bytes]:
        """Key id → secret; the first signs. Raises SettingsError for a weak or malformed one."""
        found: dict[int, bytes] = {}
        for part in filter(None, (p.strip() for p in self.click_id_secret.split(","))):
            kid, _, secret = part.partition(":")
            if not kid.isascii() or not kid.isdigit() or not 0 <= int(kid) <= 255 or int(kid) in found:
                raise SettingsError(
                    f"SF_CLICK_ID_SECRET: key id {kid!r} must be a number from 0 to 255, each used once."
                )
            found[int(kid)] = strong_secret("SF_CLICK_ID_SECRET", secret)
        if not found:
            raise SettingsError("SF_CLICK_ID_SECRET is empty; run `stackfluence init` or set kid:secret.")
        return found

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks whose X-Forwarded-For is believed."""
        try:
            return tuple(ipaddress.ip_network(p.strip()) for p in self.trusted_proxies.split(",") if p.strip())
        except ValueError as error:
            raise SettingsError(f"SF_TRUSTED_PROXIES: {error}.") from None

    @property
    def workers(self) -> int:
        """Edge processes behind the one port."""
        count = self._integer("edge_workers")
        if not 1 <= count <= 64:
            raise SettingsError("SF_EDGE_WORKERS must be 1 to 64.")
        return count

    @property
    def requests_a_minute(self) -> int:
        """How many requests one key may make of the API in a minute."""
        count = self._integer("api_rate")
        if not 1 <= count <= 1_000_000:
            raise SettingsError("SF_API_RATE must be 1 to 1000000.")
        return count

    @property
    def is_fsynced(self) -> bool:
        """Whether an answer waits for the disk; `never` gives up promise 1 and is for benches."""
        if self.journal_fsync not in ("always", "never"):
            raise SettingsError("SF_JOURNAL_FSYNC must be always or never.")
        return self.journal_fsync == "always"

    def _integer(self, name: str) -> int:
        text = getattr(self, name)
        if not (text.isascii() and text.isdigit()):
            raise SettingsError(f"SF_{name.upper()} must be a whole number, not {text!r}.")
        return int(text)

    def check(self) -> None:
        """Raise SettingsError for the first setting that can't be used."""
        for name in ("click_id_secrets", "click_id_ttl_hours", "proxies", "workers", "requests_a_minute", "is_fsynced"):
            getattr(self, name)
        if self.redis_url and not self.redis_url.startswith(("redis://", "rediss://")):
            raise SettingsError("SF_REDIS_URL must begin with redis:// or rediss://.")
        if self.master_key:
            strong_secret("SF_MASTER_KEY", self.master_key)


def strong_secret(name: str, secret: str) -> bytes:
    """Return the secret's bytes; raises SettingsError when it is short or obviously made up."""
    raw = secret.encode()
    if len(raw) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"{name}: a secret must have at least {MIN_SECRET_BYTES} characters; `openssl rand -base64 32` makes one."
        )
    if len(set(raw)) < 10 or any(word in secret.lower() for word in ("changeme", "secret", "password", "example")):
        raise SettingsError(f"{name}: this secret is guessable; `openssl rand -base64 32` makes a good one.")
    return raw


def new_secret() -> str:
    """Return a fresh secret of 256 random bits as URL-safe text."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment, completed by the secrets kept in the data directory."""
    environment = os.environ if environment is None else environment
    values = {
        f.name: environment[f"SF_{f.name.upper()}"] for f in fields(Settings) if environment.get(f"SF_{f.name.upper()}")
    }
    settings = Settings(**values)
    kept = _read_secrets(settings.data_path / "secrets.env")
    for name, text in kept.items():
        values.setdefault(name, text)
    return Settings(**values)


def ensure_secrets(settings: Settings) -> Settings:
    """Generate the secrets that are set nowhere, keep them in the data directory (mode 0600), return all."""
    path = settings.data_path / "secrets.env"
    kept = _read_secrets(path)
    made = {
        name: text
        for name, text in (("click_id_secret", f"1:{new_secret()}"), ("master_key", new_secret()))
        if not getattr(settings, name) and name not in kept
    }
    if made:
        settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept |= made
        lines = "".join(f"SF_{name.upper()}={text}\n" for name, text in kept.items())
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    values = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    return Settings(**{**values, **{name: text for name, text in kept.items() if not values[name]}})


def _read_secrets(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path} can be read by others; run chmod 600 on it.")
    pairs = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name.removeprefix("SF_").lower(): value for name, _, value in pairs}
