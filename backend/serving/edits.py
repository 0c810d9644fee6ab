"""Who else wrote what is wanted of an object, and which fields: read from `metadata.managedFields`. Pure.

The form of FieldsV1 is that of sigs.k8s.io/structured-merge-diff: `f:NAME` a field, `k:{...}` an element of a list by
its keys, `v:VALUE` an element of a set, `i:N` one by its position, `.` the thing itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from backend.cluster.client import FIELD_MANAGER
from backend.cluster.objects import parsed_time
from backend.core.text import sanitise
from backend.serving.display import HIDDEN

Path: TypeAlias = tuple[str, ...]

#: Fields that nobody's wish stands in: finalizers and kubectl's own copy of the object.
_NOBODYS: Final = (
    ("f:metadata", "f:finalizers"),
    ("f:metadata", "f:ownerReferences"),
    ("f:metadata", "f:annotations", "f:kubectl.kubernetes.io/last-applied-configuration"),
)
_TOLD: Final = 3
_LONGEST_VALUE: Final = 40
_DEEPEST: Final = 40
_ABSENT: Final = object()
#: Names of secrets; `--max-num-batched-tokens` is none.
_SECRET: Final = re.compile(r"(api[-_.]?key|passw|secret|private[-_.]?key|credential|token([=\]]|$))", re.I)


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What one manager wrote of an object.

    Attributes:
        operation: Apply or Update. at: when it last changed which fields it owns, or None.
        paths: the fields that it owns, as FieldsV1 names them.
    """

    manager: str
    operation: str
    at: datetime | None
    paths: tuple[Path, ...]


def edits(live: Mapping[str, Any], *, ours: bool = False) -> tuple[Edit, ...]:
    """What others (or, with `ours`, everybody) wrote of what is wanted of an object, the newest last.

    Status and what a controller keeps for itself (finalizers) are no edits.
    """
    found: list[Edit] = []
    for entry in (live.get("metadata") or {}).get("managedFields") or ():
        if not isinstance(entry, Mapping) or entry.get("subresource"):
            continue
        manager = str(entry.get("manager") or "unknown")
        if manager == FIELD_MANAGER and not ours:
            continue
        paths = tuple(path for path in owned(entry.get("fieldsV1") or {}) if _is_wanted(path))
        if paths:
            at = parsed_time(entry.get("time") if isinstance(entry.get("time"), str) else None)
            found.append(Edit(manager=manager, operation=str(entry.get("operation") or ""), at=at, paths=paths))
    return tuple(sorted(found, key=lambda edit: edit.at.timestamp() if edit.at else 0.0))


def owned(tree: Any, path: Path = ()) -> Iterator[Path]:
    """The leaves of a tree of FieldsV1."""
    if not isinstance(tree, Mapping) or len(path) > _DEEPEST:
        return
    for name, below in tree.items():
        if name == ".":
            continue
        here = (*path, str(name))
        if isinstance(below, Mapping) and any(key != "." for key in below):
            yield from owned(below, here)
        else:
            yield here


def spoken(path: Path) -> str:
    """A path as people read it: `.spec.predictor.containers[kserve-container].args`."""
    text = ""
    for name in path:
        kind, _, content = name.partition(":")
        if kind == "f":
            text += f".{content}"
        elif kind == "k":
            text += f"[{_keys(content)}]"
        else:
            text += f"[{content}]"
    return text


def short(path: Path) -> str:
    """The end of a path, which tells most: `args`, `minReplicas`, `stop`."""
    named = [name[2:] for name in path if name.startswith("f:")]
    last = named[-1] if named else spoken(path)
    return last.rpartition("/")[2] or last


