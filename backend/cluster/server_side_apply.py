"""Server-side apply under our field manager, dry or not, and the taking of fields that a person named.

What it is to Kubernetes: "Server-Side Apply" of the API reference. Recorded answers: a conflict is a 409 with a
FieldManagerConflict for each field, a resourceVersion in the body a precondition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from backend.cluster.answers import MAX_OBJECT, object_of, placed, require
from backend.cluster.connection import Response
from backend.cluster.objects import ObjectMeta
from backend.cluster.reader import ClusterReader
from backend.cluster.resources import Resource, resource_of
from backend.cluster.status import FieldConflict, field_conflicts, read_status

#: Name under which our fields are managed; the demo and the contract tests rely on it too.
FIELD_MANAGER: Final = "modelyard"
_APPLY: Final = "application/apply-patch+yaml"
#: How often a change is tried while nothing but the object's status moves under it.
ATTEMPTS: Final = 5


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """An API server's answer to an apply, dry or not.

    Attributes:
        object: as it is, or for a dry run would be, afterwards.
        created: it did not exist before.
    """

    object: dict[str, Any]
    created: bool

    @property
    def metadata(self) -> ObjectMeta:
        """The object's metadata, typed."""
        return msgspec.convert(self.object.get("metadata") or {}, ObjectMeta)


class ClusterApplier(ClusterReader):
    """One API server, to read and to ask what an apply would do; the applies themselves are `ClusterClient`'s."""

    async def dry_run_apply(
        self, manifest: Mapping[str, Any], *, resource_version: str | None = None, forced: Sequence[str] = ()
    ) -> Applied:
        """What a server-side apply would make of the object; changes nothing.

        Args:
            forced: as in `Application`.

        Raises:
            AdmissionError, AccessDeniedError, ConflictError, NotFoundError: as the real apply would.
        """
        return await self._apply(manifest, resource_version, forced, dry_run=True)

    async def dry_run_conflicts(self, manifest: Mapping[str, Any]) -> tuple[FieldConflict, ...]:
        """The fields that an apply would have to take from other managers; changes nothing.

        Raises:
            AdmissionError, AccessDeniedError, NotFoundError: as the real apply would.
        """
        resource, namespace, name = target_of(manifest)
        content = msgspec.json.encode(manifest)
        response = await self._send_apply(resource, namespace, name, content, dry_run=True, force=False)
        found = _conflicts_in(response)
        if not found:
            require(response, f"dry run of {resource.kind} {placed(namespace, name)}")
        return tuple(conflict for conflict in found if conflict.manager != FIELD_MANAGER)

    async def _apply(
        self, manifest: Mapping[str, Any], resource_version: str | None, forced: Sequence[str], *, dry_run: bool
    ) -> Applied:
        resource, namespace, name = target_of(manifest)
        body = dict(manifest)
        if resource_version:
            body["metadata"] = {**body["metadata"], "resourceVersion": resource_version}
        content = msgspec.json.encode(body)
        what = f"{'dry run' if dry_run else 'apply'} of {resource.kind} {placed(namespace, name)}"
        response = await self._send_apply(resource, namespace, name, content, dry_run=dry_run, force=False)
        conflicts = _conflicts_in(response)
        if conflicts and _may_take(conflicts, forced):
            if dry_run:
                response = await self._send_apply(resource, namespace, name, content, dry_run=True, force=True)
            else:
                response = await self._take(manifest, resource_version, forced, response)
        require(response, what)
        return Applied(object=object_of(response, what), created=response.status == 201)

    async def _take(
        self, manifest: Mapping[str, Any], resource_version: str | None, forced: Sequence[str], refused: Response
    ) -> Response:
        """Apply with force, for the fields that were named and no others.

        Force knows no fields: it takes whatever is in the way when it arrives. So it is sent for one resourceVersion,
        at which a dry run without force has shown what is in the way.
        """
        resource, namespace, name = target_of(manifest)
        for _ in range(ATTEMPTS):
            live = await self.find(resource, namespace, name)
            if live is None:
                return refused
            version = resource_version or str(live["metadata"]["resourceVersion"])
            body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}
            content = msgspec.json.encode(body)
            dry = await self._send_apply(resource, namespace, name, content, dry_run=True, force=False)
            conflicts = _conflicts_in(dry)
            if conflicts and not _may_take(conflicts, forced):
                return dry
            answer = dry
            if conflicts or dry.status < 300:
                answer = await self._send_apply(
                    resource, namespace, name, content, dry_run=False, force=bool(conflicts)
                )
            if answer.status != 409 or resource_version:
                return answer
        return refused

    async def _send_apply(
        self, resource: Resource[Any], namespace: str | None, name: str, content: bytes, *, dry_run: bool, force: bool
    ) -> Response:
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        if force:
            params["force"] = "true"
        return await self.connection.request(
            "PATCH",
            resource.path(namespace, name),
            params=params,
            body=content,
            content_type=_APPLY,
            limit=MAX_OBJECT,
        )


def _conflicts_in(response: Response) -> tuple[FieldConflict, ...]:
    """The fields that other managers own, when that is why an apply was refused."""
    status = read_status(response.body) if response.status == 409 else None
    return field_conflicts(status) if status is not None else ()


def _may_take(conflicts: Sequence[FieldConflict], forced: Sequence[str]) -> bool:
    """Whether each field may be taken: it was named, or our own merge patch (stop, scale) wrote it."""
    return all(
        conflict.manager == FIELD_MANAGER or conflict.field in forced or str(conflict) in forced
        for conflict in conflicts
    )


def target_of(manifest: Mapping[str, Any]) -> tuple[Resource[Any], str | None, str]:
    """The kind, namespace (None for cluster-scoped kinds) and name that a manifest is of.

    Raises:
        UsageError: the yard does not write objects of that kind.
    """
    resource = resource_of(manifest)
    metadata = manifest.get("metadata") or {}
    return resource, metadata.get("namespace") if resource.namespaced else None, str(metadata.get("name") or "")
