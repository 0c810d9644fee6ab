"""The services of one cluster as rows, kept up by its watches: what changed is judged again, and nothing else.

Pure but for the caller's clock: feed it what the watches yield, then ask `refresh` for the rows that differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import Event, Pod
from backend.core.views import ServiceView, ValidationView
from backend.serving.board_objects import SERVICE_LABEL, BoardKind, BoardObjects, Key, SilentCrash, silent
from backend.serving.case import Case
from backend.serving.digests import running_digests
from backend.serving.pod_starts import LoadingPod, loading_pod
from backend.serving.rows import Approval, Approver, nobody_asked, service_view
from backend.serving.starts import Estimator, Load, Start, Usual, serving_digest, start_of
from backend.serving.verdict import judge_case

__all__ = [
    "SERVICE_LABEL", "Approval", "Approver", "BoardKind", "Changes", "Key", "LoadingPod", "ServiceBoard", "SilentCrash",
]  # fmt: skip


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What `refresh` found: rows that are new or differ, keys of rows that are gone, and whether more are to judge."""

    rows: tuple[ServiceView, ...]
    removed: tuple[Key, ...]
    more: bool = False


class ServiceBoard(BoardObjects):
    """Services with their Deployments, pods and events, and the rows made of them."""

    def __init__(
        self,
        context: str,
        *,
        approver: Approver = nobody_asked,
        kind: BoardKind = BoardKind(),  # noqa: B008 - frozen
        pod_events: dict[Key, dict[str, Event]] | None = None,
    ) -> None:
        super().__init__(kind, pod_events)
        self._context = context
        self._approver = approver
        self._gpu_types: dict[str, str] = {}
        self._rows: dict[Key, ServiceView] = {}
        #: Keys of the rows in their order; None: some came or went.
        self._order: list[Key] | None = None
        self._digests: dict[Key, frozenset[str]] = {}
        self._estimator: Estimator = lambda _digest, _gpu_type: None
        self._lost: dict[str, datetime] = {}
        self._proofs: dict[Key, ValidationView] = {}
        self._unsettled: set[Key] = set()

    @property
    def gpu_types(self) -> dict[str, str]:
        """The GPU product of each node."""
        return self._gpu_types

    @property
    def lost(self) -> Mapping[str, datetime]:
        """Since when watches are lost, by namespace (empty: of all)."""
        return self._lost

    @property
    def context(self) -> str:
        """The context that its services are of."""
        return self._context

    def finished_starts(self) -> list[Start]:
        """Starts that came to their end since they were last asked for."""
        found = []
        for pod in self._starts.take():
            service = self._pod_services.get(pod.key)
            if service is not None:
                start = start_of(
                    pod,
                    tuple(self.pod_events.get(pod.key, {}).values()),
                    service=f"{self._context}/{'/'.join(service)}",
                    gpu_type=self._gpu_types.get(pod.spec.node_name, ""),
                    weights_at=self.weights_at(pod),
                )
                if start is not None:
                    found.append(start)
        return found

    def set_estimator(self, estimator: Estimator) -> None:
        """Who tells how long starts take."""
        self._estimator = estimator

    def loading_pods(self) -> list[LoadingPod]:
        """The pods of services that start, where their server runs already."""
        pods = (pod for key in self._unsettled for pod in self._pods.get(key, {}).values())
        return [loading for pod in pods if (loading := loading_pod(pod)) is not None]

    def put_load(self, loading: LoadingPod, load: Load, at: datetime) -> bool:
        """How far a pod is with loading, by its log; whether that is news."""
        service = self._pod_services.get(loading.key)
        if service is None or not self._starts.put_load(loading, load, at):
            return False
        self._dirty.add(service)
        return True

    def weights_at(self, pod: Pod) -> datetime | None:
        """When a pod's log said that its weights are loaded, as far as that was seen."""
        return self._starts.weights_at.get(pod.key)

    def usual(self, pod: Pod) -> Usual | None:
        """What starts of a pod's image take on its node's GPUs, or on any before it has a node."""
        digest = serving_digest(pod)
        return self._estimator(digest, self._gpu_types.get(pod.spec.node_name, "")) if digest else None

    def set_gpu_types(self, products: dict[str, str]) -> None:
        """The GPU product of each node."""
        if products != self._gpu_types:
            self._gpu_types = products
            self._dirty.update(self._services)

    def set_proofs(self, proofs: Mapping[str, ValidationView]) -> None:
        """The newest validation of each service, by `context/namespace/name`."""
        ours = {(one.namespace, one.name): one for one in proofs.values() if one.context == self._context}
        self._dirty.update(key for key in {*ours, *self._proofs} if ours.get(key) != self._proofs.get(key))
        self._proofs = ours

    def set_approver(self, approver: Approver) -> None:
        """What is approved changed: every row is made again."""
        self._approver = approver
        self._dirty.update(self._services)

    def set_lost(self, lost: Mapping[str, datetime]) -> None:
        """Since when watches are lost, by namespace (empty: of all): rows there are as of then, and age.

        Nothing is judged by the passing of time where nobody sees what happens.
        """
        before, self._lost = self._lost, dict(lost)
        moved = {where for where in before.keys() | lost.keys() if before.get(where) != lost.get(where)}
        if moved:
            self._dirty.update(key for key in self._services if "" in moved or key[0] in moved)

    # ------------------------------------------------------------ what they come to

    def refresh(self, now: datetime, *, limit: int | None = None) -> Changes:
        """Judge again what changed, and what time alone can change; give the rows that differ.

        Args:
            limit: services that are judged at most, so that a first list does not hold up the event loop; when
                `more` comes back, refresh again.
        """
        rows: list[ServiceView] = []
        removed: list[Key] = []
        turn = sorted(self._dirty)[:limit] if limit is not None else list(self._dirty)
        self._dirty.difference_update(turn)
        if not self._dirty:
            turn += self._unsettled.difference(turn)
        for key in turn:
            service = self._services.get(key)
            if service is None:
                self._unsettled.discard(key)
                self._own_events.pop(key, None)
                self._digests.pop(key, None)
                if self._rows.pop(key, None) is not None:
                    self._order = None
                    removed.append(key)
                continue
            row = self._row(service, now)
            before = self._rows.get(key)
            if row != before:
                if before is None:
                    self._order = None
                self._rows[key] = row
                rows.append(row)
        return Changes(rows=tuple(rows), removed=tuple(removed), more=bool(self._dirty))

    def rows(self) -> tuple[ServiceView, ...]:
        """All rows as of the last refresh, by namespace and name."""
        if self._order is None:
            self._order = sorted(self._rows)
        return tuple(map(self._rows.__getitem__, self._order))

    def using(self, digests: frozenset[str]) -> tuple[ServiceView, ...]:
        """Rows of the services that name or run one of the digests, by namespace and name."""
        found = []
        for key in sorted(self._rows):
            service = self._services.get(key)
            pods = tuple(self._pods.get(key, {}).values())
            if service is not None and not digests.isdisjoint(running_digests(service, pods).known):
                found.append(self._rows[key])
        return tuple(found)

    def users(self) -> dict[str, list[str]]:
        """By digest, the keys of the services that name or run it, as of the last refresh."""
        found: dict[str, list[str]] = {}
        for key, row in sorted(self._rows.items()):
            for digest in self._digests.get(key, ()):
                found.setdefault(digest, []).append(row.key)
        return found

    def row(self, key: Key) -> ServiceView | None:
        """One row as of the last refresh."""
        return self._rows.get(key)

    def case(self, key: Key, now: datetime) -> Case | None:
        """Everything known of a service, or None when it is not there."""
        service = self._services.get(key)
        return None if service is None else self._case(service, now)

    def on_node(self, node: str) -> tuple[str, ...]:
        """Keys of the services, `context/namespace/name`, that have a pod on a node."""
        return tuple(
            f"{self._context}/{namespace}/{name}"
            for (namespace, name), pods in sorted(self._pods.items())
            if any(pod.spec.node_name == node for pod in pods.values())
        )

    def services(self) -> tuple[InferenceService, ...]:
        """All services."""
        return tuple(self._services.values())

    def _case(self, service: InferenceService, now: datetime) -> Case:
        key = service.key
        pods = tuple(self._pods.get(key, {}).values())
        events = {
            pod.metadata.name: tuple(self.pod_events[pod.key].values()) for pod in pods if pod.key in self.pod_events
        }
        deployments = tuple(self._deployments.get(key, {}).values())
        words = {
            pod.metadata.name: self._words[crash]
            for pod in pods
            if (crash := silent(pod)) is not None and crash in self._words
        }
        case = Case(
            service=service,
            deployments=deployments,
            pods=pods,
            events=events,
            own_events=tuple(self._own_events.get(key, {}).values()),
            revisions=tuple(self._revisions.get(key, {}).values()),
            last_words=words,
            kind=self._kind.kind,
            now=now,
        )
        if case.loading is None:
            return case
        usual = self.usual(case.loading)
        load = self._starts.loads.get(case.loading.key)
        return msgspec.structs.replace(
            case,
            usual=timedelta(seconds=usual.total) if usual is not None else None,
            progress=load.told if load is not None else "",
        )

    def _row(self, service: InferenceService, now: datetime) -> ServiceView:
        as_of = self._lost.get("") or self._lost.get(service.key[0])
        case = self._case(service, as_of or now)
        judgement = judge_case(case)
        if judgement.settled:
            self._unsettled.discard(service.key)
        else:
            self._unsettled.add(service.key)
        digests = running_digests(service, case.pods)
        self._digests[service.key] = digests.known
        approval = self._approver(digests.known) if digests.known else Approval(None, "it names no digest")
        if digests.unpinned and approval.approved:
            approval = Approval(False, f"{digests.unpinned[0]} is not named by its digest")
        nodes = {pod.spec.node_name for pod in case.pods if pod.spec.node_name}
        products = sorted({self._gpu_types[node] for node in nodes if node in self._gpu_types})
        row = service_view(
            self._context,
            case,
            judgement,
            images=digests.images,
            approval=approval,
            gpu_type=", ".join(products),
            proof=self._proofs.get(service.key),
            as_of=as_of,
        )
        return self._kind.finish(row)
