"""The demo's controller of LLMInferenceServices: a Deployment of vLLM, a route by weight, and KServe's conditions.

A service of one node without prefill is all that it makes; its pods go through the same kubelets as all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.demo.controller_kubelet import Kubelet
from backend.demo.controller_world import Subject, World
from backend.demo.objects import Object
from backend.demo.resources import DEPLOYMENTS, HTTP_ROUTES, LLM_INFERENCE_SERVICES, REPLICA_SETS
from backend.demo.workloads_images import Images
from backend.demo.workloads_objects import deployment, replica_set
from backend.demo.workloads_pods import Pod, owner, stamp
from backend.demo.workloads_routes import route
from backend.demo.workloads_status import INGRESS_DOMAIN, Facts, Rollout, deployment_status
from backend.demo.workloads_template import STOP, Template, add_initializer, short_hash, with_defaults

_OWNER = ("serving.kserve.io/v1alpha2", "LLMInferenceService")
#: What KServe's own presets run when a service names no image.
_ENGINE = ("vllm/vllm-openai", "v0.27.1")


@dataclass
class _Workload:
    """What the controller keeps of one service."""

    uid: str
    facts: Facts
    template: Template
    pods: list[Pod] = field(default_factory=list)
    ordinal: int = 0


class LlmController:
    """Brings the cluster to what the LLMInferenceServices ask for.

    Args:
        world: the shared state.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._workloads: dict[tuple[str, str], _Workload] = {}
        self._by_pod: dict[tuple[str, str], tuple[str, str]] = {}
        self.kubelet: Kubelet | None = None

    def pod_changed(self, pod: Pod) -> bool:
        """A pod entered another stage: its service is reconciled soon. False when it is none of ours."""
        key = self._by_pod.get((pod.namespace, pod.name))
        if key is not None:
            self._world.dirty_llm[key] = None
        return key is not None

    def pod_lost(self, pod: Pod) -> bool:
        """Somebody else deleted a pod. False when it was none of ours."""
        key = self._by_pod.pop((pod.namespace, pod.name), None)
        if key is not None:
            self._workloads[key].pods.remove(pod)
            self._world.dirty_llm[key] = None
        return key is not None

    def reconcile(self, key: tuple[str, str]) -> None:
        """Bring one service, by namespace and name, to what its object asks for now."""
        world = self._world
        obj = world.store.get(LLM_INFERENCE_SERVICES, *key)
        workload = self._workloads.get(key)
        if workload is not None and (obj is None or obj["metadata"]["uid"] != workload.uid):
            self._take_down(key)
            workload = None
        if obj is None:
            return
        stopped = str((obj["metadata"].get("annotations") or {}).get(STOP, "")).lower() == "true"
        if stopped:
            self._take_down(key)
            world.store.patch_status(LLM_INFERENCE_SERVICES, *key, _stopped(obj, world.now))
            return
        template = make_llm_template(obj, world.images, world.registry_host)
        if workload is None:
            workload = _Workload(str(obj["metadata"]["uid"]), Facts(world.now, world.now), template)
            self._workloads[key] = workload
        workload.template = template
        name = f"{key[1]}-kserve"
        known = world.store.stored(DEPLOYMENTS, key[0], name)
        created = None if known else world.now
        where = (key[0], name, key[1], workload.uid, template, 1, created)
        made = world.store.put(DEPLOYMENTS, deployment(*where, owned_by=_OWNER), manager="llmisvc-controller-manager")
        self._scale(key, workload, made)
        rollout = Rollout(workload.pods, template.hash, template.replicas, 0, f"{name}-{template.hash}", 1)
        status = deployment_status(rollout, workload.facts, world.now)
        world.store.patch_status(DEPLOYMENTS, key[0], name, status)
        world.store.put(HTTP_ROUTES, self._route(key, obj, workload))
        ready = sum(pod.is_ready for pod in workload.pods)
        before = (obj.get("status") or {}).get("conditions") or []
        world.store.patch_status(LLM_INFERENCE_SERVICES, *key, _status(obj, template, ready, before, world.now))

    def _scale(self, key: tuple[str, str], workload: _Workload, made: Object) -> None:
        """Replace pods of an older template at once, and make or remove what is too few or too many."""
        world, template = self._world, workload.template
        name = f"{key[1]}-kserve"
        stale = [pod for pod in workload.pods if pod.hash != template.hash]
        surplus = [pod for pod in workload.pods if pod.hash == template.hash][template.replicas :]
        for pod in (*stale, *surplus):
            workload.pods.remove(pod)
            self._by_pod.pop((pod.namespace, pod.name), None)
            if self.kubelet is not None:
                self.kubelet.remove(pod)
        owner_name = f"{name}-{template.hash}"
        known = world.store.stored(REPLICA_SETS, key[0], owner_name)
        where = (key[0], owner_name, name, str(made["metadata"]["uid"]), template, workload.pods, 1)
        held = world.store.put(REPLICA_SETS, replica_set(*where, None if known else world.now))
        while len(workload.pods) < template.replicas:
            suffix = world.pod_suffix(workload.uid, template.hash, workload.ordinal)
            pod = Pod(
                namespace=key[0],
                name=f"{owner_name}-{suffix}",
                service=key[1],
                replica_set=owner_name,
                replica_set_uid=str(held["metadata"]["uid"]),
                hash=template.hash,
                spec=template.spec,
                labels=template.labels,
                annotations=template.annotations,
                created=world.now,
                ordinal=workload.ordinal,
            )
            workload.ordinal += 1
            workload.pods.append(pod)
            self._by_pod[pod.namespace, pod.name] = key
            if self.kubelet is not None:
                self.kubelet.add(pod)
            subject = Subject(REPLICA_SETS, key[0], owner_name, pod.replica_set_uid)
            world.record(subject, "Normal", "SuccessfulCreate", f"Created pod: {pod.name}", "replicaset-controller")

    def _route(self, key: tuple[str, str], obj: Object, workload: _Workload) -> Object:
        wanted = ((obj["spec"].get("router") or {}).get("route") or {}).get("weight")
        weight = 1 if wanted is None else int(wanted)
        return route(
            key[0],
            f"{key[1]}-kserve-route",
            owner(*_OWNER, key[1], workload.uid),
            [(f"{key[1]}-kserve-workload-svc", 8000, weight)],
            workload.facts.created,
            hostname="llm",
            path=f"/{key[0]}/{key[1]}",
        )

    def _take_down(self, key: tuple[str, str]) -> None:
        workload = self._workloads.pop(key, None)
        if workload is None:
            return
        for pod in workload.pods:
            self._by_pod.pop((pod.namespace, pod.name), None)
            if self.kubelet is not None:
                self.kubelet.remove(pod)
        name = f"{key[1]}-kserve"
        store = self._world.store
        for stored in list(store.scan(REPLICA_SETS, key[0])):
            if stored.content["metadata"]["name"].startswith(f"{name}-"):
                store.delete(REPLICA_SETS, key[0], stored.content["metadata"]["name"])
        store.delete(DEPLOYMENTS, key[0], name)
        store.delete(HTTP_ROUTES, key[0], f"{name}-route")


