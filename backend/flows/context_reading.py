"""The services of one context, read once: for commands, and before watches have told all."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, TypeVar

from backend.cluster.client import ClusterClient
from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import KubeObject
from backend.cluster.platform_objects import Revision
from backend.cluster.resources import DEPLOYMENTS, EVENTS, INFERENCE_SERVICES, NODES, PODS, REVISIONS, Resource
from backend.core.errors import AccessDeniedError, ModelyardError, NotFoundError
from backend.flows.approvals import Approvals
from backend.flows.cluster_link import ClusterLink
from backend.flows.kserve import explained
from backend.flows.start_history import StartHistory
from backend.serving.board import SERVICE_LABEL, ServiceBoard
from backend.serving.validations import newest
from backend.store.connection import Database

_LOG = logging.getLogger(__name__)
_Item = TypeVar("_Item", bound=KubeObject)

PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
ON_PODS: Final = "involvedObject.kind=Pod"
ON_SERVICES: Final = "involvedObject.kind=InferenceService"
#: Lines of a crashed container's log that are looked through, and crashes that are asked for at a time.
_LAST_WORDS: Final = 60
_MOST_LAST_WORDS: Final = 20


class ContextReader:
    """Makes a board of what a context has now, what we may not see left out."""

    def __init__(self, link: ClusterLink, approvals: Approvals, history: StartHistory, database: Database) -> None:
        self._link = link
        self._approvals = approvals
        self._history = history
        self._database = database

    async def read(self, key: tuple[str, str] | None = None) -> ServiceBoard:
        """Read everything now, what we may not see left out. Apart from the board that watches keep, if they do.

        Args:
            key: namespace and name of the one service that is asked about; None: all.

        Raises:
            NotFoundError: KServe is not installed.
            ModelyardError: the services themselves cannot be read.
        """
        client = await self._link.client()
        await self._approvals.refresh()
        await self._history.read()
        board = ServiceBoard(client.context, approver=self._approvals.judge)
        board.set_estimator(self._history.usual)
        board.set_proofs(await newest(self._database))
        where, its, name = self._scope(key)
        on_it = f"{ON_SERVICES},involvedObject.name={key[1]}" if key is not None else ON_SERVICES
        beside = asyncio.gather(
            self._seen(client, PODS, where, label_selector=its),
            self._seen(client, DEPLOYMENTS, where, label_selector=its),
            self._seen(client, EVENTS, where, field_selector=ON_PODS),
            self._seen(client, EVENTS, where, field_selector=on_it),
            self._seen_revisions(client, where, its),
            self._seen_nodes(client),
        )
        try:
            services = await self._read_services(client, where, name)
            pods, deployments, events, own_events, revisions, nodes = await beside
        finally:
            # Without the services, what is still being asked is of no use.
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
        board.reset_services(services)
        board.reset_pods(pods)
        board.reset_deployments(deployments)
        board.reset_events(events)
        board.reset_own_events(own_events)
        board.reset_revisions(revisions)
        board.set_gpu_types(nodes)
        await hear_last_words(client, board)
        return board

    def _scope(self, key: tuple[str, str] | None) -> tuple[tuple[str | None, ...], str, str]:
        """Where to look, and by which label and field selectors."""
        namespaces: tuple[str | None, ...] = self._link.namespaces or (None,)
        if key is None:
            return namespaces, SERVICE_LABEL, ""
        namespace, name = key
        where = (namespace,) if None in namespaces or namespace in namespaces else ()
        return where, f"{SERVICE_LABEL}={name}", f"metadata.name={name}"

    async def _read_services(
        self, client: ClusterClient, where: tuple[str | None, ...], name: str
    ) -> list[InferenceService]:
        try:
            services = await self._all(client, INFERENCE_SERVICES, where, field_selector=name)
        except NotFoundError as error:
            self._link.answered(error)
            raise await explained(client, error) from error
        except ModelyardError as error:
            self._link.answered(error)
            raise
        self._link.answered()
        return services

    async def _all(
        self,
        client: ClusterClient,
        resource: Resource[_Item],
        where: tuple[str | None, ...],
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[_Item]:
        found: list[_Item] = []
        for namespace in where:
            items, _ = await client.list(
                resource, namespace, label_selector=label_selector, field_selector=field_selector
            )
            found += items
        return found

    async def _seen(
        self,
        client: ClusterClient,
        resource: Resource[_Item],
        where: tuple[str | None, ...],
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[_Item]:
        """Like `_all`, but nothing where we may not look: verdicts then rest on what is left."""
        try:
            return await self._all(
                client, resource, where, label_selector=label_selector, field_selector=field_selector
            )
        except AccessDeniedError as error:
            _LOG.warning("%s", error)
            return []

    async def _seen_revisions(self, client: ClusterClient, where: tuple[str | None, ...], its: str) -> list[Revision]:
        """Of Knative, where it is installed and may be looked at."""
        found: list[Revision] = []
        for namespace in where:
            found += (await client.look(REVISIONS, namespace, label_selector=its)).objects
        return found

    async def _seen_nodes(self, client: ClusterClient) -> dict[str, str]:
        try:
            nodes, _ = await client.list(NODES)
        except AccessDeniedError as error:
            _LOG.warning("%s", error)
            return {}
        return {node.metadata.name: node.metadata.label(PRODUCT_LABEL) for node in nodes}


async def hear_last_words(client: ClusterClient, board: ServiceBoard) -> None:
    """Read the log of crashes that left no message in the pod's status: most tell their cause only there."""
    for crash in board.silent_crashes()[:_MOST_LAST_WORDS]:
        try:
            words = await client.logs(
                crash.namespace, crash.pod, container=crash.container, previous=True, tail=_LAST_WORDS
            )
        except ModelyardError as error:
            _LOG.info("last words of %s/%s: %s", crash.namespace, crash.pod, error)
            words = ""
        board.put_last_words(crash, words)
