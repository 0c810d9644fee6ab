"""What Deployment and InferenceService say of their pods, with the habits of the real controllers.

KServe copies the Deployment's Available condition into PredictorReady, reads one pod for `modelStatus`, and does not
look at why a pod waits: image pulls, scheduling and the kernel's kills all read as Pending and InProgress. A failed
rollout stays Ready while old pods serve, until the Deployment's progress deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.demo.objects import Object
from backend.demo.workloads_pods import Pod, Stage, stamp

#: The address under which the demo's gateway would publish services.
INGRESS_DOMAIN = "models.example.com"
PROGRESS_DEADLINE = 600.0
#: Namespace and name together; what is longer passes admission, but never gets its routes.
_LONGEST_NAMES = 52


@dataclass
class Facts:
    """What the status of one service depends on beside its pods; times are seconds since 1970.

    Attributes:
        conditions: of the InferenceService by type, as last told.
        deployment_conditions: of the Deployment by type.
        active: `activeModelState` as last told; once loaded it stays.
        failure: `lastFailureInfo`: outlives success, as KServe leaves it.
        progress: when the rollout last made progress; late: it did not for longer than the deadline.
    """

    created: float
    progress: float
    conditions: dict[str, Object] = field(default_factory=dict)
    deployment_conditions: dict[str, Object] = field(default_factory=dict)
    active: str = ""
    failure: Object | None = None
    exposed: bool = False
    late: bool = False
    finished: str = ""


@dataclass(frozen=True)
class Rollout:
    """A Deployment's pods and what they should be.

    Attributes:
        pods: all of them; template_hash: of the template that is wanted; replicas: how many are wanted.
        unavailable: how many the strategy lets be missing.
        replica_set: name of the newest ReplicaSet.
        generation: of the Deployment.
    """

    pods: Sequence[Pod]
    template_hash: str
    replicas: int
    unavailable: int
    replica_set: str
    generation: int


@dataclass(frozen=True)
class Named:
    """The service that a status is of.

    Attributes:
        runtime: its name, empty without one; `cluster_runtime` when it is a ClusterServingRuntime.
        knative: whether to speak as in Knative mode; component: then what its revisions are.
    """

    namespace: str
    name: str
    runtime: str
    cluster_runtime: bool
    knative: bool
    component: Object | None = None


def deployment_status(rollout: Rollout, facts: Facts, now: float) -> Object:
    """A Deployment's status at `now`, in seconds since 1970; `facts` are brought up to date."""
    pods = rollout.pods
    new = [pod for pod in pods if pod.hash == rollout.template_hash]
    ready = sum(pod.is_ready for pod in pods)
    if len(pods) == len(new) and ready >= rollout.replicas:
        facts.finished, facts.late = rollout.template_hash, False
    _tell_deployment(rollout, ready, facts, now)
    counts = {
        "replicas": len(pods),
        "updatedReplicas": len(new),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, max(rollout.replicas, len(pods)) - ready),
    }
    conditions = [facts.deployment_conditions[kind] for kind in ("Available", "Progressing")]
    status: Object = {"observedGeneration": rollout.generation, "conditions": conditions}
    return status | {name: count for name, count in counts.items() if count}


def _tell_deployment(rollout: Rollout, ready: int, facts: Facts, now: float) -> None:
    if (
        ready + rollout.unavailable >= rollout.replicas
    ):  # so one replica that may be missing counts as available with none ready
        available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        available = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    replica_set = rollout.replica_set
    if facts.finished == rollout.template_hash:
        text = f'ReplicaSet "{replica_set}" has successfully progressed.'
        progressing = ("True", "NewReplicaSetAvailable", text)
    elif facts.late:
        text = f'ReplicaSet "{replica_set}" has timed out progressing.'
        progressing = ("False", "ProgressDeadlineExceeded", text)
    else:
        progressing = ("True", "ReplicaSetUpdated", f'ReplicaSet "{replica_set}" is progressing.')
    conditions = facts.deployment_conditions
    for kind, (state, reason, message) in (("Available", available), ("Progressing", progressing)):
        before = conditions.get(kind, {})
        moved = before.get("lastTransitionTime") if before.get("status") == state else stamp(now)
        same = (before.get("status"), before.get("reason"), before.get("message")) == (state, reason, message)
        conditions[kind] = {
            "type": kind,
            "status": state,
            "reason": reason,
            "message": message,
            "lastUpdateTime": before["lastUpdateTime"] if same else stamp(now),
            "lastTransitionTime": moved,
        }


