"""What KServe and the autoscaler put beside a service: its HTTPRoutes at the gateway, and a HorizontalPodAutoscaler."""

from __future__ import annotations

from backend.demo.objects import Object
from backend.demo.workloads_objects import SERVICE_OWNER
from backend.demo.workloads_pods import owned, owner, stamp
from backend.demo.workloads_status import INGRESS_DOMAIN

_GATEWAY = {
    "group": "gateway.networking.k8s.io",
    "kind": "Gateway",
    "name": "kserve-ingress-gateway",
    "namespace": "kserve",
}
_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
#: What KServe writes into a route when the predictor has no timeout of its own, in seconds.
_TIMEOUT = 60


def service_routes(namespace: str, name: str, uid: str, timeout: int | None, at: float) -> list[Object]:
    """The two HTTPRoutes of a Standard service; each has a host of its own.

    Args:
        timeout: the predictor's, in seconds, None for KServe's.
        at: when they were made, in seconds since 1970.
    """
    backend = f"{name}-predictor"
    seconds = _TIMEOUT if timeout is None else timeout
    owners = owner(*SERVICE_OWNER, name, uid)
    return [
        route(namespace, host, owners, [(backend, 80, 1)], at, hostname=f"{host}-{namespace}", timeout=seconds)
        for host in (name, backend)
    ]


def route(
    namespace: str,
    name: str,
    owners: list[Object],
    backends: list[tuple[str, int, int]],
    at: float,
    *,
    hostname: str,
    timeout: int = _TIMEOUT,
    path: str = "/",
) -> Object:
    """An HTTPRoute that the gateway has accepted.

    Args:
        backends: Service, port and weight of each.
        at: when it was made, in seconds since 1970.
        hostname: without the domain. timeout: of a request, in seconds. path: that it begins with.
    """
    references = [
        {"group": "", "kind": "Service", "name": service, "namespace": namespace, "port": port, "weight": weight}
        for service, port, weight in backends
    ]
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": "",
            "lastTransitionTime": stamp(at),
            "observedGeneration": 1,
        }
        for kind, reason in (("Accepted", "Accepted"), ("ResolvedRefs", "ResolvedRefs"))
    ]
    rule = {
        "backendRefs": references,
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "timeouts": {"request": f"{timeout}s"},
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": stamp(at),
            "ownerReferences": owners,
            "managedFields": owned("kserve-controller-manager", "gateway.networking.k8s.io/v1", at, "metadata", "spec"),
        },
        "spec": {
            "parentRefs": [dict(_GATEWAY)],
            "hostnames": [f"{hostname}.{INGRESS_DOMAIN}"],
            "rules": [rule],
        },
        "status": {"parents": [{"controllerName": _CONTROLLER, "parentRef": dict(_GATEWAY), "conditions": conditions}]},
    }


def autoscaler(namespace: str, name: str, uid: str, predictor: Object, ready: int, at: float) -> Object:
    """The HorizontalPodAutoscaler of a Standard service of class `hpa`; the demo's load never makes it scale.

    Args:
        predictor: `spec.predictor`. ready: how many pods there are.
        at: when it was made, in seconds since 1970.
    """
    least = max(1, int(predictor.get("minReplicas") or 1))
    metric = str(predictor.get("scaleMetric") or "cpu")
    target = int(predictor.get("scaleTarget") or 80)
    condition = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": ""}
    return {
        "metadata": {
            "name": f"{name}-predictor",
            "namespace": namespace,
            "creationTimestamp": stamp(at),
            "ownerReferences": owner(*SERVICE_OWNER, name, uid),
            "managedFields": owned("kserve-controller-manager", "autoscaling/v2", at, "metadata", "spec"),
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{name}-predictor"},
            "minReplicas": least,
            "maxReplicas": max(least, int(predictor.get("maxReplicas") or least)),
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": metric,
                        "target": {"type": "Utilization", "averageUtilization": target},
                    },
                }
            ],
        },
        "status": {
            "currentReplicas": ready,
            "desiredReplicas": least,
            "conditions": [{**condition, "lastTransitionTime": stamp(at)}],
        },
    }
