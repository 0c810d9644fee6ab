"""Prometheus queries that scale a service by what its model servers do: made, and looked at for their reach. Pure.

A bare metric's name counts every service of the cluster, so that each would scale by the load of all. A query is scoped
by the namespace and by what tells the service there. Metric names are those of the reference page on GPUs and model
servers, "Model servers"; the label `model_name` holds the served model's name in vLLM and SGLang.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from backend.serving.arguments import option
from backend.serving.deployment import DeploymentFile
from backend.serving.engines import NIM, SGLANG, TGI, TRITON, VLLM, Engine, engine_of

#: What runs and what waits at a model server, and whether its series tell the model's name.
_METRICS: Final[dict[str, tuple[tuple[str, ...], bool]]] = {
    VLLM.name: (("vllm:num_requests_running", "vllm:num_requests_waiting"), True),
    SGLANG.name: (("sglang:num_running_reqs", "sglang:num_queue_reqs"), True),
    # A NIM's model_name is the model's own, the same for every service of it; its pods are not.
    NIM.name: (("num_requests_running", "num_requests_waiting"), False),
    TGI.name: (("tgi_batch_current_size", "tgi_queue_size"), False),
    TRITON.name: (("nv_inference_pending_request_count",), False),
}
_SERVICE_LABELS: Final = (
    "model_name", "model", "pod", "service", "job", "container", "app", "inferenceservice", "exported_pod",
    "label_serving_kserve_io_inferenceservice", "serving_kserve_io_inferenceservice", "isvc", "isvc_name", "name",
)  # fmt: skip
# PromQL: what stands in quotes, a selector's braces, a name and what follows it.
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
_TOKEN: Final = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)?\s*(\{[^{}]*\})|([A-Za-z_:][A-Za-z0-9_:]*)(\s*\()?")
_MATCHER: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!=|!~|=)\s*#q(\d+)#")
_GROUPING: Final = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_WORDS: Final = frozenset(
    {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "inf",
     "nan", "start", "end", "atan2"}
)  # fmt: skip
_DURATION: Final = re.compile(r"\[[^\]]*\]|\b\d[0-9a-z_.]*")


def keda_query(deployment: DeploymentFile) -> str:
    """What runs and waits at the model servers of this service, summed over its replicas."""
    engine = engine_of(deployment.image, "" if deployment.own_containers else deployment.runtime)
    metrics, named = _METRICS.get(engine.name, _METRICS[VLLM.name])
    where = f'namespace="{deployment.namespace}",{_service_matcher(deployment, engine if named else None)}'
    return " + ".join(f"sum({metric}{{{where}}})" for metric in metrics)


def _service_matcher(deployment: DeploymentFile, named: Engine | None) -> str:
    if named is None:
        return f'pod=~"{deployment.name}-predictor-.+"'
    return f'model_name="{served_name(deployment)}"'


def served_name(deployment: DeploymentFile) -> str:
    """The name by which callers ask for the model: of the arguments, else the service's, as our runtimes set it."""
    told = option(deployment, "--served-model-name")
    return deployment.name if not told or "{{" in told else told


def unscoped(query: str, namespace: str) -> str:
    """Why a query reaches beyond one service, in a sentence; empty when every series that it reads is scoped.

    Args:
        namespace: of the service; a query of another namespace, such as that of the gateway, is scoped all the same
            when it names the service.
    """
    texts: list[str] = []

    def kept(match: re.Match[str]) -> str:
        texts.append(match.group()[1:-1])
        return f"#q{len(texts) - 1}#"

    # Quoted texts become numbers first, so that nothing inside them is read as a name.
    plain = _GROUPING.sub(" ", _DURATION.sub(" ", _QUOTED.sub(kept, query)))
    for metric, labels in _selectors(plain):
        matchers = {
            name: texts[int(number)]
            for name, operator, number in _MATCHER.findall(labels)
            if operator in {"=", "=~"} and texts[int(number)] not in {"", ".*", ".+"}
        }
        metric = metric or matchers.get("__name__", "the selector")
        if not any(name.endswith("namespace") for name in matchers):
            return f'{metric} counts every namespace: write {metric}{{namespace="{namespace}",...}}'
        if not any(name in matchers for name in _SERVICE_LABELS):
            return f"{metric} counts every service of the namespace: add model_name or pod"
    return ""


def _selectors(plain: str) -> Iterator[tuple[str, str]]:
    """Every metric that a query reads, with what stands in its braces."""
    for match in _TOKEN.finditer(plain):
        name, labels, bare, call = match.groups()
        if labels is not None:
            yield name or "", labels
        elif call is None and bare.lower() not in _WORDS:
            yield bare, ""
