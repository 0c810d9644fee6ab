"""A demo cluster on a clock that only the test moves."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

from backend.demo.controller import DemoCluster
from backend.demo.images import DemoImages, build_images
from backend.demo.objects import ObjectStore
from backend.demo.resources import (
    DEPLOYMENTS,
    EVENTS,
    INFERENCE_SERVICES,
    PODS,
    REPLICA_SETS,
    SERVICES,
)

HOST = "registry.demo:5000"
VLLM = ("vllm/vllm-openai", "v0.27.1")
NIM = ("nim/meta/llama-3.1-8b-instruct", "1.8.3")
START = 1_795_000_000.0


@functools.cache
def images() -> DemoImages:
    """The demo's registry, built once for all tests."""
    return build_images(7, datetime.fromtimestamp(START, UTC))


def reference(image: tuple[str, str] = VLLM) -> str:
    """The image of a repository and tag, by digest."""
    return f"{HOST}/{image[0]}@{images().digest(*image)}"


class ManualTime:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = START) -> None:
        self.seconds = now

    def now(self) -> float:
        return self.seconds


class Cluster:
    """A demo cluster with what tests ask of it; nothing sleeps."""

    def __init__(self, *, seeded: bool = False, seed: int = 7, speed: float = 1.0) -> None:
        self.time = ManualTime()
        self.store = ObjectStore(seed, clock=lambda: datetime.fromtimestamp(self.time.now(), UTC))
        self.demo = DemoCluster(
            self.store,
            seed=seed,
            images=images(),
            registry_host=HOST,
            speed=speed,
            timekeeper=self.time,
            seeded=seeded,
        )
        self.demo.prepare()

    def advance(self, seconds: float, step: float | None = None) -> None:
        """Let time pass, in one go or looking at the cluster every `step` seconds."""
        end = self.time.seconds + seconds
        while self.time.seconds < end:
            self.time.seconds = end if step is None else min(end, self.time.seconds + step)
            self.demo.run_due()

    def apply(self, obj: dict[str, Any]) -> None:
        """Write a service as a client does, keeping the status that it has."""
        self.store.put(INFERENCE_SERVICES, obj, manager="kubectl")
        self.demo.run_due()

    def delete(self, name: str, namespace: str = "llm-prod") -> None:
        self.store.delete(INFERENCE_SERVICES, namespace, name)
        self.demo.run_due()

    def service(self, name: str, namespace: str = "llm-prod") -> dict[str, Any]:
        obj = self.store.get(INFERENCE_SERVICES, namespace, name)
        assert obj is not None
        return obj

    def conditions(self, name: str, namespace: str = "llm-prod") -> dict[str, str]:
        told = self.service(name, namespace)["status"]["conditions"]
        return {condition["type"]: condition["status"] for condition in told}

    def model_status(self, name: str, namespace: str = "llm-prod") -> dict[str, Any]:
        status: dict[str, Any] = self.service(name, namespace)["status"]["modelStatus"]
        return status

    def pods(self, name: str, namespace: str = "llm-prod") -> list[dict[str, Any]]:
        wanted = {"serving.kserve.io/inferenceservice": name}
        found = [pod for pod in self.store.list(PODS, namespace) if wanted.items() <= pod["metadata"]["labels"].items()]
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def pod(self, name: str, namespace: str = "llm-prod") -> dict[str, Any]:
        (pod,) = self.pods(name, namespace)
        return pod

    def container(self, name: str, namespace: str = "llm-prod") -> dict[str, Any]:
        (status,) = self.pod(name, namespace)["status"]["containerStatuses"]
        assert isinstance(status, dict)
        return status

    def ready(self, name: str, namespace: str = "llm-prod") -> int:
        return sum(is_ready(pod) for pod in self.pods(name, namespace))

    def events(self, reason: str | None = None) -> list[dict[str, Any]]:
        return [event for event in self.store.list(EVENTS) if reason in (None, event["reason"])]

    def workload(self, namespace: str = "llm-prod") -> list[dict[str, Any]]:
        """Everything that the controllers made in a namespace."""
        kinds = (DEPLOYMENTS, REPLICA_SETS, SERVICES, PODS)
        return [obj for kind in kinds for obj in self.store.list(kind, namespace)]

    def log(self, name: str, *, previous: bool = False, container: str | None = None) -> str:
        pod = self.pod(name)["metadata"]["name"]
        lines = self.demo.logs("llm-prod", pod, container, previous, None)
        assert lines is not None
        return "\n".join(lines)


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod's Ready condition holds."""
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"]["conditions"])


def service(
    name: str = "chat",
    *,
    image: str | None = None,
    args: tuple[str, ...] = ("--model=meta-llama/Llama-3.1-8B-Instruct",),
    gpus: int = 1,
    memory: str = "48Gi",
    replicas: int = 1,
    strategy: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    **predictor: Any,
) -> dict[str, Any]:
    """An InferenceService in Standard mode with a container of its own."""
    resources = {"cpu": "4", "memory": memory, "nvidia.com/gpu": str(gpus)}
    container = {
        "name": "kserve-container",
        "image": image or reference(),
        "command": ["vllm", "serve"],
        "args": [*args],
        "ports": [{"containerPort": 8000}],
        "startupProbe": {"httpGet": {"path": "/health", "port": 8000}},
        "resources": {"limits": resources},
    }
    return {
        "metadata": {
            "name": name,
            "namespace": "llm-prod",
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "none",
                **(annotations or {}),
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": replicas,
                "containers": [container],
                **({"deploymentStrategy": strategy} if strategy else {}),
                **predictor,
            }
        },
    }
