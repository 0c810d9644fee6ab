"""Asks the Alertmanager that the configuration names, keeps what it tells, and says when it could not be asked."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import ssl
from datetime import datetime
from pathlib import Path
from typing import Final

from backend.core.errors import (
    AuthenticationError,
    ConfigurationError,
    MalformedDataError,
    ModelyardError,
    UnreachableError,
)
from backend.core.events import AlertsChanged, Topic
from backend.core.permits import Permit
from backend.core.ports import instant, timestamp
from backend.core.text import sanitise
from backend.core.views import AlertView, SourceState, SourceView
from backend.flows.foundation import Foundation
from backend.store import meta
from backend.store.connection import Database
from backend.telemetry import alert_store, alertmanager
from backend.telemetry.alert_config import AlertmanagerConfig

_LOG = logging.getLogger(__name__)

_PATIENCE: Final = 10.0
_MOST_BYTES: Final = 8 * 1024 * 1024
_SEE: Final = "see whether it is up, and whether the url under [alertmanager] is right"
#: Under which name the yard's database keeps since when it could not be asked, and why.
_PROBLEM: Final = "alertmanager_problem"


class ForeignAlerts:
    """Keeps what the Alertmanager tells, for whoever keeps the yard's alerts."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._read_at = float("-inf")
        self._kept: tuple[AlertView, ...] | None = None
        # Unlike every problem, so that the first reading tells how it went.
        self._problem: str | None = None

    async def round(self) -> None:
        """Ask when it is time to, and keep what became of it.

        Raises:
            StoreError: of its kind; an Alertmanager that is away is no error here.
        """
        foundation = self._foundation
        config = foundation.configuration.settings.alertmanager
        monotonic = foundation.clock.monotonic()
        if monotonic - self._read_at < config.every.total_seconds():
            return
        self._read_at = monotonic
        told: tuple[AlertView, ...] | None = ()
        problem = ""
        if config.url:
            folder, context = foundation.configuration.folder, foundation.cluster.context
            try:
                told = await firing(config, folder, context, foundation.clock.now())
            except ModelyardError as error:
                # What it told last stays: nothing is over because nobody says that it goes on.
                told, problem = self._kept, str(error)
        if told != self._kept or problem != self._problem:
            await self._keep(config, told, problem)

    async def _keep(self, config: AlertmanagerConfig, told: tuple[AlertView, ...] | None, problem: str) -> None:
        foundation = self._foundation
        if problem and problem != self._problem:
            _LOG.warning("%s", problem)
        source = address(config) if config.url else ""

        async def action(permit: Permit) -> None:
            permit.spend("alert.keep")
            now = foundation.clock.now()
            async with foundation.database.transaction() as transaction:
                await alert_store.end_foreign(transaction, source, now)
                if told is not None and source:
                    await alert_store.replace_foreign(transaction, source, told, now)
                kept = json.dumps({"source": source, "at": timestamp(now), "why": problem}) if problem else ""
                await meta.put(transaction, _PROBLEM, kept)

        await foundation.gate.run("alert.keep", f"alerts of {source or 'an Alertmanager'}", action, as_worker=True)
        is_news = told != self._kept
        self._kept, self._problem = told, problem
        if is_news:
            foundation.hub.publish(Topic.ALERTS, AlertsChanged())


async def lost(database: Database, config: AlertmanagerConfig) -> SourceView | None:
    """The Alertmanager, where whoever keeps the yard's alerts could not ask it; None: it could, or nobody tried.

    Raises:
        StoreError: the database cannot be read.
    """
    kept = await meta.get(database, _PROBLEM)
    if not kept:
        return None
    told = json.loads(kept)
    if told["source"] != address(config):
        return None
    since = instant(told["at"])
    return SourceView(name="alertmanager", kind="alertmanager", state=SourceState.LOST, as_of=since, detail=told["why"])


def address(config: AlertmanagerConfig) -> str:
    """How the Alertmanager is called where its alerts are shown: its host and port."""
    import httpx

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
    # It takes ten megabytes, and most yards name no Alertmanager.
    httpx = await asyncio.to_thread(importlib.import_module, "httpx")
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