def told(edit: Edit, live: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """An edit in a clause: the fields that differ from before, with their values; else those that it owns.

    Args:
        before: the object as it was wanted earlier, or None when that is not known.
    """
    if before is not None:
        differing = [path for path in edit.paths if value_at(live, path) != value_at(before, path)]
        if differing:
            return _listed([_difference(path, value_at(before, path), value_at(live, path)) for path in differing])
    return _listed([short(path) for path in edit.paths])


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs between two objects as they were wanted, in a clause: `args --a=1 > --a=2, minReplicas 1 > 3`."""
    paths = dict.fromkeys([*_leaves(before, ()), *_leaves(after, ())])
    changed = [path for path in paths if value_at(before, path) != value_at(after, path)]
    return _listed([_difference(path, value_at(before, path), value_at(after, path)) for path in changed])


def changed_from(live: Mapping[str, Any], wanted: Mapping[str, Any], *, without: Container[Path] = ()) -> str:
    """What is otherwise than it was wanted, in a clause; what nobody wished is not looked at. Empty: it is as wanted.

    Args:
        without: fields that are left out.
    """
    paths = [
        path
        for path in _leaves(wanted, ())
        if path and path not in without and not _holds(value_at(live, path), value_at(wanted, path))
    ]
    return _listed([_difference(path, value_at(wanted, path), value_at(live, path)) for path in paths])


def value_at(object_: Mapping[str, Any], path: Path) -> Any:
    """The value at a path, or a mark that nothing is there."""
    value: Any = object_
    for name in path:
        kind, _, content = name.partition(":")
        if kind == "f" and isinstance(value, Mapping):
            value = value.get(content, _ABSENT)
        elif kind == "k" and isinstance(value, Sequence) and not isinstance(value, str):
            keys = _json(content)
            value = next((item for item in value if isinstance(item, Mapping) and _matches(item, keys)), _ABSENT)
        elif kind == "v" and isinstance(value, Sequence) and not isinstance(value, str):
            value = next((item for item in value if item == _json(content)), _ABSENT)
        else:
            return _ABSENT
        if value is _ABSENT:
            return _ABSENT
    return value


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    """The paths of what is no table; a list of named tables goes by their names, as the API merges it."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(below, (*path, f"f:{key}"))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        for item in value:
            yield from _leaves(item, (*path, "k:" + json.dumps({"name": item["name"]})))
    else:
        yield path


def _holds(live: Any, wanted: Any) -> bool:
    """Whether all that was wanted is so; the server may have added to it."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(key in live and _holds(live[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(live, list):
        return len(live) == len(wanted) and all(_holds(one, other) for one, other in zip(live, wanted, strict=True))
    return bool(live == wanted)


def _difference(path: Path, before: Any, after: Any) -> str:
    name = short(path)
    if _SECRET.search(spoken(path)) or "f:env" in path:
        return name
    if isinstance(before, list) and isinstance(after, list) and before and after:
        before, after = _without_secrets(before), _without_secrets(after)
        gone = [item for item in before if item not in after]
        come = [item for item in after if item not in before]
        return f"{name} {_value(gone)} > {_value(come)}"
    return f"{name} {_value(before)} > {_value(after)}"


def _value(value: Any) -> str:
    if value is _ABSENT or value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return " ".join(_value(item) for item in value) or "none"
    return sanitise(_without_secret(value), _LONGEST_VALUE) if isinstance(value, str) else "..."


def _without_secrets(arguments: Sequence[Any]) -> list[Any]:
    """Arguments without the value after one that is named like a secret."""
    kept: list[Any] = []
    for position, argument in enumerate(arguments):
        before = arguments[position - 1] if position else ""
        follows = isinstance(before, str) and "=" not in before and bool(_SECRET.search(before))
        kept.append(HIDDEN if follows else _without_secret(argument) if isinstance(argument, str) else argument)
    return kept


def _without_secret(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not _SECRET.search(name):
        return text
    return f"{name}={HIDDEN}" if equals else text if text.startswith("--") else HIDDEN


def _listed(parts: Sequence[str]) -> str:
    once = list(dict.fromkeys(parts))
    more = f" and {len(once) - _TOLD} more" if len(once) > _TOLD else ""
    return ", ".join(once[:_TOLD]) + more


def _is_wanted(path: Path) -> bool:
    if path[0] == "f:status" or any(path[: len(start)] == start for start in _NOBODYS):
        return False
    return path[0] != "f:metadata" or path[1:2] in {("f:labels",), ("f:annotations",)}


def _matches(item: Mapping[str, Any], keys: Any) -> bool:
    return isinstance(keys, Mapping) and all(item.get(key) == value for key, value in keys.items())


def _keys(content: str) -> str:
    keys = _json(content)
    return ",".join(str(value) for value in keys.values()) if isinstance(keys, Mapping) else content


def _json(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content
