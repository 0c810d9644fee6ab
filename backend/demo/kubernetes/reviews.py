"""What a user may learn of themselves: who they are, whether they may do a thing, and all that they may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backend.demo.kubernetes.answers import bad_request
from backend.demo.kubernetes.calls import Call, object_of
from backend.demo.kubernetes.users import DemoUser
from backend.demo.objects import Object

_OPEN_PATHS = (
    ("/.well-known", "/.well-known/*"),
    ("/healthz", "/livez", "/readyz", "/version", "/version/"),
    (
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ),
)


def review_for(call: Call) -> Callable[[Any], Object] | None:
    """What answers a review at this address, given its body; None when it is no review."""
    address = call.address
    reviews = {
        ("authentication.k8s.io", "selfsubjectreviews"): _who,
        ("authorization.k8s.io", "selfsubjectaccessreviews"): _may,
        ("authorization.k8s.io", "selfsubjectrulesreviews"): _rules,
    }
    answer = reviews.get((address.group, address.plural))
    if answer is None or address.version != "v1" or call.http.method != "POST":
        return None
    return lambda body: answer(call, object_of(body))


def _who(call: Call, body: Object) -> Object:
    user = call.user
    info = {"username": user.name, "uid": user.name, "groups": [*user.groups, "system:authenticated"]}
    head = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    return {**head, "metadata": {"creationTimestamp": call.now}, "status": {"userInfo": info}}


def _may(call: Call, body: Object) -> Object:
    spec = body.get("spec")
    if not isinstance(spec, dict):
        raise bad_request("spec: Required value")
    attributes = spec.get("resourceAttributes")
    if isinstance(attributes, dict):
        granted = _granted(call.user, attributes)
    else:
        path = (spec.get("nonResourceAttributes") or {}).get("path", "")
        granted = "RBAC: allowed" if is_open_path(str(path)) else ""
    status: Object = {"allowed": bool(granted)}
    if granted:
        status["reason"] = granted
    head = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}}
    return {**head, "spec": spec, "status": status}


def _granted(user: DemoUser, attributes: Object) -> str:
    """Why the user may do it, empty when they may not."""
    verb, group, resource, below, namespace = (
        str(attributes.get(name) or "") for name in ("verb", "group", "resource", "subresource", "namespace")
    )
    return user.granted_by(verb, group, f"{resource}/{below}" if below else resource, namespace)


def _rules(call: Call, body: Object) -> Object:
    resource_rules = [
        {"verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)}
        for rule in call.user.all_rules
    ]
    path_rules = [{"verbs": ["get"], "nonResourceURLs": list(paths)} for paths in _OPEN_PATHS]
    status = {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}
    head = {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {}}
    return {**head, "status": status}


def is_open_path(path: str) -> bool:
    """Whether every authenticated user may read an address that is no resource."""
    return any(
        path == each or (each.endswith("*") and path.startswith(each[:-1])) for paths in _OPEN_PATHS for each in paths
    )
