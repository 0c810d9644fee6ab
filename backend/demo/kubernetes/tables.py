"""The three forms of an answer: whole objects, their metadata alone, and the rows that `kubectl get` prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec

from backend.demo.kubernetes.schemas import AGE_COLUMN, Column, custom_columns
from backend.demo.objects import Object, Stored
from backend.demo.resources import (
    DEPLOYMENTS,
    EVENTS,
    KSERVE_RESOURCES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    Resource,
)

_ENCODER = msgspec.json.Encoder()
_META = "meta.k8s.io/v1"
_NAME_NOTE = "Name must be unique within a namespace."


class Cell(NamedTuple):
    """A column of a table and what finds its value in an object."""

    column: Column
    find: Callable[[Object], Any]


class Page(NamedTuple):
    """What a list answers.

    Attributes:
        objects: of this page.
        version: the resource version of the whole list.
        token: what continues it, empty at its end.
        remaining: how many objects follow; None when that is not known.
    """

    objects: Sequence[Stored]
    version: int
    token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> Object:
        """The list's `metadata`."""
        found: Object = {"resourceVersion": str(self.version)}
        if self.token:
            found["continue"] = self.token
        if self.remaining is not None:
            found["remainingItemCount"] = self.remaining
        return found


class Form:
    """Whole objects, as clients that ask for nothing else get them.

    Args:
        resource: the kind.
        include: the `includeObject` option of a table.
        now: the time that ages are counted to.
    """

    def __init__(self, resource: Resource, include: str, now: Callable[[], datetime]) -> None:
        self.resource = resource
        self.include = include
        self.now = now

    def list(self, page: Page) -> bytes:
        """A list's answer. Custom resources keep apiVersion and kind in each item, built-in kinds do not."""
        api_version, kind = self.resource.api_version, f"{self.resource.kind}List"
        if self.resource in KSERVE_RESOURCES:
            metadata = {"continue": "", **page.metadata}
            head = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
            return _with_items(head, (stored.encoded for stored in page.objects))
        head = {"kind": kind, "apiVersion": api_version, "metadata": page.metadata}
        prefix = len(_ENCODER.encode({"apiVersion": api_version, "kind": self.resource.kind}))
        return _with_items(head, (b"{" + stored.encoded[prefix:] for stored in page.objects))

    def one(self, stored: Stored) -> bytes:
        """The answer to a get, and the object of a watch event."""
        return stored.encoded


class MetadataForm(Form):
    """PartialObjectMetadata: an object without what is specific to its kind."""

    def list(self, page: Page) -> bytes:
        """A list's answer."""
        head = {"kind": "PartialObjectMetadataList", "apiVersion": _META, "metadata": page.metadata}
        return _with_items(head, (self.one(stored) for stored in page.objects))

    def one(self, stored: Stored) -> bytes:
        """One object's metadata."""
        return _ENCODER.encode(_partial(stored))


class TableForm(Form):
    """Table: the columns and rows of `kubectl get`."""

    def list(self, page: Page) -> bytes:
        """A list's answer."""
        return _ENCODER.encode(self._table(page.metadata, page.objects))

    def one(self, stored: Stored) -> bytes:
        """A table of one row."""
        version = stored.content["metadata"].get("resourceVersion", "")
        return _ENCODER.encode(self._table({"resourceVersion": version}, [stored]))

    def _table(self, metadata: Object, objects: Iterable[Stored]) -> Object:
        cells = _cells(self.resource)
        now = self.now()
        return {
            "kind": "Table",
            "apiVersion": _META,
            "metadata": metadata,
            "columnDefinitions": [_NAME_COLUMN, *(_definition(cell.column) for cell in cells)],
            "rows": [self._row(stored, cells, now) for stored in objects],
        }

    def _row(self, stored: Stored, cells: Sequence[Cell], now: datetime) -> Object:
        content = stored.content
        values = [content["metadata"]["name"]]
        for column, find in cells:
            value = find(content)
            values.append(age(value, now) if column.type == "date" and value is not None else value)
        if self.include == "None":
            return {"cells": values, "object": None}
        return {"cells": values, "object": content if self.include == "Object" else _partial(stored)}


_NAME_COLUMN = {"name": "Name", "type": "string", "format": "name", "description": _NAME_NOTE, "priority": 0}


def negotiate(accept: str, resource: Resource, include: str, now: Callable[[], datetime]) -> Form:
    """The form that a request's `Accept` header asks for; whole objects when it asks for none that exists."""
    for choice in accept.split(","):
        parameters = dict(part.strip().partition("=")[::2] for part in choice.split(";")[1:])
        if parameters.get("g") != "meta.k8s.io" or parameters.get("v") != "v1":
            continue
        if parameters.get("as") == "Table":
            return TableForm(resource, include, now)
        if parameters.get("as") in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return MetadataForm(resource, include, now)
    return Form(resource, include, now)