def service_status(
    service: Named, pods: Sequence[Pod], template_hash: str, deployment: Object, facts: Facts, now: float
) -> Object:
    """An InferenceService's status while it has a Deployment.

    Args:
        service: whose.
        pods: all pods of it.
        template_hash: of the newest template.
        deployment: the Deployment's status.
        facts: what was told before; it is brought up to date.
        now: seconds since 1970.
    """
    namespace, name, knative = service.namespace, service.name, service.knative
    by_type = {condition["type"]: condition for condition in deployment["conditions"]}
    available, progressing = by_type["Available"], by_type["Progressing"]
    ready = available["status"] == "True" and progressing["status"] == "True"
    if ready and len(namespace) + len(name) <= _LONGEST_NAMES:
        facts.exposed = True
    because = progressing if available["status"] == "True" else available
    predictor = ("True", "", "") if ready else ("False", because["reason"], because["message"])
    ingress = ("True", "", "") if facts.exposed else ("False", "Predictor ingress not created", "")
    conditions = {"IngressReady": ingress, "PredictorReady": predictor}
    if knative:
        conditions |= {
            "LatestDeploymentReady": predictor,
            "PredictorConfigurationReady": predictor,
            "PredictorRouteReady": ingress,
            "RoutesReady": ingress,
        }
    unready = [(kind, told) for kind, told in conditions.items() if told[0] != "True"]
    conditions["Ready"] = ("True", "", "") if not unready else unready[-1][1]
    conditions["Stopped"] = ("False", "", "")
    _tell(facts, conditions, now)
    status = {
        "conditions": _listed(facts),
        "components": {"predictor": _component(service, ready)},
        "deploymentMode": "Knative" if knative else "Standard",
        "modelStatus": _model_status(pods, template_hash, not unready, facts),
        "observedGeneration": deployment["observedGeneration"],
    }
    if facts.exposed:
        status["url"] = f"http://{name}-{namespace}.{INGRESS_DOMAIN}"
        inside = name if knative else f"{name}-predictor"
        status["address"] = {"url": f"http://{inside}.{namespace}.svc.cluster.local"}
    if service.runtime:
        status["clusterServingRuntimeName" if service.cluster_runtime else "servingRuntimeName"] = service.runtime
    return status


def stopped_status(knative: bool, facts: Facts, now: float) -> Object:
    """The status of a service whose workload was taken away by the stop annotation."""
    stopped = ("False", "Stopped", "")
    conditions = {"IngressReady": stopped, "PredictorReady": stopped, "Ready": stopped, "Stopped": ("True", "", "")}
    facts.exposed, facts.active, facts.finished, facts.late = False, "", "", False
    _tell(facts, conditions, now)
    return {
        "conditions": _listed(facts),
        "deploymentMode": "Knative" if knative else "Standard",
        "modelStatus": {"copies": {"failedCopies": 0, "totalCopies": 0}, "transitionStatus": "InProgress"},
    }


def invalid_status(reason: str, message: str, facts: Facts, now: float) -> Object:
    """The status of a service from which no pod can be made."""
    unknown = ("Unknown", "", "")
    _tell(facts, {"IngressReady": unknown, "PredictorReady": unknown, "Ready": unknown}, now)
    facts.failure = {"reason": reason, "message": message}
    return {
        "conditions": _listed(facts),
        "modelStatus": {
            "lastFailureInfo": dict(facts.failure),
            "states": {"activeModelState": facts.active, "targetModelState": "FailedToLoad"},
            "transitionStatus": "InvalidSpec",
        },
    }


def _tell(facts: Facts, conditions: dict[str, tuple[str, str, str]], now: float) -> None:
    told: dict[str, Object] = {}
    for kind, (state, reason, message) in conditions.items():
        condition: Object = {"type": kind, "status": state}
        if kind not in ("Ready", "PredictorReady", "IngressReady", "RoutesReady", "LatestDeploymentReady"):
            condition["severity"] = "Info"
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
        before = dict(facts.conditions.get(kind, {}))
        moved = before.pop("lastTransitionTime", stamp(now))
        condition["lastTransitionTime"] = moved if before == condition else stamp(now)
        told[kind] = condition
    facts.conditions = told


def _listed(facts: Facts) -> list[Object]:
    return [facts.conditions[kind] for kind in sorted(facts.conditions)]


def _component(service: Named, ready: bool) -> Object:
    if service.component is not None:
        return service.component
    component: Object = {}
    if ready:
        component["url"] = f"http://{service.name}-predictor-{service.namespace}.{INGRESS_DOMAIN}"
    return component


def _model_status(pods: Sequence[Pod], template_hash: str, ready: bool, facts: Facts) -> Object:
    target = _target_state(pods, template_hash, ready, facts)
    if target == "Loaded":
        facts.active = "Loaded"
    transition = {"Loaded": "UpToDate", "FailedToLoad": "BlockedByFailedLoad"}.get(target, "InProgress")
    status: Object = {
        "copies": {"failedCopies": 0, "totalCopies": sum(pod.is_ready for pod in pods)},
        "states": {"activeModelState": facts.active, "targetModelState": target},
        "transitionStatus": transition,
    }
    if facts.failure is not None:
        status["lastFailureInfo"] = dict(facts.failure)
    return status


def _target_state(pods: Sequence[Pod], template_hash: str, ready: bool, facts: Facts) -> str:
    """`targetModelState`; what KServe reads is one pod, and only an error of its containers."""
    if not pods:
        return "Pending"
    newest = [pod for pod in pods if pod.hash == template_hash] or list(pods)
    pod = min(newest, key=lambda pod: pod.ordinal)
    end = pod.ends[-1].failure if pod.ends else None
    fetching = end is not None and end.kind == "missing-storage"
    if pod.stage is Stage.FETCHING and end is None:
        return "Loading"
    if ready and not fetching:
        return "Loaded"
    failed = pod.stage in (Stage.EXITED, Stage.CRASH_BACK_OFF, Stage.FETCH_BACK_OFF)
    if end is None or end.reason != "Error" or not failed:
        return "FailedToLoad" if fetching else "Pending"
    message = end.message if fetching else ""
    facts.failure = {"reason": "ModelLoadFailed", "exitCode": end.exit_code}
    if message:
        facts.failure["message"] = message
    return "FailedToLoad"
