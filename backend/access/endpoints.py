"""Where a service is reached, by KServe v0.20's rules for its addresses and by what its status says. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from backend.cluster.kserve_objects import InferenceService
from backend.core.references import is_host
from backend.core.views import EndpointView

#: The label decides: KServe's status names an outside address all the same.
_VISIBILITY_LABEL: Final = "networking.kserve.io/visibility"
_STOP_ANNOTATION: Final = "serving.kserve.io/stop"
_KNATIVE: Final = frozenset({"Knative", "Serverless"})
_CLUSTER_SUFFIX: Final = "svc.cluster.local"
_SCHEMES: Final = frozenset({"http", "https", "grpc", "grpcs"})


def endpoints(service: InferenceService, mode: str, ingress_domain: str = "") -> tuple[EndpointView, ...]:
    """The addresses of a service, those inside the cluster first, each once.

    Args:
        mode: `Standard` or `Knative`, or their former names `RawDeployment` and `Serverless`.
        ingress_domain: KServe's, where it is known; without it only the status tells what is reached from outside.
    """
    private = service.metadata.label(_VISIBILITY_LABEL) == "cluster-local"
    found = [_inside(service, mode), *_told(service, private=private)]
    outside = any(view.scope == "outside" for view in found)
    if ingress_domain and not private and not outside and mode not in _KNATIVE:
        host = f"{service.metadata.name}-{service.metadata.namespace}.{ingress_domain}"
        found.append(_view("outside", f"http://{host}", "by KServe's rule; its status does not tell it yet"))
    if service.metadata.annotation(_STOP_ANNOTATION) == "true":
        found = [_view(view.scope, view.url, "stopped: nothing answers here") for view in found]
    once = {view.url: view for view in reversed(found)}
    return tuple(sorted(once.values(), key=lambda view: (view.scope != "inside", found.index(view))))


def _inside(service: InferenceService, mode: str) -> EndpointView:
    status = service.status
    url = _address(status.address.url) if status is not None and status.address is not None else ""
    if url:
        return _view("inside", url)
    name = service.metadata.name if mode in _KNATIVE else f"{service.metadata.name}-predictor"
    rule = f"http://{name}.{service.metadata.namespace}.{_CLUSTER_SUFFIX}"
    return _view("inside", rule, "by KServe's rule; its status does not tell it yet")


def _told(service: InferenceService, *, private: bool) -> list[EndpointView]:
    status = service.status
    if status is None:
        return []
    predictor = (status.components or {}).get("predictor")
    urls = [(status.url, "")]
    if predictor is not None:
        # With Gateway API every component has a route and a host of its own, to the same pods.
        second = "a second way in: an access policy has to cover it too" if status.url else ""
        # gRPC's address is written without a scheme too.
        grpc = predictor.grpc_url if "://" in predictor.grpc_url else f"grpc://{predictor.grpc_url}"
        urls += [(predictor.url, second), (predictor.rest_url, second), (grpc, "")]
    views = []
    for text, note in urls:
        url = _address(text)
        if not url:
            continue
        if _within_cluster(url):
            views.append(_view("inside", url))
        elif not private:
            views.append(_view("outside", url, note))
    return views


def _view(scope: str, url: str, note: str = "") -> EndpointView:
    return EndpointView(scope=scope, protocol=url.partition(":")[0], url=url, note=note)


def _address(text: str) -> str:
    """The text when it is an address of a host that is known how to speak to; else empty."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in _SCHEMES and is_host(parts.netloc) else ""


def _within_cluster(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.endswith((f".{_CLUSTER_SUFFIX}", ".svc"))
