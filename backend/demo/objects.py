"""The objects of the demo's cluster: what etcd and its watch cache are to a real API server.

One counter numbers every change of every kind, as etcd's revision does. A bounded history of changes lets a watch
start at an earlier resource version and a paged list end on the state it began with; what is older than the history
is expired. Everything runs on one event loop, so a call is atomic.
"""

from __future__ import annotations

import random
import uuid
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, cast

import msgspec

from backend.demo.resources import NAMESPACES, RESOURCES, TRAITS, Resource

__all__ = ["RESOURCES", "Change", "ChangeType", "ExpiredVersionError", "Object", "ObjectStore", "Resource", "Stored"]

#: A Kubernetes object as decoded JSON.
Object: TypeAlias = dict[str, Any]
Objects: TypeAlias = list[Object]
ChangeType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
#: Namespace (empty for a cluster-wide kind) and name: the order of lists.
Key: TypeAlias = tuple[str, str]

_Json = TypeVar("_Json")

_ENCODER = msgspec.json.Encoder()
#: Changes that are kept for watches and paged lists: some minutes at the rate of a busy demo.
_HISTORY = 8192
#: A young real cluster has some hundred revisions behind it, so that resource version 1 is expired from the start.
_FIRST_VERSION = 300


class ExpiredVersionError(Exception):
    """A resource version is older than the history that is kept.

    Attributes:
        asked: the resource version asked for.
        oldest: the oldest one that can still be answered.
    """

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")
        self.asked = asked
        self.oldest = oldest


