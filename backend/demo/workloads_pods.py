"""A pod on its way from the scheduler to serving, and how the API shows it at each stage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from backend.demo.objects import Object, copied
from backend.demo.workloads_faults import Failure, main_container, repository_of
from backend.demo.workloads_quantities import device_of
from backend.demo.workloads_template import CONTAINER, INITIALIZER


class Stage(StrEnum):
    """Where a pod stands."""

    QUEUED = "queued"
    UNSCHEDULABLE = "unschedulable"
    PULLING = "pulling"
    PULL_FAILED = "pull failed"
    PULL_BACK_OFF = "pull back-off"
    FETCHING = "fetching the model"
    FETCH_BACK_OFF = "fetch back-off"
    LOADING = "loading"
    READY = "ready"
    EXITED = "exited"
    CRASH_BACK_OFF = "crash back-off"


@dataclass
class End:
    """How the container's process last ended; times are seconds since 1970."""

    failure: Failure
    started: float
    finished: float


@dataclass
class Pod:
    """One pod and its story so far; times are seconds since 1970, None for what has not happened.

    Attributes:
        turn: counts stages, so that a transition that was due for an earlier stage is recognised as void.
        gpus: indexes of its GPUs on its node.
        image_id: as the container runtime of its node reports the image.
    """

    namespace: str
    name: str
    service: str
    replica_set: str
    replica_set_uid: str
    hash: str
    spec: Object
    labels: dict[str, str]
    annotations: dict[str, str]
    created: float
    ordinal: int
    uid: str = ""
    stage: Stage = Stage.QUEUED
    turn: int = 0
    since: float = 0.0
    node: str = ""
    address: str = ""
    gpus: tuple[int, ...] = ()
    gpu_uuids: tuple[str, ...] = ()
    image_id: str = ""
    message: str = ""
    scheduled: float | None = None
    pulled: float | None = None
    started: float | None = None
    ready: float | None = None
    attempts: int = 0
    restarts: int = 0
    ends: list[End] = field(default_factory=list)

    @property
    def image(self) -> str:
        """The reference that its container names."""
        return str(main_container(self.spec).get("image", ""))

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self.stage is Stage.READY

    @property
    def runs(self) -> bool:
        """Whether the server's process runs."""
        return self.stage in (Stage.LOADING, Stage.READY)

    @property
    def engine(self) -> str:
        """Which model server it is, as far as the image's name tells: nim, triton, tgi, sglang, or vllm for others."""
        repository = repository_of(self.image).lower()
        known = (("nim/", "nim"), ("triton", "triton"), ("text-generation-inference", "tgi"), ("sglang", "sglang"))
        return next((engine for mark, engine in known if mark in f"{repository}/"), "vllm")

    def move(self, stage: Stage, now: float) -> None:
        """Enter a stage."""
        self.stage = stage
        self.turn += 1
        self.since = now


