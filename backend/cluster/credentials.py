"""What a context's requests carry: TLS, tokens, proxies, as kubectl reads them from a kubeconfig."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import ssl
import tempfile
import urllib.request
from collections.abc import Mapping
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
    """Blocking part: reads files, builds the TLS context."""
    # An empty value is as good as none.
    user = {key: value for key, value in user.items() if value not in (None, "")}
    try:
        # Inline keys are in files only while they are read: ssl takes a client's key from nowhere else.
        with tempfile.TemporaryDirectory(prefix="modelyard-", ignore_cleanup_errors=True) as folder:
            cluster = _without_inline(context.cluster, _INLINE["cluster"], Path(folder))
            user = _without_inline(user, _INLINE["user"], Path(folder))
            authority = _file_of(cluster, "certificate-authority")
            tls = _tls(cluster, user, authority) if context.server.startswith("https://") else None
            authority_data = authority.read_bytes() if authority is not None and tls is not None else b""
            authorization = _authorization(context, user)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # ssl's errors are OSErrors; a value of the wrong type shows as whatever breaks on it.
        raise ConfigurationError(
            f"context {context.name!r}: {error or type(error).__name__}", "correct the kubeconfig", path=context.path
        ) from error
    headers = _impersonation(context.user)
    if authorization:
        headers["Authorization"] = authorization
    return Credential(
        headers=headers,
        tls=tls,
        server_name=_text_of(cluster, "tls-server-name") or None,
        proxy=_text_of(cluster, "proxy-url") or _environment_proxy(context.server),
        expires_at=expires_at,
        renewable=any(key in context.user for key in ("exec", "tokenFile", "auth-provider")),
        authority_hash=f"sha256:{hashlib.sha256(authority_data).hexdigest()}" if authority_data else "",
    )


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], authority: Path | None) -> ssl.SSLContext:
    """By whom the server must be vouched for, and what we show it."""
    tls = ssl.create_default_context(cafile=authority)
    # Authorities of clusters are often older than what RFC 5280 demands of them; kubectl takes them too.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    certificate, key = _file_of(user, "client-certificate"), _file_of(user, "client-key")
    for file in (certificate, key):
        if file is not None:
            # ssl does not say which file is missing.
            file.stat()
    if certificate is not None:
        tls.load_cert_chain(certificate, key)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _authorization(context: KubeContext, user: Mapping[str, Any]) -> str:
    """The Authorization header, or empty: a token, of a file before one that stands there, or a name and password."""
    if "auth-provider" in user:
        return _of_provider(context, user)
    file = _file_of(user, "tokenFile")
    if token := (file.read_text(encoding="utf-8") if file is not None else _text_of(user, "token")).strip():
        return f"Bearer {token}"
    if "username" in user and "password" in user:
        pair = f"{_text_of(user, 'username')}:{_text_of(user, 'password')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""


def _of_provider(context: KubeContext, user: Mapping[str, Any]) -> str:
    """The Authorization header of a sign-in service (OIDC, Google), renewed as kubernetes' loader does it.

    Nothing else needs kubernetes, whose import takes half a second and 14 MB.

    Raises:
        ConfigurationError: the service refuses, or the table is malformed.
    """
    import aiohttp
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config import ConfigException
    from kubernetes.aio.config.kube_config import KubeConfigLoader

    untyped: Any = KubeConfigLoader
    configuration = Configuration()
    loader = untyped(_single(context, dict(user)), active_context=context.name)
    try:
        asyncio.run(loader.load_and_set(configuration))
    except (ConfigException, aiohttp.ClientError) as error:
        raise ValueError(str(error)) from error
    return str(configuration.api_key.get("BearerToken") or "").strip()


def _file_of(table: Mapping[str, Any], key: str) -> Path | None:
    text = _text_of(table, key)
    return Path(text) if text else None


def _text_of(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _single(context: KubeContext, user: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig with this context's user alone; without TLS, which is no matter of the sign-in."""
    return {
        "current-context": context.name,
        "contexts": [{"name": context.name, "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": "http://it"}}],
        "users": [{"name": "it", "user": user}],
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
