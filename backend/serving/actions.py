"""Small changes of a service that is there: stop, start, scale. Pure: they give merge patches (RFC 7386)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backend.core.errors import UsageError
from backend.serving.manifests import AUTOSCALER, STOP
from backend.serving.rules import mode_of

_MOST: Final = 1000


def stop_patch() -> dict[str, Any]:
    """Deletes the workload and keeps the service."""
    return {"metadata": {"annotations": {STOP: "true"}}}


def start_patch() -> dict[str, Any]:
    """Undoes `stop_patch`."""
    return {"metadata": {"annotations": {STOP: None}}}


def weight_patch(live: Mapping[str, Any], weight: int) -> dict[str, Any]:
    """Sets the share of its group's traffic that an LLMInferenceService gets.

    Raises:
        UsageError: the weight makes no sense, or it shares no traffic with others.
    """
    metadata = live.get("metadata") or {}
    what = f"weight of {metadata.get('namespace')}/{metadata.get('name')}"
    if not 0 <= weight <= _MOST:
        raise UsageError(what, f"{weight} is no weight", f"give a number from 0 to {_MOST}")
    router = (live.get("spec") or {}).get("router") or {}
    if live.get("kind") != "LLMInferenceService" or not (router.get("route") or {}).get("group"):
        raise UsageError(
            what,
            "it shares traffic with no other: only LLMInferenceServices of a group do",
            "set spec.router.route.group of those that shall share it",
        )
    return {"spec": {"router": {"route": {"weight": weight}}}}


def scale_patch(live: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """Sets how many replicas serve.

    Args:
        live: the service as the API gives it.

    Raises:
        UsageError: an autoscaler decides, the number makes no sense, or it is above maxReplicas.
    """
    metadata = live.get("metadata") or {}
    what = f"scale of {metadata.get('namespace')}/{metadata.get('name')}"
    if not 0 <= replicas <= _MOST:
        raise UsageError(what, f"{replicas} is no number of replicas", f"give a number from 0 to {_MOST}")
    predictor = (live.get("spec") or {}).get("predictor") or {}
    if mode_of(live) == "Knative":
        most = predictor.get("maxReplicas") or 0
        if most and replicas > most:
            raise UsageError(what, f"{replicas} is above maxReplicas {most}", "raise replicas.max and apply")
        return {"spec": {"predictor": {"minReplicas": replicas}}}
    chosen = (metadata.get("annotations") or {}).get(AUTOSCALER) or "hpa"
    if chosen != "none":
        raise UsageError(
            what,
            f"an autoscaler of class {chosen} decides how many replicas serve",
            "change replicas in the deployment file and apply it",
        )
    most = predictor.get("maxReplicas") or 0
    changed: dict[str, Any] = {"minReplicas": replicas}
    if most and replicas > most:
        # Nothing reads the upper bound in this class, but KServe refuses one below the lower.
        changed["maxReplicas"] = replicas
    return {"spec": {"predictor": changed}}