def stamp(seconds: float) -> str:
    """Seconds since 1970 as Kubernetes writes a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owned(manager: str, api_version: str, at: float, *parts: str) -> list[Object]:
    """`managedFields` of an object whose `parts` one manager wrote."""
    entry = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": api_version,
        "time": stamp(at),
        "fieldsType": "FieldsV1",
        "fieldsV1": {f"f:{part}": {} for part in parts},
    }
    return [entry]


def owner(api_version: str, kind: str, name: str, uid: str) -> list[Object]:
    """`ownerReferences` to a controller."""
    reference = {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return [reference]


def render(pod: Pod) -> Object:
    """The pod as the API shows it."""
    spec = copied(pod.spec)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec["enableServiceLinks"] = True
    if pod.node:
        spec["nodeName"] = pod.node
    return {
        "metadata": {
            "name": pod.name,
            "generateName": f"{pod.replica_set}-",
            "namespace": pod.namespace,
            "labels": {**pod.labels, "pod-template-hash": pod.hash},
            "annotations": dict(pod.annotations),
            "creationTimestamp": stamp(pod.created),
            "ownerReferences": owner("apps/v1", "ReplicaSet", pod.replica_set, pod.replica_set_uid),
            "managedFields": owned("kube-controller-manager", "v1", pod.created, "metadata", "spec"),
        },
        "spec": spec,
        "status": _status(pod),
    }


def _status(pod: Pod) -> Object:
    status: Object = {
        "phase": "Running" if pod.started is not None else "Pending",
        "conditions": _conditions(pod),
        "qosClass": "Burstable",
    }
    if not pod.node:
        return status
    status["hostIP"] = f"10.0.0.{int(pod.node[-2:] or 0) + 10}" if pod.node[-2:].isdigit() else "10.0.0.10"
    status["startTime"] = stamp(pod.scheduled or pod.created)
    if pod.pulled is not None:
        status["podIP"] = pod.address
        status["podIPs"] = [{"ip": pod.address}]
    if pod.spec.get("initContainers"):
        status["initContainerStatuses"] = [_initializer_status(pod)]
    status["containerStatuses"] = [_container_status(pod), *_sidecar_statuses(pod)]
    return status


def _conditions(pod: Pod) -> list[Object]:
    conditions: list[Object] = []

    def add(kind: str, holds: bool, since: float, reason: str = "", message: str = "") -> None:
        condition: Object = {"type": kind, "status": "True" if holds else "False", "lastProbeTime": None}
        condition["lastTransitionTime"] = stamp(since)
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
        conditions.append(condition)

    if pod.scheduled is None:
        if pod.stage is Stage.UNSCHEDULABLE:
            add("PodScheduled", False, pod.since, "Unschedulable", pod.message)
        return conditions
    names = ", ".join(item["name"] for item in pod.spec["containers"])
    not_ready = ("ContainersNotReady", f"containers with unready status: [{names}]")
    fetched = not (pod.spec.get("initContainers") and pod.started is None)
    since = pod.ready if pod.is_ready and pod.ready is not None else pod.scheduled
    add("PodReadyToStartContainers", pod.pulled is not None, pod.pulled or pod.scheduled)
    if fetched:
        add("Initialized", True, pod.scheduled)
    else:
        message = f"containers with incomplete status: [{INITIALIZER}]"
        add("Initialized", False, pod.scheduled, "ContainersNotInitialized", message)
    add("Ready", pod.is_ready, since, *(() if pod.is_ready else not_ready))
    add("ContainersReady", pod.is_ready, since, *(() if pod.is_ready else not_ready))
    add("PodScheduled", True, pod.scheduled)
    return conditions


def _terminated(end: End) -> Object:
    terminated: Object = {
        "exitCode": end.failure.exit_code,
        "reason": end.failure.reason,
        "startedAt": stamp(end.started),
        "finishedAt": stamp(end.finished),
        "containerID": "containerd://" + hashlib.sha256(f"{end.started}/{end.finished}".encode()).hexdigest(),
    }
    return {"terminated": terminated}


def _waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def _container_status(pod: Pod) -> Object:
    ends = [end for end in pod.ends if end.failure.kind != "missing-storage"]
    last: Object = {}
    if pod.stage is Stage.EXITED and ends:
        state = _terminated(ends[-1])
        last = _terminated(ends[-2]) if len(ends) > 1 else {}
    elif pod.runs:
        state = {"running": {"startedAt": stamp(pod.started or pod.since)}}
        last = _terminated(ends[-1]) if ends else {}
    else:
        state = _waiting_state(pod)
        last = _terminated(ends[-1]) if ends else {}
    status: Object = {
        "name": main_container(pod.spec)["name"],
        "image": pod.image,
        "imageID": pod.image_id,
        "ready": pod.is_ready,
        "started": pod.is_ready,
        "restartCount": pod.restarts if pod.started is not None else 0,
        "state": state,
        "lastState": last,
    }
    if pod.gpu_uuids:
        resources = [{"resourceID": uuid, "health": "Healthy"} for uuid in pod.gpu_uuids]
        status["allocatedResourcesStatus"] = [{"name": device_of(pod.spec)[0], "resources": resources}]
    return status


def _sidecar_statuses(pod: Pod) -> list[Object]:
    """The further containers: they run from the first start of the one that serves, and never end."""
    main = main_container(pod.spec)
    found = []
    for container in pod.spec["containers"]:
        if container is main:
            continue
        started = pod.pulled is not None and not (pod.spec.get("initContainers") and pod.started is None)
        state = {"running": {"startedAt": stamp(pod.pulled or pod.created)}} if started else _waiting_state(pod)
        image = str(container.get("image", ""))
        digest = hashlib.sha256(image.encode()).hexdigest()
        found.append(
            {
                "name": container["name"],
                "image": image,
                "imageID": f"{image.partition('@')[0].rpartition(':')[0] or image}@sha256:{digest}" if started else "",
                "ready": started,
                "started": started,
                "restartCount": 0,
                "state": state,
                "lastState": {},
            }
        )
    return found


def _waiting_state(pod: Pod) -> Object:
    if pod.stage is Stage.PULL_FAILED:
        return _waiting("ErrImagePull", pod.message)
    if pod.stage is Stage.PULL_BACK_OFF:
        return _waiting("ImagePullBackOff", f'Back-off pulling image "{pod.image}": ErrImagePull: {pod.message}')
    if pod.stage is Stage.CRASH_BACK_OFF:
        return _waiting("CrashLoopBackOff", back_off_message(pod, CONTAINER))
    if pod.spec.get("initContainers"):
        return _waiting("PodInitializing")
    return _waiting("ContainerCreating")


def back_off_seconds(restarts: int) -> float:
    """How long the kubelet waits before it starts a container again: at once, then 10 s, doubled up to five minutes."""
    return 0.0 if restarts == 0 else min(300.0, 10.0 * 2.0 ** min(restarts - 1, 10))


def back_off_message(pod: Pod, container: str) -> str:
    """What the kubelet says of a container in back-off."""
    wait = int(back_off_seconds(pod.restarts))
    words = "5m0s" if wait >= 300 else f"{wait // 60}m{wait % 60}s" if wait >= 60 else f"{wait}s"
    where = f"{pod.name}_{pod.namespace}({pod.uid})"
    return f"back-off {words} restarting failed container={container} pod={where}"


def _initializer_status(pod: Pod) -> Object:
    ends = [end for end in pod.ends if end.failure.kind == "missing-storage"]
    state: Object
    if pod.started is not None:
        done = {"exitCode": 0, "reason": "Completed", "startedAt": stamp(pod.pulled or pod.created)}
        state = {"terminated": {**done, "finishedAt": stamp(pod.started)}}
    elif pod.stage is Stage.FETCHING:
        state = {"running": {"startedAt": stamp(pod.since)}}
    elif pod.stage is Stage.FETCH_BACK_OFF:
        state = _waiting("CrashLoopBackOff", back_off_message(pod, INITIALIZER))
    elif pod.stage is Stage.EXITED and ends:
        state = _terminated(ends[-1])
        state["terminated"]["message"] = ends[-1].failure.message
    else:
        state = _waiting("PodInitializing")
    last = _terminated(ends[-1]) if ends and pod.stage is not Stage.EXITED else {}
    if last:
        last["terminated"]["message"] = ends[-1].failure.message
    return {
        "name": INITIALIZER,
        "image": pod.spec["initContainers"][0]["image"],
        "imageID": "docker.io/kserve/storage-initializer@sha256:" + "5a" * 32,
        "ready": pod.started is not None,
        "started": pod.stage is Stage.FETCHING,
        "restartCount": pod.restarts if pod.started is None else 0,
        "state": state,
        "lastState": last,
    }
