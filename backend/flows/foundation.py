"""What every flow works with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from backend.config import LoadedConfiguration
from backend.core.actors import Actor, ActorSource
from backend.core.errors import IdentityError, ModelyardError
from backend.core.events import EventHub
from backend.core.ports import Clock, IdSource
from backend.curation.policy import Policy
from backend.flows.cluster_link import ClusterLink
from backend.flows.clusters import Clusters
from backend.flows.configuration import ConfigurationRecord, RulesInForce
from backend.flows.gate import Gate
from backend.flows.identity import operating_system_actor, with_roles
from backend.flows.policy_in_force import PolicyInForce
from backend.flows.registries import Registries
from backend.store.connection import Database
from backend.telemetry.store import TelemetryStore

#: What whoever keeps the yard's schedule holds.
LEASE: Final = "yard"


class Identity:
    """Tells who acts, by the source that the configuration names. The answer is asked for once."""

    def __init__(self, configuration: LoadedConfiguration, cluster: ClusterLink) -> None:
        self._configuration = configuration
        self._cluster = cluster
        self._actor: Actor | None = None
        self._asking = asyncio.Lock()

    @property
    def known(self) -> Actor | None:
        """The actor, if it was told already."""
        return self._actor

    async def actor(self) -> Actor:
        """Who acts.

        Raises:
            IdentityError: it cannot be told, which refuses every decision.
        """
        async with self._asking:
            if self._actor is None:
                self._actor = await self._ask()
            return self._actor

    async def onlooker(self) -> tuple[Actor, str]:
        """Who looks, and why that cannot be told or an empty text; looking is open to whom nobody knows, too."""
        try:
            return await self.actor(), ""
        except IdentityError as error:
            return Actor(name="", source=ActorSource.CLUSTER), error.why

    async def _ask(self) -> Actor:
        settings = self._configuration.settings
        if settings.yard.identity == "os":
            return await asyncio.to_thread(operating_system_actor, settings.role)
        try:
            client = await self._cluster.client()
            identity = await client.identity()
        except ModelyardError as error:
            self._cluster.answered(error)
            raise IdentityError(
                "identity",
                f"the cluster does not tell who you are: {error.why}",
                'mend the connection to the cluster: with identity = "cluster" nothing is decided without it',
            ) from error
        self._cluster.answered()
        if identity.impersonated:
            raise IdentityError(
                "identity", "the kubeconfig acts as somebody else (as:)", "use a context of your own to decide"
            )
        return with_roles(identity.username, identity.groups, ActorSource.CLUSTER, settings.role)


@dataclass(frozen=True)
class Foundation:
    """The adapters and ports that flows share; made by the yard alone."""

    configuration: LoadedConfiguration
    database: Database
    telemetry: TelemetryStore
    clock: Clock
    ids: IdSource
    hub: EventHub
    gate: Gate
    policy: Policy
    identity: Identity
    clusters: Clusters
    registries: Registries
    rules: RulesInForce
    record: ConfigurationRecord
    policy_in_force: PolicyInForce

    @property
    def cluster(self) -> ClusterLink:
        """The primary cluster."""
        return self.clusters.primary
