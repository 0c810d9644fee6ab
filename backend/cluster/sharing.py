"""Sharing what is the same in many objects: decoded one by one, 10,000 pods hold ten thousand copies of each word.

Objects are frozen, so that a part of one can be a part of another. What was seen is remembered for one list alone: what
has gone from the cluster is held by nobody. Words are interned, which Python forgets by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from msgspec.structs import force_setattr

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import (
    Condition,
    Container,
    ContainerState,
    ContainerStatus,
    Deployment,
    KubeObject,
    ObjectMeta,
    Pod,
)

_Item = TypeVar("_Item", bound=KubeObject)
_Part = TypeVar("_Part")

#: Pods by UID and resourceVersion, as long as somebody holds them.
Alive: TypeAlias = WeakValueDictionary[tuple[str, str], Pod]

#: Parts that are remembered before they are forgotten all at once.
_MOST: Final = 50_000


class Sharing:
    """Remembers parts of objects by their content.

    Args:
        alive: pods that somebody holds, by UID and resourceVersion: who reads one of these again gets the same.
    """

    def __init__(self, alive: Alive | None = None) -> None:
        self._alive = alive
        self._known: dict[Any, Any] = {}

    def all(self, items: Iterable[_Item]) -> tuple[_Item, ...]:
        """Share the parts of freshly decoded objects, which nobody has seen yet, and give what to hold for them."""
        return tuple(self.one(item) for item in items)

    def one(self, item: _Item) -> _Item:
        """Share the parts of one freshly decoded object, and give what to hold for it."""
        if isinstance(item, Pod):
            if self._alive is not None and item.metadata.uid:
                key = (item.metadata.uid, item.metadata.resource_version)
                known = self._alive.get(key)
                if known is not None:
                    return known  # type: ignore[return-value]
                self._alive[key] = item
            self._pod(item)
        elif isinstance(item, Deployment):
            self._meta(item.metadata, managed=False)
            force_setattr(item.status, "conditions", self._conditions(item.status.conditions))
        elif isinstance(item, InferenceService):
            self._service(item)
        return item

    def _pod(self, pod: Pod) -> None:
        self._meta(pod.metadata, managed=False)
        spec, status = pod.spec, pod.status
        force_setattr(spec, "node_name", intern(spec.node_name))
        for name in spec.__struct_fields__:
            value = getattr(spec, name)
            if name not in _PODS_OWN and value:
                force_setattr(spec, name, self._same(_keyed(value), value))
        for container in (*spec.containers, *(spec.init_containers or ())):
            self._container(container)
        force_setattr(status, "phase", intern(status.phase))
        force_setattr(status, "start_time", _word(status.start_time))
        force_setattr(status, "conditions", self._conditions(status.conditions))
        for told in (*(status.container_statuses or ()), *(status.init_container_statuses or ())):
            self._container_status(told)

    def _service(self, service: InferenceService) -> None:
        self._meta(service.metadata, managed=True)
        for component in (service.spec.predictor, service.spec.transformer, service.spec.explainer):
            if component is not None:
                for container in (*(component.containers or ()), *(component.init_containers or ())):
                    self._container(container)
                if component.model is not None:
                    self._container(component.model)
        status = service.status
        if status is not None:
            force_setattr(status, "conditions", self._conditions(status.conditions))
            force_setattr(status, "deployment_mode", intern(status.deployment_mode))
            if status.model_status is not None:
                force_setattr(status, "model_status", self._same(status.model_status, status.model_status))

    def _meta(self, meta: ObjectMeta, *, managed: bool) -> None:
        force_setattr(meta, "namespace", intern(meta.namespace))
        force_setattr(meta, "creation_timestamp", _word(meta.creation_timestamp))
        if meta.labels:
            force_setattr(meta, "labels", self._same(tuple(meta.labels.items()), meta.labels))
        if meta.annotations:
            force_setattr(meta, "annotations", self._same(tuple(meta.annotations.items()), meta.annotations))
        if meta.owner_references:
            force_setattr(meta, "owner_references", self._same(meta.owner_references, meta.owner_references))
        if not managed:
            # Whose the fields of a pod or a Deployment are is asked of no one: controllers write them.
            force_setattr(meta, "managed_fields", None)
        elif meta.managed_fields:
            force_setattr(meta, "managed_fields", self._same(meta.managed_fields, meta.managed_fields))

    def _container(self, container: Container) -> None:
        for name in ("name", "image"):
            force_setattr(container, name, intern(getattr(container, name)))
        if container.args:
            force_setattr(container, "args", self._same(container.args, container.args))
        if container.resources is not None:
            force_setattr(container, "resources", self._same(_keyed(container.resources), container.resources))

    def _container_status(self, told: ContainerStatus) -> None:
        for name in ("name", "image", "image_id"):
            force_setattr(told, name, intern(getattr(told, name)))
        for name in ("state", "last_state"):
            state: ContainerState = getattr(told, name)
            if state.running is not None:
                force_setattr(state.running, "started_at", _word(state.running.started_at))
            force_setattr(told, name, self._same(state, state))

    def _conditions(self, conditions: tuple[Condition, ...] | None) -> tuple[Condition, ...] | None:
        if not conditions:
            return conditions
        shared = self._same(conditions, conditions)
        if shared is conditions:
            for condition in conditions:
                for name in ("type", "status", "reason"):
                    force_setattr(condition, name, intern(getattr(condition, name)))
                force_setattr(condition, "last_transition_time", _word(condition.last_transition_time))
        return shared

    def _same(self, key: Any, part: _Part) -> _Part:
        """The part of that content that was seen first."""
        found: _Part | None = self._known.get(key)
        if found is not None:
            return found
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = part
        return part


#: Fields of a pod's spec that are its own, or are looked into by themselves.
_PODS_OWN: Final = frozenset({"node_name", "containers", "init_containers"})


def _word(text: str | None) -> str | None:
    return None if text is None else intern(text)


def _keyed(value: Any) -> Any:
    """A value's content as something that can be looked up: dicts and Structs that hold some are none."""
    if isinstance(value, dict):
        return tuple((name, _keyed(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(_keyed(item) for item in value)
    if hasattr(value, "__struct_fields__"):
        return (type(value), *(_keyed(getattr(value, name)) for name in value.__struct_fields__))
    return value
