"""Who wrote which fields of an object, from its managed fields: what nobody wrote is the server's default. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

#: Fields in which ownership tells nothing, or whose parts the server writes.
_ALWAYS: Final = frozenset({"apiVersion", "kind", "metadata", "status"})
Tree = Mapping[str, Any]


def without_defaults(manifest: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The object without the fields that the server filled in and nobody wrote.

    Args:
        other: the same object before or after; what differs in it stays, whoever wrote it, and what is written in
            either is written.

    Returns:
        the object as it is where nothing tells who wrote it.
    """
    trees = [*_trees(manifest), *(_trees(other) if other is not None else ())]
    if not trees:
        return dict(manifest)
    against = other if other is not None else {}
    kept = {}
    for key, value in manifest.items():
        if key in _ALWAYS:
            kept[key] = value
            continue
        below = [tree[f"f:{key}"] for tree in trees if f"f:{key}" in tree]
        if below or (key in against and against[key] != value):
            kept[key] = _written(value, against.get(key), below)
    return kept


def _trees(manifest: Mapping[str, Any]) -> list[Tree]:
    """The fields of each manager, in the form of FieldsV1; a controller's writes to the status left out."""
    return [
        fields
        for entry in (manifest.get("metadata") or {}).get("managedFields") or ()
        if isinstance(entry, Mapping) and not entry.get("subresource")
        if isinstance(fields := entry.get("fieldsV1"), Mapping)
    ]


def _written(value: Any, other: Any, trees: Sequence[Tree]) -> Any:
    """The parts of a value that a tree names; all of it where a tree ends here, or none reaches so far."""
    if not trees or any(not set(tree) - {"."} for tree in trees):
        return value
    if isinstance(value, Mapping):
        against = other if isinstance(other, Mapping) else {}
        kept = {}
        for key, held in value.items():
            below = [tree[f"f:{key}"] for tree in trees if f"f:{key}" in tree]
            if below or (key in against and against[key] != held):
                kept[key] = _written(held, against.get(key), below)
        return kept
    if isinstance(value, list):
        others = other if isinstance(other, list) else []
        return [_written_item(item, others, trees) for item in value]
    return value


def _written_item(item: Any, others: Sequence[Any], trees: Sequence[Tree]) -> Any:
    if not isinstance(item, Mapping):
        return item
    below: list[Tree] = []
    twin: Any = None
    for tree in trees:
        for key, fields in _keyed(tree):
            if _fits(item, key):
                below.append(fields)
                twin = next((one for one in others if isinstance(one, Mapping) and _fits(one, key)), twin)
    return _written(item, twin, below)


def _keyed(tree: Tree) -> Iterator[tuple[Mapping[str, Any], Tree]]:
    """The items of a list that a tree names by their keys (`k:{"name":"x"}`)."""
    for name, fields in tree.items():
        if name.startswith("k:") and isinstance(fields, Mapping):
            try:
                key = json.loads(name[2:])
            except ValueError:
                continue
            if isinstance(key, dict):
                yield key, fields


def _fits(item: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    return all(item.get(name) == wanted for name, wanted in key.items())
