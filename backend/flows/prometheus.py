"""Reaches the Prometheus that the configuration names: by its address, or as a service through the API server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from backend.cluster.service_proxy import service_answer
from backend.core.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    LimitExceededError,
    NotFoundError,
    UnreachableError,
)
from backend.core.text import sanitise
from backend.flows.cluster_link import ClusterLink
from backend.flows.foundation import Foundation
from backend.telemetry.prometheus import Prometheus, Transport
from backend.telemetry.prometheus_config import PrometheusConfig

_PATIENCE: Final = 20.0
_MOST_BYTES: Final = 64 << 20
#: Statuses with which a Prometheus says itself, in JSON, what is wrong with a request.
_OWN_ERRORS: Final = frozenset({400, 422, 503})
_SEE: Final = "see whether it is up, and whether url under [telemetry] prometheus is right"


def prometheus_of(foundation: Foundation, context: str = "") -> Prometheus | None:
    """The Prometheus of a context's cluster; None: the configuration names none, or the yard was opened without it.

    Args:
        context: of the kubeconfig; empty: the primary's.
    """
    primary = foundation.cluster.context
    for config in foundation.configuration.settings.telemetry.prometheus:
        if (config.context or primary) == (context or primary):
            try:
                link = foundation.clusters.link(config.context)
            except NotFoundError:
                return None
            return Prometheus(_transport(config, link, foundation.configuration.folder), config.labels)
    return None


def _transport(config: PrometheusConfig, link: ClusterLink, folder: Path) -> Transport:
    return direct(config, folder) if config.url else _Proxied(config.service, link)


def direct(config: PrometheusConfig, folder: Path) -> Transport:
    """A Prometheus by its address; paths of its files start at `folder`."""
    return _Direct(config, folder)


class _Direct:
    """By its address."""

    def __init__(self, config: PrometheusConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        url = httpx.URL(config.url)
        self.name = f"{url.host}:{url.port}" if url.port is not None else url.host

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        what = f"Prometheus {self.name}"
        client = await self._opened()
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                client.stream("GET", f"{self._config.url.rstrip('/')}/{path}", params=dict(params)) as answer,
            ):
                if answer.status_code in {401, 403}:
                    raise AuthenticationError(what, f"it answered {answer.status_code}", "see its token")
                if answer.status_code != 200 and answer.status_code not in _OWN_ERRORS:
                    raise UnreachableError(what, f"it answered {answer.status_code}", _SEE)
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise LimitExceededError(what, f"its answer is above {_MOST_BYTES >> 20} MiB", "set labels")
                return bytes(body)
        except TimeoutError as error:
            raise UnreachableError(what, f"no answer within {_PATIENCE:g} s", _SEE) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = sanitise(str(error), 200) or type(error).__name__
            raise UnreachableError(what, f"it cannot be reached: {why}", _SEE) from error

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                headers = {"Accept": "application/json", "User-Agent": "modelyard"}
                token = self._config.token
                if token is not None:
                    read = await asyncio.to_thread(token.read, self._folder, f"token of Prometheus {self.name}")
                    headers["Authorization"] = f"Bearer {read}"
                # Reading the certificates of authorities takes longer than the loop may be held up.
                verify = await asyncio.to_thread(_tls, self._config.ca, self._folder)
                self._client = httpx.AsyncClient(
                    verify=verify, headers=headers, timeout=_PATIENCE, follow_redirects=False
                )
            return self._client


class _Proxied:
    """As a service of the cluster, through the API server."""

    def __init__(self, service: str, link: ClusterLink) -> None:
        self._namespace, _, self._service = service.partition("/")
        self._link = link
        self.name = service

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        client = await self._link.client()
        try:
            answer = await service_answer(
                client.connection, self._namespace, self._service, path, params, limit=_MOST_BYTES
            )
        except AccessDeniedError as error:
            raise AccessDeniedError(
                f"Prometheus {self.name}",
                f"{error.why}; it needs `get` on `services/proxy` in {self._namespace}",
                error.action,
            ) from error
        if answer.status != 200 and answer.status not in _OWN_ERRORS:
            raise UnreachableError(f"Prometheus {self.name}", f"it answered {answer.status}", _SEE)
        return answer.body

    async def close(self) -> None:
        """The connection is the cluster's."""


def _tls(ca: Path | None, folder: Path) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    path = folder / ca.expanduser()
    try:
        return ssl.create_default_context(cafile=str(path))
    except OSError as error:
        raise ConfigurationError(
            f"the certificate {path} of [telemetry] prometheus cannot be read: {error.strerror or error}",
            "correct its path",
        ) from error
