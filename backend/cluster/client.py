"""What the yard changes on an API server. Every change takes a `Permit` and spends it; a dry run takes none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backend.cluster.answers import MAX_OBJECT, object_of, placed, require, require_reached
from backend.cluster.connection import ClusterConnection, Response
from backend.cluster.objects import KubeObject
from backend.cluster.resources import PODS, Resource
from backend.cluster.server_side_apply import ATTEMPTS, FIELD_MANAGER, Applied, ClusterApplier, target_of
from backend.cluster.status import read_status
from backend.core.errors import ConflictError, ModelyardError, NotFoundError, PartialFailureError
from backend.core.permits import Permit
from backend.core.ports import Clock

Item = TypeVar("Item", bound=KubeObject)
_Sent = TypeVar("_Sent")

__all__ = [
    "FIELD_MANAGER",
    "Application",
    "Applied",
    "ClusterClient",
    "Deletion",
]

_MERGE: Final = "application/merge-patch+json"
#: Largest answer of a pod that is taken: a short completion, or an embedding of 16,384 numbers.
_MAX_PROXIED: Final = 1024 * 1024

#: The mutations that each changing call serves, by their names in the gate's table.
APPLY_MUTATIONS: Final = ("deploy.apply", "deploy.rollback", "deploy.settle", "runtime.apply")
PATCH_MUTATIONS: Final = (
    "deploy.scale",
    "deploy.stop",
    "deploy.start",
    "deploy.promote",
    "deploy.abort",
    "deploy.weigh",
)
DELETE_MUTATIONS: Final = ("deploy.delete",)
PROXY_MUTATIONS: Final = ("deploy.validate",)


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """One object to apply, and under which conditions.

    Attributes:
        resource_version: that the object must still have; None: whatever it is.
        absent: the object must not exist.
        forced: fields that a person named to be taken from their managers: as the server names them
            (`.spec.predictor.maxReplicas`, whoever manages it), or as a line of `ConflictError.conflicts`
            (`.spec.predictor.maxReplicas is managed by kubectl-edit`, from that manager alone). A conflict over
            anything else refuses the apply with all conflicts, and nothing is taken. Fields that our own patches wrote
            are taken in any case.
        while_true: tells of the object as it is now whether a changed resourceVersion does not matter, such as when
            its status alone moved; the apply is then tried again with the new one.
    """

    manifest: Mapping[str, Any]
    resource_version: str | None = None
    absent: bool = False
    forced: tuple[str, ...] = ()
    while_true: Callable[[Mapping[str, Any]], bool] | None = None


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """One object to delete, as it was seen.

    Attributes:
        manifest: names it. seen: the object as it was read; that its status moved since is no conflict.
    """

    manifest: Mapping[str, Any]
    seen: Mapping[str, Any]


class ClusterClient(ClusterApplier):
    """One API server, as one context of the kubeconfig reaches it, to read and to change."""

    @classmethod
    async def open(cls, context: str | None = None, kubeconfig: Path | None = None, *, clock: Clock) -> ClusterClient:
        """Read the kubeconfig; see `ClusterConnection.open`."""
        return cls(await ClusterConnection.open(context, kubeconfig, clock=clock), clock=clock)

    async def apply(
        self, permit: Permit, applications: Sequence[Application], deletions: Sequence[Deletion] = ()
    ) -> tuple[Applied, ...]:
        """Server-side apply of objects in their order, under our field manager, with strict field validation.

        Args:
            deletions: done after the applies; one that is gone already is no failure.

        Raises:
            ConflictError: a precondition does not hold, or somebody else manages a field.
            AdmissionError: schema, webhook or policy refuse. AccessDeniedError: RBAC does.
            PartialFailureError: some were applied before one was refused.
        """
        permit.spend(*APPLY_MUTATIONS)
        done: list[Applied] = []
        for application in applications:
            try:
                done.append(await self._apply_one(application))
            except ModelyardError as error:
                if not done:
                    raise
                raise _partial(done, error) from error
        for deletion in deletions:
            try:
                await self._delete_one(deletion)
            except ModelyardError as error:
                if not done:
                    raise
                raise _partial(done, error) from error
        return tuple(done)

    async def _delete_one(self, deletion: Deletion) -> None:
        resource, namespace, name = target_of(deletion.manifest)
        uid = str(deletion.seen["metadata"]["uid"])
        try:
            await self._held_to(
                deletion.seen,
                resource,
                namespace,
                name,
                lambda version: self._delete(resource, namespace, name, uid, version),
            )
        except NotFoundError:
            return

    async def _apply_one(self, application: Application) -> Applied:
        manifest = application.manifest
        resource, namespace, name = target_of(manifest)
        if application.absent and await self.find(resource, namespace, name) is not None:
            raise _appeared(resource, namespace, name)
        applied = await self._apply_while_true(application, resource, namespace, name)
        if application.absent and not applied.created:
            raise _appeared(resource, namespace, name)
        return applied

    async def _apply_while_true(
        self, application: Application, resource: Resource[Any], namespace: str | None, name: str
    ) -> Applied:
        version, holds = application.resource_version, application.while_true
        for _ in range(ATTEMPTS):
            try:
                return await self._apply(application.manifest, version, application.forced, dry_run=False)
            except ConflictError:
                live = await self.find(resource, namespace, name) if holds and version else None
                current = str((live or {}).get("metadata", {}).get("resourceVersion") or "")
                if live is None or holds is None or current == version or not holds(live):
                    raise
                version = current
        raise ConflictError(
            f"apply of {resource.kind} {placed(namespace, name)}",
            "its status changes faster than it can be applied",
            "try again in a moment",
        )

    async def merge_patch(
        self,
        permit: Permit,
        resource: Resource[Item],
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        resource_version: str | None = None,
        seen: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """JSON merge patch of one object (RFC 7386): annotations, replica counts.

        Args:
            resource_version: that the object must have; None: whatever it is.
            seen: the object as it was read, instead; that its status moved since is no conflict.

        Raises:
            ConflictError: it is not the object that was seen.
        """
        permit.spend(*PATCH_MUTATIONS)
        if seen is None:
            return await self._merge(resource, namespace, name, patch, resource_version, dry_run=False)
        return await self._held_to(
            seen,
            resource,
            namespace,
            name,
            lambda version: self._merge(resource, namespace, name, patch, version, dry_run=False),
        )

    async def dry_run_merge_patch(
        self, resource: Resource[Item], namespace: str | None, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a merge patch would make of the object; changes nothing."""
        return await self._merge(resource, namespace, name, patch, None, dry_run=True)

    async def delete(
        self,
        permit: Permit,
        resource: Resource[Item],
        namespace: str | None,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        seen: Mapping[str, Any] | None = None,
    ) -> None:
        """Delete one object; what it owns goes after it.

        Args:
            uid, resource_version: that it must have; empty: whatever they are.
            seen: the object as it was read, instead; that its status moved since is no conflict.

        Raises:
            ConflictError: it is not the object that was seen. NotFoundError: it is gone.
        """
        permit.spend(*DELETE_MUTATIONS)
        if seen is None:
            await self._delete(resource, namespace, name, uid, resource_version)
            return
        seen_uid = str(seen["metadata"]["uid"])
        await self._held_to(
            seen, resource, namespace, name, lambda version: self._delete(resource, namespace, name, seen_uid, version)
        )

    async def _held_to(
        self,
        seen: Mapping[str, Any],
        resource: Resource[Item],
        namespace: str | None,
        name: str,
        send: Callable[[str], Awaitable[_Sent]],
    ) -> _Sent:
        """Send a change that holds for an object as it was seen.

        A resourceVersion moves with every write of a controller to the status, which a service that is starting sees
        several times a second; those are looked at and the change is sent again.
        """
        version = str(seen["metadata"]["resourceVersion"])
        for _ in range(ATTEMPTS):
            try:
                return await send(version)
            except ConflictError:
                live = await self.get(resource, namespace, name)
                if _wanted(live) != _wanted(seen):
                    raise
                version = str(live["metadata"]["resourceVersion"])
        return await send(version)

    async def pod_request(
        self,
        permit: Permit,
        namespace: str,
        pod: str,
        port: int,
        path: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        limit: int = _MAX_PROXIED,
        patience: float = 60.0,
    ) -> Response:
        """POST to a pod through the API server, and give the pod's answer whatever its status.

        Args:
            path: with its leading slash.
            limit: bytes of the answer that are taken. patience: seconds for everything.

        Raises:
            AccessDeniedError: we lack `create` on `pods/proxy`.
            NotFoundError: no such pod. UnreachableError: nothing answers there, or not in time.
            LimitExceededError: the answer is larger than `limit`.
        """
        permit.spend(*PROXY_MUTATIONS)
        response = await self.connection.request(
            "POST",
            PODS.path(namespace, f"{pod}:{port}", "proxy") + path,
            body=body,
            content_type=content_type,
            accept="*/*",
            limit=limit,
            patience=patience,
        )
        what = f"port {port} of pod {placed(namespace, pod)}"
        require_reached(response, what)
        if response.status >= 400 and read_status(response.body) is not None:
            require(response, what)
        return response

    async def _delete(
        self, resource: Resource[Item], namespace: str | None, name: str, uid: str, resource_version: str
    ) -> None:
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {key: value for key, value in preconditions.items() if value},
        }
        response = await self.connection.request(
            "DELETE", resource.path(namespace, name), body=msgspec.json.encode(options), limit=MAX_OBJECT
        )
        require(response, f"deletion of {resource.kind} {placed(namespace, name)}")

    async def _merge(
        self,
        resource: Resource[Item],
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        resource_version: str | None,
        *,
        dry_run: bool,
    ) -> dict[str, Any]:
        body = dict(patch)
        if resource_version:
            body["metadata"] = {**body.get("metadata", {}), "resourceVersion": resource_version}
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        what = f"change of {resource.kind} {placed(namespace, name)}"
        response = await self.connection.request(
            "PATCH",
            resource.path(namespace, name),
            params=params,
            body=msgspec.json.encode(body),
            content_type=_MERGE,
            limit=MAX_OBJECT,
        )
        require(response, what)
        return object_of(response, what)


def _partial(done: Sequence[Applied], error: ModelyardError) -> PartialFailureError:
    told = ", ".join(f"{one.object.get('kind')} {one.metadata.name}" for one in done)
    return PartialFailureError(
        error.what, f"{told} was applied, then: {error.why}", "correct the cause and apply again; what is done stays"
    )


def _appeared(resource: Resource[Any], namespace: str | None, name: str) -> ConflictError:
    return ConflictError(
        f"apply of {resource.kind} {placed(namespace, name)}",
        "somebody made it since the plan",
        "make a new plan",
        conflicts=[f"{resource.kind} {placed(namespace, name)} exists"],
    )


def _wanted(object_: Mapping[str, Any]) -> tuple[object, ...]:
    """What people and tools set of an object, in contrast to what its controllers tell of it."""
    metadata = object_["metadata"]
    kept = (metadata.get(name) for name in ("uid", "deletionTimestamp", "labels", "annotations"))
    return (*kept, object_.get("spec"))
