"""The services of one cluster as rows, kept up by its watches: what changed is judged again, and nothing else.

Pure but for the caller's clock: feed it what the watches yield, then ask `refresh` for the rows that differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

import msgspec

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import Deployment, Event, KubeObject, Pod
from backend.cluster.platform_objects import Revision
from backend.core.views import ServiceView, ValidationView
from backend.serving.case import Case
from backend.serving.digests import running_digests
from backend.serving.pod_starts import LoadingPod, PodStarts, loading_pod
from backend.serving.pods import silent_crash
from backend.serving.rows import Approval, Approver, nobody_asked, service_view
from backend.serving.starts import Estimator, Load, Start, Usual, serving_digest, start_of
from backend.serving.verdict import judge_case

__all__ = ["Approval", "Approver", "Changes", "Key", "LoadingPod", "ServiceBoard", "SilentCrash"]

Key: TypeAlias = tuple[str, str]
_Owned = TypeVar("_Owned", bound=KubeObject)

SERVICE_LABEL: Final = "serving.kserve.io/inferenceservice"
SERVICE_KIND: Final = "InferenceService"
#: Events that are kept for each pod.
_EVENTS: Final = 20


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What `refresh` found: rows that are new or differ, keys of rows that are gone, and whether more are to judge."""

    rows: tuple[ServiceView, ...]
    removed: tuple[Key, ...]
    more: bool = False


class SilentCrash(msgspec.Struct, frozen=True, kw_only=True):
    """A container that crashed without a termination message: its log may tell why."""

    namespace: str
    pod: str
    container: str
    restarts: int


