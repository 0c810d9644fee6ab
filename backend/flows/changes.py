"""Changes of a service that need no plan: scale, stop, start, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.kserve_objects import InferenceService
from backend.cluster.resources import INFERENCE_SERVICES
from backend.cluster.reviews import AccessRequest
from backend.core.errors import AccessDeniedError, MalformedDataError, NotFoundError, PolicyError
from backend.core.permits import Permit
from backend.core.views import AppliedView
from backend.flows.approvals import Approvals
from backend.flows.foundation import Foundation
from backend.flows.gate import Checks
from backend.flows.kserve import explained
from backend.serving.actions import scale_patch, start_patch, stop_patch
from backend.serving.digests import running_digests


class ServiceChanges:
    """Each is held to what was seen of the object; that its status moved since is no conflict."""

    def __init__(self, foundation: Foundation, approvals: Approvals) -> None:
        self._foundation = foundation
        self._approvals = approvals

    async def scale(self, namespace: str, name: str, replicas: int, *, context: str = "") -> AppliedView:
        """Set how many replicas serve; more of them only if the image is approved."""
        client, live = await self._seen(namespace, name, context)
        patch = scale_patch(live, replicas)
        before = (live.get("spec", {}).get("predictor") or {}).get("minReplicas")
        more = not isinstance(before, int) or replicas > before
        return await self._patched(
            "deploy.scale",
            client,
            live,
            patch,
            policy=self._approved(client, live, "scale up") if more else None,
            detail={"replicas": replicas, "before": before},
        )

    async def stop(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Stop a service."""
        client, live = await self._seen(namespace, name, context)
        return await self._patched("deploy.stop", client, live, stop_patch())

    async def start(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Start a stopped service, if its image is approved."""
        client, live = await self._seen(namespace, name, context)
        return await self._patched(
            "deploy.start", client, live, start_patch(), policy=self._approved(client, live, "start")
        )

    async def delete(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Delete a service, as it was seen."""
        client, live = await self._seen(namespace, name, context)
        metadata = live["metadata"]

        async def action(permit: Permit) -> AppliedView:
            await client.delete(permit, INFERENCE_SERVICES, namespace, name, seen=live)
            return _applied(client, live, changed=True)

        return await self._foundation.gate.run(
            "deploy.delete",
            f"{client.context}/{namespace}/{name}",
            action,
            checks=Checks(access=access_check(client, "delete", namespace, name)),
            detail={"uid": metadata["uid"]},
        )

    async def _seen(self, namespace: str, name: str, context: str) -> tuple[ClusterClient, dict[str, Any]]:
        client = await self._foundation.clusters.client(context)
        return client, await found_service(client, namespace, name)

    def _approved(self, client: ClusterClient, live: Mapping[str, Any], verb: str) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            await self._approvals.refresh()
            metadata = live["metadata"]
            what = f"{verb} of {metadata['namespace']}/{metadata['name']}"
            try:
                service = msgspec.convert(live, InferenceService)
            except msgspec.ValidationError as error:
                raise MalformedDataError(what, f"it cannot be read: {error}", "look at it with kubectl") from error
            digests = running_digests(service, ())
            use = self._approvals.use_in(client.context, metadata["namespace"])
            approval = self._approvals.judge(digests.known, use)
            if digests.unpinned:
                raise PolicyError(
                    what, f"{digests.unpinned[0]} is not named by its digest", "deploy an approved digest"
                )
            if digests.known and not approval.approved:
                raise PolicyError(what, approval.note, "approve it, or deploy an approved image")

        return check

    async def _patched(
        self,
        mutation: str,
        client: ClusterClient,
        live: dict[str, Any],
        patch: Mapping[str, Any],
        *,
        policy: Callable[[], Awaitable[None]] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> AppliedView:
        metadata = live["metadata"]
        namespace, name = str(metadata["namespace"]), str(metadata["name"])

        async def dry_run() -> None:
            await client.dry_run_merge_patch(INFERENCE_SERVICES, namespace, name, patch)

        async def action(permit: Permit) -> AppliedView:
            after = await client.merge_patch(permit, INFERENCE_SERVICES, namespace, name, patch, seen=live)
            changed = after["metadata"]["resourceVersion"] != metadata["resourceVersion"]
            return _applied(client, after, changed=changed)

        return await self._foundation.gate.run(
            mutation,
            f"{client.context}/{namespace}/{name}",
            action,
            checks=Checks(access=access_check(client, "patch", namespace, name), policy=policy, dry_run=dry_run),
            detail=detail,
        )


async def found_service(client: ClusterClient, namespace: str, name: str) -> dict[str, Any]:
    """A service with all its fields.

    Raises:
        NotFoundError: there is none of that name, or no KServe.
    """
    try:
        return await client.get(INFERENCE_SERVICES, namespace, name)
    except NotFoundError as error:
        raise await explained(client, error) from error


def access_check(client: ClusterClient, verb: str, namespace: str, name: str) -> Callable[[], Awaitable[None]]:
    """Asks the cluster whether it would let us, before anything is sent."""

    async def check() -> None:
        access = await client.can_i(
            AccessRequest(
                verb=verb,
                resource=INFERENCE_SERVICES.plural,
                group=INFERENCE_SERVICES.group,
                namespace=namespace,
                name=name,
            )
        )
        if not access.allowed:
            raise AccessDeniedError(
                f"{verb} of {namespace}/{name}",
                access.reason or f"RBAC does not allow to {verb} inferenceservices in {namespace}",
                f"ask for the verb {verb} on inferenceservices.serving.kserve.io in {namespace}",
            )

    return check


def _applied(client: ClusterClient, object_: Mapping[str, Any], *, changed: bool) -> AppliedView:
    metadata = object_["metadata"]
    return AppliedView(
        context=client.context,
        namespace=metadata["namespace"],
        name=metadata["name"],
        changed=changed,
        objects=(f"InferenceService {metadata['namespace']}/{metadata['name']}",),
        snapshot="",
        resource_version=str(metadata["resourceVersion"]),
    )
