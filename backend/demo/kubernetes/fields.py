"""Sets of fields: who owns what in an object, and what differs between two, by the schema's list and map types.

A field is a path of elements as FieldsV1 writes them: `f:NAME` for a field, `k:{...}` for an element of a list by its
keys, `v:...` for an element by its value. Ownership follows structured-merge-diff: an atomic list or map is one field,
an element of a keyed list is a field of its own beside the fields in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from backend.demo.kubernetes.schemas import OPEN, Node

Path: TypeAlias = tuple[str, ...]
Fields: TypeAlias = frozenset[Path]

_ITSELF = "."


class Comparison(NamedTuple):
    """How two objects differ, as sets of fields."""

    added: Fields
    removed: Fields
    modified: Fields

    @property
    def touched(self) -> Fields:
        """What the second object has that the first had not, or not so."""
        return self.added | self.modified


def is_granular(node: Node, value: Any) -> bool:
    """Whether the value's parts are owned one by one."""
    if isinstance(value, dict):
        return node.map != "atomic"
    return isinstance(value, list) and node.list != "atomic"


def element_name(node: Node, item: Any) -> str:
    """The path element of an item of a `set` or `map` list. An item that lacks a key gets the key's default."""
    if node.list == "set" or not isinstance(item, dict):
        return "v:" + _json(item)
    element = node.element()
    keys = {}
    for key in node.keys:
        child = element.properties.get(key)
        default = None if child is None or child.default is msgspec.UNSET else child.default
        keys[key] = item.get(key, default)
    return "k:" + _json(keys)


def parts(node: Node, value: Any) -> Iterator[tuple[str, Node, Any]]:
    """The parts of a granular value: path element, schema and value of each."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"f:{name}", node.child(name) or OPEN, item
    else:
        for item in value:
            yield element_name(node, item), node.element(), item


def owned_fields(node: Node, value: Any, path: Path = ()) -> Iterator[Path]:
    """The fields that whoever applies the value comes to own."""
    if not is_granular(node, value) or not value:
        yield path
        return
    for name, child, item in parts(node, value):
        below = (*path, name)
        if isinstance(value, list):
            yield below
            if not isinstance(item, dict | list):
                continue
        yield from owned_fields(child, item, below)


def all_fields(node: Node, value: Any, path: Path) -> Iterator[Path]:
    """The value's own field and every field in it: what is added when the value appears."""
    yield path
    if is_granular(node, value):
        for name, child, item in parts(node, value):
            yield from all_fields(child, item, (*path, name))


def compare(node: Node, before: Any, after: Any) -> Comparison:
    """What was added, removed and modified between two versions of an object."""
    added: set[Path] = set()
    removed: set[Path] = set()
    modified: set[Path] = set()

    def walk(node: Node, old: Any, new: Any, path: Path) -> None:
        if old == new:
            return
        if type(old) is not type(new) or not is_granular(node, new):
            modified.add(path)
            return
        olds = {name: (child, item) for name, child, item in parts(node, old)}
        for name, child, item in parts(node, new):
            if name in olds:
                walk(child, olds.pop(name)[1], item, (*path, name))
            else:
                added.update(all_fields(child, item, (*path, name)))
        for name, (child, item) in olds.items():
            removed.update(all_fields(child, item, (*path, name)))

    walk(node, before, after, ())
    return Comparison(frozenset(added), frozenset(removed), frozenset(modified))


def to_tree(fields: Iterable[Path]) -> dict[str, Any]:
    """The set in the form of FieldsV1."""
    root: dict[str, Any] = {}
    members = sorted(set(fields))
    for path in members:
        tree = root
        for name in path:
            tree = tree.setdefault(name, {})
    for path in members:
        tree = root
        for name in path:
            tree = tree[name]
        if tree:
            tree[_ITSELF] = {}
    return root


def from_tree(tree: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """The fields of a set in the form of FieldsV1."""
    for name, below in tree.items():
        if name == _ITSELF:
            yield path
        elif below:
            yield from from_tree(below, (*path, name))
        else:
            yield (*path, name)


def merge(node: Node, base: Any, config: Any) -> Any:
    """`base` with what `config` says: the merge of a server-side apply. Neither is changed."""
    if type(base) is not type(config) or not is_granular(node, config):
        return config
    if isinstance(config, dict):
        merged = dict(base)
        for name, item in config.items():
            merged[name] = merge(node.child(name) or OPEN, base[name], item) if name in base else item
        return merged
    items = {element_name(node, item): item for item in base}
    for item in config:
        name = element_name(node, item)
        items[name] = merge(node.element(), items[name], item) if name in items else item
    return list(items.values())


def without(node: Node, value: Any, gone: Mapping[str, Any]) -> Any:
    """The value without the fields of a tree of `removal_tree`."""
    if not is_granular(node, value):
        return value
    kept: list[tuple[str, Any]] = []
    for name, child, item in parts(node, value):
        if name in gone:
            if not gone[name]:
                continue
            item = without(child, item, gone[name])
        kept.append((name, item))
    if isinstance(value, dict):
        return {name.removeprefix("f:"): item for name, item in kept}
    return [item for _, item in kept]


def removal_tree(last: Fields, kept: Fields) -> dict[str, Any]:
    """What to take away of the fields that were applied last and nobody claims now: a tree, its leaves what goes.

    A container goes with its last field: `last` counts as having all containers of its fields.
    """
    held = {path[:depth] for path in kept for depth in range(1, len(path) + 1)}
    root: dict[str, Any] = {}
    for path in sorted(last):
        tree = root
        for depth in range(1, len(path) + 1):
            name = path[depth - 1]
            if path[:depth] not in held:
                tree[name] = {}
                break
            tree = tree.setdefault(name, {})
    return _without_empty(root, held)


def _without_empty(tree: dict[str, Any], held: set[Path], path: Path = ()) -> dict[str, Any]:
    """The tree without branches that lead to nothing that goes."""
    result: dict[str, Any] = {}
    for name, below in tree.items():
        here = (*path, name)
        if here not in held:
            result[name] = {}
        else:
            inner = _without_empty(below, held, here)
            if inner:
                result[name] = inner
    return result


def spoken(path: Path) -> str:
    """The path as messages write it: `.spec.containers[name="x"].image`."""
    text = ""
    for name in path:
        kind, content = name[0], name[2:]
        if kind == "f":
            text += f".{content}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={_json(value)}" for key, value in json.loads(content).items()) + "]"
        else:
            text += f"[={content}]"
    return text


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
