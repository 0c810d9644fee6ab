"""`metadata.managedFields`: server-side apply and the bookkeeping of every other write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from backend.demo.kubernetes.answers import Cause, StatusError, apply_conflict
from backend.demo.kubernetes.fields import (
    Comparison,
    Fields,
    Path,
    compare,
    from_tree,
    merge,
    owned_fields,
    removal_tree,
    spoken,
    to_tree,
    without,
)
from backend.demo.kubernetes.schemas import Node
from backend.demo.objects import Object

_OF_THE_SERVER = ("name", "namespace", "uid", "creationTimestamp", "generation", "managedFields", "resourceVersion")
_NOBODYS: Fields = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(("f:metadata", f"f:{name}") for name in (*_OF_THE_SERVER, "selfLink", "deletionTimestamp", "generateName")),
    }
)
_TREES_OF_NOBODY = ("f:managedFields",)


class Manager(NamedTuple):
    """Who owns fields, and by which kind of write.

    Attributes:
        name: the field manager.
        operation: `Apply` or `Update`.
        api_version: of the object that was written.
        subresource: `status` when it was written through it.
    """

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def spoken(self) -> str:
        """The manager as conflicts name it; those that apply are named without their version."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text if self.operation == "Apply" else f"{text} using {self.api_version}"


class _Claim(NamedTuple):
    fields: Fields
    time: str


class Owners:
    """The owners of an object's fields.

    Args:
        content: the object whose `managedFields` to read; None for one that does not exist yet.
    """

    def __init__(self, content: Object | None) -> None:
        self._claims: dict[Manager, _Claim] = {}
        for entry in (content or {}).get("metadata", {}).get("managedFields") or []:
            manager = Manager(
                entry.get("manager", ""),
                entry.get("operation", ""),
                entry.get("apiVersion", ""),
                entry.get("subresource", ""),
            )
            known = self._claims.get(manager, _Claim(frozenset(), ""))
            fields = known.fields | frozenset(from_tree(entry.get("fieldsV1") or {}))
            self._claims[manager] = _Claim(fields, entry.get("time", ""))

    def fields_of(self, manager: Manager) -> Fields:
        """What the manager owns."""
        claim = self._claims.get(manager)
        return claim.fields if claim else frozenset()

    def of_others(self, manager: Manager) -> Iterable[tuple[Manager, Fields]]:
        """What every other manager owns."""
        return [(other, claim.fields) for other, claim in self._claims.items() if other != manager]

    def set(self, manager: Manager, fields: Iterable[Path], now: str) -> None:
        """The manager owns these fields from now on; the time stays when they are the same as before."""
        kept = frozenset(path for path in fields if path not in _NOBODYS and _is_owned(path))
        known = self._claims.get(manager)
        if known is not None and known.fields == kept:
            return
        if kept:
            self._claims[manager] = _Claim(kept, now)
        else:
            self._claims.pop(manager, None)

    def take(self, manager: Manager, fields: Fields) -> None:
        """The manager no longer owns these fields."""
        claim = self._claims[manager]
        if claim.fields - fields:
            self._claims[manager] = claim._replace(fields=claim.fields - fields)
        else:
            del self._claims[manager]

    def touch(self, manager: Manager, now: str) -> None:
        """The manager has written just now."""
        if manager in self._claims:
            self._claims[manager] = self._claims[manager]._replace(time=now)

    def entries(self) -> list[Object]:
        """The owners in the form and order of `managedFields`: applied first, then by time and name."""
        ordered = sorted(self._claims.items(), key=lambda item: (item[0].operation, item[1].time, item[0]))
        return [_entry(manager, claim) for manager, claim in ordered]


def _is_owned(path: Path) -> bool:
    return not (len(path) > 1 and path[0] == "f:metadata" and path[1] in _TREES_OF_NOBODY)


def _entry(manager: Manager, claim: _Claim) -> Object:
    entry: Object = {
        "apiVersion": manager.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_tree(claim.fields),
        "manager": manager.name,
        "operation": manager.operation,
        "time": claim.time,
    }
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def applied(
    schema: Node, live: Object | None, config: Object, manager: Manager, *, force: bool, now: str
) -> tuple[Object, Owners]:
    """The outcome of a server-side apply.

    Args:
        schema: of the kind.
        live: the stored object, or None.
        config: what is applied: the fields that the manager wants, and no others.
        manager: who applies.
        force: take over fields of others that differ.
        now: RFC 3339.

    Returns:
        The object to store, without its `managedFields`, and its owners.

    Raises:
        StatusError: 409, when other managers own fields that would change and `force` is false.
    """
    base = {**(live or {}), "metadata": {**(live or {}).get("metadata", {})}}
    base["metadata"].pop("managedFields", None)
    owners = Owners(live)
    last = owners.fields_of(manager)
    wanted = frozenset(owned_fields(schema, config))
    kept = wanted.union(*(fields for _, fields in owners.of_others(manager)))
    merged = without(schema, merge(schema, base, config), removal_tree(last, kept))
    difference = compare(schema, base, merged)
    _settle(owners, manager, difference, force=force)
    owners.set(manager, wanted, now)
    if difference.touched or difference.removed:
        owners.touch(manager, now)
    return merged, owners


def updated(schema: Node, live: Object | None, content: Object, manager: Manager, *, now: str) -> Owners:
    """The owners after any write that is not an apply: who writes a field owns it alone.

    Args:
        schema: of the kind.
        live: the stored object; for one that is made, what it has before anyone writes.
        content: the object to store.
        manager: who writes.
        now: RFC 3339.
    """
    owners = Owners(live)
    difference = compare(schema, _bare(live or {}), _bare(content))
    _settle(owners, manager, difference, force=True)
    owners.set(manager, (owners.fields_of(manager) | difference.touched) - difference.removed, now)
    return owners


def _settle(owners: Owners, manager: Manager, difference: Comparison, *, force: bool) -> None:
    """Take what a write touched or removed from the other managers.

    Raises:
        StatusError: 409, when something touched is another's and `force` is false.
    """
    others = owners.of_others(manager)
    conflicts = {other: fields & difference.touched for other, fields in others if fields & difference.touched}
    if conflicts and not force:
        raise _conflict(conflicts)
    for other, fields in others:
        owners.take(other, fields & (difference.touched | difference.removed))


def _conflict(conflicts: Mapping[Manager, Fields]) -> StatusError:
    found = [(manager, path) for manager in sorted(conflicts) for path in sorted(conflicts[manager])]
    causes = [
        Cause("FieldManagerConflict", f"conflict with {manager.spoken()}", spoken(path)) for manager, path in found
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
        return apply_conflict(causes, message)
    lines = []
    for manager in sorted(conflicts):
        lines.append(f"conflicts with {manager.spoken()}:")
        lines += [f"- {spoken(path)}" for path in sorted(conflicts[manager])]
    return apply_conflict(causes, f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines))


def _bare(content: Object) -> Any:
    metadata = {name: value for name, value in content.get("metadata", {}).items() if name not in _OF_THE_SERVER}
    return {**content, "metadata": metadata}
