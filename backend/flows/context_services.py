"""The services of one context: read once for a command, or watched for a screen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, TypeVar

from backend.cluster.client import ClusterClient
from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import KubeObject
from backend.cluster.resources import DEPLOYMENTS, EVENTS, INFERENCE_SERVICES, NODES, PODS, Resource
from backend.cluster.watch import Changed, Listed, Lost, Regained, Removed
from backend.core.errors import AccessDeniedError, ModelyardError, NotFoundError
from backend.core.events import ServiceChanged, ServiceRemoved, ServicesReset, Topic
from backend.core.views import ServiceView
from backend.flows.approvals import Approvals
from backend.flows.cluster_link import ClusterLink
from backend.flows.foundation import Foundation
from backend.flows.kserve import explained
from backend.serving.board import SERVICE_LABEL, ServiceBoard

_LOG = logging.getLogger(__name__)
_Item = TypeVar("_Item", bound=KubeObject)
_PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
#: Changes that come within this time reach the screen together.
_GATHER: Final = 0.05
#: How often verdicts that time alone can change (slow to load, stuck) are judged again, and lost watches noted.
_JUDGE_AGAIN: Final = 5.0
_JUDGED_AT_ONCE: Final = 500
#: Lines of a crashed container's log that are looked through, and crashes that are asked for at a time.
_LAST_WORDS: Final = 60
_MOST_LAST_WORDS: Final = 20
#: Without one of these a verdict ages.
_JUDGED_BY: Final = frozenset({INFERENCE_SERVICES.plural, PODS.plural, DEPLOYMENTS.plural})


class ContextServices:
    """The board of one context's services, and the watches that keep it."""

    def __init__(self, foundation: Foundation, link: ClusterLink, approvals: Approvals) -> None:
        self._foundation = foundation
        self._link = link
        self._approvals = approvals
        self.board = ServiceBoard(link.context, approver=approvals.judge)
        self._told_all = False
        self._dirty = asyncio.Event()
        self._crashed = asyncio.Event()
        self._was_reset = False
        self._listed: set[tuple[str, str]] = set()
        self._lost: dict[tuple[str, str], tuple[datetime, ModelyardError]] = {}
        self._products: dict[str, str] = {}

    # ------------------------------------------------------------ once

    @property
    def context(self) -> str:
        """The context's name, as far as it is known."""
        return self._link.context

    @property
    def told(self) -> bool:
        """Whether every watch has brought its objects, or said that we may not see them."""
        return self._told_all

    async def current(self, key: tuple[str, str] | None = None) -> ServiceBoard:
        """The board as watched, or else one that is read now.

        Args:
            key: namespace and name of a service that must be on it if there is one: what was just made may not have
                come by the watch yet.

        Raises:
            ModelyardError: it cannot be read.
        """
        # The watched board is judged where its changes are told of, and nowhere else: none must be lost.
        if self._told_all and (key is None or self.board.row(key) is not None):
            return self.board
        board = await self.read()
        board.refresh(self._foundation.clock.now())
        return board

    def _brought_all(self) -> bool:
        """Whether every watch has brought its objects, or said that we may not see them."""
        wanted = {
            (resource.plural, namespace)
            for resource in (INFERENCE_SERVICES, PODS, DEPLOYMENTS)
            for namespace in self._link.namespaces or ("",)
        }
        return wanted <= self._listed

    async def read(self) -> ServiceBoard:
        """Read everything now, what we may not see left out. Apart from the board that watches keep, if they do.

        Raises:
            NotFoundError: KServe is not installed.
            ModelyardError: the services themselves cannot be read.
        """
        client = await self._link.client()
        await self._approvals.refresh()
        board = ServiceBoard(client.context, approver=self._approvals.judge)
        beside = asyncio.gather(
            self._seen(client, PODS, label_selector=SERVICE_LABEL),
            self._seen(client, DEPLOYMENTS, label_selector=SERVICE_LABEL),
            self._seen(client, EVENTS, field_selector="involvedObject.kind=Pod"),
            self._seen_nodes(client),
        )
        try:
            services = await self._read_services(client)
            pods, deployments, events, nodes = await beside
        finally:
            # Without the services, what is still being asked is of no use.
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
        board.reset_services(services)
        board.reset_pods(pods)
        board.reset_deployments(deployments)
        board.reset_events(events)
        board.set_gpu_types(nodes)
        await self._hear_last_words(client, board)
        return board

    async def _hear_last_words(self, client: ClusterClient, board: ServiceBoard) -> None:
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

    async def _read_services(self, client: ClusterClient) -> list[InferenceService]:
        try:
            services = await self._all(client, INFERENCE_SERVICES)
        except NotFoundError as error:
            self._link.answered(error)
            raise await explained(client, error) from error
        except ModelyardError as error:
            self._link.answered(error)
            raise
        self._link.answered()
        return services

    async def _all(
        self, client: ClusterClient, resource: Resource[_Item], *, label_selector: str = "", field_selector: str = ""
    ) -> list[_Item]:
        found: list[_Item] = []
        for namespace in self._link.namespaces or (None,):
            items, _ = await client.list(
                resource, namespace, label_selector=label_selector, field_selector=field_selector
            )
            found += items
        return found

    async def _seen(
        self, client: ClusterClient, resource: Resource[_Item], *, label_selector: str = "", field_selector: str = ""
    ) -> list[_Item]:
        """Like `_all`, but nothing where we may not look: verdicts then rest on what is left."""
        try:
            return await self._all(client, resource, label_selector=label_selector, field_selector=field_selector)
        except AccessDeniedError as error:
            _LOG.warning("%s", error)
            return []

    async def _seen_nodes(self, client: ClusterClient) -> dict[str, str]:
        try:
            nodes, _ = await client.list(NODES)
        except AccessDeniedError as error:
            _LOG.warning("%s", error)
            return {}
        return {node.metadata.name: node.metadata.label(_PRODUCT_LABEL) for node in nodes}

    # ------------------------------------------------------------ live

    def following(self) -> list[Coroutine[Any, Any, None]]:
        """The work that keeps the board live; run each as a task, and cancel them to stop."""
        return [self._follow_all(), self._publish(), self._judge_again(), self._listen()]

    async def _follow_all(self) -> None:
        delay = 1.0
        while True:
            try:
                client = await self._link.client()
                break
            except ModelyardError:
                # The link has told subscribers already; a kubeconfig may yet be written.
                await asyncio.sleep(delay)
                delay = min(30.0, delay * 2)
        self.board = board = ServiceBoard(client.context, approver=self._approvals.judge)
        self._link.followed = True
        await self._approvals.refresh()
        watches: list[Awaitable[None]] = [
            self._follow(client.watch(NODES), NODES.plural, "", self._take_nodes),
        ]
        # One keeper a kind: a list of one namespace must not drop what another namespace holds.
        keep_services = self._keeper(
            board.reset_services, board.put_service, lambda service: board.remove_service(service.key)
        )
        keep_pods = self._keeper(board.reset_pods, board.put_pod, board.remove_pod)
        keep_deployments = self._keeper(board.reset_deployments, board.put_deployment, board.remove_deployment)
        keep_events = self._keeper(board.reset_events, board.put_event, lambda _event: None)
        for namespace in self._link.namespaces or (None,):
            where = namespace or ""
            pods = client.watch(PODS, namespace, label_selector=SERVICE_LABEL)
            deployments = client.watch(DEPLOYMENTS, namespace, label_selector=SERVICE_LABEL)
            events = client.watch(EVENTS, namespace, field_selector="involvedObject.kind=Pod")
            watches += [
                self._follow(
                    client.watch(INFERENCE_SERVICES, namespace), INFERENCE_SERVICES.plural, where, keep_services
                ),
                self._follow(pods, PODS.plural, where, keep_pods),
                self._follow(deployments, DEPLOYMENTS.plural, where, keep_deployments),
                self._follow(events, EVENTS.plural, where, keep_events),
            ]
        await asyncio.gather(*watches)

    def _keeper(
        self, reset: Callable[[list[_Item]], None], put: Callable[[_Item], None], remove: Callable[[_Item], None]
    ) -> Callable[[str, list[_Item] | None, _Item | None, _Item | None], None]:
        """Feeds the board from a watch; a list of one namespace leaves what other namespaces hold alone."""
        held: dict[str, dict[tuple[str, str], _Item]] = {}

        def keep(where: str, listed: list[_Item] | None, changed: _Item | None, removed: _Item | None) -> None:
            kept = held.setdefault(where, {})
            if listed is not None:
                held[where] = {item.key: item for item in listed}
                reset([item for items in held.values() for item in items.values()])
            if changed is not None:
                kept[changed.key] = changed
                put(changed)
            if removed is not None:
                kept.pop(removed.key, None)
                remove(removed)

        return keep

    def _take_nodes(self, _where: str, listed: list[Any] | None, changed: Any | None, removed: Any | None) -> None:
        if listed is not None:
            self._products = {node.metadata.name: node.metadata.label(_PRODUCT_LABEL) for node in listed}
        if changed is not None:
            self._products = {**self._products, changed.metadata.name: changed.metadata.label(_PRODUCT_LABEL)}
        if removed is not None:
            self._products = {name: it for name, it in self._products.items() if name != removed.metadata.name}
        self.board.set_gpu_types(self._products)

    async def _follow(
        self,
        watch: Any,
        plural: str,
        where: str,
        keep: Callable[[str, list[Any] | None, Any | None, Any | None], None],
    ) -> None:
        async with aclosing(watch) as events:
            async for event in events:
                match event:
                    case Listed(objects=objects):
                        keep(where, list(objects), None, None)
                        self._listed.add((plural, where))
                        self._was_reset |= plural == INFERENCE_SERVICES.plural
                        self._heard(plural, where, None)
                    case Changed(object=item):
                        keep(where, None, item, None)
                    case Removed(object=item):
                        keep(where, None, None, item)
                    case Lost(error=error):
                        self._heard(plural, where, error)
                        if isinstance(error, AccessDeniedError) and plural != INFERENCE_SERVICES.plural:
                            self._listed.add((plural, where))
                    case Regained():
                        self._heard(plural, where, None)
                self._dirty.set()

    def _heard(self, plural: str, where: str, error: ModelyardError | None) -> None:
        """Note how a watch stands, and what that comes to for the context.

        The watches of the services speak for it: as long as one of them lives, it is there. What the others say is
        told beside: they may be forbidden to us.
        """
        if error is None:
            self._lost.pop((plural, where), None)
            self._mark_lost()
        else:
            self._lost.setdefault((plural, where), (self._foundation.clock.now(), error))
            _LOG.info("watch of %s in %s: %s", plural, where or "all namespaces", error)
        spaces = self._link.namespaces or ("",)
        services = [self._lost.get((INFERENCE_SERVICES.plural, space)) for space in spaces]
        if services[0] is not None and all(services):
            self._link.heard(services[0][1])
            return
        told = (
            f"{plural}{f' in {where}' if where else ''}: {said.why}"
            for (plural, where), (_, said) in self._lost.items()
        )
        self._link.heard(None, "; ".join(sorted(told)))

    def _mark_lost(self) -> None:
        """Let rows age whose watches are lost; what we never might see is left out of verdicts, and ages nothing."""
        lost: dict[str, datetime] = {}
        for (plural, where), (at, _) in self._lost.items():
            if plural in _JUDGED_BY and (plural, where) in self._listed:
                lost[where] = min(at, lost.get(where, at))
        self.board.set_lost(lost)

    async def _publish(self) -> None:
        hub = self._foundation.hub
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_GATHER)
            self._dirty.clear()
            rows: list[ServiceView] = []
            removed: list[tuple[str, str]] = []
            more = True
            while more:
                # In turns: judging thousands of services at once would hold up the event loop.
                changes = self.board.refresh(self._foundation.clock.now(), limit=_JUDGED_AT_ONCE)
                rows += changes.rows
                removed += changes.removed
                more = changes.more
                await asyncio.sleep(0)
            self._told_all = self._brought_all()
            if self.board.silent_crashes():
                self._crashed.set()
            context = self._link.context
            if self._was_reset:
                self._was_reset = False
                hub.publish(Topic.SERVICES, ServicesReset(key=context, services=self.board.rows()))
                continue
            for row in rows:
                hub.publish(Topic.SERVICES, ServiceChanged(key=row.key, service=row))
            for namespace, name in removed:
                hub.publish(Topic.SERVICES, ServiceRemoved(key=f"{context}/{namespace}/{name}"))

    async def _judge_again(self) -> None:
        while True:
            await asyncio.sleep(_JUDGE_AGAIN)
            # A watch that is back within this time has left no mark on any row.
            self._mark_lost()
            self._dirty.set()

    async def _listen(self) -> None:
        """Read the logs of crashes; nobody waits for a row until a node answers."""
        while True:
            await self._crashed.wait()
            self._crashed.clear()
            await self._hear_last_words(await self._link.client(), self.board)
            self._dirty.set()

    def judge_approvals(self) -> None:
        """Decisions changed: judge every service's approval again."""
        self.board.set_approver(self._approvals.judge)
        self._dirty.set()
