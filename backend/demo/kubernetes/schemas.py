"""The schema of each kind as a tree of nodes: what values it takes and how they merge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from backend.demo.resources import Resource


@dataclass(slots=True)
class Node:
    """One value in a schema. The names are those of `backend/demo/schema/generate.py`.

    Attributes:
        type: JSON schema's type, empty when any is taken.
        properties: the fields of an object.
        items: the elements of a list.
        additional: the values of a map with free keys.
        open: fields that are not declared are kept.
        map: `atomic` when an object has one owner as a whole.
        list: `atomic` (one owner as a whole), `set` (owned by value) or `map` (owned by `keys`).
        keys: the fields that tell the elements of a `map` list apart.
        default: the value of an absent field; `msgspec.UNSET` without one.
        limits: JSON schema's limits by name: `enum`, `pattern`, `minimum` and so on.
    """

    type: str = ""
    properties: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None
    additional: Node | None = None
    required: tuple[str, ...] = ()
    open: bool = False
    int_or_string: bool = False
    nullable: bool = False
    map: str = "granular"
    list: str = "atomic"
    keys: tuple[str, ...] = ()
    default: Any = msgspec.UNSET
    limits: dict[str, Any] = field(default_factory=dict)

    def child(self, name: str) -> Node | None:
        """The schema of a field, the open node for an undeclared one that is kept, None for one that is not."""
        known = self.properties.get(name) or self.additional
        if known is not None:
            return known
        return OPEN if self.open else None

    def element(self) -> Node:
        """The schema of a list's elements."""
        return self.items or OPEN


#: Takes anything: objects merge by field, lists as a whole.
OPEN = Node(open=True)

_LIMITS = ("enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_TEXT = Node(type="string")
_TEXT_MAP = Node(type="object", additional=_TEXT)

_METADATA_TEXTS = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "selfLink",
)

#: `metadata` of every object.
METADATA = Node(
    type="object",
    properties={
        **dict.fromkeys(_METADATA_TEXTS, _TEXT),
        "generation": Node(type="integer"),
        "deletionGracePeriodSeconds": Node(type="integer"),
        "labels": _TEXT_MAP,
        "annotations": _TEXT_MAP,
        "finalizers": Node(type="array", items=_TEXT, list="set"),
        "ownerReferences": Node(type="array", items=Node(open=True), list="map", keys=("uid",)),
        "managedFields": Node(type="array", items=Node(open=True)),
    },
)


class Column(msgspec.Struct, frozen=True, rename={"path": "jsonPath"}):
    """A column of `kubectl get`, as a CRD gives it."""

    name: str
    type: str
    path: str
    priority: int = 0


#: How long an object has existed.
AGE_COLUMN = Column("Age", "date", ".metadata.creationTimestamp")


class _Kind(msgspec.Struct, frozen=True):
    schema: int
    columns: tuple[Column, ...] = ()


class _File(msgspec.Struct, frozen=True):
    nodes: list[dict[str, Any]]
    kinds: dict[str, _Kind]


def custom_schema(resource: Resource) -> Node:
    """The schema of one of KServe's kinds.

    Raises:
        KeyError: the shipped data does not have the kind.
    """
    return _schemas()[_name(resource)]


def custom_columns(resource: Resource) -> tuple[Column, ...]:
    """The columns of one of KServe's kinds after its name; its age alone when the CRD gives none."""
    return _data().kinds[_name(resource)].columns or (AGE_COLUMN,)


def _name(resource: Resource) -> str:
    return f"{resource.api_version}/{resource.kind}"


@cache
def _data() -> _File:
    return msgspec.json.decode(files("backend.demo.schema").joinpath("kserve.json").read_bytes(), type=_File)


@cache
def _schemas() -> dict[str, Node]:
    data = _data()
    nodes: list[Node] = []
    for raw in data.nodes:
        nodes.append(_node(raw, nodes))
    return dict(_roots(data, nodes))


def _roots(data: _File, nodes: list[Node]) -> Iterator[tuple[str, Node]]:
    for name, kind in data.kinds.items():
        root = nodes[kind.schema]
        yield name, Node(type="object", properties={**root.properties, "metadata": METADATA}, required=root.required)


def _node(raw: dict[str, Any], nodes: list[Node]) -> Node:
    """A node from its stored form; its children have been made before it."""
    return Node(
        type=raw.get("type", ""),
        properties={name: nodes[index] for name, index in raw.get("properties", {}).items()},
        items=nodes[raw["items"]] if "items" in raw else None,
        additional=nodes[raw["additional"]] if "additional" in raw else None,
        required=tuple(raw.get("required", ())),
        open=raw.get("open", False),
        int_or_string=raw.get("int_or_string", False),
        nullable=raw.get("nullable", False),
        map=raw.get("map", "granular"),
        list=raw.get("list", "atomic"),
        keys=tuple(raw.get("keys", ())),
        default=raw.get("default", msgspec.UNSET),
        limits={name: raw[name] for name in _LIMITS if name in raw},
    )
