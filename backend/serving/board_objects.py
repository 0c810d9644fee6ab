"""The objects that a board is made of, as watches tell of them, and which services they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

import msgspec

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import Deployment, Event, KubeObject, Pod
from backend.cluster.platform_objects import Revision
from backend.core.views import INFERENCE_SERVICE, ServiceView
from backend.serving.pod_starts import PodStarts
from backend.serving.pods import silent_crash

Key: TypeAlias = tuple[str, str]
_Owned = TypeVar("_Owned", bound=KubeObject)

SERVICE_LABEL: Final = "serving.kserve.io/inferenceservice"
#: Events that are kept for each object.
_EVENTS: Final = 20
#: In the component's name of pods of an LLMInferenceService that serve no requests themselves.
_ROUTER: Final = "scheduler"


class SilentCrash(msgspec.Struct, frozen=True, kw_only=True):
    """A container that crashed without a termination message: its log may tell why."""

    namespace: str
    pod: str
    container: str
    restarts: int


class BoardKind(msgspec.Struct, frozen=True, kw_only=True):
    """What a board is of.

    Attributes:
        kind: of the objects. label: of their pods and Deployments, which names their service.
        finish: makes a row complete.
    """

    kind: str = INFERENCE_SERVICE
    label: str = SERVICE_LABEL
    finish: Callable[[ServiceView], ServiceView] = lambda row: row


class BoardObjects:
    """Services with their Deployments, revisions, pods and events."""

    def __init__(self, kind: BoardKind, pod_events: dict[Key, dict[str, Event]] | None) -> None:
        self._kind = kind
        self._words: dict[SilentCrash, str] = {}
        self._services: dict[Key, InferenceService] = {}
        self._deployments: dict[Key, dict[str, Deployment]] = {}
        self._pods: dict[Key, dict[str, Pod]] = {}
        self._pod_services: dict[Key, Key] = {}
        #: Of every pod that events came for: boards of several kinds may share it.
        self.pod_events: dict[Key, dict[str, Event]] = {} if pod_events is None else pod_events
        self._own_events: dict[Key, dict[str, Event]] = {}
        self._revisions: dict[Key, dict[str, Revision]] = {}
        self._silent: dict[Key, SilentCrash] = {}
        self._starts = PodStarts()
        self._dirty: set[Key] = set()

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
        self._pod_services = {pod.key: service for pod in listed if (service := self._service_key(pod)) is not None}
        self._silent = {pod.key: crash for pod in listed if (crash := silent(pod)) is not None}
        for pod in listed:
            self._starts.note(pod)

    def put_pod(self, pod: Pod) -> None:
        """A pod appeared or changed."""
        self._put(self._pods, pod)
        service = self._service_key(pod)
        if service is not None:
            self._pod_services[pod.key] = service
        crash = silent(pod)
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
        self.pod_events.pop(pod.key, None)
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
        self.pod_events.clear()
        for event in events:
            self.put_event(event)

    def touch_pod(self, pod: Key) -> None:
        """Another board took an event of a pod."""
        if pod in self._pod_services:
            self._dirty.add(self._pod_services[pod])

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
            held, service = self.pod_events, self._pod_services.get(key)
        elif about.kind == self._kind.kind:
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

    def _service_key(self, item: KubeObject) -> Key | None:
        name = item.metadata.label(self._kind.label)
        if not name or _ROUTER in item.metadata.label("app.kubernetes.io/component"):
            return None
        return (item.metadata.namespace, name)

    def _put(self, held: dict[Key, dict[str, _Owned]], item: _Owned) -> None:
        service = self._service_key(item)
        if service is not None:
            held.setdefault(service, {})[item.metadata.name] = item
            self._dirty.add(service)

    def _remove(self, held: dict[Key, dict[str, _Owned]], item: _Owned) -> None:
        service = self._service_key(item)
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


def silent(pod: Pod) -> SilentCrash | None:
    found = silent_crash(pod)
    if found is None:
        return None
    container, restarts = found
    return SilentCrash(namespace=pod.metadata.namespace, pod=pod.metadata.name, container=container, restarts=restarts)
