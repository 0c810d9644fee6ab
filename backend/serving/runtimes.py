"""Serving runtimes: what KServe can serve models with, and who uses which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from backend.cluster.kserve_objects import InferenceService, ServingRuntime
from backend.core.views import RuntimeView
from backend.serving.cautions import owner_of
from backend.serving.digests import digest_of
from backend.serving.manifests import CONTAINER, MANAGED_BY, RuntimeInfo
from backend.serving.rows import Approval, Approver, nobody_asked
from backend.serving.runtime_templates import TEMPLATE, TEMPLATE_VERSION


def runtime_views(
    context: str,
    runtimes: Iterable[ServingRuntime],
    services: Iterable[InferenceService],
    approver: Approver = nobody_asked,
) -> tuple[RuntimeView, ...]:
    """Runtimes by namespace and name, those of the whole cluster first.

    Args:
        runtimes: ServingRuntimes and ClusterServingRuntimes.
        services: to tell which use them; a runtime in the service's namespace hides the cluster's of the same name.
        approver: tells of a set of digests whether all are approved.
    """
    listed = list(runtimes)
    known = {runtime.key for runtime in listed}
    users: dict[tuple[str, str], list[str]] = {}
    for service in services:
        if (key := _used(service, known)) is not None:
            users.setdefault(key, []).append(f"{service.metadata.namespace}/{service.metadata.name}")
    return tuple(
        _view(context, runtime, users.get(runtime.key, []), approver)
        for runtime in sorted(listed, key=lambda one: one.key)
    )


def _used(service: InferenceService, known: Collection[tuple[str, str]]) -> tuple[str, str] | None:
    """The runtime that a service uses: the one that it names, or that KServe chose by the model's format."""
    model, status, namespace = service.spec.predictor.model, service.status, service.metadata.namespace
    if model is None:
        return None
    if model.runtime:
        return (namespace, model.runtime) if (namespace, model.runtime) in known else ("", model.runtime)
    if status is not None and status.serving_runtime_name:
        return namespace, status.serving_runtime_name
    if status is not None and status.cluster_serving_runtime_name:
        return "", status.cluster_serving_runtime_name
    return None


def _view(context: str, runtime: ServingRuntime, users: list[str], approver: Approver) -> RuntimeView:
    images = tuple(container.image for container in runtime.spec.containers if container.image)
    approval = _approval(images, approver)
    metadata = runtime.metadata
    template = metadata.label(TEMPLATE) if metadata.label(MANAGED_BY) == "modelyard" else ""
    return RuntimeView(
        context=context,
        namespace=metadata.namespace,
        name=metadata.name,
        images=images,
        formats=_formats(runtime),
        protocols=runtime.spec.protocol_versions or (),
        disabled=bool(runtime.spec.disabled),
        used_by=tuple(sorted(users)),
        approved=approval.approved,
        approval_note="" if approval.approved else approval.note,
        template=f"{template} {metadata.label(TEMPLATE_VERSION)}".strip() if template else "",
        owner=owner_of(metadata),
    )


def _approval(images: tuple[str, ...], approver: Approver) -> Approval:
    unpinned = [image for image in images if not digest_of(image)]
    if unpinned:
        return Approval(False, f"{unpinned[0]} is not named by its digest")
    digests = frozenset(digest_of(image) for image in images)
    return approver(digests) if digests else Approval(None, "it names no image")


def runtime_notes(runtime: RuntimeView) -> tuple[str, ...]:
    """What to know of a runtime before it is touched, a sentence each."""
    notes = []
    if runtime.used_by:
        many = (
            f"{len(runtime.used_by)} services that use it" if len(runtime.used_by) > 1 else "the service that uses it"
        )
        notes.append(f"editing it starts the pods of {many} anew: install another one, and let services name that")
    if runtime.disabled:
        notes.append("it is disabled: KServe uses it for no service")
    if runtime.approved is False:
        notes.append(f"its image is not approved: {runtime.approval_note}")
    if not runtime.template:
        notes.append("it was not made by Modelyard: whoever keeps it may change it")
    if runtime.owner:
        notes.append(f"{runtime.owner} keeps it")
    return tuple(notes)


def server_image(raw: Mapping[str, Any] | None) -> str:
    """The image of a runtime's model server, by its manifest; empty where there is none."""
    containers = ((raw or {}).get("spec") or {}).get("containers") or ()
    return next((str(one.get("image") or "") for one in containers if one.get("name") == CONTAINER), "")


def find_runtime(name: str, namespace: str, runtimes: Iterable[ServingRuntime]) -> RuntimeInfo | None:
    """The runtime that a service of the namespace means by a name, or None."""
    found = {runtime.metadata.namespace: runtime for runtime in runtimes if runtime.metadata.name == name}
    runtime = found.get(namespace) or found.get("")
    if runtime is None:
        return None
    server = next(
        (container for container in runtime.spec.containers if container.name == CONTAINER),
        runtime.spec.containers[0] if runtime.spec.containers else None,
    )
    probe = server.liveness_probe if server else None
    return RuntimeInfo(
        name=name,
        namespace=runtime.metadata.namespace,
        formats=tuple(format_.name for format_ in runtime.spec.supported_model_formats or () if format_.name),
        disabled=bool(runtime.spec.disabled),
        # The API's default for a probe that names no timeout.
        liveness_timeout=None if probe is None else probe.timeout_seconds or 1,
    )


def _formats(runtime: ServingRuntime) -> tuple[str, ...]:
    return tuple(
        f"{format_.name} {format_.version}" if format_.version else format_.name
        for format_ in runtime.spec.supported_model_formats or ()
    )
