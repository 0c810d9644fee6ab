"""The ground of the demo's cluster: namespaces, four nodes of eight GPUs, and an exporter on each."""

from __future__ import annotations

import hashlib
from typing import Any

from backend.demo.gpus import A100, H100, Instance, Product
from backend.demo.objects import Object, ObjectStore
from backend.demo.resources import PODS
from backend.demo.workloads_pods import owned, stamp
from backend.demo.workloads_quantities import GPU, MIG

EXPORTER_PORT = 9400
EXPORTER_NAMESPACE = "gpu-operator"
NAMESPACES = ("default", "gpu-operator", "llm-dev", "llm-prod")
_GPUS = 8
_NODES = {"gpu-01": H100, "gpu-02": H100, "gpu-03": H100, "gpu-04": A100}
#: The GPU that is cut into MIG instances, and these: two of three sevenths, with half of the memory each.
CUT = ("gpu-04", 7, (*(Instance(number, "2g.20gb", 0.24) for number in (1, 2, 3)),))
_EXPORTER_LABEL = {"app": "nvidia-dcgm-exporter"}


def products() -> dict[str, tuple[Product, int]]:
    """GPU model and number of GPUs by node."""
    return {name: (product, _GPUS) for name, product in _NODES.items()}


def namespace_object(name: str, at: float) -> Object:
    """A namespace that has been there since `at`, in seconds since 1970."""
    return {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/metadata.name": name},
            "creationTimestamp": stamp(at),
            "managedFields": owned("kubectl-create", "v1", at, "metadata"),
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def node_object(name: str, at: float, now: float) -> Object:
    """A node that joined at `at` and was last heard of at `now`, in seconds since 1970."""
    product = _NODES[name]
    position = list(_NODES).index(name)
    h100 = product is H100
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "hgx-h100-8" if h100 else "hgx-a100-8",
        "nvidia.com/cuda.driver.major": "580",
        "nvidia.com/gpu": "true",
        "nvidia.com/gpu.compute.major": "9" if h100 else "8",
        "nvidia.com/gpu.count": str(_GPUS),
        "nvidia.com/gpu.family": "hopper" if h100 else "ampere",
        "nvidia.com/gpu.memory": str(product.memory),
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": product.label,
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/mig.capable": "true",
        "nvidia.com/mig.strategy": "single",
        "topology.kubernetes.io/region": "eu-west",
        "topology.kubernetes.io/zone": f"eu-west-{'ab'[position % 2]}",
    }
    capacity = {"cpu": "192", "memory": "2113411308Ki", "ephemeral-storage": "28Ti", "pods": "110", GPU: str(_GPUS)}
    return {
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"node.alpha.kubernetes.io/ttl": "0"},
            "creationTimestamp": stamp(at),
            "managedFields": owned("kubelet", "v1", at, "metadata", "spec", "status"),
        },
        "spec": {
            "podCIDR": f"10.244.{position}.0/24",
            "taints": [{"key": GPU, "value": "true", "effect": "NoSchedule"}],
        },
        "status": {
            "capacity": capacity,
            "allocatable": {**capacity, "cpu": "190", "memory": "2105022700Ki"},
            "conditions": _conditions(at, now),
            "addresses": [
                {"type": "InternalIP", "address": f"10.0.0.{position + 11}"},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": _information(name),
        },
    }


def with_instances(node: Object) -> Object:
    """A node as it is after its GPU was cut; others as they are."""
    if node["metadata"]["name"] != CUT[0]:
        return node
    devices = {GPU: str(_GPUS - 1), f"{MIG}{CUT[2][0].profile}": str(len(CUT[2]))}
    labels = {**node["metadata"]["labels"], "nvidia.com/mig.strategy": "mixed"}
    status = {
        **node["status"],
        "capacity": {**node["status"]["capacity"], **devices},
        "allocatable": {**node["status"]["allocatable"], **devices},
    }
    return {**node, "metadata": {**node["metadata"], "labels": labels}, "status": status}


def exporter_pod(node: str, at: float, seed: int) -> Object:
    """The pod of the exporter's DaemonSet on a node, running since `at` in seconds since 1970."""
    digest = hashlib.sha256(f"exporter/{seed}/{node}".encode()).hexdigest()
    image = "nvcr.io/nvidia/k8s/dcgm-exporter:4.4.1-4.6.0-ubuntu22.04"
    container: Object = {
        "name": "nvidia-dcgm-exporter",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "DCGM_EXPORTER_LISTEN", "value": f":{EXPORTER_PORT}"},
            {"name": "DCGM_EXPORTER_KUBERNETES", "value": "true"},
            {"name": "DCGM_EXPORTER_INTERVAL", "value": "2000"},
        ],
        "ports": [{"name": "metrics", "containerPort": EXPORTER_PORT, "protocol": "TCP"}],
        "resources": {},
    }
    return {
        "metadata": {
            "name": f"nvidia-dcgm-exporter-{digest[:5]}",
            "generateName": "nvidia-dcgm-exporter-",
            "namespace": EXPORTER_NAMESPACE,
            "labels": {**_EXPORTER_LABEL, "pod-template-generation": "1", "controller-revision-hash": "6c9f7d8b5"},
            "creationTimestamp": stamp(at),
            "managedFields": owned("kube-controller-manager", "v1", at, "metadata", "spec"),
        },
        "spec": {
            "containers": [container],
            "nodeName": node,
            "priorityClassName": "system-node-critical",
            "restartPolicy": "Always",
            "serviceAccountName": "nvidia-dcgm-exporter",
            "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        },
        "status": _exporter_status(node, container["name"], image, at),
    }


def exporter_node(store: ObjectStore, namespace: str, pod: str) -> str | None:
    """The node whose GPUs a pod exports, or None when the pod is no exporter."""
    stored = store.stored(PODS, namespace, pod)
    if stored is None or stored.labels.get("app") != _EXPORTER_LABEL["app"]:
        return None
    node = stored.content["spec"].get("nodeName")
    return node if node in _NODES else None


def _exporter_status(node: str, container: str, image: str, at: float) -> Object:
    times = {"lastProbeTime": None, "lastTransitionTime": stamp(at)}
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    address = f"10.244.{list(_NODES).index(node)}.2"
    told = {
        "name": container,
        "image": image,
        "imageID": "nvcr.io/nvidia/k8s/dcgm-exporter@sha256:" + "d7" * 32,
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": stamp(at)}},
        "lastState": {},
    }
    return {
        "phase": "Running",
        "conditions": [{"type": kind, "status": "True", **times} for kind in kinds],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": stamp(at),
        "qosClass": "BestEffort",
        "containerStatuses": [told],
    }


def _conditions(at: float, now: float) -> list[Object]:
    told = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    return [
        {
            "type": kind,
            "status": state,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": stamp(now),
            "lastTransitionTime": stamp(at),
        }
        for kind, state, reason, message in told
    ]


def _information(name: str) -> dict[str, Any]:
    machine = hashlib.sha256(name.encode()).hexdigest()
    return {
        "machineID": machine[:32],
        "systemUUID": f"{machine[:8]}-{machine[8:12]}-{machine[12:16]}-{machine[16:20]}-{machine[20:32]}",
        "bootID": f"{machine[32:40]}-{machine[40:44]}-{machine[44:48]}-{machine[48:52]}-{machine[52:64]}",
        "kernelVersion": "6.8.0-85-generic",
        "osImage": "Ubuntu 24.04.3 LTS",
        "containerRuntimeVersion": "containerd://2.1.4",
        "kubeletVersion": "v1.36.1",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
