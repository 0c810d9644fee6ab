"""The Deployment, ReplicaSet and Service that a service's pods hang on, as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence

from backend.demo.objects import Object, copied
from backend.demo.workloads_faults import main_container
from backend.demo.workloads_pods import Pod, owned, owner, stamp
from backend.demo.workloads_template import Template

#: apiVersion and kind of what most workloads are made for.
SERVICE_OWNER = ("serving.kserve.io/v1beta1", "InferenceService")


def deployment(
    namespace: str,
    name: str,
    service_name: str,
    service_uid: str,
    template: Template,
    revision: int,
    created: float | None,
    *,
    owned_by: tuple[str, str] = SERVICE_OWNER,
) -> Object:
    """A Deployment without its status; `created` in seconds since 1970, None when it exists already.

    `owned_by` is apiVersion and kind of the object that it was made for.
    """
    obj: Object = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(template.labels),
            "annotations": {**template.annotations, "deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": owner(*owned_by, service_name, service_uid),
        },
        "spec": {
            "replicas": template.replicas,
            "selector": {"matchLabels": {"app": template.labels["app"]}},
            "strategy": copied(template.strategy),
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "template": _pod_template(template, template.labels),
        },
    }
    if created is not None:
        _mark_created(obj, "kserve-controller-manager", "apps/v1", created)
    return obj


def replica_set(
    namespace: str,
    name: str,
    deployment_name: str,
    deployment_uid: str,
    template: Template,
    pods: Sequence[Pod],
    revision: int,
    created: float | None,
) -> Object:
    """A ReplicaSet with its status; `created` in seconds since 1970, None when it exists already."""
    labels = {**template.labels, "pod-template-hash": template.hash}
    ready = sum(pod.is_ready for pod in pods)
    status = {"replicas": len(pods), "observedGeneration": 1}
    if pods:
        status["fullyLabeledReplicas"] = len(pods)
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    obj: Object = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": {
                "deployment.kubernetes.io/desired-replicas": str(template.replicas),
                "deployment.kubernetes.io/revision": str(revision),
            },
            "ownerReferences": owner("apps/v1", "Deployment", deployment_name, deployment_uid),
        },
        "spec": {
            "replicas": len(pods),
            "selector": {"matchLabels": {"app": template.labels["app"], "pod-template-hash": template.hash}},
            "template": _pod_template(template, labels),
        },
        "status": status,
    }
    if created is not None:
        _mark_created(obj, "kube-controller-manager", "apps/v1", created)
    return obj


def service(
    namespace: str, name: str, service_name: str, service_uid: str, template: Template, created: float
) -> Object:
    """The Service in front of the pods: port 80 goes to the container's first port."""
    ports = main_container(template.spec).get("ports") or [{"containerPort": 8080}]
    first = ports[0]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(template.labels),
            "creationTimestamp": stamp(created),
            "ownerReferences": owner(*SERVICE_OWNER, service_name, service_uid),
            "managedFields": owned("kserve-controller-manager", "v1", created, "metadata", "spec"),
        },
        "spec": {
            "clusterIP": "None",
            "clusterIPs": ["None"],
            "ports": [
                {
                    "name": first.get("name") or name,
                    "port": 80,
                    "protocol": first.get("protocol", "TCP"),
                    "targetPort": first["containerPort"],
                }
            ],
            "selector": {"app": template.labels["app"]},
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }


def _pod_template(template: Template, labels: dict[str, str]) -> Object:
    return {
        "metadata": {"labels": dict(labels), "annotations": dict(template.annotations)},
        "spec": copied(template.spec),
    }


def _mark_created(obj: Object, manager: str, api_version: str, at: float) -> None:
    obj["metadata"]["creationTimestamp"] = stamp(at)
    obj["metadata"]["managedFields"] = owned(manager, api_version, at, "metadata", "spec")
