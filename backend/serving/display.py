"""Cluster objects as people read them: without what the server keeps for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backend.serving.deployment_fields import SECRET_WORD
from backend.serving.yaml_lines import dump

_SERVER_METADATA: Final = frozenset(
    {"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"}
)
HIDDEN: Final = "(hidden)"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def without_noise(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody wanted of the object: no status, and none of the metadata that the server writes."""
    kept = {key: value for key, value in manifest.items() if key != "status"}
    metadata = _without_last_applied(manifest.get("metadata") or {})
    kept["metadata"] = {key: value for key, value in metadata.items() if key not in _SERVER_METADATA}
    return kept


def display_yaml(manifest: Mapping[str, Any]) -> str:
    """The whole object as YAML, without its managed fields and kubectl's copy of it."""
    metadata = _without_last_applied(manifest.get("metadata") or {})
    shown = dict(manifest)
    shown["metadata"] = {key: value for key, value in metadata.items() if key != "managedFields"}
    return dump(_ordered(shown))


def wanted_yaml(manifest: Mapping[str, Any]) -> str:
    """What somebody wanted of the object as YAML, in an order that does not depend on who wrote it."""
    return dump(_ordered(without_noise(manifest)))


def without_secrets(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The object without the values of variables that hold secrets."""
    return {str(key): _sorted(value) for key, value in manifest.items()}


def _without_last_applied(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = dict(metadata)
    annotations = {key: value for key, value in (kept.get("annotations") or {}).items() if key != _LAST_APPLIED}
    if annotations:
        kept["annotations"] = annotations
    else:
        kept.pop("annotations", None)
    return kept


def _ordered(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """apiVersion, kind and metadata first, a name first in its table, all else by its name."""
    return {str(key): _sorted(manifest[key]) for key in sorted(manifest, key=_rank)}


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        if isinstance(value.get("value"), str) and SECRET_WORD.search(str(value.get("name") or "")):
            # Somebody else's object may hold in plain text what ours only refer to.
            return {"name": value["name"], "value": HIDDEN}
        return {str(key): _sorted(value[key]) for key in sorted(value, key=_rank)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


def _rank(key: Any) -> tuple[int, str]:
    first = ("apiVersion", "kind", "metadata", "name", "namespace")
    text = str(key)
    return (first.index(text) if text in first else len(first), text)
