"""What the server says of itself: version, groups, kinds, health, and as much OpenAPI as `kubectl apply` asks for."""

from __future__ import annotations

import base64
import hashlib

from aiohttp import web

from backend.demo.kubernetes.answers import json_response, not_served
from backend.demo.objects import Object
from backend.demo.resources import RESOURCES, TRAITS, Resource

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
#: What is served without objects behind it: group, version, plural, kind.
_REVIEWS = (
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
)
#: The groups in the order in which a real server names them, preferred versions first.
_GROUPS: dict[str, tuple[str, ...]] = {
    "apiregistration.k8s.io": ("v1",),
    "apps": ("v1",),
    "events.k8s.io": ("v1",),
    "authentication.k8s.io": ("v1",),
    "authorization.k8s.io": ("v1",),
    "autoscaling": ("v2", "v1"),
    "batch": ("v1",),
    "certificates.k8s.io": ("v1",),
    "networking.k8s.io": ("v1",),
    "policy": ("v1",),
    "rbac.authorization.k8s.io": ("v1",),
    "storage.k8s.io": ("v1",),
    "admissionregistration.k8s.io": ("v1",),
    "apiextensions.k8s.io": ("v1",),
    "scheduling.k8s.io": ("v1",),
    "coordination.k8s.io": ("v1",),
    "node.k8s.io": ("v1",),
    "discovery.k8s.io": ("v1",),
    "resource.k8s.io": ("v1",),
    "flowcontrol.apiserver.k8s.io": ("v1",),
    "gateway.networking.k8s.io": ("v1",),
    "serving.knative.dev": ("v1",),
    "serving.kserve.io": ("v1beta1", "v1alpha2", "v1alpha1"),
}
_VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0-demo",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def discover(path: str) -> web.Response:
    """The answer at an address that is about the server and not about objects.

    Raises:
        StatusError: 404 in plain text, when there is nothing.
    """
    path = path.rstrip("/")
    if path in ("/healthz", "/livez", "/readyz"):
        return web.Response(text="ok")
    if path in _FIXED:
        return json_response(_FIXED[path]())
    steps = path.strip("/").split("/")
    if steps[:2] == ["openapi", "v3"] and path.removeprefix("/openapi/v3") in _served_paths():
        return json_response(_openapi(path.removeprefix("/openapi/v3")))
    if steps[0] == "apis" and len(steps) == 2 and steps[1] in _GROUPS:
        return json_response({"kind": "APIGroup", "apiVersion": "v1", **_group(steps[1])})
    if path == "/api/v1":
        return json_response(_resources("", "v1"))
    if steps[0] == "apis" and len(steps) == 3 and steps[2] in _GROUPS.get(steps[1], ()):
        return json_response(_resources(steps[1], steps[2]))
    raise not_served()


def _group(name: str) -> Object:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _GROUPS[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _group_list() -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in _GROUPS]}


def _core_versions() -> Object:
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def _resources(group: str, version: str) -> Object:
    found: list[Object] = []
    for resource in RESOURCES:
        if (resource.group, resource.version) == (group, version):
            found += _entries(resource)
    for review_group, review_version, plural, kind in _REVIEWS:
        if (review_group, review_version) == (group, version):
            singular = kind.lower()
            entry = {"name": plural, "singularName": singular, "namespaced": False, "kind": kind, "verbs": ["create"]}
            found.append(entry)
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found}


def _entries(resource: Resource) -> list[Object]:
    traits = TRAITS[resource]
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(_VERBS),
    }
    if traits.short_names:
        entry["shortNames"] = list(traits.short_names)
    identity = f"{resource.group}/{resource.version}/{resource.kind}".encode()
    entry["storageVersionHash"] = base64.b64encode(hashlib.sha256(identity).digest()[:8]).decode()
    below = {"singularName": "", "namespaced": resource.namespaced, "kind": resource.kind}
    entries = [entry]
    if traits.has_status:
        entries.append({"name": f"{resource.plural}/status", **below, "verbs": ["get", "patch", "update"]})
    return entries + [{"name": f"{resource.plural}/{name}", **below, "verbs": ["get"]} for name in traits.subresources]


def _served_paths() -> list[str]:
    named = [f"/apis/{group}/{version}" for group, versions in _GROUPS.items() for version in versions]
    return ["/api/v1", *named]


def _openapi_paths() -> Object:
    return {"paths": {path.strip("/"): {"serverRelativeURL": f"/openapi/v3{path}"} for path in _served_paths()}}


def _openapi(prefix: str) -> Object:
    """The patches of each kind below a path, with the options that `kubectl` looks for before it uses them."""
    paths: Object = {}
    for resource in RESOURCES:
        root = "/apis" if resource.group else "/api"
        if f"{root}/{resource.api_version}" != prefix:
            continue
        options = [{"name": name, "in": "query"} for name in ("dryRun", "fieldManager", "fieldValidation", "force")]
        identity = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        patch = {"parameters": options, "x-kubernetes-group-version-kind": identity, "responses": {}}
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        paths[f"{prefix}{scope}/{resource.plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": paths}


_FIXED = {
    "/version": lambda: _VERSION,
    "/api": _core_versions,
    "/apis": _group_list,
    "/openapi/v3": _openapi_paths,
}
