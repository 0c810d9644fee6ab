"""The registries of the configuration: one client each, made when first used, and what each last said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from backend.core.errors import AuthenticationError, ModelyardError, NotFoundError
from backend.core.events import EventHub, SourceChanged, Topic
from backend.core.logs import Redactor
from backend.core.ports import Clock
from backend.core.views import SourceState, SourceView
from backend.registry.config import DOCKER_HUB_HOSTS, RegistryConfig
from backend.registry.credentials import Credential, Credentials

if TYPE_CHECKING:
    from backend.registry.client import RegistryClient


class _LearningCredentials(Credentials):
    """Tells the log's redactor every secret that it hands out."""

    redactor: Redactor | None = None

    async def of(self, config: RegistryConfig) -> Credential | None:
        credential = await super().of(config)
        if credential is not None and self.redactor is not None:
            for secret in credential.secrets:
                self.redactor.learn(secret)
        return credential


class Registries:
    """Clients by the registry's configured name."""

    def __init__(
        self, configs: Sequence[RegistryConfig], *, credentials: Credentials, clock: Clock, hub: EventHub
    ) -> None:
        self.configs = tuple(configs)
        self._credentials = credentials
        self._clock = clock
        self._hub = hub
        self._clients: dict[str, RegistryClient] = {}
        self._sources = {
            config.name: SourceView(
                name=config.name, kind="registry", state=SourceState.ABSENT, as_of=None, detail="not asked yet"
            )
            for config in configs
        }

    @property
    def sources(self) -> tuple[SourceView, ...]:
        """What each registry last said."""
        return tuple(self._sources.values())

    def config(self, name: str) -> RegistryConfig:
        """The registry of that configured name, or of that host.

        Raises:
            NotFoundError: there is none.
        """
        for config in self.configs:
            if name in (config.name, config.host) or DOCKER_HUB_HOSTS.issuperset((name, config.host)):
                return config
        known = ", ".join(config.name for config in self.configs) or "none is configured"
        raise NotFoundError(f"registry {name}", "it is not configured", f"use one of: {known}")

    def client(self, name: str) -> RegistryClient:
        """The client of a registry.

        Raises:
            NotFoundError: there is no registry of that name.
        """
        config = self.config(name)
        if config.name not in self._clients:
            # It brings httpx, which costs a command that asks no registry a fifth of a second.
            from backend.registry.client import RegistryClient

            self._clients[config.name] = RegistryClient(
                config, credentials=self._credentials, clock=self._clock, waiting=partial(self._waits, config.name)
            )
        return self._clients[config.name]

    async def credential(self, name: str) -> Credential | None:
        """What a registry is asked with, for a program that asks it for us; None: anonymously.

        Raises:
            NotFoundError: there is no registry of that name. ConfigurationError, AuthenticationError: as
                `Credentials.of`.
        """
        return await self._credentials.of(self.config(name))

    def heard(self, name: str, error: ModelyardError | None, detail: str = "") -> None:
        """Note that a registry answered, or why it did not, and tell subscribers: with what it still lets us pull, and
        what it wants shown."""
        state = SourceState.LIVE
        client = self._clients.get(name)
        told = () if client is None else (client.quota, *client.warnings)
        if error is not None:
            state = SourceState.REFUSED if isinstance(error, AuthenticationError) else SourceState.LOST
        source = SourceView(
            name=name,
            kind="registry",
            state=state,
            as_of=self._clock.now(),
            detail=error.why if error else "; ".join(part for part in (detail, *told) if part),
        )
        self._sources[name] = source
        self._hub.publish(Topic.SOURCES, SourceChanged(key=f"registry/{name}", source=source))

    def _waits(self, name: str, seconds: float) -> None:
        until = self._clock.now() + timedelta(seconds=seconds)
        self.heard(name, None, f"asks to wait until {until:%H:%M:%S} UTC")

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


def learning_credentials(credentials: Credentials, redactor: Redactor) -> Credentials:
    """The same source of credentials, every secret of which the redactor knows before it is used."""
    learning = _LearningCredentials(credentials.base)
    learning.redactor = redactor
    return learning
