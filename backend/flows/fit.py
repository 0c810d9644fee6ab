"""Whether a deployment fits into a cluster now, and what would suit it: for the form, the plan and the commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.objects import Pod
from backend.cluster.platform_objects import PriorityClass
from backend.cluster.reader import Look, Sight
from backend.cluster.resources import (
    CLUSTER_QUEUES,
    LOCAL_QUEUES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    RESOURCE_SLICES,
)
from backend.core.errors import NotFoundError, UsageError
from backend.core.views import AdviceView, FitView, GpuSnapshotView, ImageView, SuggestionView
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.serving.arguments import option
from backend.serving.deployment import DeploymentFile, parse
from backend.serving.fit_ask import ask_of, fit_view, gpu_type, replaces_in_place
from backend.serving.fit_limits import queue_refusal, quota_refusals
from backend.serving.model_size import ModelSize, model_size
from backend.serving.suggestions import as_loaded, engine_for, suggest
from backend.telemetry.devices import devices_of
from backend.telemetry.fit import check
from backend.telemetry.fit_inputs import hosts_of, tenants_of
from backend.telemetry.fit_types import Ask, Host, Tenant

#: Seconds for which what was read of the nodes is good enough while somebody types.
_KEPT: Final = 15.0
#: Types of the library whose models have no KV cache.
_WITHOUT_CACHE: Final = frozenset({"embedding", "reranking", "image-embedding", "ocr"})
#: Of a cluster whose GPUs are given out by dynamic resource allocation.
DRA_NOTE: Final = "{} devices are given out by claims (DRA), and the file asks the device plugin"
_GENERIC_MODEL_OPTIONS: Final = ("--model", "--model-path", "--model-id")


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster has and holds.

    Attributes:
        at: when it was read, by the monotonic clock.
        notes: what could not be read.
    """

    at: float
    hosts: tuple[Host, ...]
    tenants: tuple[Tenant, ...]
    priorities: tuple[PriorityClass, ...]
    notes: tuple[str, ...]


