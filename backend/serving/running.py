"""What really runs, by the digests that container runtimes report, against what was approved and applied. Pure.

A pod's `imageID` is the digest of the index, of the platform's manifest, or of the configuration, by container runtime:
any of the three names the image that the library knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from backend.cluster.client import FIELD_MANAGER
from backend.cluster.objects import Container, Pod, parsed_time
from backend.core.references import short_digest
from backend.core.views import RunningState, RunningView
from backend.serving.digests import digest_of, is_sidecar
from backend.serving.edits import Edit, changed_from, edits, spoken
from backend.serving.snapshots import Snapshot


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """An image that pods of one service run.

    Attributes:
        digest: that it is judged by; empty: nothing tells it.
        note: where the spec and the container runtime do not say the same.
    """

    image: str
    digest: str
    pods: tuple[str, ...]
    since: datetime | None
    note: str = ""


class Standing(msgspec.Struct, frozen=True):
    """How a digest stands: its state and why."""

    state: RunningState
    note: str


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How an object differs from what was applied.

    Attributes:
        told: the fields with their values, in a clause; empty: it is as it was applied.
        by: managers that wrote since, the last one last. fields: that they own. at: when they last did.
    """

    told: str = ""
    by: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    at: datetime | None = None


def ran(pods: Iterable[Pod], canonical: Callable[[str], str | None]) -> tuple[Ran, ...]:
    """The images that pods run, each once.

    Args:
        canonical: gives the digest that the library knows an image by, from any of its digests; None: it knows none.
    """
    found: dict[tuple[str, str, str], list[Pod]] = {}
    for pod in pods:
        if pod.status.phase in {"Failed", "Succeeded"}:
            continue
        statuses = {status.name: status for status in pod.status.container_statuses or ()}
        for container in pod.spec.containers:
            status = statuses.get(container.name)
            if is_sidecar(container) or status is None or not (status.image_id or status.state.running):
                continue
            digest, note = _judged_by(container, status.image_id, canonical)
            found.setdefault((container.image or status.image, digest, note), []).append(pod)
    return tuple(
        Ran(
            image=image,
            digest=digest,
            note=note,
            pods=tuple(dict.fromkeys(pod.metadata.name for pod in running)),
            since=min((at for pod in running if (at := parsed_time(pod.status.start_time)) is not None), default=None),
        )
        for (image, digest, note), running in found.items()
    )


def _judged_by(container: Container, image_id: str, canonical: Callable[[str], str | None]) -> tuple[str, str]:
    stated, reported = digest_of(container.image), digest_of(image_id)
    known = canonical(reported) if reported else None
    if known is not None:
        named = canonical(stated) or stated if stated else ""
        note = f"its spec names {short_digest(stated)}, which is another image" if named and named != known else ""
        return known, note
    if stated:
        # A reported digest in a form that the library does not know says nothing against the one that is stated.
        return canonical(stated) or stated, ""
    return reported, ""


def drift(live: Mapping[str, Any], snapshot: Snapshot) -> Drift:
    """How a service differs from the snapshot that was applied last, and who wrote it since.

    What our own later changes (scale, stop) wrote is no drift: the ledger has them.
    """
    written = edits(live, ours=True)
    later = [edit for edit in written if edit.manager != FIELD_MANAGER and _is_later(edit, snapshot.at)]
    own = {
        path for edit in written if edit.manager == FIELD_MANAGER and edit.operation == "Update" for path in edit.paths
    }
    told = changed_from(live, snapshot.intent.manifests[0], without=own)
    at = max((edit.at for edit in later if edit.at is not None), default=None)
    fields = tuple(dict.fromkeys(spoken(path) for edit in later for path in edit.paths))
    return Drift(told=told, by=tuple(dict.fromkeys(edit.manager for edit in later)), fields=fields, at=at)


def rows(
    where: tuple[str, str, str],
    running: Sequence[Ran],
    judge: Callable[[str], Standing],
    snapshot: Snapshot | None,
    drifted: Drift | None,
) -> list[RunningView]:
    """The rows of one service: each image that runs, and what was done to the service since it was applied.

    Args:
        where: context, namespace and name.
        judge: tells how a digest stands.
        drifted: None: there is no snapshot to compare with, or the object could not be read.
    """
    context, namespace, name = where
    held = snapshot.id if snapshot is not None else ""
    found = []
    for one in running:
        standing = (
            judge(one.digest)
            if one.digest
            else Standing(
                RunningState.UNKNOWN, "it is named by a tag alone, and the container runtime reports no digest"
            )
        )
        note = "; ".join(text for text in (standing.note, one.note) if text)
        found.append(
            RunningView(
                context=context, namespace=namespace, name=name, state=standing.state, image=one.image,
                digest=one.digest, pods=one.pods, detail=note, since=one.since, snapshot=held,
            )
        )  # fmt: skip
    if drifted is not None and (drifted.told or drifted.by):
        state = RunningState.DRIFTED if drifted.told else RunningState.EDITED
        by = ", ".join(drifted.by)
        listed = ", ".join(drifted.fields[:3]) + (" and more" if len(drifted.fields) > 3 else "")
        moved = f"{drifted.told} since it was applied" + (f", by {by}" if by else "")
        same = f"{by} wrote {listed or 'it'}; what was applied still holds"
        found.append(
            RunningView(
                context=context, namespace=namespace, name=name, state=state, by=by,
                detail=moved if drifted.told else same,
                since=drifted.at, snapshot=held,
            )
        )  # fmt: skip
    return found


def _is_later(edit: Edit, at: datetime) -> bool:
    # The API tells whole seconds: an edit of the same second may have come after.
    return edit.at is not None and edit.at >= at.replace(microsecond=0)
