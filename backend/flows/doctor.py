"""`doctor`: what works here, what is missing, and what to do about it. Reads only."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.reviews import AccessRequest
from backend.core.errors import ModelyardError
from backend.core.views import CheckView
from backend.flows.anchoring import Anchoring
from backend.flows.cluster_link import ClusterLink
from backend.flows.foundation import Foundation
from backend.flows.notifications import Notifications
from backend.registry.check import check as check_registry

#: What each right is good for. Without the first two there is little to do here.
_RIGHTS: Final = (
    (AccessRequest(verb="list", group="serving.kserve.io", resource="inferenceservices"), "see services", "failed"),
    (AccessRequest(verb="watch", group="serving.kserve.io", resource="inferenceservices"), "follow services", "failed"),
    (AccessRequest(verb="patch", group="serving.kserve.io", resource="inferenceservices"), "plan and apply", "warning"),
    (AccessRequest(verb="delete", group="serving.kserve.io", resource="inferenceservices"), "delete", "warning"),
    (AccessRequest(verb="list", resource="pods"), "tell why a service does not come up", "warning"),
    (AccessRequest(verb="list", group="apps", resource="deployments"), "tell how a rollout goes", "warning"),
    (AccessRequest(verb="list", resource="events"), "tell why a pod does not start", "warning"),
    (AccessRequest(verb="get", resource="pods", subresource="log"), "show logs", "warning"),
    (AccessRequest(verb="get", resource="pods", subresource="proxy"), "read GPU and model-server metrics", "warning"),
    (AccessRequest(verb="create", resource="pods", subresource="proxy"), "validate rollouts", "warning"),
    (AccessRequest(verb="list", resource="nodes"), "see the cluster's GPUs", "warning"),
)


class Doctor:
    """Checks everything that the yard is made of."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    async def examine(self) -> list[CheckView]:
        """A line for each thing that was looked at, in the order of what rests on what."""
        checks = [self._configuration(), await self._database(), await self._identity()]
        checks += await self._registries()
        checks += await self._cluster()
        checks += await Notifications(self._foundation).checks()
        checks.append(await self._anchors())
        return checks

    def _configuration(self) -> CheckView:
        loaded = self._foundation.configuration
        if not loaded.exists:
            return CheckView(
                name="configuration",
                state="warning",
                detail=f"there is no {loaded.path}; everything has its default",
                action="run modelyard init",
            )
        notes = "; ".join((loaded.policy_source, *loaded.notes))
        return CheckView(name="configuration", state="ok", detail=f"{loaded.path}; {notes}")

    async def _anchors(self) -> CheckView:
        try:
            return await Anchoring(self._foundation).check()
        except ModelyardError as error:
            return CheckView(name="anchors", state="failed", detail=error.why, action=error.action)

    async def _database(self) -> CheckView:
        database = self._foundation.database
        try:
            await database.fetch_one("SELECT 1 FROM ledger LIMIT 1")
        except ModelyardError as error:
            return CheckView(name="database", state="failed", detail=error.why, action=error.action)
        if database.read_only:
            return CheckView(name="database", state="warning", detail=f"{database.path}, opened to read only")
        return CheckView(name="database", state="ok", detail=str(database.path))

    async def _identity(self) -> CheckView:
        try:
            actor = await self._foundation.identity.actor()
        except ModelyardError as error:
            return CheckView(name="identity", state="failed", detail=error.why, action=error.action)
        roles = "unrestricted" if actor.unrestricted else ", ".join(sorted(role.value for role in actor.roles))
        return CheckView(
            name="identity",
            state="ok" if roles else "warning",
            detail=f"{actor.name} ({actor.source.value}), {roles or 'no role'}",
            action="" if roles else "ask an administrator of the yard for a role",
        )

    async def _registries(self) -> list[CheckView]:
        registries = self._foundation.registries
        if not registries.configs:
            return [
                CheckView(name="registries", state="absent", detail="none is configured", action="add a [[registry]]")
            ]
        return list(await asyncio.gather(*(check_registry(registries.client(one.name)) for one in registries.configs)))

    async def _cluster(self) -> list[CheckView]:
        configured = self._foundation.configuration.settings.cluster
        if not configured and not await self._foundation.cluster.is_named():
            return [
                CheckView(
                    name="cluster", state="warning", detail="no cluster is configured",
                    action="set KUBECONFIG, or add a [[cluster]], to see services",
                )
            ]  # fmt: skip
        links = self._foundation.clusters.links
        found = await asyncio.gather(*(self._connected_cluster(link) for link in links))
        if len(links) == 1:
            return found[0]
        return [
            msgspec.structs.replace(check, name=f"{link.context}: {check.name}")
            for link, checks in zip(links, found, strict=True)
            for check in checks
        ]

    async def _connected_cluster(self, link: ClusterLink) -> list[CheckView]:
        try:
            client = await link.client()
            version = await client.version()
            installed = await client.kserve_installed()
        except ModelyardError as error:
            return [CheckView(name="cluster", state="failed", detail=str(error.why), action=error.action)]
        checks = [CheckView(name="cluster", state="ok", detail=f"context {client.context}, Kubernetes {version}")]
        if trouble := client.clock_trouble:
            checks.append(
                CheckView(
                    name="clock",
                    state="warning",
                    detail=trouble,
                    action="set both by the same time server: ages and deadlines are wrong until then",
                )
            )
        if not installed.installed:
            checks.append(
                CheckView(
                    name="KServe", state="absent", detail=installed.message, action="install KServe to serve models"
                )
            )
        else:
            checks.append(CheckView(name="KServe", state="ok", detail=f"serves {', '.join(installed.kinds)}"))
        checks += await asyncio.gather(*(self._right(client, link.namespaces, *right) for right in _RIGHTS))
        return checks

    async def _right(
        self, client: ClusterClient, spaces: tuple[str, ...], request: AccessRequest, purpose: str, missing: str
    ) -> CheckView:
        kind = request.resource + (f"/{request.subresource}" if request.subresource else "")
        name = f"{request.verb} {kind}"
        namespaces = spaces if request.resource != "nodes" else ()
        refused = []
        try:
            for namespace in namespaces or ("",):
                asked = AccessRequest(
                    verb=request.verb,
                    group=request.group,
                    resource=request.resource,
                    namespace=namespace,
                    subresource=request.subresource,
                )
                if not (await client.can_i(asked)).allowed:
                    refused.append(namespace or "all namespaces")
        except ModelyardError as error:
            return CheckView(name=name, state="failed", detail=error.why, action=error.action)
        if refused:
            return CheckView(
                name=name,
                state=missing,
                detail=f"not allowed in {', '.join(refused)}: needed to {purpose}",
                action=f"ask for the verb {request.verb} on {kind}",
            )
        return CheckView(name=name, state="ok", detail=purpose)
