"""Connections to a registry: one for each request that may be under way, by TLS that is always checked, by proxies."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
from pathlib import Path
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

from backend.core.errors import ConfigurationError
from backend.registry.config import NO_PROXY, RegistryConfig

# httpx brings these with the first request, and the loop would stand still for a tenth of a second.
for _late in ("httpcore", "anyio._backends._asyncio"):
    importlib.import_module(_late)

#: A connection of its own for each slot: httpcore's pool hands a connection that falls idle to every request that
#: waits, and all but one of them start over; without that a synchronisation costs half as much.
_ONE: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1)


class Connection:
    """What one request at a time goes through; opens to the server, or to a proxy, when first used."""

    __slots__ = ("_connections", "_direct", "_made", "_proxied")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._made: list[httpx.AsyncBaseTransport] = []
        self._direct: httpx.AsyncBaseTransport | None = None
        self._proxied: dict[str, httpx.AsyncBaseTransport] = {}

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The response, its body not yet read. Follows no redirect, keeps no cookie, adds no authorization.

        Raises:
            ConfigurationError: the certificate authority or the proxy cannot be used.
            httpx.HTTPError: the exchange failed.
        """
        proxy = self._connections.proxy_for(request.url)
        if proxy is None:
            if self._direct is None:
                self._direct = await self._connections.make(None)
                self._made.append(self._direct)
            return await self._direct.handle_async_request(request)
        if proxy not in self._proxied:
            self._proxied[proxy] = await self._connections.make(proxy)
            self._made.append(self._proxied[proxy])
        return await self._proxied[proxy].handle_async_request(request)

    async def close(self) -> None:
        """Close what was opened."""
        for transport in self._made:
            await transport.aclose()


class Connections:
    """Makes connections by a registry's configuration. Belongs to one event loop.

    Args:
        base: folder that paths of certificates start at.
        transport: instead of the network, and without proxies.
    """

    def __init__(self, config: RegistryConfig, base: Path, transport: httpx.AsyncBaseTransport | None) -> None:
        self._config = config
        self._base = base
        self._instead = transport
        self._environment: dict[str, str] | None = None
        self._proxy_of: dict[tuple[str, str], str | None] = {}
        self._trusted: ssl.SSLContext | None = None
        self._opening = asyncio.Lock()
        self._idle: list[Connection] = []
        self._all: list[Connection] = []

    def take(self) -> Connection:
        """A connection that nobody uses; the one that was used last, so that few stay open."""
        if self._idle:
            return self._idle.pop()
        connection = Connection(self)
        self._all.append(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Let the next one have it."""
        self._idle.append(connection)

    async def close(self) -> None:
        """Close every connection. Nothing may be under way."""
        everything, self._all, self._idle = self._all, [], []
        for connection in everything:
            await connection.close()

    def proxy_for(self, url: httpx.URL) -> str | None:
        """The proxy that an address is reached through; None: directly."""
        if self._instead is not None or self._config.proxy == NO_PROXY:
            return None
        if self._config.proxy is not None:
            return self._config.proxy
        key = (url.scheme, url.netloc.decode("ascii"))
        if key not in self._proxy_of:
            if self._environment is None:
                self._environment = getproxies()
            proxy = self._environment.get(url.scheme) or self._environment.get("all")
            through = bool(proxy) and not proxy_bypass(key[1])
            if len(self._proxy_of) > 1000:
                self._proxy_of.clear()
            self._proxy_of[key] = proxy if through else None
        return self._proxy_of[key]

    async def make(self, proxy: str | None) -> httpx.AsyncBaseTransport:
        """A transport of one connection, through the proxy where one is given.

        Raises:
            ConfigurationError: a certificate or the proxy cannot be used.
        """
        if self._instead is not None:
            return self._instead
        async with self._opening:
            if self._trusted is None:
                # It logs whole addresses; that of a redirect to storage is a signed capability.
                logging.getLogger("httpcore").setLevel(logging.WARNING)
                self._trusted = await asyncio.to_thread(_trust, self._config, self._base)
        try:
            through = None if proxy is None else httpx.Proxy(proxy if "://" in proxy else f"http://{proxy}")
            return httpx.AsyncHTTPTransport(verify=self._trusted, limits=_ONE, proxy=through)
        except (ValueError, httpx.InvalidURL, ImportError):
            # The message would repeat the address, and that may hold the proxy's password.
            raise ConfigurationError(
                "the proxy in the environment is not an address that can be used"
                if self._config.proxy is None
                else f"the proxy of registry {self._config.name} cannot be used",
                "correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or give proxy of the registry as http://HOST:PORT",
            ) from None


def _trust(config: RegistryConfig, base: Path) -> ssl.SSLContext:
    """What is trusted, and what we show of ourselves. Reads files."""
    context = ssl.create_default_context()
    if config.ca is not None:
        path = base / config.ca.expanduser()
        try:
            context = ssl.create_default_context(cafile=str(path))
        except OSError as error:
            raise _unusable(f"the certificate authority {path}", config, error) from error
    if config.client_certificate is not None:
        path = base / config.client_certificate.expanduser()
        key = None if config.client_key is None else base / config.client_key.expanduser()
        try:
            # An empty password instead of none: OpenSSL would ask for one on the terminal.
            context.load_cert_chain(path, key, password="")
        except (OSError, ValueError) as error:
            raise _unusable(f"the client certificate {path}", config, error) from error
    return context


def _unusable(what: str, config: RegistryConfig, error: Exception) -> ConfigurationError:
    if isinstance(error, ssl.SSLError):
        reason = "it holds no PEM certificate, or not the key to it"
    else:
        reason = getattr(error, "strerror", None) or "it cannot be read"
    return ConfigurationError(
        f"{what} of registry {config.name} cannot be used: {reason}", "give a PEM file without a passphrase"
    )
