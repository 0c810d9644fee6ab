"""What surrounds the services of the demo's cluster: a graph, a model cache, quota, priorities, secrets, claims.

Everything here was made once and stands; the services and LLMInferenceServices are the controllers' work.
"""

from __future__ import annotations

import base64
from typing import Any

from backend.demo.gpus import A100, TRAFFIC
from backend.demo.objects import Object
from backend.demo.resources import (
    INFERENCE_GRAPHS,
    LLM_INFERENCE_SERVICES,
    LOCAL_MODEL_CACHES,
    LOCAL_MODEL_NODES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PRIORITY_CLASSES,
    RESOURCE_CLAIMS,
    RESOURCE_QUOTAS,
    RESOURCE_SLICES,
    SECRETS,
    SERVICE_ACCOUNTS,
    Resource,
)
from backend.demo.scenario_nodes import CUT
from backend.demo.workloads_nodes import gpu_uuid
from backend.demo.workloads_pods import stamp
from backend.demo.workloads_quantities import GPU, MIG

#: The namespace whose GPUs are limited, and to how many.
QUOTA = ("llm-dev", 16)
_DOMAIN = "models.example.com"
_CACHED = "llama-3-1-8b"
_CACHED_URI = "hf://meta-llama/Llama-3.1-8B-Instruct"
#: How far each node is with the cached model.
_DOWNLOADS = {
    "gpu-01": ("NodeDownloaded", "ModelDownloaded"),
    "gpu-02": ("NodeDownloaded", "ModelDownloaded"),
    "gpu-03": ("NodeDownloading", "ModelDownloading"),
    "gpu-04": ("NodeDownloadError", "ModelDownloadError"),
}


def surroundings(seed: int, at: float) -> list[tuple[Resource, Object]]:
    """All of it, made at `at` in seconds since 1970."""
    made: list[tuple[Resource, Object]] = [
        (PRIORITY_CLASSES, _priority("system-node-critical", 2_000_001_000, "Used for system critical pods.")),
        (PRIORITY_CLASSES, _priority("llm-production", 100_000, "Models that people wait for.")),
        (PRIORITY_CLASSES, _priority("llm-batch", 1_000, "Models that may be put off.", preemption="Never")),
        (RESOURCE_QUOTAS, _quota(*QUOTA)),
        (POD_DISRUPTION_BUDGETS, _budget("llm-prod", "llama-chat", 2)),
        (PERSISTENT_VOLUME_CLAIMS, _claim("llm-prod", "model-weights", "2Ti")),
        (INFERENCE_GRAPHS, _graph(at)),
        (LOCAL_MODEL_CACHES, _cache()),
        (RESOURCE_SLICES, _slice(seed, "gpu-04")),
        (RESOURCE_CLAIMS, _device_claim("llm-dev", "notebook-gpu")),
    ]
    for node, (_, state) in _DOWNLOADS.items():
        made.append((LOCAL_MODEL_NODES, _cache_node(node, state)))
    for namespace in ("llm-dev", "llm-prod"):
        made += _accounts(namespace)
    for _, obj in made:
        obj["metadata"]["creationTimestamp"] = stamp(at)
    return made


def llm_services(now: float) -> list[tuple[float, Resource, Object]]:
    """The LLMInferenceServices with when they were made: one that serves, one whose weights are not where it says.

    They leave four whole GPUs of one node free, so that a newcomer can serve a model of 70 billion parameters.
    """
    serving = _llm("llm-prod", "qwen-router", "hf://Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct")
    failing = _llm("llm-dev", "phi-router", "hf://microsoft/phi-4-does-not-exist", "microsoft/phi-4")
    found = []
    for age, obj in ((3 * 86400.0, serving), (29 * 60.0, failing)):
        obj["metadata"]["creationTimestamp"] = stamp(now - age)
        found.append((now - age, LLM_INFERENCE_SERVICES, obj))
    return found


def _llm(namespace: str, name: str, uri: str, model: str) -> Object:
    resources = {"cpu": "4", "memory": "24Gi", f"{MIG}{CUT[2][0].profile}": "1"}
    container = {"name": "main", "resources": {"limits": resources, "requests": dict(resources)}}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"team": "platform"},
            "annotations": {TRAFFIC: "light"},
        },
        "spec": {
            "model": {"uri": uri, "name": model},
            "replicas": 1,
            "router": {"route": {"group": name, "weight": 1}, "gateway": {}, "scheduler": {}},
            "template": {
                "containers": [container],
                "nodeSelector": {"nvidia.com/gpu.product": A100.label},
                "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
            },
        },
    }