def make_llm_template(obj: Object, images: Images, registry_host: str) -> Template:
    """The pods of an LLMInferenceService: its own template over what KServe's preset gives."""
    metadata, spec = obj["metadata"], obj["spec"]
    own = (spec.get("template") or {}).get("containers") or [{}]
    model = spec.get("model") or {}
    container: Object = {
        "name": "main",
        "image": f"{registry_host}/{_ENGINE[0]}@{images.digest(*_ENGINE)}",
        "command": ["vllm", "serve"],
        "args": [f"--served-model-name={model.get('name') or metadata['name']}"],
        "ports": [{"containerPort": 8000, "protocol": "TCP"}],
    }
    args = [*container["args"], *(own[0].get("args") or [])]
    container = {**container, **own[0], "args": args}
    pod_spec: Object = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        **{key: value for key, value in (spec.get("template") or {}).items() if key != "containers"},
    }
    add_initializer(pod_spec, container, {"storageUri": model.get("uri") or ""})
    pod_spec["containers"] = [with_defaults(container)]
    labels = {
        **(metadata.get("labels") or {}),
        "app": f"{metadata['name']}-kserve",
        "app.kubernetes.io/component": "llminferenceservice-workload",
        "app.kubernetes.io/name": metadata["name"],
        "app.kubernetes.io/part-of": "llminferenceservice",
        "kserve.io/component": "workload",
        "llm-d.ai/role": "both",
    }
    replicas = spec.get("replicas")
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != STOP}
    return Template(
        spec=pod_spec,
        labels=labels,
        annotations=annotations,
        replicas=1 if replicas is None else int(replicas),
        strategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        hash=short_hash(pod_spec, labels, annotations),
        runtime="",
        cluster_runtime=False,
        knative=False,
    )


def _status(obj: Object, template: Template, ready: int, before: list[Object], now: float) -> Object:
    name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
    whole = ready >= template.replicas
    waiting = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    workload = ("True", "", "") if whole else waiting
    fine = ("True", "", "")
    told = {
        "HTTPRoutesReady": fine,
        "InferencePoolReady": fine,
        "MainWorkloadReady": workload,
        "PresetsCombined": fine,
        "Ready": workload,
        "RouterReady": fine,
        "SchedulerWorkloadReady": fine,
        "WorkloadsReady": workload,
    }
    status: Object = {
        "conditions": _conditions(told, before, now),
        "observedGeneration": obj["metadata"].get("generation", 1),
        "workloads": {
            "primary": {"apiGroup": "apps", "kind": "Deployment", "name": f"{name}-kserve", "readyReplicas": ready},
            "scheduler": {
                "apiGroup": "apps",
                "kind": "Deployment",
                "name": f"{name}-kserve-router-scheduler",
                "readyReplicas": 1,
            },
            "service": {"apiGroup": "", "kind": "Service", "name": f"{name}-kserve-workload-svc"},
        },
    }
    if whole:
        url = f"http://llm.{INGRESS_DOMAIN}/{namespace}/{name}"
        status |= {"url": url, "addresses": [{"name": "gateway-external", "url": url}]}
    return status


def _stopped(obj: Object, now: float) -> Object:
    told = dict.fromkeys(("Ready", "RouterReady", "WorkloadsReady"), ("False", "Stopped", "Service is stopped"))
    before = (obj.get("status") or {}).get("conditions") or []
    return {
        "conditions": _conditions(told, before, now),
        "observedGeneration": obj["metadata"].get("generation", 1),
    }


def _conditions(told: dict[str, tuple[str, str, str]], before: list[Object], now: float) -> list[Object]:
    held = {condition["type"]: condition for condition in before}
    conditions = []
    for kind, (state, reason, message) in told.items():
        condition: Object = {"type": kind, "status": state}
        if reason:
            condition |= {"reason": reason, "message": message}
        known = dict(held.get(kind, {}))
        moved = known.pop("lastTransitionTime", stamp(now))
        condition["lastTransitionTime"] = moved if known == condition else stamp(now)
        conditions.append(condition)
    return conditions
