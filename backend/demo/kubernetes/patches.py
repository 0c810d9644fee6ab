"""The patches that are no server-side apply: JSON merge patch, JSON patch and, for built-in kinds, strategic merge."""

from __future__ import annotations

from typing import Any

from backend.demo.kubernetes.fields import element_name
from backend.demo.kubernetes.schemas import OPEN, Node
from backend.demo.objects import copied

_DIRECTIVE = "$patch"
_MOST_OPERATIONS = 10_000


class PatchError(Exception):
    """A patch that cannot be carried out on this object, or is none."""


def merge_patch(target: Any, patch: Any) -> Any:
    """The target after a JSON merge patch (RFC 7386). Neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def strategic_merge_patch(node: Node, target: Any, patch: Any) -> Any:
    """The target after a strategic merge patch: as a merge patch, but keyed lists merge by their keys.

    `$patch: replace` and `$patch: delete` work; the lists of order that `kubectl` adds (`$setElementOrder/...`) do not
    matter here and are left out.
    """
    if isinstance(patch, list):
        if node.list == "map" and isinstance(target, list):
            return _merge_keyed(node, target, patch)
        return patch
    if not isinstance(patch, dict):
        return patch
    if patch.get(_DIRECTIVE) == "replace":
        return {name: value for name, value in patch.items() if name != _DIRECTIVE}
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif not name.startswith("$"):
            result[name] = strategic_merge_patch(node.child(name) or OPEN, result.get(name), value)
    return result


def _merge_keyed(node: Node, target: list[Any], patch: list[Any]) -> list[Any]:
    items = {element_name(node, item): item for item in target}
    for item in patch:
        name = element_name(node, item)
        if isinstance(item, dict) and item.get(_DIRECTIVE) == "delete":
            items.pop(name, None)
        else:
            items[name] = strategic_merge_patch(node.element(), items.get(name), item)
    return list(items.values())


def json_patch(target: Any, operations: Any) -> Any:
    """The target after a JSON patch (RFC 6902). The target is not changed.

    Raises:
        PatchError: an operation is malformed, its path does not exist, or its test fails.
    """
    if not isinstance(operations, list) or len(operations) > _MOST_OPERATIONS:
        raise PatchError("a JSON patch is a list of operations")
    document = {"": copied(target)}
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise PatchError("an operation of a JSON patch has a path")
        _operate(document, operation)
    return document[""]


def _operate(document: Any, operation: dict[str, Any]) -> None:
    action, path = operation.get("op"), _pointer(operation["path"])
    if action in ("add", "replace", "test") and "value" not in operation:
        raise PatchError(f"{action} operation without a value")
    if action == "remove":
        _remove(document, path)
    elif action == "add":
        _add(document, path, copied(operation["value"]))
    elif action == "replace":
        _find(document, path)
        _remove(document, path)
        _add(document, path, copied(operation["value"]))
    elif action == "test":
        if _find(document, path) != operation["value"]:
            raise PatchError(f"testing value {operation['path']} failed")
    elif action in ("move", "copy") and isinstance(operation.get("from"), str):
        source = _pointer(operation["from"])
        value = copied(_find(document, source))
        if action == "move":
            _remove(document, source)
        _add(document, path, value)
    else:
        raise PatchError(f"unexpected kind: {action}")


def _pointer(text: str) -> list[str]:
    """The steps of a JSON pointer, from the holder of the whole document."""
    if text and not text.startswith("/"):
        raise PatchError(f"not a JSON pointer: {text}")
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")]


def _find(value: Any, path: list[str]) -> Any:
    for step in path:
        try:
            value = value[_index(value, step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError) as error:
            raise PatchError(f"doc is missing path: {'/'.join(path)}") from error
    return value


def _remove(document: Any, path: list[str]) -> None:
    _find(document, path)
    parent = _find(document, path[:-1])
    del parent[_index(parent, path[-1]) if isinstance(parent, list) else path[-1]]


def _add(document: Any, path: list[str], value: Any) -> None:
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        index = len(parent) if path[-1] == "-" else _index(parent, path[-1])
        if index > len(parent):
            raise PatchError(f"index out of range: {'/'.join(path)}")
        parent.insert(index, value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise PatchError(f"doc is missing path: {'/'.join(path)}")


def _index(items: list[Any], step: str) -> int:
    if not (step.isascii() and step.isdigit()):
        raise PatchError(f"not an index: {step}")
    return int(step)
