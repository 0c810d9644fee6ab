"""What the demo's cluster has been through before somebody looks: services that serve, and one of each misfortune.

The writes carry the times at which they happened; the controllers run through them at the start, so that every object
is in the state that its own history led to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from backend.demo.gpus import H100, TRAFFIC
from backend.demo.kubernetes.fields import owned_fields, to_tree
from backend.demo.kubernetes.schemas import custom_schema
from backend.demo.objects import Object, copied
from backend.demo.resources import EVENTS, INFERENCE_SERVICES, NAMESPACES, NODES, PODS, Resource
from backend.demo.scenario_nodes import CUT, exporter_pod, namespace_object, node_object, products
from backend.demo.scenario_nodes import NAMESPACES as NAMES
from backend.demo.scenario_runtimes import NIM_RUNTIME, VLLM_RUNTIME, runtimes
from backend.demo.scenario_surroundings import llm_services, surroundings
from backend.demo.workloads_images import Images
from backend.demo.workloads_pods import stamp
from backend.demo.workloads_quantities import GPU, MIG
from backend.demo.workloads_template import AUTOSCALER, CONTAINER, MODE, STOP

#: What ships a pod's log from beside the model server.
_SIDECAR = "docker.io/fluent/fluent-bit:4.0.3"
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
#: Who writes the services: Modelyard itself, by server-side apply.
_MANAGER = "modelyard"
_A100 = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
_H100 = {"nvidia.com/gpu.product": H100.label}
_SURGELESS = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
#: The GPU that reports an XID error: a contained, uncorrectable ECC error.
_FAULT = ("gpu-03", 1, 94)
#: The GPU that is too hot: the second of a replica that is spread over two.
_HOT = ("gpu-01", 1)


class Write(NamedTuple):
    """An object as somebody wrote it at a time, in seconds since 1970."""

    at: float
    resource: Resource
    obj: Object
    manager: str


class Scenario(NamedTuple):
    """All that the cluster starts with.

    Attributes:
        ground: namespaces, nodes, exporters, runtimes, and what surrounds the services.
        writes: the services' histories. events: what no controller of the demo tells.
        faults: node, GPU index and XID. hot: node and index of GPUs that are too hot.
    """

    ground: tuple[Write, ...]
    writes: tuple[Write, ...]
    events: tuple[Write, ...]
    faults: tuple[tuple[str, int, int], ...]
    hot: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Service:
    """A service of the scenario.

    Attributes:
        age: seconds since its object was created.
        image: repository and tag; or repository and digest.
        model: for `--model`, empty for a NIM.
        device: the resource by which it asks for GPUs.
        memory: limit of the container.
        most: replicas that the autoscaler may make; 0: as many as there are.
    """

    namespace: str
    name: str
    age: float
    image: tuple[str, str]
    model: str = ""
    gpus: int = 1
    device: str = GPU
    memory: str = "48Gi"
    replicas: int = 1
    traffic: str = "busy"
    args: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    node: Mapping[str, str] | None = None
    team: str = "platform"
    annotations: Mapping[str, str] | None = None
    own_container: bool = False
    knative: bool = False
    autoscaler: str = "none"
    most: int = 0


_SERVICES = (
    _Service(
        "llm-prod",
        "llama-70b",
        12 * _DAY,
        ("nim/meta/llama-3.3-70b-instruct", "1.10.0"),
        gpus=2,
        memory="192Gi",
        replicas=2,
        env={"NIM_MAX_MODEL_LEN": "8192"},
        node=_H100,
    ),
    _Service(
        "llm-prod",
        "llama-chat",
        11 * _DAY,
        ("nim/meta/llama-3.1-8b-instruct", "1.8.3"),
        replicas=3,
        node=_H100,
        team="assistants",
    ),
    _Service(
        "llm-dev",
        "deepseek-dev",
        9 * _DAY,
        ("vllm/vllm-openai", "v0.27.1"),
        "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
        gpus=8,
        memory="256Gi",
        traffic="idle",
        team="nlp",
        node=_H100,
        args=("--max-model-len=32768",),
    ),
    _Service(
        "llm-prod",
        "mistral",
        8 * _DAY,
        ("nim/mistralai/mistral-7b-instruct-v0.3", "1.8.3"),
        replicas=2,
        traffic="saturated",
        node=_H100,
        team="search",
    ),
    _Service(
        "llm-prod",
        "embed-e5",
        8 * _DAY,
        ("nim/nvidia/nv-embedqa-e5-v5", "1.6.1"),
        memory="16Gi",
        node=_A100,
        team="search",
        autoscaler="hpa",
        most=3,
    ),
    _Service(
        "llm-prod",
        "rerank",
        8 * _DAY,
        ("nim/nvidia/llama-3.2-nv-rerankqa-1b-v2", "1.8.0"),
        memory="16Gi",
        node=_A100,
        device=f"{MIG}{CUT[2][0].profile}",
        traffic="light",
        team="search",
    ),
    _Service(
        "llm-prod",
        "codegen",
        6 * _DAY,
        ("vllm/vllm-openai", "v0.27.1"),
        "Qwen/Qwen2.5-Coder-32B-Instruct",
        gpus=2,
        memory="96Gi",
        node=_H100,
        team="developers",
        args=("--max-model-len=16384",),
    ),
    _Service(
        "llm-prod",
        "guard",
        6 * _DAY,
        ("vllm/vllm-openai", "v0.27.1"),
        "meta-llama/Llama-Guard-3-8B",
        memory="32Gi",
        node=_A100,
        traffic="light",
        team="security",
        args=("--max-model-len=8192",),
        annotations={"argocd.argoproj.io/tracking-id": "guard:serving.kserve.io/InferenceService:llm-prod/guard"},
    ),
    _Service(
        "llm-prod",
        "qwen-chat",
        5 * _DAY,
        ("nim/qwen/qwen-2.5-7b-instruct", "1.8.4"),
        node=_H100,
        team="assistants",
    ),
    _Service(
        "llm-dev",
        "summariser",
        4 * _DAY,
        ("nim/meta/llama-3.1-8b-instruct", "1.8.3"),
        node=_H100,
        team="nlp",
    ),
    _Service(
        "llm-dev",
        "test-x",
        3 * _DAY,
        ("scratch/test-x", "dev-3"),
        "HuggingFaceTB/SmolLM3-3B",
        memory="24Gi",
        node=_A100,
        traffic="stuck",
        team="nlp",
        own_container=True,
    ),
    _Service(
        "llm-dev",
        "e5-lab",
        2 * _DAY,
        ("nim/nvidia/nv-embedqa-e5-v5", "1.6.1"),
        memory="16Gi",
        replicas=0,
        team="search",
        knative=True,
    ),
    _Service(
        "llm-dev",
        "gemma-dev",
        47 * _MINUTE,
        ("vllm/vllm-openai", "v0.27.1"),
        "google/gemma-2-9b-it",
        memory="6Gi",
        team="nlp",
        node=_H100,
        args=("--max-model-len=8192",),
    ),
    _Service(
        "llm-dev",
        "phi-mini",
        34 * _MINUTE,
        ("nim/microsoft/phi-3-mini-4k-instruct", "sha256:" + "9f3c" * 16),
        team="nlp",
        memory="24Gi",
    ),
    _Service(
        "llm-prod",
        "nemotron-vl",
        21 * _MINUTE,
        ("nim/nvidia/llama-3.1-nemotron-nano-vl-8b-v1", "1.5.0"),
        gpus=8,
        memory="128Gi",
        team="search",
    ),
)


def build_scenario(seed: int, images: Images, registry_host: str, now: float) -> Scenario:
    """The scenario as it stands at `now`, in seconds since 1970.

    Args:
        seed: what generated names follow from.
        images: where the digests come from.
        registry_host: `host:port` by which images are named.
    """
    began = now - 30 * _DAY
    ground = [Write(began, NAMESPACES, namespace_object(name, began), "kubectl-create") for name in NAMES]
    for node in products():
        ground.append(Write(began, NODES, node_object(node, began + _HOUR, now), "kubelet"))
        ground.append(Write(began, PODS, exporter_pod(node, began + 2 * _HOUR, seed), "kube-controller-manager"))
    for resource, obj in runtimes(images, registry_host, began + _DAY):
        ground.append(Write(began + _DAY, resource, obj, "kubectl-client-side-apply"))
    ground += [
        Write(began + _DAY, resource, obj, "kubectl-create") for resource, obj in surroundings(seed, began + _DAY)
    ]
    writes = [_created(service, images, registry_host, now) for service in _SERVICES]
    writes += [Write(at, resource, obj, "kubectl-client-side-apply") for at, resource, obj in llm_services(now)]
    by_name = {service.name: service for service in _SERVICES}
    writes += _edits(by_name, images, registry_host, now)
    return Scenario(tuple(ground), tuple(writes), _events(now), (_FAULT,), (_HOT,))


def _created(service: _Service, images: Images, host: str, now: float) -> Write:
    at = now - service.age
    return Write(at, INFERENCE_SERVICES, _object(service, images, host, at), _MANAGER)


def _edits(services: Mapping[str, _Service], images: Images, host: str, now: float) -> list[Write]:
    """What was done to the services since they were created."""
    at = now - 12 * _MINUTE
    longer = _object(replace(services["llama-70b"], env={"NIM_MAX_MODEL_LEN": "131072"}), images, host, at)
    stopped_at = now - 30 * _HOUR
    stopped = _object(services["summariser"], images, host, stopped_at)
    stopped["metadata"]["annotations"][STOP] = "true"
    edited_at = now - 26 * _MINUTE
    edited = _object(services["qwen-chat"], images, host, now - services["qwen-chat"].age)
    edited["spec"]["predictor"] |= {"minReplicas": 2, "maxReplicas": 2}
    for field in ("f:minReplicas", "f:maxReplicas"):
        del edited["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:predictor"][field]
    taken: Object = {"f:spec": {"f:predictor": {"f:maxReplicas": {}, "f:minReplicas": {}}}}
    edited["metadata"]["managedFields"].append(_ownership("kubectl-edit", "Update", edited_at, taken))
    return [
        Write(at, INFERENCE_SERVICES, longer, _MANAGER),
        Write(stopped_at, INFERENCE_SERVICES, stopped, _MANAGER),
        Write(edited_at, INFERENCE_SERVICES, edited, "kubectl-edit"),
    ]


def _object(service: _Service, images: Images, host: str, at: float) -> Object:
    repository, tag = service.image
    digest = tag if tag.startswith("sha256:") else images.digest(repository, tag)
    container = _container(service, f"{host}/{repository}@{digest}")
    predictor: Object = {
        "minReplicas": service.replicas,
        "maxReplicas": max(1, service.replicas, service.most),
        "timeout": 600,
    }
    if service.own_container:
        port = [{"containerPort": 8000, "protocol": "TCP"}]
        predictor["containers"] = [
            {"name": CONTAINER, "command": ["vllm", "serve"], "ports": port, **container},
            {"name": "log-shipper", "image": _SIDECAR, "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}},
        ]
    else:
        runtime, kind = (VLLM_RUNTIME, "vLLM") if service.model else (NIM_RUNTIME, "nim")
        predictor["model"] = {"modelFormat": {"name": kind}, "runtime": runtime, **container}
    predictor["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    if service.node:
        predictor["nodeSelector"] = dict(service.node)
    if not service.knative:
        predictor["deploymentStrategy"] = copied(_SURGELESS) if service.replicas > 1 else {"type": "Recreate"}
    annotations = {MODE: "Knative" if service.knative else "Standard", TRAFFIC: service.traffic}
    if not service.knative:
        annotations[AUTOSCALER] = service.autoscaler
    obj: Object = {
        "metadata": {
            "name": service.name,
            "namespace": service.namespace,
            "labels": {"team": service.team},
            "annotations": annotations | dict(service.annotations or {}),
            "creationTimestamp": stamp(at),
        },
        "spec": {"predictor": predictor},
    }
    applied = {"metadata": {name: obj["metadata"][name] for name in ("labels", "annotations")}, "spec": obj["spec"]}
    fields: Object = to_tree(owned_fields(custom_schema(INFERENCE_SERVICES), applied))
    obj["metadata"]["managedFields"] = [_ownership(_MANAGER, "Apply", at, fields)]
    return obj


def _container(service: _Service, image: str) -> Object:
    resources = {"cpu": str(4 * service.gpus), "memory": service.memory, service.device: str(service.gpus)}
    container: Object = {"image": image, "resources": {"limits": resources, "requests": dict(resources)}}
    args = [*([f"--model={service.model}"] if service.model else []), *service.args]
    if service.gpus > 1 and service.model:
        args.append(f"--tensor-parallel-size={service.gpus}")
    if args:
        container["args"] = args
    if service.env:
        container["env"] = [{"name": name, "value": value} for name, value in service.env.items()]
    return container


def _ownership(manager: str, operation: str, at: float, fields: Object) -> Object:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": INFERENCE_SERVICES.api_version,
        "time": stamp(at),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def _events(now: float) -> tuple[Write, ...]:
    node, index, xid = _FAULT
    at = now - 19 * _MINUTE
    address = f"PCI:0000:{0x18 + 0x11 * index:02x}:00"
    message = f"NVRM: Xid ({address}): {xid}, Contained: SM (0x1). RST: No, D-RST: No, GPU {index}"
    event = {
        "metadata": {"name": f"{node}.187a3c5e90b1d2f4", "namespace": "default", "creationTimestamp": stamp(at)},
        "involvedObject": {"kind": "Node", "name": node, "uid": node, "apiVersion": "v1"},
        "reason": "GpuXidError",
        "message": message,
        "source": {"component": "node-problem-detector", "host": node},
        "firstTimestamp": stamp(at),
        "lastTimestamp": stamp(at),
        "count": 1,
        "type": "Warning",
        "eventTime": None,
        "reportingComponent": "node-problem-detector",
        "reportingInstance": node,
    }
    return (Write(at, EVENTS, event, "node-problem-detector"),)
