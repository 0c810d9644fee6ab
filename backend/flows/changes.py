"""Changes of a service that need no plan: scale, stop, start, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.kserve_objects import InferenceService
from backend.cluster.llm_objects import LlmInferenceService
from backend.cluster.platform_objects import HttpRoute
from backend.cluster.resources import HTTP_ROUTES, INFERENCE_SERVICES, LLM_INFERENCE_SERVICES, Resource, resource_of
from backend.cluster.reviews import AccessRequest
from backend.core.errors import AccessDeniedError, MalformedDataError, NotFoundError, PolicyError, UsageError
from backend.core.permits import Permit
from backend.core.views import INFERENCE_SERVICE, KIND_PREFIXES, AppliedView, CanaryView, named_kind
from backend.flows.approvals import Approvals
from backend.flows.foundation import Foundation
from backend.flows.gate import Checks
from backend.flows.kserve import explained
from backend.serving.actions import scale_patch, start_patch, stop_patch, weight_patch
from backend.serving.canary import abort_patch, canary_of, promote_patch
from backend.serving.deployment import parse
from backend.serving.digests import running_digests
from backend.serving.llm import LLM_KIND, as_inference_service
from backend.serving.rules import mode_of
from backend.serving.snapshots import snapshots


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
        client, live = await self._seen(namespace, name, context, llm=True)
        return await self._patched("deploy.stop", client, live, stop_patch())

    async def start(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Start a stopped service, if its image is approved."""
        client, live = await self._seen(namespace, name, context, llm=True)
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

    async def promote(
        self,
        namespace: str,
        name: str,
        percent: int | None = None,
        *,
        context: str = "",
        as_worker: bool = False,
    ) -> AppliedView:
        """Send a canary a share of the traffic, or all of it, if its image is approved.

        Args:
            percent: of the traffic; None: all.
        """
        await self._may("deploy.promote", namespace, name, context, as_worker=as_worker)
        client, live = await self._seen(namespace, name, context)
        view = await canary_view(self._foundation, client, live)
        return await self._patched(
            "deploy.promote",
            client,
            live,
            promote_patch(live, view, percent),
            policy=self._approved(client, live, "promotion"),
            detail={"percent": percent or 100, "before": view.percent},
            as_worker=as_worker,
        )

    async def abort(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Take all traffic from a canary."""
        await self._may("deploy.abort", namespace, name, context)
        client, live = await self._seen(namespace, name, context)
        view = await canary_view(self._foundation, client, live)
        return await self._patched(
            "deploy.abort", client, live, abort_patch(live, view), detail={"before": view.percent}
        )

    async def canary(self, namespace: str, name: str, *, context: str = "") -> CanaryView:
        """What traffic goes where, as the cluster says it now."""
        client, live = await self._seen(namespace, name, context)
        return await canary_view(self._foundation, client, live)

    async def _may(self, mutation: str, namespace: str, name: str, context: str, *, as_worker: bool = False) -> None:
        """Before it is looked whether there is a canary at all."""
        where = context or self._foundation.cluster.context
        await self._foundation.gate.require(mutation, f"{where}/{namespace}/{name}", as_worker=as_worker)

    async def weigh(self, namespace: str, name: str, weight: int, *, context: str = "") -> AppliedView:
        """Set the share of its group's traffic that an LLMInferenceService gets.

        Args:
            name: with its prefix, `llm:qwen`.

        Raises:
            NotInstalledError: the cluster has no LLMInferenceServices. UsageError: it shares no traffic.
        """
        await self._may("deploy.weigh", namespace, name, context)
        client, live = await self._seen(namespace, name, context, llm=True)
        patch = weight_patch(live, weight)
        route = ((live.get("spec") or {}).get("router") or {}).get("route") or {}
        return await self._patched(
            "deploy.weigh",
            client,
            live,
            patch,
            policy=self._approved(client, live, "sending traffic") if weight > int(route.get("weight") or 0) else None,
            detail={"weight": weight, "before": route.get("weight")},
        )

    async def _seen(
        self, namespace: str, name: str, context: str, *, llm: bool = False
    ) -> tuple[ClusterClient, dict[str, Any]]:
        """The object as it is.

        Args:
            llm: an LLMInferenceService will do.
        """
        client = await self._foundation.clusters.client(context)
        kind, bare = named_kind(name)
        if kind == INFERENCE_SERVICE:
            return client, await found_service(client, namespace, bare)
        if kind == LLM_KIND and not llm:
            raise UsageError(
                f"{kind} {namespace}/{bare}",
                "this cannot be done to it; those of one group share its traffic by their weights",
                "re-weight it (deploy weigh), stop it or start it",
            )
        if kind != LLM_KIND:
            raise UsageError(
                f"{kind} {namespace}/{bare}", "it is observed here, and changed elsewhere", "change it with kubectl"
            )
        resource = await client.served(LLM_INFERENCE_SERVICES)
        return client, await client.get(resource, namespace, bare)

    def _approved(self, client: ClusterClient, live: Mapping[str, Any], verb: str) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            await self._approvals.refresh()
            metadata = live["metadata"]
            what = f"{verb} of {metadata['namespace']}/{metadata['name']}"
            try:
                service = _as_service(live)
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
        as_worker: bool = False,
    ) -> AppliedView:
        metadata = live["metadata"]
        namespace, name, resource = str(metadata["namespace"]), str(metadata["name"]), resource_of(live)
        is_llm = resource.kind == LLM_KIND

        async def dry_run() -> None:
            await client.dry_run_merge_patch(resource, namespace, name, patch)

        async def action(permit: Permit) -> AppliedView:
            after = await client.merge_patch(permit, resource, namespace, name, patch, seen=live)
            changed = after["metadata"]["resourceVersion"] != metadata["resourceVersion"]
            return _applied(client, after, changed=changed)

        return await self._foundation.gate.run(
            mutation,
            f"{client.context}/{namespace}/{KIND_PREFIXES[LLM_KIND] + ':' if is_llm else ''}{name}",
            action,
            checks=Checks(
                access=access_check(client, "patch", namespace, name, resource=resource), policy=policy, dry_run=dry_run
            ),
            detail=detail,
            as_worker=as_worker,
        )


async def canary_view(foundation: Foundation, client: ClusterClient, live: Mapping[str, Any]) -> CanaryView:
    """What traffic of a service goes where, from the object as it is and the routes that were made for it."""
    metadata = live["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    try:
        service = msgspec.convert(live, InferenceService)
    except msgspec.ValidationError as error:
        raise MalformedDataError(
            f"service {namespace}/{name}", f"it cannot be read: {error}", "look at it with kubectl"
        ) from error
    held = await snapshots(foundation.database, client.context, namespace, name)
    text = held[0].intent.deployment if held else ""
    routes: list[HttpRoute] = []
    if mode_of(live) != "Knative":
        try:
            listed, _ = await client.list(HTTP_ROUTES, namespace)
            routes = [route for route in listed if route.metadata.name in {name, f"{name}-predictor"}]
        except (NotFoundError, AccessDeniedError):
            # Without Gateway API, or without leave to look, nothing says that it splits.
            routes = []
    return canary_of(client.context, service, parse(text, "snapshot") if text else None, routes)


def require_inference_service(namespace: str, name: str, why: str) -> None:
    """Refuse what only InferenceServices have: deployment files and the snapshots of them.

    Raises:
        UsageError: the name tells another kind.
    """
    kind, bare = named_kind(name)
    if kind != INFERENCE_SERVICE:
        raise UsageError(f"{kind} {f'{namespace}/' if namespace else ''}{bare}", why, "see its YAML, and use kubectl")


async def found_service(client: ClusterClient, namespace: str, name: str) -> dict[str, Any]:
    """A service with all its fields.

    Raises:
        NotFoundError: there is none of that name, or no KServe. UsageError: it is of another kind.
    """
    require_inference_service(namespace, name, "this cannot be done to it")
    try:
        return await client.get(INFERENCE_SERVICES, namespace, name)
    except NotFoundError as error:
        raise await explained(client, error) from error


def access_check(
    client: ClusterClient, verb: str, namespace: str, name: str, *, resource: Resource[Any] = INFERENCE_SERVICES
) -> Callable[[], Awaitable[None]]:
    """Asks the cluster whether it would let us, before anything is sent."""

    async def check() -> None:
        access = await client.can_i(
            AccessRequest(
                verb=verb,
                resource=resource.plural,
                group=resource.group,
                namespace=namespace,
                name=name,
            )
        )
        if not access.allowed:
            raise AccessDeniedError(
                f"{verb} of {namespace}/{name}",
                access.reason or f"RBAC does not allow to {verb} {resource.plural} in {namespace}",
                f"ask for the verb {verb} on {resource.plural}.{resource.group} in {namespace}",
            )

    return check


def _as_service(live: Mapping[str, Any]) -> InferenceService:
    if live.get("kind") == LLM_KIND:
        return as_inference_service(msgspec.convert(live, LlmInferenceService))
    return msgspec.convert(live, InferenceService)


def _applied(client: ClusterClient, object_: Mapping[str, Any], *, changed: bool) -> AppliedView:
    metadata = object_["metadata"]
    return AppliedView(
        context=client.context,
        namespace=metadata["namespace"],
        name=metadata["name"],
        changed=changed,
        objects=(f"{object_['kind']} {metadata['namespace']}/{metadata['name']}",),
        snapshot="",
        resource_version=str(metadata["resourceVersion"]),
    )
