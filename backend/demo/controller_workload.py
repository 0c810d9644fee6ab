"""What the demo's controllers keep of one InferenceService."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.demo.controller_revisions import Revisions
from backend.demo.workloads_pods import Pod
from backend.demo.workloads_status import Facts
from backend.demo.workloads_template import Template


@dataclass
class Workload:
    """What the controllers keep of one InferenceService.

    Attributes:
        ordinals: how many pods each ReplicaSet has had; revisions: template hashes in the order of their rollouts.
        templates: by hash. counted: what each ReplicaSet was last written with.
        knative: its revisions in Knative mode. made: when each of them was, in seconds since 1970.
    """

    namespace: str
    name: str
    uid: str
    facts: Facts
    template: Template | None = None
    templates: dict[str, Template] = field(default_factory=dict)
    revisions: list[str] = field(default_factory=list)
    ordinals: dict[str, int] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    deployment: str = ""
    replica_sets: dict[str, str] = field(default_factory=dict)
    counted: dict[str, tuple[int, ...]] = field(default_factory=dict)
    watched_progress: float = -1.0
    was_ready: bool = False
    knative: Revisions = field(default_factory=Revisions)
    made: dict[str, float] = field(default_factory=dict)