class Stored:
    """One version of one object. Nobody changes `content` once it is stored."""

    __slots__ = ("_encoded", "content", "key", "labels", "version")

    def __init__(self, key: Key, version: int, content: Object) -> None:
        self.key = key
        self.version = version
        self.content = content
        self.labels: dict[str, str] = content["metadata"].get("labels") or {}
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The object as JSON, encoded once: lists and watches send it many times."""
        if self._encoded is None:
            self._encoded = _ENCODER.encode(self.content)
        return self._encoded


class Change(NamedTuple):
    """One change in the history.

    Attributes:
        version: the resource version that the change made.
        type: what happened.
        resource: the kind.
        current: the object afterwards; for DELETED its last state, with the deletion's resource version.
        previous: the object before, None for ADDED.
    """

    version: int
    type: ChangeType
    resource: Resource
    current: Stored
    previous: Stored | None


class _Collection:
    """The objects of one kind, in the order of their keys."""

    def __init__(self) -> None:
        self.objects: dict[Key, Stored] = {}
        self.keys: list[Key] = []

    def set(self, stored: Stored) -> None:
        if stored.key not in self.objects:
            insort(self.keys, stored.key)
        self.objects[stored.key] = stored

    def remove(self, key: Key) -> None:
        del self.objects[key]
        del self.keys[bisect_left(self.keys, key)]


class ObjectStore:
    """All objects of the cluster.

    Args:
        seed: the UIDs follow from it, so that the same writes give the same objects.
        clock: the time that `creationTimestamp` takes; UTC.
        history: how many changes are kept.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        history: int = _HISTORY,
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - UIDs of made-up objects, not secrets
        self._clock = clock
        self._version = _FIRST_VERSION
        self._collections: dict[tuple[str, str], _Collection] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._forgotten = _FIRST_VERSION
        self._listeners: list[Callable[[Change], None]] = []
        self._untold: deque[Change] = deque()
        self._is_telling = False

    @property
    def version(self) -> int:
        """The resource version of the newest change."""
        return self._version

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """A copy of the object, or None when there is none."""
        stored = self.stored(resource, namespace, name)
        return copied(stored.content) if stored else None

    def list(self, resource: Resource, namespace: str | None = None) -> Objects:
        """Copies of the objects of a namespace, or of all with None, in the order of namespace and name."""
        return [copied(stored.content) for stored in self.scan(resource, namespace)]

    def put(self, resource: Resource, obj: Object, *, manager: str = "kube-controller-manager") -> Object:
        """Create or replace an object as the system does: no defaults, no validation, no access control.

        The store sets UID, creation time, resource version and generation, and keeps labels, annotations and owners as
        `obj` has them. An object without `status` keeps the status it had. Equal content changes nothing and emits
        nothing. An object that is marked for deletion and has lost its last finalizer is removed.

        Args:
            resource: the kind.
            obj: the object; `metadata.name` is required, `metadata.namespace` for a namespaced kind. It is not changed.
            manager: who owns the fields, when `obj` brings no `managedFields` of its own.

        Returns:
            A copy of the object as stored.

        Raises:
            KeyError: the name, or the namespace of a namespaced kind, is missing.
        """
        content = copied(obj)
        key = _key(resource, content["metadata"].get("namespace"), content["metadata"]["name"])
        existing = self.stored(resource, *key)
        if existing is not None and "status" not in content and "status" in existing.content:
            content["status"] = existing.content["status"]
        if "managedFields" not in content["metadata"]:
            content["metadata"]["managedFields"] = self._ownership(resource, content, existing, manager)
        return copied(self.write(resource, content).content)

    def patch_status(self, resource: Resource, namespace: str | None, name: str, status: Object) -> Object:
        """Replace the object's status as the system does, whatever the object holds beside it.

        Returns:
            A copy of the object as stored; unchanged when the status is already so.

        Raises:
            KeyError: there is no such object.
        """
        existing = self.stored(resource, namespace, name)
        if existing is None:
            raise KeyError(f"{resource.qualified} {namespace}/{name}")
        return copied(self.write(resource, {**existing.content, "status": copied(status)}).content)

    def delete(self, resource: Resource, namespace: str | None, name: str) -> None:
        """Remove the object at once, whatever finalizers it has. No object: nothing happens."""
        existing = self.stored(resource, namespace, name)
        if existing is not None:
            self.remove(resource, existing)

    def subscribe(self, callback: Callable[[str, Resource, Object], None]) -> Callable[[], None]:
        """Call `callback(type, resource, object)` synchronously after each change, with a copy of the object.

        Changes come in order: one that a callback makes is told once all have heard of the one before.

        Args:
            callback: gets "ADDED", "MODIFIED" or "DELETED". It may write to the store; it must not raise.

        Returns:
            A function that ends the subscription.
        """
        return self.listen(lambda change: callback(change.type, change.resource, copied(change.current.content)))

    # What follows is for the API server: it shares stored objects instead of copying them.

    def listen(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Like `subscribe`, with the change itself, whose objects must not be changed."""
        self._listeners.append(callback)

        def end() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return end

    def stored(self, resource: Resource, namespace: str | None, name: str) -> Stored | None:
        """The stored object itself, or None."""
        return self._collection(resource).objects.get((namespace or "" if resource.namespaced else "", name))

    def scan(self, resource: Resource, namespace: str | None = None, after: Key = ("", "")) -> Iterator[Stored]:
        """The stored objects whose key follows `after`, in order; of one namespace when it is given."""
        collection = self._collection(resource)
        start = bisect_left(collection.keys, max(after, (namespace or "", "")))
        for key in collection.keys[start:]:
            if namespace is not None and key[0] != namespace:
                return
            if key > after:
                yield collection.objects[key]

    def scan_at(self, resource: Resource, version: int, namespace: str | None = None) -> tuple[Stored, ...]:
        """The stored objects as they were at a resource version, in order.

        Raises:
            ExpiredVersionError: the version is older than the history.
        """
        objects = {stored.key: stored for stored in self.scan(resource, namespace)}
        for change in reversed(self.changes_since(version)):
            if _same_kind(change.resource, resource) and namespace in (None, change.current.key[0]):
                if change.previous is None:
                    objects.pop(change.current.key, None)
                else:
                    objects[change.current.key] = change.previous
        return tuple(objects[key] for key in sorted(objects))

    def changes_since(self, version: int) -> tuple[Change, ...]:
        """All changes after a resource version, oldest first.

        Raises:
            ExpiredVersionError: some of them are no longer in the history.
        """
        if version < self._forgotten:
            raise ExpiredVersionError(version, self._forgotten)
        changes = tuple(takewhile(lambda change: change.version > version, reversed(self._history)))
        return changes[::-1]

    def write(self, resource: Resource, content: Object) -> Stored:
        """Store `content`, which the caller hands over, and emit the change.

        UID, creation time, generation and resource version are set here; equal content is not written again.
        """
        metadata = dict(content["metadata"])
        key = _key(resource, metadata.get("namespace"), metadata["name"])
        existing = self.stored(resource, *key)
        prepared = self.prepare(resource, content, existing)
        if existing is not None:
            if prepared == existing.content:
                return existing
            if prepared["metadata"].get("deletionTimestamp") and not prepared["metadata"].get("finalizers"):
                return self.remove(resource, existing)
        self._version += 1
        prepared["metadata"]["resourceVersion"] = str(self._version)
        stored = Stored(key, self._version, prepared)
        self._collection(resource).set(stored)
        self._emit(Change(self._version, "MODIFIED" if existing else "ADDED", resource, stored, existing))
        return stored

    def prepare(self, resource: Resource, content: Object, existing: Stored | None) -> Object:
        """`content` with the metadata that the server sets, as `write` would store it, save the resource version."""
        metadata = dict(content["metadata"])
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        prepared = {**head, **content, **head, "metadata": metadata}
        if existing is None:
            metadata["uid"] = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
            metadata["creationTimestamp"] = metadata.get("creationTimestamp") or self.now()
            metadata.pop("resourceVersion", None)
            metadata.pop("generation", None)
            if TRAITS[resource].counts_generation:
                metadata["generation"] = 1
            return prepared
        before = existing.content["metadata"]
        for name in ("uid", "creationTimestamp", "resourceVersion", "generation"):
            metadata.pop(name, None)
            if name in before:
                metadata[name] = before[name]
        if TRAITS[resource].counts_generation and _wanted(resource, prepared) != _wanted(resource, existing.content):
            metadata["generation"] = before.get("generation", 0) + 1
        return prepared

    def remove(self, resource: Resource, existing: Stored) -> Stored:
        """Remove a stored object and emit the change. Returns its last state under the deletion's resource version."""
        self._version += 1
        metadata = {**existing.content["metadata"], "resourceVersion": str(self._version)}
        last = Stored(existing.key, self._version, {**existing.content, "metadata": metadata})
        self._collection(resource).remove(existing.key)
        self._emit(Change(self._version, "DELETED", resource, last, existing))
        return last

    def now(self) -> str:
        """The time as Kubernetes writes it: RFC 3339 in UTC, whole seconds."""
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def has_namespace(self, name: str) -> bool:
        """Whether the namespace exists."""
        return self.stored(NAMESPACES, None, name) is not None

    def _collection(self, resource: Resource) -> _Collection:
        return self._collections.setdefault((resource.group, resource.plural), _Collection())

    def _emit(self, change: Change) -> None:
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(change)
        self._untold.append(change)
        if self._is_telling:
            return
        # A listener may write: its change is told after this one, so that all hear all changes in order.
        self._is_telling = True
        try:
            while self._untold:
                told = self._untold.popleft()
                for listener in tuple(self._listeners):
                    listener(told)
        finally:
            self._is_telling = False

    def _ownership(self, resource: Resource, content: Object, existing: Stored | None, manager: str) -> Objects:
        """The field owners of a system write: the owners there were, or the writer of the whole object."""
        if existing is not None:
            return cast(Objects, copied(existing.content["metadata"].get("managedFields", [])))
        owned = {name: value for name, value in content.items() if name not in ("apiVersion", "kind", "status")}
        labels_and_more = ("annotations", "finalizers", "labels", "ownerReferences")
        owned["metadata"] = {name: value for name, value in content["metadata"].items() if name in labels_and_more}
        entry = {
            "manager": manager,
            "operation": "Update",
            "apiVersion": resource.api_version,
            "time": self.now(),
            "fieldsType": "FieldsV1",
            "fieldsV1": _field_names({name: value for name, value in owned.items() if value}),
        }
        return [entry]


def copied(value: _Json) -> _Json:
    """A deep copy of decoded JSON; several times faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return cast(_Json, {name: copied(item) for name, item in value.items()})
    if isinstance(value, list):
        return cast(_Json, [copied(item) for item in value])
    return value


def _key(resource: Resource, namespace: str | None, name: str) -> Key:
    if not resource.namespaced:
        return ("", name)
    if not namespace:
        raise KeyError("metadata.namespace")
    return (namespace, name)


def _same_kind(one: Resource, other: Resource) -> bool:
    return one.plural == other.plural and one.group == other.group


def _wanted(resource: Resource, content: Object) -> Object:
    """The part of an object whose changes the generation counts."""
    left_out = {"metadata", "apiVersion", "kind"} | ({"status"} if TRAITS[resource].has_status else set())
    return {name: value for name, value in content.items() if name not in left_out}


def _field_names(value: Any) -> dict[str, Any]:
    """The names of all fields in the form of FieldsV1; a list counts as one field."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{name}": _field_names(item) for name, item in value.items()}
