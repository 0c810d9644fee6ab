"""Everything that is known of a service, and what a verdict says of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import Condition, Deployment, Event, Pod, condition_of, parsed_time
from backend.cluster.platform_objects import Revision
from backend.core.views import INFERENCE_SERVICE, Verdict
from backend.serving.manifests import MODE, STOP
from backend.serving.pods import is_ready, newest_first


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with its reason and next step.

    Attributes:
        since: when it became so; None: not told.
        ready, wanted: replicas that serve, and that shall.
        settled: time alone does not change it.
    """

    verdict: Verdict
    reason: str
    next_step: str = ""
    since: datetime | None = None
    ready: int
    wanted: int
    settled: bool = True


class Case(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that is known of one service.

    Attributes:
        events: on its pods, by the pod's name; own_events: on the service itself.
        last_words: the end of a crashed pod's log, by the pod's name, where the pod itself tells nothing.
        revisions: of Knative.
        kind: of the object that `service` stands for.
        progress: how far the newest pod's load is by its log, in a few words, such as "weights 61%"; empty: not told.
        usual: how long such a start took before, from creation to readiness; None: none was seen.
    """

    service: InferenceService
    deployments: Sequence[Deployment] = ()
    pods: Sequence[Pod] = ()
    events: Mapping[str, Sequence[Event]] = msgspec.field(default_factory=dict)
    last_words: Mapping[str, str] = msgspec.field(default_factory=dict)
    own_events: Sequence[Event] = ()
    revisions: Sequence[Revision] = ()
    kind: str = INFERENCE_SERVICE
    progress: str = ""
    usual: timedelta | None = None
    now: datetime

    @cached_property
    def newest(self) -> list[Pod]:
        """Pods that are to stay, newest first; ended ones lie about after eviction, and count if nothing followed."""
        staying = [pod for pod in newest_first(self.pods) if pod.metadata.deletion_timestamp is None]
        alive = [pod for pod in staying if pod.status.phase not in {"Failed", "Succeeded"}]
        return alive or staying[:1]

    @cached_property
    def wanted(self) -> int:
        """Replicas that shall serve: none when stopped, else the Deployment's, since an autoscaler writes there."""
        if self.service.metadata.annotation(STOP) == "true":
            return 0
        if self.deployments:
            return sum(deployment.spec.replicas for deployment in self.deployments)
        least = self.service.spec.predictor.min_replicas
        return 1 if least is None else max(0, least)

    @cached_property
    def ready(self) -> int:
        """Replicas that serve: pods, or what the Deployment says where no pod is seen."""
        if self.pods:
            return sum(is_ready(pod) for pod in self.pods)
        return sum(deployment.status.ready_replicas for deployment in self.deployments)

    @cached_property
    def loading(self) -> Pod | None:
        """The newest pod that has not crashed and is not ready."""
        for pod in self.newest:
            if pod.status.phase in {"Running", "Pending"} and not is_ready(pod):
                return pod
        return None

    @property
    def is_knative(self) -> bool:
        """Whether it is of KServe's Knative mode."""
        status = self.service.status
        told = (status.deployment_mode if status else "") or self.service.metadata.annotation(MODE)
        return told in {"Knative", "Serverless"}

    @property
    def model_transition(self) -> str:
        """KServe's word for what becomes of the model."""
        model = self.service.status.model_status if self.service.status else None
        return model.transition_status if model is not None else ""

    def condition(self, type_: str) -> Condition | None:
        """A condition of the service."""
        return condition_of(self.service.status.conditions if self.service.status else None, type_)

    def events_of(self, pod: Pod) -> Sequence[Event]:
        """Events on a pod."""
        return self.events.get(pod.metadata.name, ())


def judgement(
    case: Case,
    verdict: Verdict,
    reason: str,
    next_step: str = "",
    since: datetime | None = None,
    *,
    settled: bool = True,
) -> Judgement:
    """A judgement of a case, with its replicas."""
    return Judgement(
        verdict=verdict,
        reason=reason,
        next_step=next_step,
        since=since,
        ready=case.ready,
        wanted=case.wanted,
        settled=settled,
    )


def age_of(pod: Pod | None, now: datetime) -> str:
    """How long ago a pod was made, in words."""
    created = parsed_time(pod.metadata.creation_timestamp) if pod else None
    return "some time" if created is None else duration_text(now - created)


def duration_text(length: timedelta) -> str:
    """A duration in words: `90 s`, `12 min`, `3 h`."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def pods_text(count: int, one: str = "", more: str = "") -> str:
    """So many pods, and what they do: `1 pod serves`."""
    noun = "1 pod" if count == 1 else f"{count} pods"
    verb = one if count == 1 else more
    return f"{noun} {verb}".rstrip()
