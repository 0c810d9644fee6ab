"""Kinds beside the InferenceService, watched and shown with the same care: LLMInferenceServices, graphs, model caches.

Each is followed where the cluster serves it; a cluster without them is asked for nothing but whether it has them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.llm_objects import InferenceGraph, LocalModelCache
from backend.cluster.resources import (
    DEPLOYMENTS,
    INFERENCE_GRAPHS,
    LLM_INFERENCE_SERVICES,
    LOCAL_MODEL_CACHES,
    PODS,
    Resource,
)
from backend.core.errors import AccessDeniedError, ModelyardError, NotInstalledError
from backend.core.events import ServiceChanged, ServiceRemoved, Topic
from backend.core.views import ServiceView
from backend.flows.approvals import Approvals
from backend.flows.cluster_link import ClusterLink
from backend.flows.context_reading import hear_last_words
from backend.flows.foundation import Foundation
from backend.flows.start_history import StartHistory
from backend.flows.watching import Keep, Listing, keeper, take
from backend.serving.board import Key, ServiceBoard
from backend.serving.companion_rows import cache_row, graph_row
from backend.serving.llm import LLM_SELECTOR, LlmServices

_LOG = logging.getLogger(__name__)
_GATHER: Final = 0.1
_JUDGE_AGAIN: Final = 5.0
_LOOK_FOR_KIND: Final = 600.0
_ASK_AGAIN: Final = 30.0


class Companions:
    """The other kinds of one context."""

    def __init__(
        self,
        foundation: Foundation,
        link: ClusterLink,
        approvals: Approvals,
        history: StartHistory,
        services: Callable[[], ServiceBoard],
    ) -> None:
        """
        Args:
            services: the board of the context's InferenceServices: graphs name them, and it has the events of all pods.
        """
        self._foundation = foundation
        self._link = link
        self._approvals = approvals
        self._history = history
        self._services = services
        self.llm = LlmServices()
        self.board = self._new_board(services())
        self.graphs: dict[Key, InferenceGraph] = {}
        self.caches: dict[Key, LocalModelCache] = {}
        self._told: dict[str, ServiceView] = {}
        self._brought: set[str] = set()
        self._dirty = asyncio.Event()

    def _new_board(self, services: ServiceBoard) -> ServiceBoard:
        board = ServiceBoard(
            self._link.context, approver=self._approvals.judge, kind=self.llm.kind, pod_events=services.pod_events
        )
        board.set_estimator(self._history.usual)
        return board

    @property
    def context(self) -> str:
        """The context's name."""
        return self._link.context

    @property
    def told(self) -> bool:
        """Whether the watches have brought what runs, or there is nothing to watch, or it may not be seen."""
        return self._brought >= {LLM_INFERENCE_SERVICES.plural, PODS.plural}

    # ------------------------------------------------------------ once

    async def read(self) -> None:
        """Read everything now, what is not installed or may not be seen left out.

        Raises:
            ModelyardError: the cluster cannot be read.
        """
        client = await self._link.client()
        services = self._services()
        llm, graphs, caches = await asyncio.gather(
            self._looked(client, LLM_INFERENCE_SERVICES),
            self._looked(client, INFERENCE_GRAPHS),
            self._looked(client, LOCAL_MODEL_CACHES),
        )
        self.graphs = {one.key: one for one in graphs}
        self.caches = {one.key: one for one in caches}
        if llm:
            pods, deployments = await asyncio.gather(
                self._looked(client, PODS, LLM_SELECTOR), self._looked(client, DEPLOYMENTS, LLM_SELECTOR)
            )
            self.board.reset_services(self.llm.reset(llm))
            self.board.reset_pods(pods)
            self.board.reset_deployments(deployments)
            self.board.set_gpu_types(services.gpu_types)
            await hear_last_words(client, self.board)
        self.board.refresh(self._foundation.clock.now())

    async def _looked(self, client: ClusterClient, resource: Resource[Any], selector: str = "") -> list[Any]:
        found: list[Any] = []
        spaces = (None,) if not resource.namespaced else self._link.namespaces or (None,)
        for namespace in spaces:
            found += (await client.look(resource, namespace, label_selector=selector)).objects
        return found

    def rows(self) -> list[ServiceView]:
        """Everything as of the last judgement."""
        return [*self.board.rows(), *self._other_rows()]

    def _other_rows(self) -> Iterable[ServiceView]:
        now, services = self._foundation.clock.now(), self._services()
        for graph in self.graphs.values():
            yield self._aged(graph_row(services.context, graph, self.find, now))
        for cache in self.caches.values():
            yield self._aged(cache_row(services.context, cache, now))

    def _aged(self, row: ServiceView) -> ServiceView:
        """The row as of when the cluster was last seen, where nobody watches it any more."""
        lost = self._services().lost
        at = lost.get("") or lost.get(row.namespace)
        return row if at is None else msgspec.structs.replace(row, as_of=at)

    def find(self, key: Key) -> ServiceView | None:
        """The service that a graph's step names."""
        return self._services().row(key) or self.board.row(key)

    # ------------------------------------------------------------ live

    def following(self) -> list[Coroutine[Any, Any, None]]:
        """The work that keeps the rows live; run each as a task, and cancel them to stop."""
        return [self._follow(), self._publish(), self._judge_again()]

    async def _follow(self) -> None:
        client = await self._connected()
        await asyncio.gather(
            self._follow_llm(client),
            self._follow_kind(client, INFERENCE_GRAPHS, keeper(self._holding("graphs"))),
            self._follow_kind(client, LOCAL_MODEL_CACHES, keeper(self._holding("caches"))),
        )

    async def _connected(self) -> ClusterClient:
        while True:
            try:
                return await self._link.client()
            except ModelyardError:
                # The context's services tell of it.
                await asyncio.sleep(_ASK_AGAIN)

    def _holding(self, name: str) -> Listing:
        def reset(items: list[Any]) -> None:
            setattr(self, name, {item.key: item for item in items})

        def put(item: Any) -> None:
            getattr(self, name)[item.key] = item

        def remove(item: Any) -> None:
            getattr(self, name).pop(item.key, None)

        return Listing(reset, put, remove)

    async def _follow_llm(self, client: ClusterClient) -> None:
        served = await self._served(client, LLM_INFERENCE_SERVICES)
        self._brought.clear()
        # The board of the services, and with it the pods' events, is made when they are first followed.
        self.board = board = self._new_board(self._services())

        def reset(items: list[Any]) -> None:
            board.reset_services(self.llm.reset(items))
            self._brought.add(LLM_INFERENCE_SERVICES.plural)

        def reset_pods(items: list[Any]) -> None:
            board.reset_pods(items)
            self._brought.add(PODS.plural)

        def put(item: Any) -> None:
            for service in self.llm.put(item):
                board.put_service(service)

        def remove(item: Any) -> None:
            board.remove_service(item.key)
            for service in self.llm.remove(item.key):
                board.put_service(service)

        keep = keeper(Listing(reset, put, remove))
        keep_pods = keeper(Listing(reset_pods, board.put_pod, board.remove_pod))
        keep_deployments = keeper(Listing(board.reset_deployments, board.put_deployment, board.remove_deployment))
        watches = []
        for space in self._link.namespaces or (None,):
            pods = client.watch(PODS, space, label_selector=LLM_SELECTOR)
            deployments = client.watch(DEPLOYMENTS, space, label_selector=LLM_SELECTOR)
            watches += [
                take(client.watch(served, space), space or "", keep, self._heard),
                take(pods, space or "", keep_pods, self._heard),
                take(deployments, space or "", keep_deployments, self._heard),
            ]
        await asyncio.gather(*watches)

    async def _follow_kind(self, client: ClusterClient, resource: Resource[Any], keep: Keep) -> None:
        served = await self._served(client, resource)
        spaces = (None,) if not resource.namespaced else self._link.namespaces or (None,)
        await asyncio.gather(*(take(client.watch(served, space), space or "", keep, self._heard) for space in spaces))

    async def _served(self, client: ClusterClient, resource: Resource[Any]) -> Resource[Any]:
        """The kind as the cluster has it; one that it has not is looked for again now and then."""
        while True:
            try:
                return await client.served(resource)
            except NotInstalledError:
                if resource is LLM_INFERENCE_SERVICES:
                    self._brought |= {resource.plural, PODS.plural}
                await asyncio.sleep(_LOOK_FOR_KIND)
            except ModelyardError:
                await asyncio.sleep(_ASK_AGAIN)

    def _heard(self, error: ModelyardError | None) -> None:
        if isinstance(error, AccessDeniedError):
            self._brought |= {LLM_INFERENCE_SERVICES.plural, PODS.plural}
        if error is not None:
            # That the cluster is away is told by its services; that a kind may not be seen is no news.
            _LOG.info("watch beside the services: %s", error)
        self._dirty.set()

    async def _judge_again(self) -> None:
        while True:
            await asyncio.sleep(_JUDGE_AGAIN)
            self._dirty.set()

    async def _publish(self) -> None:
        hub = self._foundation.hub
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_GATHER)
            self._dirty.clear()
            board, services = self.board, self._services()
            board.set_gpu_types(services.gpu_types)
            board.set_lost(services.lost)
            if board.silent_crashes():
                await hear_last_words(await self._link.client(), board)
            board.refresh(self._foundation.clock.now())
            await self._history.keep(board.finished_starts())
            rows = {row.key: row for row in self.rows()}
            for key, row in rows.items():
                if self._told.get(key) != row:
                    hub.publish(Topic.SERVICES, ServiceChanged(key=key, service=row))
            for key in self._told.keys() - rows.keys():
                hub.publish(Topic.SERVICES, ServiceRemoved(key=key))
            self._told = rows

    def judge_approvals(self) -> None:
        """Decisions changed."""
        self.board.set_approver(self._approvals.judge)
        self._dirty.set()
