"""Starts of pods as watches and logs tell of them, from one look to the next."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from backend.cluster.objects import Pod
from backend.serving.digests import is_sidecar
from backend.serving.pods import is_ready
from backend.serving.starts import Load

#: More starts than this are not looked at in one go: estimates do not need them all.
_AT_ONCE: Final = 300


class LoadingPod(msgspec.Struct, frozen=True, kw_only=True):
    """A container that loads its model: its log may tell how far it is."""

    namespace: str
    pod: str
    container: str

    @property
    def key(self) -> tuple[str, str]:
        """The pod's namespace and name."""
        return self.namespace, self.pod


def loading_pod(pod: Pod) -> LoadingPod | None:
    """The container of a pod that runs and is not ready yet; None where none does."""
    if is_ready(pod):
        return None
    running = {one.name for one in pod.status.container_statuses or () if one.state.running and not one.ready}
    own = [one.name for one in pod.spec.containers if one.name in running and not is_sidecar(one)]
    return LoadingPod(namespace=pod.metadata.namespace, pod=pod.metadata.name, container=own[0]) if own else None


class PodStarts:
    """Which pods became ready, and how far the others are.

    Attributes:
        loads: by pod, how far its server is with loading.
        weights_at: by pod, when its log said that the weights are loaded.
    """

    def __init__(self) -> None:
        self.loads: dict[tuple[str, str], Load] = {}
        self.weights_at: dict[tuple[str, str], datetime] = {}
        self._ready: dict[tuple[str, str], str] = {}
        self._fresh: list[Pod] = []

    def note(self, pod: Pod) -> None:
        """A pod as it is now."""
        if is_ready(pod) and self._ready.get(pod.key) != pod.metadata.uid:
            self._ready[pod.key] = pod.metadata.uid
            self._fresh.append(pod)

    def forget(self, pod: Pod) -> None:
        """A pod is gone."""
        for held in (self.loads, self.weights_at, self._ready):
            held.pop(pod.key, None)

    def take(self) -> list[Pod]:
        """Pods that became ready since the last time; of a whole cluster that is seen at once, the newest."""
        fresh, self._fresh = self._fresh, []
        if len(fresh) <= _AT_ONCE:
            return fresh
        return sorted(fresh, key=lambda pod: pod.metadata.creation_timestamp or "")[-_AT_ONCE:]

    def put_load(self, loading: LoadingPod, load: Load, at: datetime) -> bool:
        """How far a pod is at an instant; whether that is news."""
        if self.loads.get(loading.key) == load:
            return False
        if load.weights_loaded:
            self.weights_at.setdefault(loading.key, at)
        self.loads[loading.key] = load
        return True