class ServiceBoard:
    """Services with their Deployments, pods and events, and the rows made of them."""

    def __init__(self, context: str, *, approver: Approver = nobody_asked) -> None:
        self._context = context
        self._approver = approver
        self._services: dict[Key, InferenceService] = {}
        self._deployments: dict[Key, dict[str, Deployment]] = {}
        self._pods: dict[Key, dict[str, Pod]] = {}
        self._pod_services: dict[Key, Key] = {}
        self._events: dict[Key, dict[str, Event]] = {}
        self._own_events: dict[Key, dict[str, Event]] = {}
        self._revisions: dict[Key, dict[str, Revision]] = {}
        self._words: dict[SilentCrash, str] = {}
        self._gpu_types: dict[str, str] = {}
        self._rows: dict[Key, ServiceView] = {}
        self._digests: dict[Key, frozenset[str]] = {}
        self._silent: dict[Key, SilentCrash] = {}
        self._starts = PodStarts()
        self._estimator: Estimator = lambda _digest, _gpu_type: None
        self._lost: dict[str, datetime] = {}
        self._proofs: dict[Key, ValidationView] = {}
        self._dirty: set[Key] = set()
        self._unsettled: set[Key] = set()

    @property
    def context(self) -> str:
        """The context that its services are of."""
        return self._context

    # ------------------------------------------------------------ what the watches tell

    def reset_services(self, services: Iterable[InferenceService]) -> None:
        """All services, read anew."""
        fresh = {service.key: service for service in services}
        self._dirty.update(self._services)
        self._dirty.update(fresh)
        self._services = fresh

    def put_service(self, service: InferenceService) -> None:
        """A service appeared or changed."""
        self._services[service.key] = service
        self._dirty.add(service.key)

    def remove_service(self, key: Key) -> None:
        """A service is gone."""
        self._services.pop(key, None)
        self._dirty.add(key)

    def reset_pods(self, pods: Iterable[Pod]) -> None:
        """All pods of services, read anew."""
        listed = list(pods)
        self._pods = self._sorted_in(self._pods, listed)
        self._pod_services = {pod.key: service for pod in listed if (service := _service_key(pod)) is not None}
        self._silent = {pod.key: crash for pod in listed if (crash := _silent(pod)) is not None}
        for pod in listed:
            self._starts.note(pod)

    def put_pod(self, pod: Pod) -> None:
        """A pod appeared or changed."""
        self._put(self._pods, pod)
        service = _service_key(pod)
        if service is not None:
            self._pod_services[pod.key] = service
        crash = _silent(pod)
        if crash is not None:
            self._silent[pod.key] = crash
        else:
            self._silent.pop(pod.key, None)
        self._starts.note(pod)

    def remove_pod(self, pod: Pod) -> None:
        """A pod is gone, and its events matter no more."""
        self._remove(self._pods, pod)
        self._pod_services.pop(pod.key, None)
        self._silent.pop(pod.key, None)
        self._events.pop(pod.key, None)
        self._starts.forget(pod)
        for crash in [one for one in self._words if (one.namespace, one.pod) == pod.key]:
            del self._words[crash]

    def reset_deployments(self, deployments: Iterable[Deployment]) -> None:
        """All Deployments of services, read anew."""
        self._deployments = self._sorted_in(self._deployments, deployments)

    def put_deployment(self, deployment: Deployment) -> None:
        """A Deployment appeared or changed."""
        self._put(self._deployments, deployment)

    def remove_deployment(self, deployment: Deployment) -> None:
        """A Deployment is gone."""
        self._remove(self._deployments, deployment)

    def reset_events(self, events: Iterable[Event]) -> None:
        """All events on pods, read anew."""
        self._events = {}
        for event in events:
            self.put_event(event)

    def reset_own_events(self, events: Iterable[Event]) -> None:
        """All events on services, read anew."""
        self._own_events = {}
        for event in events:
            self.put_event(event)

    def reset_revisions(self, revisions: Iterable[Revision]) -> None:
        """All Knative revisions of services, read anew."""
        self._revisions = self._sorted_in(self._revisions, revisions)

    def put_revision(self, revision: Revision) -> None:
        """A Knative revision appeared or changed."""
        self._put(self._revisions, revision)

    def remove_revision(self, revision: Revision) -> None:
        """A Knative revision is gone."""
        self._remove(self._revisions, revision)

    def put_event(self, event: Event) -> None:
        """An event came, or came again."""
        about = event.involved_object
        key = (about.namespace, about.name)
        if about.kind == "Pod":
            held, service = self._events, self._pod_services.get(key)
        elif about.kind == SERVICE_KIND:
            held, service = self._own_events, key
        else:
            return
        kept = held.setdefault(key, {})
        kept.pop(event.metadata.name, None)
        kept[event.metadata.name] = event
        if len(kept) > _EVENTS:
            del kept[next(iter(kept))]
        if service is not None:
            self._dirty.add(service)

    def silent_crashes(self) -> tuple[SilentCrash, ...]:
        """Crashes whose last words are not known yet: read the end of the log of the run before, and put it here."""
        return tuple(
            crash
            for pod, crash in self._silent.items()
            if crash not in self._words and self._pod_services.get(pod) in self._services
        )

    def put_last_words(self, crash: SilentCrash, text: str) -> None:
        """The end of the log of a crashed container; empty when it cannot be read."""
        for earlier in [one for one in self._words if (one.namespace, one.pod) == (crash.namespace, crash.pod)]:
            del self._words[earlier]
        self._words[crash] = text
        service = self._pod_services.get((crash.namespace, crash.pod))
        if service is not None:
            self._dirty.add(service)

    def finished_starts(self) -> list[Start]:
        """Starts that came to their end since they were last asked for."""
        found = []
        for pod in self._starts.take():
            service = self._pod_services.get(pod.key)
            if service is not None:
                start = start_of(
                    pod,
                    tuple(self._events.get(pod.key, {}).values()),
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
                    removed.append(key)
                continue
            row = self._row(service, now)
            if row != self._rows.get(key):
                self._rows[key] = row
                rows.append(row)
        return Changes(rows=tuple(rows), removed=tuple(removed), more=bool(self._dirty))

    def rows(self) -> tuple[ServiceView, ...]:
        """All rows as of the last refresh, by namespace and name."""
        return tuple(self._rows[key] for key in sorted(self._rows))

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
        events = {pod.metadata.name: tuple(self._events[pod.key].values()) for pod in pods if pod.key in self._events}
        deployments = tuple(self._deployments.get(key, {}).values())
        words = {
            pod.metadata.name: self._words[crash]
            for pod in pods
            if (crash := _silent(pod)) is not None and crash in self._words
        }
        case = Case(
            service=service,
            deployments=deployments,
            pods=pods,
            events=events,
            own_events=tuple(self._own_events.get(key, {}).values()),
            revisions=tuple(self._revisions.get(key, {}).values()),
            last_words=words,
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
        return service_view(
            self._context,
            case,
            judgement,
            images=digests.images,
            approval=approval,
            gpu_type=", ".join(products),
            proof=self._proofs.get(service.key),
            as_of=as_of,
        )

    def _put(self, held: dict[Key, dict[str, _Owned]], item: _Owned) -> None:
        service = _service_key(item)
        if service is not None:
            held.setdefault(service, {})[item.metadata.name] = item
            self._dirty.add(service)

    def _remove(self, held: dict[Key, dict[str, _Owned]], item: _Owned) -> None:
        service = _service_key(item)
        if service is not None and service in held:
            held[service].pop(item.metadata.name, None)
            if not held[service]:
                del held[service]
            self._dirty.add(service)

    def _sorted_in(self, before: dict[Key, dict[str, _Owned]], items: Iterable[_Owned]) -> dict[Key, dict[str, _Owned]]:
        self._dirty.update(before)
        held: dict[Key, dict[str, _Owned]] = {}
        for item in items:
            self._put(held, item)
        return held


def _silent(pod: Pod) -> SilentCrash | None:
    found = silent_crash(pod)
    if found is None:
        return None
    container, restarts = found
    return SilentCrash(namespace=pod.metadata.namespace, pod=pod.metadata.name, container=container, restarts=restarts)


def _service_key(item: KubeObject) -> Key | None:
    name = item.metadata.label(SERVICE_LABEL)
    return (item.metadata.namespace, name) if name else None