def age(instant: Any, now: datetime) -> str:
    """How long ago a timestamp is, as `kubectl` writes it: `5s`, `3m20s`, `47h`, `12d`."""
    try:
        then = datetime.fromisoformat(str(instant).replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    seconds = int((now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds())
    if seconds < 0:
        return "0s" if seconds >= -1 else "<invalid>"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y"


_STEP = re.compile(
    r"\.(?P<name>[A-Za-z0-9_-]+)|\[\?\(@\.(?P<key>\w+)==(?P<value>'[^']*'|true|false)\)\]|(?P<all>\[\*\])"
)


@cache
def _steps(path: str) -> tuple[tuple[str, str, Any], ...]:
    """The steps of a path: a field's name, or the key and value that pick elements of a list, each empty for all."""
    words = {"true": True, "false": False}
    return tuple(
        (step["name"] or "", step["key"] or "", words.get(step["value"], (step["value"] or "").strip("'")))
        for step in _STEP.finditer(path)
    )


def find_path(content: Any, path: str) -> Any:
    """The first value at a JSONPath of the simple sort that CRD columns use; None when there is none."""
    found = [content]
    for name, key, wanted in _steps(path):
        if name:
            found = [item[name] for item in found if isinstance(item, dict) and name in item]
            continue
        found = [element for item in found if isinstance(item, list) for element in item]
        if key:
            found = [item for item in found if isinstance(item, dict) and item.get(key) == wanted]
    return found[0] if found else None


def _with_items(head: Object, items: Iterable[bytes]) -> bytes:
    return _ENCODER.encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"


def _partial(stored: Stored) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": stored.content["metadata"]}


def _definition(column: Column) -> Object:
    note = f"Custom resource definition column (in JSONPath format): {column.path}" if column.path else column.name
    return {
        "name": column.name,
        "type": column.type,
        "format": "",
        "description": note,
        "priority": column.priority,
    }


def _at(path: str) -> Callable[[Object], Any]:
    return lambda content: find_path(content, path)


def _cells(resource: Resource) -> Sequence[Cell]:
    if resource in KSERVE_RESOURCES:
        return [Cell(column, _at(column.path)) for column in custom_columns(resource)]
    return _BUILT_IN.get(resource, (_AGE_CELL,))


def _text(name: str, find: Callable[[Object], Any], type_: str = "string", priority: int = 0) -> Cell:
    return Cell(Column(name, type_, "", priority), find)


def _statuses(pod: Object) -> list[Object]:
    return pod.get("status", {}).get("containerStatuses") or []


def _pod_status(pod: Object) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for status in _statuses(pod):
        for state in ("waiting", "terminated"):
            reason = status.get("state", {}).get(state, {}).get("reason")
            if reason:
                return str(reason)
    return str(pod.get("status", {}).get("reason") or pod.get("status", {}).get("phase") or "Unknown")


def _pod_ready(pod: Object) -> str:
    ready = sum(bool(status.get("ready")) for status in _statuses(pod))
    return f"{ready}/{len(pod.get('spec', {}).get('containers', []))}"


def _node_status(node: Object) -> str:
    return "Ready" if find_path(node, ".status.conditions[?(@.type=='Ready')].status") == "True" else "NotReady"


def _count(path: str) -> Callable[[Object], Any]:
    return lambda content: find_path(content, path) or 0


def _involved(event: Object) -> str:
    involved = event.get("involvedObject", {})
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


def _restarts(pod: Object) -> str:
    return str(sum(status.get("restartCount", 0) for status in _statuses(pod)))


def _deployment_ready(deployment: Object) -> str:
    wanted = deployment.get("spec", {}).get("replicas", 1)
    return f"{deployment.get('status', {}).get('readyReplicas', 0)}/{wanted}"


_AGE_CELL = Cell(AGE_COLUMN, _at(AGE_COLUMN.path))
_BUILT_IN: dict[Resource, Sequence[Cell]] = {
    PODS: [
        _text("Ready", _pod_ready),
        _text("Status", _pod_status),
        _text("Restarts", _restarts),
        _AGE_CELL,
        _text("IP", lambda pod: find_path(pod, ".status.podIP") or "<none>", priority=1),
        _text("Node", lambda pod: find_path(pod, ".spec.nodeName") or "<none>", priority=1),
    ],
    NODES: [
        _text("Status", _node_status),
        _text("Roles", lambda node: "<none>"),
        _AGE_CELL,
        _text("Version", _at(".status.nodeInfo.kubeletVersion")),
    ],
    EVENTS: [
        _text("Last Seen", _at(".lastTimestamp"), "date"),
        _text("Type", _at(".type")),
        _text("Reason", _at(".reason")),
        _text("Object", _involved),
        _text("Message", _at(".message")),
    ],
    NAMESPACES: [_text("Status", lambda namespace: find_path(namespace, ".status.phase") or "Active"), _AGE_CELL],
    DEPLOYMENTS: [
        _text("Ready", _deployment_ready),
        _text("Up-to-date", _count(".status.updatedReplicas"), "integer"),
        _text("Available", _count(".status.availableReplicas"), "integer"),
        _AGE_CELL,
    ],
    REPLICA_SETS: [
        _text("Desired", _count(".spec.replicas"), "integer"),
        _text("Current", _count(".status.replicas"), "integer"),
        _text("Ready", _count(".status.readyReplicas"), "integer"),
        _AGE_CELL,
    ],
}
