"""Every rule of KServe's webhook, each by whatever breaks it; and that whatever a file can say breaks none of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import UsageError
from backend.demo.kubernetes.schemas import custom_schema
from backend.demo.kubernetes.validation import schema_causes, typed_problems
from backend.demo.resources import INFERENCE_SERVICES
from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.form_fields import check_form, values_of
from backend.serving.manifests import RuntimeInfo, build
from backend.serving.queries import keda_query, served_name, unscoped
from backend.serving.rules import check

DIGEST = "sha256:" + "4f" * 32
_NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
_QUANTITIES = st.sampled_from(["1", "8", "500m", "48Gi", "1.5"])
_LABELS = st.from_regex(r"[a-z]([a-z0-9.-]{0,10}[a-z0-9])?", fullmatch=True)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_AUTOSCALING = st.one_of(
    st.just({"class": "none"}),
    st.just({"class": "external"}),
    st.builds(
        lambda rest: {"class": "hpa", **rest},
        _some(metric=st.sampled_from(["cpu", "memory"]), target=st.integers(1, 100)),
    ),
    st.builds(
        lambda rest: {"class": "keda", "serverAddress": "http://p:9090", "value": "4", **rest},
        _some(query=st.just('sum(x{namespace="a",pod="b"})'), scaleDownSeconds=st.integers(0, 3600)),
    ),
    _some(metric=st.sampled_from(["concurrency", "rps"]), target=st.integers(1, 100), concurrency=st.integers(0, 9)),
)
_FILES = st.fixed_dictionaries(
    {"name": _NAMES, "namespace": _NAMES, "image": st.just(f"r.example/vllm-openai@{DIGEST}")},
    optional={
        "model": _some(storageUri=st.sampled_from(["", "pvc://a/b", "hf://a/b", "s3://c"]), revision=_NAMES),
        "runtime": st.sampled_from(["vllm", "custom"]),
        "mode": st.sampled_from(["Standard", "Knative"]),
        "resources": _some(
            gpu=st.integers(0, 8),
            gpuResource=st.sampled_from(["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu"]),
            cpu=_QUANTITIES,
            memory=_QUANTITIES,
            ephemeralStorage=_QUANTITIES,
        ),
        "workers": st.fixed_dictionaries(
            {"pipelineParallelSize": st.integers(1, 4), "tensorParallelSize": st.integers(1, 8)}
        ),
        "replicas": _some(min=st.integers(0, 4), max=st.integers(1, 9)),
        "autoscaling": _AUTOSCALING,
        "args": st.lists(st.sampled_from(["--model=a/b", "--port=8000"]), max_size=2),
        "env": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {"name": st.sampled_from(["A", "PYTHONPATH", "B"]), "value": st.text(max_size=5)}
                ),
                st.just({"name": "HF_TOKEN", "secretKeyRef": {"name": "hf", "key": "t"}}),
            ),
            max_size=2,
        ),
        "nodeSelector": st.dictionaries(_LABELS, _LABELS, max_size=2),
        "tolerations": st.lists(
            _some(key=_LABELS, operator=st.sampled_from(["Exists", "Equal"]), value=_LABELS), max_size=2
        ),
        "priorityClass": _NAMES,
        "queue": _NAMES,
        "topologySpread": st.lists(st.fixed_dictionaries({"topologyKey": _LABELS}), max_size=2),
        "serviceAccount": _NAMES,
        "terminationGraceSeconds": st.integers(0, 900),
        "strategy": st.sampled_from(["", "Recreate", "RollingUpdate"]),
        "visibility": st.sampled_from(["public", "cluster-local"]),
        "canary": _some(steps=st.lists(st.integers(1, 99), max_size=3, unique=True).map(sorted)),
        "validation": _some(latency=st.just("2s"), errorRate=st.floats(0, 1), window=st.just("5m")),
        "onFailure": st.sampled_from(["propose", "rollback"]),
    },
)


@settings(max_examples=150)
@given(_FILES)
def test_whatever_a_file_can_say_kserve_takes_and_reads_back_the_same(tree: dict[str, Any]) -> None:
    """Either the file is refused with a reason, or its manifest passes the webhook's rules and the CRD's schema."""
    try:
        file = parse(yaml.safe_dump(tree))
    except UsageError as error:
        assert error.why
        return
    assert parse(to_yaml(file)) == file
    checked = check_form(values_of(file), to_yaml(file))
    assert (checked.problems, parse(checked.deployment)) == ((), file), "the form says the same"
    (manifest,) = build(file, RuntimeInfo(name="vllm", namespace="", formats=("vLLM",)))
    assert check(manifest) == ()
    assert [*typed_problems(_SCHEMA, manifest), *schema_causes(_SCHEMA, manifest)] == []


_SCHEMA = custom_schema(INFERENCE_SERVICES)


# ------------------------------------------------------------ each rule, by whatever breaks it


def _good(runtime: bool = False, autoscaler: str = "none", mode: str = "Standard") -> dict[str, Any]:
    image = f"r.example/x@{DIGEST}"
    predictor: dict[str, Any] = {"containers": [{"name": "kserve-container", "image": image}]}
    if runtime:
        predictor = {"model": {"modelFormat": {"name": "x"}, "runtime": "r", "image": image, "storageUri": "pvc://a/b"}}
    annotations = {"serving.kserve.io/deploymentMode": mode}
    if mode == "Standard":
        annotations["serving.kserve.io/autoscalerClass"] = autoscaler
    return {
        "metadata": {"name": "x", "namespace": "y", "annotations": annotations},
        "spec": {"predictor": predictor},
    }


def _set(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(manifest)
    *parents, last = path.split("/")
    place: Any = changed
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    place[last] = value
    return changed


_BELOW_ONE = st.integers(-1000, 0)
_PERCENT_WRONG = st.integers(-1000, 0) | st.integers(101, 10_000)
_WORKER = {"pipelineParallelSize": 2, "tensorParallelSize": 8, "containers": [{"name": "worker-container"}]}


def _with_worker() -> dict[str, Any]:
    return _set(_good(runtime=True), "spec/predictor/workerSpec", copy.deepcopy(_WORKER))


_RULES: dict[str, tuple[Callable[[], dict[str, Any]], str, st.SearchStrategy[Any], str]] = {
    "name pattern": (
        _good,
        "metadata/name",
        st.from_regex(r"[A-Z0-9-][a-z]*", fullmatch=True) | st.sampled_from(["a.b", "a_b", "a-", ""]),
        "metadata.name",
    ),
    "name length": (_good, "metadata/name", st.integers(49, 90).map(lambda n: "n" * n), "metadata.name"),
    "name and namespace": (_good, "metadata/namespace", st.integers(52, 63).map(lambda n: "n" * n), "metadata.name"),
    "autoscaler class": (
        _good,
        "metadata/annotations/serving.kserve.io~autoscalerClass",
        st.text(max_size=8).filter(lambda text: text not in {"hpa", "external", "keda", "none"}),
        "metadata.annotations[serving.kserve.io/autoscalerClass]",
    ),
    "negative replicas": (_good, "spec/predictor/minReplicas", st.integers(-99, -1), "spec.predictor.minReplicas"),
    "HPA target": (
        lambda: _good(autoscaler="hpa"), "spec/predictor/scaleTarget", _PERCENT_WRONG, "spec.predictor.scaleTarget",
    ),
    "HPA metric": (
        lambda: _good(autoscaler="hpa"), "spec/predictor/scaleMetric",
        st.sampled_from(["concurrency", "rps", "gpu", ""]), "spec.predictor.scaleMetric",
    ),
    "HPA source": (
        lambda: _good(autoscaler="hpa"), "spec/predictor/autoScaling",
        st.sampled_from(["External", "PodMetric", "x"]).map(lambda kind: {"metrics": [{"type": kind}]}),
        "spec.predictor.autoScaling.metrics[0]",
    ),
    "KEDA metric": (
        lambda: _good(autoscaler="keda"), "spec/predictor/scaleMetric", st.sampled_from(["cpu", "rps"]),
        "spec.predictor.scaleMetric",
    ),
    "KEDA query": (
        lambda: _good(autoscaler="keda"), "spec/predictor/autoScaling",
        st.sampled_from([{}, {"metric": {"query": ""}, "target": {"value": "1"}}, {"metric": {"query": "x"}}]).map(
            lambda external: {"metrics": [{"type": "External", "external": external}]}
        ),
        "spec.predictor.autoScaling.metrics[0].external",
    ),
    "KEDA resource": (
        lambda: _good(autoscaler="keda"), "spec/predictor/autoScaling",
        st.sampled_from(["AverageValue", "Value", ""]).map(
            lambda kind: {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": kind}}}]}
        ),
        "spec.predictor.autoScaling.metrics[0].resource.target.type",
    ),
    "Knative metric": (
        lambda: _good(mode="Knative"), "spec/predictor/scaleMetric", st.sampled_from(["cpu", "memory"]),
        "spec.predictor.scaleMetric",
    ),
    "strategy outside Standard": (
        lambda: _good(mode="Knative"), "spec/predictor/deploymentStrategy",
        st.sampled_from([{}, {"type": "Recreate"}, {"type": "RollingUpdate"}]), "spec.predictor.deploymentStrategy",
    ),
    "PYTHONPATH": (
        _good, "spec/predictor/initContainers",
        st.text(max_size=5).map(lambda v: [{"name": "i", "env": [{"name": "PYTHONPATH", "value": v}]}]),
        "spec.predictor.initContainers[0].env",
    ),
    "one implementation": (
        _good, "spec/predictor/model", st.just({"modelFormat": {"name": "x"}}), "spec.predictor",
    ),
    "canary sum": (
        _good, "spec/canary",
        st.lists(st.integers(34, 100), min_size=3, max_size=5).map(lambda each: [{"trafficPercent": n} for n in each]),
        "spec.canary",
    ),
    "canary that scales": (
        _good, "spec/canary",
        st.sampled_from(["maxReplicas", "autoScaling"]).map(lambda key: [{"predictor": {key: {"a": 1}}}]),
        "spec.canary[0].predictor",
    ),
    "worker sizes": (
        _with_worker, "spec/predictor/workerSpec/pipelineParallelSize", _BELOW_ONE,
        "spec.predictor.workerSpec.pipelineParallelSize",
    ),
    "worker containers": (
        _with_worker, "spec/predictor/workerSpec/containers", st.integers(2, 4).map(lambda n: [{"name": "c"}] * n),
        "spec.predictor.workerSpec.containers",
    ),
    "worker weights": (
        _with_worker, "spec/predictor/model/storageUri", st.sampled_from(["hf://a/b", "s3://a", "", None]),
        "spec.predictor.model.storageUri",
    ),
    "worker variables": (
        _with_worker, "spec/predictor/model/env",
        st.sampled_from(["PIPELINE_PARALLEL_SIZE", "TENSOR_PARALLEL_SIZE"]).map(lambda name: [{"name": name}]),
        "spec.predictor.model.env",
    ),
    "worker GPUs": (
        _with_worker, "spec/predictor/model/resources",
        st.sampled_from(["nvidia.com/mig-1g.10gb", "custom.com/gpu"]).map(lambda name: {"limits": {name: "1"}}),
        "spec.predictor.model.resources.limits",
    ),
    "two sources of weights": (
        lambda: _good(runtime=True), "spec/predictor/storageUris", st.just([{"uri": "pvc://a", "mountPath": "/mnt/a"}]),
        "spec.predictor.storageUris",
    ),
    "mount paths": (
        _good, "spec/predictor/storageUris",
        st.sampled_from(["/", "a/b", "/a/../b"]).map(lambda path: [{"uri": "pvc://a", "mountPath": path}]),
        "spec.predictor.storageUris[0].mountPath",
    ),
    "name of a model": (
        lambda: _good(runtime=True), "spec/predictor/model/name", _NAMES, "spec.predictor.model.name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", sorted(_RULES))
@settings(max_examples=25)
@given(data=st.data())
def test_each_rule_refuses_whatever_breaks_it(rule: str, data: st.DataObject) -> None:
    good, path, values, field = _RULES[rule]
    assert check(good()) == ()
    parts = path.replace("serving.kserve.io~", "serving.kserve.io\0")
    broken = _set(good(), parts, data.draw(values))
    broken = _restored(broken)
    assert any(violation.field.startswith(field) and violation.why for violation in check(broken))


def _restored(manifest: dict[str, Any]) -> dict[str, Any]:
    """Annotations have slashes in their keys, which a path has not."""
    annotations = manifest["metadata"]["annotations"]
    manifest["metadata"]["annotations"] = {key.replace("\0", "/"): value for key, value in annotations.items()}
    return manifest


# ------------------------------------------------------------ queries


@given(_NAMES, _NAMES, st.sampled_from(["vllm-openai", "sglang", "text-generation-inference", "nim/x", "tritonserver"]))
def test_the_query_that_is_made_reaches_this_service_alone(name: str, namespace: str, image: str) -> None:
    file = DeploymentFile.model_validate(
        {"name": name, "namespace": namespace, "image": f"r.example/{image}@{DIGEST}", "mode": "Knative"}
    )
    query = keda_query(file)
    assert unscoped(query, namespace) == ""
    assert f'namespace="{namespace}"' in query
    assert name in query


@given(st.text(max_size=200))
def test_no_query_breaks_the_look_at_its_reach(query: str) -> None:
    assert isinstance(unscoped(query, "n"), str)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sum(vllm:num_requests_running)", "counts every namespace"),
        ('sum(vllm:num_requests_running{model_name="x"})', "counts every namespace"),
        ('sum(vllm:num_requests_running{namespace="n"})', "counts every service"),
        ('sum(a{namespace="n",pod=~"x-.*"}) + sum(b)', "b counts every namespace"),
        ('sum(a{namespace=~".+",pod="x"})', "counts every namespace"),
        ('sum(a{namespace!="n",pod="x"})', "counts every namespace"),
        ('sum by (model_name) (rate(a{namespace="n",service="x"}[5m:1m] offset 5m)) / 3e4 > bool 2', ""),
        ('count({__name__="up",namespace="n",job="x"}) or vector(0)', ""),
        ('a{namespace="n",pod="} + b"}', ""),
    ],
)
def test_the_reach_of_a_query_is_told(query: str, words: str) -> None:
    told = unscoped(query, "n")
    assert words in told if words else told == ""


def test_the_served_name_is_that_of_the_arguments() -> None:
    base = {"name": "chat", "namespace": "n", "image": f"r.example/vllm@{DIGEST}"}
    for args, name in (
        ([], "chat"), (["--served-model-name=x"], "x"), (["--served-model-name", "y"], "y"),
        (["--served-model-name={{.Name}}"], "chat"), (["--served-model-name"], "chat"),
    ):  # fmt: skip
        assert served_name(DeploymentFile.model_validate({**base, "args": args})) == name


# ------------------------------------------------------------ the worked examples

_IMAGE = f"registry.example/vllm-openai@{DIGEST}"
_VLLM = f"namespace: models\nimage: {_IMAGE}\nruntime: vllm\nmodelFormat: vLLM\n"
_LIMITS = "resources: {gpu: 1, cpu: 4, cpuLimit: 8, memory: 32Gi, memoryLimit: 48Gi}\n"
#: For each InferenceService of the examples the file that says the same, and what of the example it cannot say.
_EXAMPLES: dict[str, str] = {
    "llama-chat": (
        f"name: llama-chat\n{_VLLM}{_LIMITS}args: [--model=meta-llama/Llama-3.1-8B-Instruct]\n"
        "model: {revision: 0e9e39f249a16976918f6564b8830bc894c89659}\n"
        "env: [{name: HF_TOKEN, secretKeyRef: {name: hf-secret, key: HF_TOKEN}}]\n"
    ),
    "llama-31-8b-nim": (
        f"name: llama-31-8b-nim\nnamespace: models\nimage: nvcr.io/nim/meta/llama-3.1-8b-instruct@{DIGEST}\n"
        "runtime: nvidia-nim-llama-3.1-8b-instruct-1.3.3\nmodelFormat: nvidia-nim-llama-3.1-8b-instruct\n"
        "resources: {gpu: 1}\n"
    ),
    "trtllm-triton": (
        f"name: trtllm-triton\nnamespace: models\nimage: nvcr.io/nvidia/tritonserver@{DIGEST}\nruntime: triton-trtllm\n"
        f"modelFormat: triton\nmodel: {{storageUri: 'pvc://trtllm-repo/llama'}}\n{_LIMITS}"
    ),
    "bge-embed": (
        f"name: bge-embed\n{_VLLM}args: [--model=BAAI/bge-m3, --runner=pooling]\n"
        "resources: {gpu: 1, cpu: 2, cpuLimit: 4, memory: 12Gi, memoryLimit: 16Gi}\n"
    ),
    "bge-rerank": (
        f"name: bge-rerank\n{_VLLM}args: [--model=BAAI/bge-reranker-v2-m3, --runner=pooling]\n"
        "resources: {gpu: 1, cpu: 2, cpuLimit: 4, memory: 12Gi, memoryLimit: 16Gi}\n"
    ),
    "custom-llm": (
        "name: custom-llm\nnamespace: models\n"
        "image: registry.example/trtllm@sha256:4444444444444444444444444444444444444444444444444444444444444444\n"
        "command: [trtllm-serve]\nargs: [meta-llama/Llama-3.1-8B-Instruct, --host=0.0.0.0, --port=8000]\nshm: 8Gi\n"
        "env: [{name: HF_TOKEN, secretKeyRef: {name: hf-secret, key: HF_TOKEN}}]\nimagePullSecrets: [registry-cred]\n"
        f"health: {{live: /health, ready: /health}}\n{_LIMITS}"
    ),
    # Its `spec.canary` is no part of a file, which tells how a rollout goes on, not two models side by side.
    "llama-canary": (
        f"name: llama-canary\n{_VLLM}args: [--model=org/m1]\nresources: {{gpu: 1}}\nreplicas: {{min: 4}}\n"
        "canary: {steps: [25]}\n"
    ),
    "llama-keda": (
        f"name: llama-keda\n{_VLLM}args: [--model=org/m1]\nresources: {{gpu: 1}}\nreplicas: {{min: 1, max: 5}}\n"
        "autoscaling: {class: keda, serverAddress: 'http://prometheus.monitoring:9090', value: 4,"
        " scaleDownSeconds: 600}\n"
    ),
}


def _lacking(theirs: Any, ours: Any, where: str = "") -> list[str]:
    """What an example says and our manifest does not; ours may say more."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            line
            for key, value in theirs.items()
            for line in (_lacking(value, ours[key], f"{where}.{key}") if key in ours else [f"{where}.{key}"])
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [
            line
            for position, (one, other) in enumerate(zip(theirs, ours, strict=True))
            for line in _lacking(one, other, f"{where}[{position}]")
        ]
    return [] if theirs == ours else [f"{where}: {theirs!r} is {ours!r}"]


def test_the_worked_examples_can_be_said_in_a_file(shared: Path) -> None:
    """All of each example's spec, but for Standard mode's second predictor of a canary."""
    seen = set()
    for file in sorted((shared / "manifests").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if document["kind"] != "InferenceService":
                continue
            name = document["metadata"]["name"]
            (built,) = build(parse(_EXAMPLES[name]))
            assert [*typed_problems(_SCHEMA, built), *schema_causes(_SCHEMA, built)] == []
            assert check(built) == ()
            lacking = _lacking(document["spec"], built["spec"])
            assert lacking == ([".canary"] if name == "llama-canary" else []), name
            assert _lacking(document["metadata"], built["metadata"]) == []
            seen.add(name)
    assert seen == set(_EXAMPLES)