class Fits:
    """Checks fits against the clusters."""

    def __init__(self, foundation: Foundation, lookup: Lookup, sampled: Callable[[], GpuSnapshotView | None]) -> None:
        """
        Args:
            sampled: the GPUs as last seen, to tell which pods are idle; None: nobody looked yet.
        """
        self._foundation = foundation
        self._lookup = lookup
        self._sampled = sampled
        self._grounds: dict[str, Ground] = {}
        self._reading = asyncio.Lock()

    async def of_file(self, text: str, namespace: str | None = None, *, context: str = "") -> AdviceView:
        """Where the deployment of a file would run, and what would suit it.

        Args:
            namespace: instead of the file's.

        Raises:
            UsageError: the file is wrong; names the line. UnreachableError: the cluster does not answer.
        """
        deployment = await asyncio.to_thread(parse, text)
        if namespace is not None:
            deployment = deployment.model_copy(update={"namespace": namespace})
        return await self.advice(await self._foundation.clusters.client(context), deployment)

    async def advice(self, client: ClusterClient, deployment: DeploymentFile) -> AdviceView:
        """The same, for a file that was read."""
        ground = await self.ground(client)
        size = await self.size_of(deployment)
        ask = ask_of(deployment, priorities=ground.priorities, size=size)
        gpu = gpu_type(ask, ground.hosts) if ask.resource else None
        suggestions = suggest(deployment, size, gpu)
        fit = await self._fit(client, deployment, ground, size)
        return AdviceView(
            fit=fit,
            suggestions=tuple(
                SuggestionView(id=one.id, label=one.label, value=one.value, present=one.present, reason=one.reason)
                for one in suggestions
            ),
            assumed=(f"its size is told by {size.source}", *size.assumed) if size is not None else (),
        )

    async def size_of(self, deployment: DeploymentFile) -> ModelSize | None:
        """What is known of the model's size: by the library, the arguments and the names."""
        image = await self._image(deployment.image)
        options = (engine_for(deployment).model_option, *_GENERIC_MODEL_OPTIONS)
        named = next((told for name in options if name and (told := option(deployment, name))), "")
        names = (named, deployment.model.storage_uri, deployment.image.partition("@")[0].rpartition("/")[2])
        return model_size(
            # Arguments or an address that name a model say more than the server's own image.
            parameters=image.parameters if image is not None and not named else "",
            precision=image.precision if image is not None and not named else "",
            family=image.family if image is not None and not named else "",
            names=tuple(name for name in names if name),
            caches=image is None or image.type not in _WITHOUT_CACHE,
        )

    async def ground(self, client: ClusterClient) -> Ground:
        """Nodes and what they hold, read at most every few seconds."""
        async with self._reading:
            now = self._foundation.clock.monotonic()
            known = self._grounds.get(client.context)
            if known is None or now - known.at > _KEPT:
                known = await self._read(client, now)
                self._grounds[client.context] = known
            return known

    # ------------------------------------------------------------ inside

    async def _image(self, reference: str) -> ImageView | None:
        try:
            return await self._lookup.image(reference)
        except (NotFoundError, UsageError):
            return None

    async def _read(self, client: ClusterClient, now: float) -> Ground:
        nodes, classes = await asyncio.gather(client.look(NODES), client.look(PRIORITY_CLASSES))
        notes = [f"nodes: {nodes.why}"] if nodes.sight is not Sight.READ else []
        pods, unseen = await self._pods(client)
        if unseen:
            notes.append(unseen)
        if classes.sight is Sight.FORBIDDEN:
            notes.append(f"priority classes: {classes.why}")
        idle = self._idle(client.context)

        def counted() -> tuple[list[Tenant], list[Host]]:
            tenants = tenants_of(pods, idle)
            return tenants, hosts_of(nodes.objects, tenants)

        # Thousands of pods take longer to count than a key may wait.
        tenants, hosts = await asyncio.to_thread(counted)
        return Ground(
            at=now,
            hosts=tuple(hosts),
            tenants=tuple(tenants),
            priorities=classes.objects,
            notes=tuple(notes),
        )

    async def _pods(self, client: ClusterClient) -> tuple[list[Pod], str]:
        """All pods that may be seen, and what to say when those are not all."""
        every: Look[Pod] = await client.look(PODS)
        if every.sight is Sight.READ:
            return list(every.objects), ""
        namespaces = self._foundation.clusters.link(client.context).namespaces
        some = await asyncio.gather(*(client.look(PODS, namespace) for namespace in namespaces))
        found = [pod for look in some for pod in look.objects]
        seen = ", ".join(namespaces) or "none"
        return found, f"only pods of these namespaces can be seen ({seen}): nodes may have less room than is told"

    def _idle(self, context: str) -> dict[tuple[str, str], timedelta]:
        """For how long pods have been doing nothing; of several GPUs the shortest counts."""
        sampled = self._sampled()
        if sampled is None:
            return {}
        found: dict[tuple[str, str], timedelta] = {}
        working = set()
        for gpu in sampled.gpus:
            key = (gpu.namespace, gpu.pod)
            if not gpu.pod or gpu.context not in {"", context}:
                continue
            if gpu.idle_since is None:
                working.add(key)
            else:
                lasting = sampled.at - gpu.idle_since
                found[key] = min(found.get(key, lasting), lasting)
        return {key: lasting for key, lasting in found.items() if key not in working}

    async def _fit(
        self, client: ClusterClient, deployment: DeploymentFile, ground: Ground, size: ModelSize | None
    ) -> FitView:
        ask = ask_of(deployment, priorities=ground.priorities, size=size)
        notes = list(ground.notes)
        if deployment.priority_class and not any(
            each.metadata.name == deployment.priority_class for each in ground.priorities
        ):
            notes.append(f"priority class {deployment.priority_class} is not known: the pods may not be made")
        if not ground.hosts:
            sentence = "it cannot be told: the cluster shows no nodes"
            return FitView(verdict="unknown", pods=ask.pods, fitting=0, sentence=sentence, notes=tuple(notes))
        service = f"{deployment.namespace}/{deployment.name}"
        present = [each for each in ground.tenants if f"{each.namespace}/{each.service}" == service]
        if present and not replaces_in_place(deployment):
            notes.append("the new revision starts beside the old one, whose room is taken until it ends")
            present = []
        if ask.resource and not any(host.allocatable.get(ask.resource) for host in ground.hosts):
            slices = await client.look(RESOURCE_SLICES)
            notes += [DRA_NOTE.format(len(found))] if (found := devices_of(slices.objects)) else []
        quotas = await client.look(RESOURCE_QUOTAS, deployment.namespace)
        if quotas.sight is Sight.FORBIDDEN:
            notes.append(f"quotas: {quotas.why}")
        queue, unseen = await self._queue(client, deployment, ask, present)
        if unseen:
            notes.append(unseen)
        return fit_view(
            await asyncio.to_thread(check, ask, ground.hosts, ground.tenants),
            size=as_loaded(deployment, size) if size is not None else None,
            quota=quota_refusals(deployment, ask, quotas.objects, present),
            queue=queue,
            notes=notes,
        )

    async def _queue(
        self, client: ClusterClient, deployment: DeploymentFile, ask: Ask, present: list[Tenant]
    ) -> tuple[str, str]:
        """What Kueue says against the pods, and why that cannot be told; both empty where no queue is named."""
        if not deployment.queue:
            return "", ""
        queues, above = await asyncio.gather(
            client.look(LOCAL_QUEUES, deployment.namespace), client.look(CLUSTER_QUEUES)
        )
        if queues.sight is not Sight.READ or above.sight is not Sight.READ:
            return "", f"queue {deployment.queue}: {queues.why or above.why}"
        return queue_refusal(deployment, ask, queues.objects, above.objects, present), ""
