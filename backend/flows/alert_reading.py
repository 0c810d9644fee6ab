"""Asks the Alertmanager that the configuration names."""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx

from backend.core.errors import AuthenticationError, ConfigurationError, MalformedDataError, UnreachableError
from backend.core.text import sanitise
from backend.core.views import AlertView
from backend.telemetry import alertmanager
from backend.telemetry.alert_config import AlertmanagerConfig

_PATIENCE: Final = 10.0
_MOST_BYTES: Final = 8 * 1024 * 1024
_SEE: Final = "see whether it is up, and whether the url under [alertmanager] is right"


def address(config: AlertmanagerConfig) -> str:
    """How the Alertmanager is called where its alerts are shown: its host and port."""
    url = httpx.URL(config.url)
    return f"{url.host}:{url.port}" if url.port is not None else url.host


async def firing(config: AlertmanagerConfig, folder: Path, context: str, now: datetime) -> tuple[AlertView, ...]:
    """The alerts that it has firing.

    Args:
        folder: where paths of its token and certificates start.
        context: of the cluster that its services are in.

    Raises:
        ConfigurationError: its token or certificate cannot be read. UnreachableError: no answer, or no good one.
        AuthenticationError: it refused the token. MalformedDataError: it answered something else.
    """
    source = address(config)
    what = f"Alertmanager {source}"
    headers = {"Accept": "application/json", "User-Agent": "modelyard"}
    if config.token is not None:
        headers["Authorization"] = f"Bearer {await asyncio.to_thread(config.token.read, folder, f'token of {what}')}"
    context_of_tls = await asyncio.to_thread(_tls, config, folder)
    url = f"{config.url.rstrip('/')}/api/v2/alerts?active=true&silenced=false&inhibited=false"
    try:
        async with (
            asyncio.timeout(_PATIENCE),
            httpx.AsyncClient(verify=context_of_tls, timeout=_PATIENCE, follow_redirects=False) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code in {401, 403}:
                raise AuthenticationError(what, f"it answered {answer.status_code}", "see its token")
            if answer.status_code != 200:
                raise UnreachableError(what, f"it answered {answer.status_code}", _SEE)
            page = bytearray()
            async for piece in answer.aiter_bytes():
                page += piece
                if len(page) > _MOST_BYTES:
                    raise MalformedDataError(what, f"its answer is above {_MOST_BYTES} bytes", _SEE)
    except TimeoutError as error:
        raise UnreachableError(what, f"no answer within {_PATIENCE:g} s", _SEE) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = sanitise(str(error), 200) or type(error).__name__
        raise UnreachableError(what, f"it cannot be reached: {why}", _SEE) from error
    return alertmanager.read(bytes(page), source, context, now)


def _tls(config: AlertmanagerConfig, folder: Path) -> ssl.SSLContext:
    if config.ca is None:
        return ssl.create_default_context()
    path = folder / config.ca.expanduser()
    try:
        return ssl.create_default_context(cafile=str(path))
    except OSError as error:
        raise ConfigurationError(
            f"the certificate {path} of [alertmanager] cannot be read: {error.strerror or error}", "correct its path"
        ) from error
