"""Going back from an apply that was cut off: what to apply again and what to delete. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backend.core.views import CutOffObjectView, CutOffView
from backend.serving.display import HIDDEN, without_noise, without_secrets
from backend.serving.snapshots import Intent, Snapshot, standing


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo does.

    Attributes:
        manifests: to be applied. deletions: manifests of objects that the apply made.
        image: that is served afterwards, or empty. source: the deployment file of it, YAML, or empty.
        told: in a sentence. impossible: why it cannot be done, or empty.
    """

    manifests: tuple[dict[str, Any], ...] = ()
    deletions: tuple[dict[str, Any], ...] = ()
    image: str = ""
    source: str = ""
    told: str = ""
    impossible: str = ""


def kept_before(live: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is to be kept of an object before it is applied: the fields that the manifest sets, secrets left out."""
    return None if live is None else projection(without_secrets(without_noise(live)), manifest)


def projection(value: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object that another sets too; lists are taken whole."""
    kept: dict[str, Any] = {}
    for key, wanted in shape.items():
        if key in value:
            held = value[key]
            both = isinstance(held, Mapping) and isinstance(wanted, Mapping)
            kept[key] = projection(held, wanted) if both else held
    return kept


def undoing(intent: Intent, live: Sequence[Mapping[str, Any] | None], earlier: Snapshot | None) -> Undo:
    """How to get back to what was before an apply.

    Args:
        live: the objects of its manifests as they are now.
        earlier: the newest snapshot of the same, or None.
    """
    states = standing(intent, live)
    returned = {_identity(manifest): manifest for manifest in (earlier.intent.manifests if earlier else ())}
    before = dict(zip(map(_identity, intent.manifests), intent.before, strict=False))
    manifests, deletions = [], []
    for manifest, state in zip(intent.manifests, states, strict=True):
        identity = _identity(manifest)
        if state == "absent":
            continue
        if identity in returned:
            manifests.append(returned[identity])
        elif identity not in before:
            return Undo(impossible="neither a snapshot nor the plan tells what was there before it")
        elif (held := before[identity]) is not None:
            if HIDDEN in repr(held):
                return Undo(impossible=f"a secret stood in {manifest['kind']} {identity[2]} as it is, and was not kept")
            manifests.append(held)
        elif state == "applied":
            deletions.append(manifest)
    return Undo(
        manifests=tuple(manifests),
        deletions=tuple(deletions),
        image=earlier.intent.image if earlier is not None and manifests else "",
        source=earlier.intent.deployment if earlier is not None and manifests else "",
        told=_told(manifests, deletions, earlier),
    )


def cut_off_view(intent: Intent, live: Sequence[Mapping[str, Any] | None], earlier: Snapshot | None) -> CutOffView:
    """An apply that was cut off, as it is shown."""
    states = standing(intent, live)
    before = dict(zip(map(_identity, intent.manifests), intent.before, strict=False))
    undo = undoing(intent, live, earlier)
    done = sum(state == "applied" for state in states)
    count = f"{done} of {len(states)} objects" if len(states) > 1 else "it" if done else "nothing"
    return CutOffView(
        id=intent.id,
        context=intent.context,
        namespace=intent.namespace,
        name=intent.name,
        subject=intent.subject,
        image=intent.image,
        actor=intent.actor,
        started_at=intent.started_at,
        objects=tuple(
            CutOffObjectView(
                kind=str(manifest["kind"]),
                namespace=str(manifest["metadata"].get("namespace") or ""),
                name=str(manifest["metadata"]["name"]),
                state=state,
                made=state == "applied" and before.get(_identity(manifest), manifest) is None,
            )
            for manifest, state in zip(intent.manifests, states, strict=True)
        ),
        told=f"{count} {'were' if len(states) > 1 else 'was'} applied",
        undo=undo.impossible or undo.told,
    )


def unknown_view(intent: Intent, why: str) -> CutOffView:
    """An apply that was cut off and of which the cluster does not tell how far it came."""
    return CutOffView(
        id=intent.id,
        context=intent.context,
        namespace=intent.namespace,
        name=intent.name,
        subject=intent.subject,
        image=intent.image,
        actor=intent.actor,
        started_at=intent.started_at,
        objects=tuple(
            CutOffObjectView(
                kind=str(manifest["kind"]),
                namespace=str(manifest["metadata"].get("namespace") or ""),
                name=str(manifest["metadata"]["name"]),
                state="unknown",
                made=False,
            )
            for manifest in intent.manifests
        ),
        told=f"how far it came cannot be told: {why}",
        undo="cannot be told either",
    )


def _told(
    manifests: Sequence[Mapping[str, Any]], deletions: Sequence[Mapping[str, Any]], earlier: Snapshot | None
) -> str:
    parts = []
    if manifests:
        back = f"snapshot {earlier.id[:12]}" if earlier is not None else "what stood there before"
        parts.append(f"returns {_counted(manifests)} to {back}")
    if deletions:
        parts.append(f"deletes {_counted(deletions)} that it made")
    return " and ".join(parts) or "has nothing to take back"


def _counted(manifests: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in manifests)


def _identity(manifest: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return str(manifest["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])
