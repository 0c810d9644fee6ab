"""The serving runtimes that the demo's cluster offers."""

from __future__ import annotations

from backend.demo.objects import Object
from backend.demo.resources import CLUSTER_SERVING_RUNTIMES, SERVING_RUNTIMES, Resource
from backend.demo.workloads_images import Images
from backend.demo.workloads_pods import stamp
from backend.demo.workloads_template import CONTAINER

NIM_RUNTIME = "nim-1.8"
VLLM_RUNTIME = "vllm-0.27"
_SHARED_MEMORY = {"name": "dshm", "mountPath": "/dev/shm"}  # noqa: S108 - a mount in a pod, not a file of ours


def runtimes(images: Images, registry_host: str, at: float) -> list[tuple[Resource, Object]]:
    """All runtimes, created at `at` in seconds since 1970; their engines are named by digest."""

    def image(repository: str, tag: str) -> str:
        return f"{registry_host}/{repository}@{images.digest(repository, tag)}"

    vllm = image("vllm/vllm-openai", "v0.27.1")
    found: list[tuple[Resource, Object]] = [
        (SERVING_RUNTIMES, _runtime(VLLM_RUNTIME, namespace, at, _vllm(vllm))) for namespace in ("llm-dev", "llm-prod")
    ]
    nim = _nim(image("nim/meta/llama-3.1-8b-instruct", "1.8.3"))
    triton = _triton(image("nvidia/tritonserver", "25.06-trtllm-python-py3"))
    found.append((CLUSTER_SERVING_RUNTIMES, _runtime(NIM_RUNTIME, None, at, nim)))
    found.append((CLUSTER_SERVING_RUNTIMES, _runtime("triton-25.06", None, at, triton)))
    return found


def _runtime(name: str, namespace: str | None, at: float, spec: Object) -> Object:
    metadata: Object = {"name": name, "creationTimestamp": stamp(at)}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"metadata": metadata, "spec": spec}


def _probes(port: int, ready: str, live: str) -> Object:
    return {
        "startupProbe": {"httpGet": {"path": ready, "port": port}, "periodSeconds": 10, "failureThreshold": 180},
        "readinessProbe": {"httpGet": {"path": ready, "port": port}, "periodSeconds": 10, "timeoutSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": live, "port": port},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
    }


def _volume(size: str) -> list[Object]:
    return [{"name": _SHARED_MEMORY["name"], "emptyDir": {"medium": "Memory", "sizeLimit": size}}]


def _vllm(image: str) -> Object:
    container = {
        "name": CONTAINER,
        "image": image,
        "command": ["vllm", "serve"],
        "args": ["--port=8000", "--served-model-name={{.Name}}"],
        "ports": [{"containerPort": 8000, "protocol": "TCP"}],
        "volumeMounts": [dict(_SHARED_MEMORY)],
        **_probes(8000, "/health", "/health"),
    }
    return {
        "annotations": {"prometheus.kserve.io/port": "8000", "prometheus.kserve.io/path": "/metrics"},
        "supportedModelFormats": [{"name": "vLLM", "version": "1", "autoSelect": False}],
        "protocolVersions": ["v1", "v2"],
        "volumes": _volume("16Gi"),
        "containers": [container],
    }


def _nim(image: str) -> Object:
    key = {"secretKeyRef": {"name": "nvidia-nim-secrets", "key": "NGC_API_KEY"}}
    container = {
        "name": CONTAINER,
        "image": image,
        "env": [
            {"name": "NIM_CACHE_PATH", "value": "/opt/nim/.cache"},
            {"name": "NGC_API_KEY", "valueFrom": key},
        ],
        "ports": [{"containerPort": 8000, "protocol": "TCP"}],
        "volumeMounts": [dict(_SHARED_MEMORY)],
        **_probes(8000, "/v1/health/ready", "/v1/health/live"),
    }
    return {
        "annotations": {"prometheus.kserve.io/port": "8000", "prometheus.kserve.io/path": "/v1/metrics"},
        "supportedModelFormats": [{"name": "nim", "version": "1.8", "autoSelect": False}],
        "protocolVersions": ["v2", "grpc-v2"],
        "imagePullSecrets": [{"name": "ngc-secret"}],
        "volumes": _volume("16Gi"),
        "containers": [container],
    }


def _triton(image: str) -> Object:
    ports = [
        {"containerPort": 8080, "name": "http", "protocol": "TCP"},
        {"containerPort": 9000, "name": "h2c-grpc", "protocol": "TCP"},
        {"containerPort": 8002, "name": "metrics", "protocol": "TCP"},
    ]
    container = {
        "name": CONTAINER,
        "image": image,
        "args": ["tritonserver", "--model-store=/mnt/models", "--http-port=8080", "--grpc-port=9000"],
        "ports": ports,
        "volumeMounts": [dict(_SHARED_MEMORY)],
        **_probes(8080, "/v2/health/ready", "/v2/health/live"),
    }
    return {
        "annotations": {"prometheus.kserve.io/port": "8002", "prometheus.kserve.io/path": "/metrics"},
        "disabled": True,
        "supportedModelFormats": [{"name": "triton", "version": "2", "autoSelect": False}],
        "protocolVersions": ["v2", "grpc-v2"],
        "volumes": _volume("16Gi"),
        "containers": [container],
    }
