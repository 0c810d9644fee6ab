"""Brings what several clusters tell into one snapshot. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import GpuSnapshotView, GpuView


def merged(snapshots: Sequence[GpuSnapshotView], contexts: Sequence[str]) -> GpuSnapshotView:
    """One snapshot of all, in the order in which they come. Notes say of which cluster they are.

    This machine may be a node of a cluster other than the first: then its GPUs stand there, and not twice. What one
    cluster cannot be asked is a note; nothing at all is known only when that holds for all.

    Args:
        snapshots: at least one. contexts: a name for each.
    """
    if len(snapshots) == 1:
        return snapshots[0]
    seen: dict[str, GpuView] = {}
    for snapshot in snapshots:
        for gpu in snapshot.gpus:
            known = seen.get(gpu.key)
            if known is None or (gpu.context and not known.context):
                seen[gpu.key] = gpu
    gpus = [gpu for snapshot in snapshots for gpu in snapshot.gpus if seen[gpu.key] is gpu]
    pairs = list(zip(contexts, snapshots, strict=True))
    unreached = [f"{context}: {snapshot.unreached}" for context, snapshot in pairs if snapshot.unreached]
    return GpuSnapshotView(
        at=max(snapshot.at for snapshot in snapshots),
        gpus=tuple(gpus),
        servers=tuple(server for snapshot in snapshots for server in snapshot.servers),
        services=tuple(service for snapshot in snapshots for service in snapshot.services),
        nodes=tuple(node for snapshot in snapshots for node in snapshot.nodes),
        pending=tuple(pod for snapshot in snapshots for pod in snapshot.pending),
        notes=tuple(f"{context}: {note}" for context, snapshot in pairs for note in snapshot.notes),
        unreached="; ".join(unreached) if not gpus else "",
    )
