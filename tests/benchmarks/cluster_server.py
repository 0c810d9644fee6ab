"""The demo's API server with many services, in a process of its own: `python -m tests.benchmarks.cluster_server N`.

Prints one line of JSON, `{"url": ...}`, and ends when its standard input closes. Whoever asks needs no token: kubectl
sends none over plain HTTP. The services are ready ones of the size that real ones have, 1.9 kB with their managed
fields; there are no pods, so that a list of services is what both sides read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

from aiohttp import web

from backend.demo.kubernetes_api import cluster_app, default_users, tokens_by_name
from backend.demo.objects import ObjectStore
from backend.demo.resources import INFERENCE_SERVICES, NAMESPACES

_NAMESPACES: Final = 20
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


def filled(count: int) -> ObjectStore:
    """A cluster with so many services."""
    store = ObjectStore(seed=1)
    for number in range(_NAMESPACES):
        store.put(NAMESPACES, {"metadata": {"name": f"team-{number:02}"}, "status": {"phase": "Active"}})
    for number in range(count):
        store.put(INFERENCE_SERVICES, service(number))
    return store


async def serve(count: int) -> None:
    """Serve until standard input closes."""
    users = default_users(1)
    app = cluster_app(filled(count), users=users, anonymous=users[tokens_by_name(users)["admin"]])
    runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
