"""Serving runtimes: what KServe can serve models with, and who uses which."""

from __future__ import annotations

from collections.abc import Iterable

from backend.cluster.kserve_objects import InferenceService, ServingRuntime
from backend.core.views import RuntimeView
from backend.serving.manifests import CONTAINER, RuntimeInfo


def runtime_views(
    context: str, runtimes: Iterable[ServingRuntime], services: Iterable[InferenceService]
) -> tuple[RuntimeView, ...]:
    """Runtimes by namespace and name, those of the whole cluster first.

    Args:
        runtimes: ServingRuntimes and ClusterServingRuntimes.
        services: to tell which use them; a runtime in the service's namespace hides the cluster's of the same name.
    """
    listed = list(runtimes)
    known = {runtime.key for runtime in listed}
    users: dict[tuple[str, str], list[str]] = {}
    for service in services:
        model = service.spec.predictor.model
        if model is not None and model.runtime:
            namespace = service.metadata.namespace
            key = (namespace, model.runtime) if (namespace, model.runtime) in known else ("", model.runtime)
            users.setdefault(key, []).append(f"{namespace}/{service.metadata.name}")
    return tuple(
        _view(context, runtime, users.get(runtime.key, [])) for runtime in sorted(listed, key=lambda one: one.key)
    )


def _view(context: str, runtime: ServingRuntime, users: list[str]) -> RuntimeView:
    return RuntimeView(
        context=context,
        namespace=runtime.metadata.namespace,
        name=runtime.metadata.name,
        images=tuple(container.image for container in runtime.spec.containers if container.image),
        formats=_formats(runtime),
        protocols=runtime.spec.protocol_versions or (),
        disabled=bool(runtime.spec.disabled),
        used_by=tuple(sorted(users)),
    )


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
