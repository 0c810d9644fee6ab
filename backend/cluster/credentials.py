"""What a context's requests carry: TLS, tokens, proxies, as kubernetes' own loader reads them from a kubeconfig."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import ssl
import tempfile
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from backend.cluster.exec_credential import run_plugin
from backend.cluster.kubeconfig import KubeContext
from backend.core.errors import ConfigurationError

_INLINE: Final = {
    "cluster": ("certificate-authority-data",),
    "user": ("client-certificate-data", "client-key-data"),
}
#: How long before its end a credential is renewed.
_EARLY: Final = timedelta(minutes=1)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What requests to a server carry.

    Attributes:
        headers: Authorization, and those of impersonation.
        tls: None for plain HTTP.
        server_name: that the server's certificate must bear, or None: the host's.
        proxy: address of an HTTP proxy, or None.
        expires_at: from when on it is not accepted, as far as its source tells.
        renewable: whether reading the kubeconfig's user again may give a newer one.
        authority_hash: `sha256:` of the certificate authority's PEM, or empty when the system's are trusted.
    """

    headers: dict[str, str]
    tls: ssl.SSLContext | None
    server_name: str | None
    proxy: str | None
    expires_at: datetime | None
    renewable: bool
    authority_hash: str

    def stale(self, now: datetime) -> bool:
        """Whether it should be renewed before the next request."""
        return self.renewable and self.expires_at is not None and now >= self.expires_at - _EARLY


async def load_credential(context: KubeContext) -> Credential:
    """The credential of a context: runs its exec plugin where it has one, reads its files in a thread.

    Raises:
        ConfigurationError: files or tables are missing or malformed.
        AuthenticationError: an exec plugin failed.
    """
    user = dict(context.user)
    expires_at = None
    if "exec" in user:
        given = await run_plugin(context)
        expires_at = given.expires_at
        del user["exec"]
        if given.token:
            user["token"] = given.token
        else:
            user["client-certificate-data"] = base64.b64encode(given.certificate.encode()).decode()
            user["client-key-data"] = base64.b64encode(given.key.encode()).decode()
    return await asyncio.to_thread(_load, context, user, expires_at)


def _load(context: KubeContext, user: dict[str, Any], expires_at: datetime | None) -> Credential:
    """Blocking part: imports kubernetes (about 300 ms when it is the first), reads files, builds the TLS context."""
    import aiohttp
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.client.rest import RESTClientObject
    from kubernetes.aio.config import ConfigException
    from kubernetes.aio.config.kube_config import KubeConfigLoader

    def wrong(error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"context {context.name!r}: {error or type(error).__name__}", "correct the kubeconfig", path=context.path
        )

    untyped: Any = KubeConfigLoader
    # An empty table would make the loader look for its keys.
    user = {key: value for key, value in user.items() if value not in (None, "")}
    try:
        # The loader would leave inline keys in files until the process ends; these live only while it reads them.
        with tempfile.TemporaryDirectory(prefix="modelyard-", ignore_cleanup_errors=True) as folder:
            cluster = _without_inline(context.cluster, _INLINE["cluster"], Path(folder))
            user = _without_inline(user, _INLINE["user"], Path(folder))
            loader = untyped(_single(context, cluster, user), active_context=context.name)
            configuration = Configuration()
            asyncio.run(loader.load_and_set(configuration))
            secure = context.server.startswith("https://")
            tls = RESTClientObject(configuration).ssl_context if secure else None
            authority = Path(configuration.ssl_ca_cert).read_bytes() if configuration.ssl_ca_cert else b""
    except (ConfigException, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # The loader takes tables as they come: a value of the wrong type shows as whatever breaks on it.
        raise wrong(error) from error
    headers = _impersonation(context.user)
    if authorization := str(configuration.api_key.get("BearerToken") or "").strip():
        headers["Authorization"] = authorization
    return Credential(
        headers=headers,
        tls=tls,
        server_name=configuration.tls_server_name or None,
        proxy=configuration.proxy or _environment_proxy(context.server),
        expires_at=expires_at,
        renewable=any(key in context.user for key in ("exec", "tokenFile", "auth-provider")),
        authority_hash=f"sha256:{hashlib.sha256(authority).hexdigest()}" if authority else "",
    )


def _single(context: KubeContext, cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig with this context alone."""
    inner = {"cluster": "it", "user": "it"}
    return {
        "current-context": context.name,
        "contexts": [{"name": context.name, "context": inner}],
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": user}] if user else [],
    }


def _without_inline(table: dict[str, Any], keys: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """The table with base64 data written to files that only we can read."""
    changed = dict(table)
    for key in keys:
        data = changed.pop(key, None)
        if not data:
            continue
        try:
            content = base64.b64decode(str(data), validate=True)
        except binascii.Error as error:
            raise ValueError(f"{key} is not base64") from error
        file = folder / key
        file.touch(mode=0o600)
        file.write_bytes(content)
        changed[key.removesuffix("-data")] = str(file)
    return changed


def _impersonation(user: dict[str, Any]) -> dict[str, str]:
    """Headers by which the API server takes the request as another's (RBAC verb `impersonate`).

    Several groups travel in one header each in Kubernetes; a dict holds one, so more than one group is refused.
    """
    if not user.get("as"):
        return {}
    headers = {"Impersonate-User": str(user["as"])}
    groups = user.get("as-groups") or []
    if len(groups) > 1 or user.get("as-user-extra"):
        raise ConfigurationError(
            "the kubeconfig's user acts as another with several groups or extra fields, which is not supported",
            "use a context that acts as itself",
        )
    if groups:
        headers["Impersonate-Group"] = str(groups[0])
    if user.get("as-uid"):
        headers["Impersonate-Uid"] = str(user["as-uid"])
    return headers


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, as far as its name tells."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _environment_proxy(server: str) -> str | None:
    """The proxy that the environment names for the server (HTTPS_PROXY, NO_PROXY), as kubectl reads it."""
    parts = urlsplit(server)
    proxies = urllib.request.getproxies_environment()
    if is_loopback(parts.hostname or ""):
        return None
    if urllib.request.proxy_bypass(parts.netloc, proxies):
        return None
    return proxies.get(parts.scheme) or None
