"""Knative's side of a service: which revision gets how much of the traffic, and so which keep their pods.

By KServe's rule, `canaryTrafficPercent` splits the traffic between the newest revision and the one that was rolled out
last; without it the newest gets everything as soon as it is ready, and is from then on the one that was rolled out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from backend.demo.objects import Object
from backend.demo.workloads_pods import Pod, owned, owner, stamp
from backend.demo.workloads_template import Template

#: KServe's annotation that gives every revision with a share an address of its own.
TAG_ROUTING: Final = "serving.kserve.io/enable-tag-routing"
REVISION_LABEL: Final = "serving.knative.dev/revision"


@dataclass
class Revisions:
    """The revisions of one service, by the hash of their pods' template.

    Attributes:
        numbers: of each revision, from 1.
        asked: hash of the template as the object asks for it; a revision's own differs by its number.
        canary: `canaryTrafficPercent`, None when it is not set.
        tagged: each revision that has a share, if it is 0, has an address of its own, and is kept for it.
        rolled, previous: the revisions that got all traffic last, and before that.
        proven: those that have been ready.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    asked: str = ""
    canary: int | None = None
    tagged: bool = False
    rolled: str = ""
    previous: str = ""
    proven: set[str] = field(default_factory=set)

    def settle(self, newest: str, replicas: int, pods: list[Pod]) -> None:
        """Take note of what is ready, and roll the newest out when it gets all traffic."""
        if sum(pod.is_ready for pod in pods if pod.hash == newest) >= replicas:
            self.proven.add(newest)
        if newest in self.proven and self.canary is None and self.rolled != newest:
            self.previous, self.rolled = self.rolled, newest

    def shares(self, newest: str) -> dict[str, int]:
        """Percent of the traffic by revision; none while nothing has been ready."""
        if not self.rolled:
            return {newest: 100} if newest in self.proven else {}
        if self.rolled == newest or newest not in self.proven or self.canary is None:
            return {self.rolled: 100}
        return {newest: self.canary, self.rolled: 100 - self.canary}

    def wanted(self, newest: str, templates: dict[str, Template]) -> dict[str, int]:
        """How many pods each revision is to have: none that nothing reaches, once it has been ready."""
        shares = self.shares(newest)
        reached = {known for known, percent in shares.items() if percent or self.tagged}
        if newest not in self.proven:
            reached.add(newest)
        return {known: templates[known].replicas if known in reached else 0 for known in self.numbers}

    def component(self, service: str, newest: str, url: str) -> Object:
        """`status.components.predictor`."""

        def named(known: str) -> str:
            return revision_name(service, self.numbers[known])

        component: Object = {"latestCreatedRevision": named(newest)}
        ready = [known for known in self.numbers if known in self.proven]
        if ready:
            component["url"] = url
            component["latestReadyRevision"] = named(max(ready, key=self.numbers.__getitem__))
        if self.rolled:
            component["latestRolledoutRevision"] = named(self.rolled)
        if self.previous:
            component["previousRolledoutRevision"] = named(self.previous)
        shares = self.shares(newest)
        if shares:
            component["traffic"] = [
                {"revisionName": named(known), "percent": percent, "latestRevision": known == newest}
                | ({"tag": "prev"} if known != newest and len(shares) > 1 else {})
                | ({"tag": "latest"} if known == newest and self.tagged else {})
                for known, percent in shares.items()
            ]
        return component


def revision_name(service: str, number: int) -> str:
    """The name of a service's revision."""
    return f"{service}-predictor-{number:05d}"


def revision_object(
    namespace: str, service: str, number: int, template: Template, pods: list[Pod], wanted: int, at: float, now: float
) -> Object:
    """A Revision with its status.

    Args:
        pods: its own. wanted: how many it is to have.
        at: when it was made. now: seconds since 1970.
    """
    ready = sum(pod.is_ready for pod in pods)
    whole = ready >= wanted
    since = stamp(now)
    active = (
        {"status": "True"}
        if wanted
        else {"status": "False", "reason": "NoTraffic", "message": "The target is not receiving traffic."}
    )
    told = {"status": "True"} if whole else {"status": "Unknown", "reason": "Deploying"}
    conditions = [
        {"type": "Active", "severity": "Info", "lastTransitionTime": since, **active},
        {"type": "ContainerHealthy", "lastTransitionTime": since, **told},
        {"type": "Ready", "lastTransitionTime": since, **told},
        {"type": "ResourcesAvailable", "lastTransitionTime": since, **told},
    ]
    name = revision_name(service, number)
    containers = template.spec["containers"]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": stamp(at),
            "labels": {
                **template.labels,
                "serving.knative.dev/configuration": f"{service}-predictor",
                "serving.knative.dev/configurationGeneration": str(number),
                "serving.knative.dev/service": f"{service}-predictor",
            },
            "ownerReferences": owner("serving.knative.dev/v1", "Configuration", f"{service}-predictor", ""),
            "managedFields": owned("controller", "serving.knative.dev/v1", at, "metadata", "spec"),
        },
        "spec": {"containers": containers, "timeoutSeconds": 300},
        "status": {
            "actualReplicas": ready,
            "desiredReplicas": wanted,
            "conditions": conditions,
            "containerStatuses": [
                {"name": str(item.get("name", "")), "imageDigest": str(item.get("image", ""))} for item in containers
            ],
            "observedGeneration": 1,
        },
    }
