"""The `[[registry]]` table of the configuration."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator

from backend.core.references import is_host
from backend.core.settings import Duration, SecretReference, Settings

_LONGEST_TIMEOUT: Final = timedelta(minutes=10)
#: `proxy` for a registry that is reached directly whatever the environment says.
NO_PROXY: Final = "none"

_DOCKER_HUB_API: Final = "https://registry-1.docker.io"
#: Names of Docker's own registry.
DOCKER_HUB_HOSTS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})

#: Token servers that registries' own documentation names, of whoever runs the registry.
_THEIR_REALMS: Final = {
    **dict.fromkeys(DOCKER_HUB_HOSTS, ("auth.docker.io",)),
    "registry.gitlab.com": ("gitlab.com",),
}

#: How a registry tells which repositories it has; `auto`: by its host and by what it answers.
RegistryKind = Literal["auto", "generic", "dockerhub", "harbor", "ngc", "quay"]


class RegistryConfig(Settings):
    """A registry that images are read from.

    Attributes:
        name: how commands and rules name it; no slash, so that `name/repository:tag` is one reference.
        url: `https://host[:port]`, or `http://host[:port]` together with `insecure`. Nothing after the host: the API
            is always at `/v2/` (distribution-spec 1.1, "API").
        insecure: the registry may be spoken to without TLS. Certificates are never left unchecked: give `ca`.
        username, password: sent to the registry's own host and to `credential_realms`; without them docker's
            `config.json` is asked, and without an entry there requests are anonymous.
        credential_realms: foreign hosts (with port, when it is not the scheme's own) that a registry may name as
            token server and that may be sent the credential. Those of Docker Hub and GitLab are known.
        max_concurrency: requests at the same time.
        ca: certificate authority to trust instead of the system's, PEM; starts at the configuration's folder.
        client_certificate, client_key: shown to a registry that asks who connects, PEM without a passphrase; the key
            may stand in the certificate's file.
        proxy: `http://HOST:PORT` or `https://HOST:PORT` instead of the environment's proxies; `none`: no proxy. One
            that wants a password is named by HTTPS_PROXY, since no secret is written here.
        timeout: for connecting, and for each wait for bytes; ten times that is the most that one request takes.
        requests_per_second: None: as fast as `max_concurrency` lets it.
        kind: how repositories are found for a rule that has wildcards; see `backend.registry.discovery`.
    """

    name: str = Field(min_length=1, max_length=128)
    url: str
    insecure: bool = False
    username: str | None = Field(default=None, min_length=1)
    password: SecretReference | None = None
    credential_realms: tuple[str, ...] = ()
    max_concurrency: int = Field(default=8, ge=1, le=64)
    ca: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    proxy: str | None = None
    timeout: Duration = timedelta(seconds=30)
    requests_per_second: float | None = Field(default=None, gt=0, le=10_000)
    kind: RegistryKind = "auto"

    @field_validator("name")
    @classmethod
    def _name_fits_a_reference(cls, name: str) -> str:
        if not is_host(name):
            raise ValueError("a registry's name is letters, digits, dots and hyphens")
        return name

    @field_validator("url")
    @classmethod
    def _url_is_a_host(cls, url: str) -> str:
        parts = _split(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("write it as https://HOST or https://HOST:PORT")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a secret is never written here: use username and password")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("write only scheme, host and port: the API is always at /v2/")
        if not is_host(parts.netloc):
            raise ValueError(f"{parts.netloc!r} is not a host")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("credential_realms")
    @classmethod
    def _realms_are_hosts(cls, realms: tuple[str, ...]) -> tuple[str, ...]:
        for realm in realms:
            if not is_host(realm):
                raise ValueError(f"{realm!r} is not a host: write HOST or HOST:PORT")
        return tuple(realm.lower() for realm in realms)

    @field_validator("proxy")
    @classmethod
    def _proxy_is_an_address(cls, proxy: str | None) -> str | None:
        if proxy is None or proxy == NO_PROXY:
            return proxy
        parts = _split(proxy)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError('write it as "http://HOST:PORT", or "none" for no proxy')
        if parts.username is not None or parts.password is not None:
            raise ValueError("a secret is never written here: name a proxy that wants a password by HTTPS_PROXY")
        if parts.query or parts.fragment or not is_host(parts.netloc):
            raise ValueError(f"{parts.netloc!r} is not a host")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("timeout")
    @classmethod
    def _timeout_is_sensible(cls, timeout: timedelta) -> timedelta:
        if not timedelta(0) < timeout <= _LONGEST_TIMEOUT:
            raise ValueError("a timeout is above zero and at most 10m")
        return timeout

    @model_validator(mode="after")
    def _plain_http_is_asked_for(self) -> RegistryConfig:
        plain = self.url.startswith("http://")
        if plain and not self.insecure:
            raise ValueError("http:// sends everything in the clear: write insecure = true if that is meant")
        if self.insecure and not plain:
            raise ValueError("insecure is for http:// only; to trust another certificate authority give ca")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key goes with a client_certificate")
        return self

    @property
    def realms(self) -> tuple[str, ...]:
        """Foreign hosts that may be sent the credential."""
        return (*self.credential_realms, *_THEIR_REALMS.get(self.host, ()))

    @property
    def api(self) -> str:
        """Where requests go: `url`, except that Docker's own registry is named by one host and reached at another."""
        return _DOCKER_HUB_API if self.host in DOCKER_HUB_HOSTS else self.url

    @property
    def host(self) -> str:
        """`host[:port]` as it stands in references."""
        return _split(self.url).netloc


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    # Reading the port checks it; `urlsplit` itself takes any text there.
    _ = parts.port
    return parts
