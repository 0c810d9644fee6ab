"""The services of one context: read once for a command, or watched for a screen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, TypeVar

from backend.cluster.client import ClusterClient
from backend.cluster.objects import KubeObject
from backend.cluster.resources import DEPLOYMENTS, EVENTS, INFERENCE_SERVICES, NODES, PODS, REVISIONS, Resource
from backend.cluster.watch import Changed, Listed, Lost, Regained, Removed
from backend.core.errors import AccessDeniedError, ModelyardError, NotInstalledError
from backend.core.events import ServiceChanged, ServiceRemoved, ServicesReset, Topic
from backend.core.views import ServiceView
from backend.flows.approvals import Approvals
from backend.flows.cluster_link import ClusterLink
from backend.flows.context_reading import ON_PODS, ON_SERVICES, PRODUCT_LABEL, ContextReader, hear_last_words
from backend.flows.foundation import Foundation
from backend.flows.start_history import StartHistory
from backend.flows.watching import Keep, Listing, keeper
from backend.serving.board import SERVICE_LABEL, LoadingPod, ServiceBoard
from backend.serving.starts import load_of
from backend.serving.validations import newest

_LOG = logging.getLogger(__name__)
_Item = TypeVar("_Item", bound=KubeObject)
#: Changes that come within this time after others reach the screen together.
_GATHER: Final = 0.02
#: How long whoever asks for services waits for the watches that have just begun.
_PATIENCE: Final = 30.0
#: How often verdicts that time alone can change (slow to load, stuck) are judged again, and lost watches noted.
_JUDGE_AGAIN: Final = 5.0
_JUDGED_AT_ONCE: Final = 500
#: How often the logs of loading servers are looked at, of how many at a time, and how many of their last lines.
_LOAD_SECONDS: Final = 3.0
_MOST_LOADS: Final = 8
_LOAD_LINES: Final = 80
#: How long a kind that is not installed, or cannot be asked for, is not asked for again.
_LOOK_FOR_KIND: Final = 600.0
_ASK_AGAIN: Final = 30.0
#: Without one of these a verdict ages.
_JUDGED_BY: Final = frozenset({INFERENCE_SERVICES.plural, PODS.plural, DEPLOYMENTS.plural})


class ContextServices:
    """The board of one context's services, and the watches that keep it."""

    def __init__(self, foundation: Foundation, link: ClusterLink, approvals: Approvals, history: StartHistory) -> None:
        self._foundation = foundation
        self._link = link
        self._approvals = approvals
        self._history = history
        self._reader = ContextReader(link, approvals, history, foundation.database)
        self.board = ServiceBoard(link.context, approver=approvals.judge)
        self._told_all = False
        self._is_followed = False
        #: The watches have told all for the first time, or cannot.
        self._settled = asyncio.Event()
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
            key: namespace and name of the service that is asked about, which must be on it if there is one: what was
                just made may not have come by the watch yet. Of others nothing need be on it.

        Raises:
            ModelyardError: it cannot be read.
        """
        if self._is_followed and not self._told_all:
            await self._told_or_lost()
        # The watched board is judged where its changes are told of, and nowhere else: none must be lost.
        if self._told_all and (key is None or self.board.row(key) is not None):
            return self.board
        board = await self._reader.read(key)
        board.refresh(self._foundation.clock.now())
        return board

    async def _told_or_lost(self) -> None:
        """Wait for what the watches are reading anyway: to read it beside them would take all of it twice."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._settled.wait()
        except TimeoutError:
            _LOG.info("the watches of %s have not told all within %g s", self.context, _PATIENCE)

    def _brought_all(self) -> bool:
        """Whether every watch has brought its objects, or said that we may not see them."""
        wanted = {
            (resource.plural, namespace)
            for resource in (INFERENCE_SERVICES, PODS, DEPLOYMENTS)
            for namespace in self._link.namespaces or ("",)
        }
        return wanted <= self._listed

    # ------------------------------------------------------------ live

    def following(self) -> list[Coroutine[Any, Any, None]]:
        """The work that keeps the board live; run each as a task, and cancel them to stop."""
        self._is_followed = True
        return [self._follow_all(), self._publish(), self._judge_again(), self._listen(), self._watch_loads()]

    async def _follow_all(self) -> None:
        delay = 1.0
        while True:
            try:
                client = await self._link.client()
                break
            except ModelyardError:
                # The link has told subscribers already; a kubeconfig may yet be written.
                self._settled.set()
                await asyncio.sleep(delay)
                delay = min(30.0, delay * 2)
        self.board = board = ServiceBoard(
            client.context, approver=self._approvals.judge, pod_events=self.board.pod_events
        )
        self._link.followed = True
        await self._approvals.refresh()
        await self._history.read()
        board.set_estimator(self._history.usual)
        await self.read_proofs()
        watches: list[Awaitable[None]] = [
            self._follow(client.watch(NODES), NODES.plural, "", self._take_nodes),
        ]
        # One keeper a kind: a list of one namespace must not drop what another namespace holds.
        keep_services = keeper(
            Listing(board.reset_services, board.put_service, lambda service: board.remove_service(service.key))
        )
        keep_pods = keeper(Listing(board.reset_pods, board.put_pod, board.remove_pod))
        keep_deployments = keeper(Listing(board.reset_deployments, board.put_deployment, board.remove_deployment))
        keep_events = keeper(Listing(board.reset_events, board.put_event, lambda _event: None))
        keep_own_events = keeper(Listing(board.reset_own_events, board.put_event, lambda _event: None))
        keep_revisions = keeper(Listing(board.reset_revisions, board.put_revision, board.remove_revision))
        for namespace in self._link.namespaces or (None,):
            where = namespace or ""
            pods = client.watch(PODS, namespace, label_selector=SERVICE_LABEL)
            deployments = client.watch(DEPLOYMENTS, namespace, label_selector=SERVICE_LABEL)
            events = client.watch(EVENTS, namespace, field_selector=ON_PODS)
            own_events = client.watch(EVENTS, namespace, field_selector=ON_SERVICES)
            watches += [
                self._follow(
                    client.watch(INFERENCE_SERVICES, namespace), INFERENCE_SERVICES.plural, where, keep_services
                ),
                self._follow(pods, PODS.plural, where, keep_pods),
                self._follow(deployments, DEPLOYMENTS.plural, where, keep_deployments),
                self._follow(events, EVENTS.plural, where, keep_events),
                self._follow(own_events, f"{EVENTS.plural} of services", where, keep_own_events),
                self._follow_where_served(client, REVISIONS, namespace, keep_revisions),
            ]
        await asyncio.gather(*watches)

    async def _follow_where_served(
        self, client: ClusterClient, resource: Resource[_Item], namespace: str | None, keep: Keep
    ) -> None:
        """Follow a kind that a cluster need not have; it is looked for again now and then."""
        while True:
            try:
                served = await client.served(resource)
                break
            except NotInstalledError:
                await asyncio.sleep(_LOOK_FOR_KIND)
            except ModelyardError:
                await asyncio.sleep(_ASK_AGAIN)
        watch = client.watch(served, namespace, label_selector=SERVICE_LABEL)
        await self._follow(watch, resource.plural, namespace or "", keep)

    def _take_nodes(self, _where: str, listed: list[Any] | None, changed: Any | None, removed: Any | None) -> None:
        if listed is not None:
            self._products = {node.metadata.name: node.metadata.label(PRODUCT_LABEL) for node in listed}
        if changed is not None:
            self._products = {**self._products, changed.metadata.name: changed.metadata.label(PRODUCT_LABEL)}
        if removed is not None:
            self._products = {name: it for name, it in self._products.items() if name != removed.metadata.name}
        self.board.set_gpu_types(self._products)

    async def _follow(
        self,
        watch: Any,
        plural: str,
        where: str,
        keep: Keep,
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
            since, _ = self._lost.get((plural, where), (self._foundation.clock.now(), error))
            self._lost[plural, where] = (since, error)
            _LOG.info("watch of %s in %s: %s", plural, where or "all namespaces", error)
            if plural == INFERENCE_SERVICES.plural:
                self._settled.set()
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
        hub, clock = self._foundation.hub, self._foundation.clock
        told_at = float("-inf")
        while True:
            await self._dirty.wait()
            # The first after a quiet time is told at once.
            await asyncio.sleep(max(0.0, told_at + _GATHER - clock.monotonic()))
            told_at = clock.monotonic()
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
            if self._told_all:
                self._settled.set()
            if self.board.silent_crashes():
                self._crashed.set()
            spaces = self._link.namespaces or ("",)
            if {
                (NODES.plural, ""),
                *((EVENTS.plural, space) for space in spaces),
            } <= self._listed:
                # Before, neither GPUs nor pulls are known of what runs already.
                await self._history.keep(self.board.finished_starts())
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
            await hear_last_words(await self._link.client(), self.board)
            self._dirty.set()

    async def _watch_loads(self) -> None:
        """Read how far servers are that load their model, as long as some do."""
        while True:
            await asyncio.sleep(_LOAD_SECONDS)
            loading = self.board.loading_pods()[:_MOST_LOADS]
            if loading:
                client = await self._link.client()
                news = await asyncio.gather(*(self._read_load(client, one) for one in loading))
                if any(news):
                    self._dirty.set()

    async def _read_load(self, client: ClusterClient, loading: LoadingPod) -> bool:
        try:
            log = await client.logs(loading.namespace, loading.pod, container=loading.container, tail=_LOAD_LINES)
        except ModelyardError as error:
            _LOG.debug("log of %s: %s", loading.pod, error)
            return False
        return self.board.put_load(loading, load_of(log), self._foundation.clock.now())

    async def read_proofs(self) -> None:
        """Validations may have ended, perhaps in another process: tell of them in the rows."""
        self.board.set_proofs(await newest(self._foundation.database))
        self._dirty.set()

    def judge_approvals(self) -> None:
        """Decisions changed: judge every service's approval again."""
        self.board.set_approver(self._approvals.judge)
        self._dirty.set()
