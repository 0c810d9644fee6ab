"""The demo's API server with many services, in a process of its own: `python -m tests.benchmarks.cluster_server N P`.

Prints one line of JSON, `{"url": ...}`, and ends when its standard input closes. Whoever asks needs no token: kubectl
sends none over plain HTTP. The N services are ready ones of the size that real ones have, 1.9 kB with their managed
fields; each has a Deployment and P pods of 5 kB.

A line `change RATE SECONDS` on standard input makes it change so many objects a second, spread over services and pods
as controllers do. Four of them a second are probes: a service's wanted replicas, which its row shows. Each is told as
`{"probe": NUMBER, "at": SECONDS}` by the machine's monotonic clock, then `{"done": true}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

from aiohttp import web

from backend.demo.kubernetes_api import cluster_app, default_users, tokens_by_name
from backend.demo.objects import ObjectStore
from backend.demo.resources import DEPLOYMENTS, INFERENCE_SERVICES, NAMESPACES, PODS

_NAMESPACES: Final = 20
#: Probes a second, and the number of replicas that the first of them asks for.
_PROBES: Final = 4
_FIRST_PROBE: Final = 1_001
_AT: Final = "2026-11-20T22:49:05Z"
_SPEC_FIELDS: Final = ("containers", "maxReplicas", "minReplicas", "scaleMetric", "scaleTarget")


def service(number: int) -> dict[str, Any]:
    """A ready InferenceService."""
    name, namespace = f"llama-{number:05}", f"team-{number % _NAMESPACES:02}"
    address = f"http://{name}-predictor-{namespace}.example.com"
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
            "labels": {"app.kubernetes.io/managed-by": "modelyard"},
            "creationTimestamp": _AT,
            "managedFields": [
                _managed("modelyard", "Apply", {"f:spec": {"f:predictor": {f"f:{key}": {} for key in _SPEC_FIELDS}}}),
                _managed("kserve-controller-manager", "Update", _STATUS_FIELDS),
            ],
        },
        "spec": {"predictor": {"containers": [_container(number)], "maxReplicas": 3, "minReplicas": 1,
                               "scaleMetric": "concurrency", "scaleTarget": 8}},
        "status": {
            "address": {"url": f"http://{name}-predictor.{namespace}.svc.cluster.local"},
            "components": {"predictor": {"latestCreatedRevision": f"{name}-predictor-1", "url": address}},
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": _AT}
                for kind in ("IngressReady", "PredictorReady", "Ready")
            ],
            "deploymentMode": "Standard",
            "modelStatus": {
                "copies": {"failedCopies": 0, "totalCopies": 1},
                "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
                "transitionStatus": "UpToDate",
            },
            "observedGeneration": 1,
            "url": f"http://{name}-{namespace}.example.com",
        },
    }  # fmt: skip


_STATUS_FIELDS: Final[dict[str, Any]] = {
    "f:status": {
        ".": {}, "f:address": {".": {}, "f:url": {}}, "f:conditions": {}, "f:observedGeneration": {}, "f:url": {},
        "f:components": {".": {}, "f:predictor": {".": {}, "f:latestCreatedRevision": {}, "f:url": {}}},
        "f:modelStatus": {
            ".": {}, "f:copies": {".": {}, "f:failedCopies": {}, "f:totalCopies": {}}, "f:transitionStatus": {},
            "f:states": {".": {}, "f:activeModelState": {}, "f:targetModelState": {}},
        },
    }
}  # fmt: skip


def _managed(manager: str, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": INFERENCE_SERVICES.api_version, "fieldsType": "FieldsV1", "fieldsV1": fields,
        "manager": manager, "operation": operation, "time": _AT,
    }  # fmt: skip


def _container(number: int) -> dict[str, Any]:
    resources = {"cpu": "4", "memory": "32Gi", "nvidia.com/gpu": "1"}
    return {
        "name": "kserve-container",
        "image": f"nvcr.io/nim/meta/llama-3.1-8b-instruct@sha256:{number:064x}",
        "ports": [{"containerPort": 8000, "protocol": "TCP"}],
        "resources": {"limits": {**resources, "cpu": "8", "memory": "48Gi"}, "requests": resources},
    }


_POD_FIELDS: Final[dict[str, Any]] = {
    "f:metadata": {
        "f:annotations": {".": {}, "f:prometheus.kserve.io/path": {}, "f:prometheus.kserve.io/port": {}},
        "f:generateName": {},
        "f:labels": {".": {}, "f:app": {}, "f:component": {}, "f:pod-template-hash": {}},
        "f:ownerReferences": {".": {}, 'k:{"uid":"0"}': {}},
    },
    "f:spec": {
        "f:containers": {'k:{"name":"kserve-container"}': {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}},
        "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {}, "f:tolerations": {},
    },
}  # fmt: skip


def pod(number: int, replica: int) -> dict[str, Any]:
    """A ready pod of a service."""
    name, namespace = f"llama-{number:05}", f"team-{number % _NAMESPACES:02}"
    template = f"{number * 2654435761 % 2**32:08x}"
    container = _container(number)
    image = container["image"]
    probe = {"httpGet": {"path": "/v1/health/ready", "port": 8000, "scheme": "HTTP"}, "periodSeconds": 10}
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    address = f"10.{number % 200}.{number // 200}.{replica + 2}"
    made = f"2026-11-{1 + number % 20:02}T{replica + number // 3600 % 22:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return {
        "metadata": {
            "name": f"{name}-predictor-{template}-{replica:05}",
            "generateName": f"{name}-predictor-{template}-",
            "namespace": namespace,
            "annotations": {
                "prometheus.kserve.io/path": "/metrics",
                "prometheus.kserve.io/port": "8000",
                "serving.kserve.io/deploymentMode": "Standard",
            },
            "labels": {
                "app": f"isvc.{name}-predictor",
                "app.kubernetes.io/managed-by": "modelyard",
                "component": "predictor",
                "pod-template-hash": template,
                "serving.kserve.io/inferenceservice": name,
            },
            "creationTimestamp": made,
            "ownerReferences": [_owner("apps/v1", "ReplicaSet", f"{name}-predictor-{template}")],
            "managedFields": [
                _managed("kube-controller-manager", "Update", _POD_FIELDS),
                _managed("kubelet", "Update", _STATUS_FIELDS),
            ],
        },
        "spec": {
            "containers": [{
                **container,
                "env": [{"name": "NGC_API_KEY", "valueFrom": {"secretKeyRef": {"key": "k", "name": "ngc"}}}],
                "readinessProbe": probe, "livenessProbe": probe, "startupProbe": probe,
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "volumeMounts": [{"mountPath": "/dev/shm", "name": "dshm"}],
            }],
            "volumes": [{"emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}, "name": "dshm"}],
            "nodeName": f"gpu-{number % 64:03}", "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "serviceAccountName": "default", "terminationGracePeriodSeconds": 30, "enableServiceLinks": True,
            "tolerations": [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}],
        },
        "status": {
            "phase": "Running", "hostIP": "10.0.0.1", "podIP": address, "podIPs": [{"ip": address}],
            "qosClass": "Burstable", "startTime": made,
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": made} for kind in kinds
            ],
            "containerStatuses": [{
                "name": "kserve-container", "image": image, "imageID": image, "ready": True, "started": True,
                "restartCount": 0, "state": {"running": {"startedAt": made}}, "lastState": {},
                "containerID": f"containerd://{number * 16 + replica:064x}",
            }],
        },
    }  # fmt: skip


def deployment(number: int, replicas: int) -> dict[str, Any]:
    """The Deployment of a service, complete."""
    name, namespace = f"llama-{number:05}", f"team-{number % _NAMESPACES:02}"
    labels = {"app": f"isvc.{name}-predictor", "serving.kserve.io/inferenceservice": name}
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": _AT}
        for kind, reason in (("Available", "MinimumReplicasAvailable"), ("Progressing", "NewReplicaSetAvailable"))
    ]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    return {
        "metadata": {
            "name": f"{name}-predictor", "namespace": namespace, "labels": labels, "creationTimestamp": _AT,
            "ownerReferences": [_owner("serving.kserve.io/v1beta1", "InferenceService", name)],
        },
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": labels["app"]}}, "progressDeadlineSeconds": 600,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [_container(number)]}},
        },
        "status": {**counts, "conditions": conditions, "observedGeneration": 1},
    }  # fmt: skip


def _owner(api_version: str, kind: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": api_version, "kind": kind, "name": name, "uid": f"{kind}-{name}", "controller": True,
        "blockOwnerDeletion": True,
    }  # fmt: skip


def filled(count: int, pods: int) -> ObjectStore:
    """A cluster with so many services, and so many pods of each."""
    store = ObjectStore(seed=1)
    for number in range(_NAMESPACES):
        store.put(NAMESPACES, {"metadata": {"name": f"team-{number:02}"}, "status": {"phase": "Active"}})
    for number in range(count):
        store.put(INFERENCE_SERVICES, service(number))
        if pods:
            store.put(DEPLOYMENTS, deployment(number, pods))
        for replica in range(pods):
            store.put(PODS, pod(number, replica))
    return store


async def change(store: ObjectStore, count: int, pods: int, rate: float, seconds: float) -> None:
    """Change objects at a steady rate, and tell of each probe when it was made."""
    start = time.perf_counter()
    total = int(rate * seconds)
    every = max(1, int(rate / _PROBES))
    for step in range(total):
        await asyncio.sleep(max(0.0, start + step / rate - time.perf_counter()))
        stamp = f"2026-11-21T{step // 3600 % 24:02}:{step // 60 % 60:02}:{step % 60:02}Z"
        number = 1 + step * 7919 % (count - 1)
        if step % every == 0:
            probe = _FIRST_PROBE + step // every
            changed = deployment(0, max(1, pods))
            changed["spec"]["replicas"] = probe
            at = time.perf_counter()
            store.put(DEPLOYMENTS, changed)
            _say({"probe": probe, "at": at})
        elif step % 2 and pods:
            changed = pod(number, step % pods)
            changed["status"]["conditions"][2]["lastTransitionTime"] = stamp
            store.put(PODS, changed)
        else:
            changed = service(number)
            changed["status"]["conditions"][2]["lastTransitionTime"] = stamp
            store.put(INFERENCE_SERVICES, changed)
    _say({"done": True})


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def serve(count: int, pods: int) -> None:
    """Serve until standard input closes."""
    users = default_users(1)
    store = filled(count, pods)
    app = cluster_app(store, users=users, anonymous=users[tokens_by_name(users)["admin"]])
    runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    _say({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"})
    while line := await asyncio.to_thread(sys.stdin.readline):
        _, rate, seconds = line.split()
        await change(store, count, pods, float(rate), float(seconds))
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