def _priority(name: str, value: int, description: str, *, preemption: str = "PreemptLowerPriority") -> Object:
    return {
        "metadata": {"name": name},
        "value": value,
        "globalDefault": False,
        "preemptionPolicy": preemption,
        "description": description,
    }


def _quota(namespace: str, gpus: int) -> Object:
    hard = {f"requests.{GPU}": str(gpus), "requests.memory": "1Ti", "pods": "40"}
    return {
        "metadata": {"name": "team-gpus", "namespace": namespace},
        "spec": {"hard": hard},
        "status": {"hard": dict(hard), "used": {f"requests.{GPU}": "0", "requests.memory": "0", "pods": "0"}},
    }


def _budget(namespace: str, service: str, least: int) -> Object:
    return {
        "metadata": {"name": service, "namespace": namespace},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": f"isvc.{service}-predictor"}}},
        "status": {
            "currentHealthy": least + 1,
            "desiredHealthy": least,
            "disruptionsAllowed": 1,
            "expectedPods": least + 1,
            "observedGeneration": 1,
        },
    }


def _claim(namespace: str, name: str, size: str) -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": "nfs",
            "volumeMode": "Filesystem",
            "volumeName": "pvc-6f1d2c5e-6a52-4c1f-9f57-3e1a52b8c0aa",
        },
        "status": {"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": {"storage": size}},
    }


def _graph(at: float) -> Object:
    steps = [
        {"serviceName": "guard", "name": "guard", "dependency": "Hard"},
        {"serviceName": "llama-chat", "name": "answer", "data": "$request"},
    ]
    url = f"http://guarded-chat-llm-prod.{_DOMAIN}"
    return {
        "metadata": {"name": "guarded-chat", "namespace": "llm-prod"},
        "spec": {"nodes": {"root": {"routerType": "Sequence", "steps": steps}}},
        "status": {
            "url": url,
            "deploymentMode": "Standard",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(at)}],
        },
    }


def _cache() -> Object:
    states = {node: state for node, (state, _) in _DOWNLOADS.items()}
    return {
        "metadata": {"name": _CACHED},
        "spec": {"sourceModelUri": _CACHED_URI, "modelSize": "16Gi", "nodeGroups": ["gpu"]},
        "status": {
            "nodeStatus": states,
            "copies": {
                "available": list(states.values()).count("NodeDownloaded"),
                "failed": list(states.values()).count("NodeDownloadError"),
                "total": len(states),
            },
            "inferenceServices": [],
        },
    }


def _cache_node(node: str, state: str) -> Object:
    model = {"modelName": _CACHED, "sourceModelUri": _CACHED_URI, "nodeGroup": "gpu"}
    return {
        "metadata": {"name": node},
        "spec": {"localModels": [model]},
        "status": {"modelStatus": {_CACHED: state}},
    }


def _slice(seed: int, node: str) -> Object:
    """The GPUs of a node as NVIDIA's driver for dynamic allocation lists them, beside the device plugin."""

    def device(index: int) -> dict[str, Any]:
        attributes = {
            "uuid": {"string": gpu_uuid(seed, node, index)},
            "productName": {"string": "NVIDIA A100-SXM4-80GB"},
            "architecture": {"string": "Ampere"},
            "type": {"string": "gpu"},
            "driverVersion": {"version": "580.95.5"},
        }
        return {"name": f"gpu-{index}", "attributes": attributes, "capacity": {"memory": {"value": "80Gi"}}}

    return {
        "metadata": {"name": f"{node}-gpu.nvidia.com-7v5xk"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            # One that is cut into instances is no device as a whole.
            "devices": [device(index) for index in range(8) if (node, index) != CUT[:2]],
        },
    }


def _device_claim(namespace: str, name: str) -> Object:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com", "count": 1}}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"devices": {"requests": [request]}},
        "status": {},
    }


def _accounts(namespace: str) -> list[tuple[Resource, Object]]:
    """The default service account, and the secrets that runtimes and pods name; what they hold opens nothing."""
    nothing = base64.b64encode(b"nothing").decode()
    secrets = (
        ("nvidia-nim-secrets", "Opaque", "NGC_API_KEY"),
        ("ngc-secret", "kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
        ("hf-token", "Opaque", "token"),
    )
    account = {
        "metadata": {"name": "default", "namespace": namespace},
        "imagePullSecrets": [{"name": "ngc-secret"}],
    }
    made: list[tuple[Resource, Object]] = [(SERVICE_ACCOUNTS, account)]
    for name, kind, key in secrets:
        metadata = {"name": name, "namespace": namespace}
        made.append((SECRETS, {"metadata": metadata, "type": kind, "data": {key: nothing}}))
    return made
