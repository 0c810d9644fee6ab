"""How `kubectl` would be told of a service, and which of its pods tells most."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from backend.core.views import PodView, ServiceView


def resource(service: ServiceView) -> str:
    """The kind as `kubectl` takes it."""
    return service.kind.lower()


def kubectl(service: ServiceView) -> str:
    """The beginning of a command about a service."""
    context = f" --context {shlex.quote(service.context)}" if service.context else ""
    return f"kubectl{context} -n {service.namespace}" if service.namespace else f"kubectl{context}"


def pod_to_read(pods: Sequence[PodView], *, previous: bool) -> PodView | None:
    """The pod whose log tells most: one that was restarted, or is not ready, before one that is well."""
    if not pods:
        return None
    return max(pods, key=lambda pod: (previous and pod.restarts > 0, not pod.ready, pod.restarts, pod.name))
