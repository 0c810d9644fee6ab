"""From what runs back to the deployment file: what was applied comes out as it was written; what is lost is told."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.manifests import RuntimeInfo, build
from backend.serving.reversal import reverse
from backend.serving.reversal_fields import NOT_IN_MANIFEST, ROWS
from tests.fakes.demo_cluster import shared

DIGEST = "sha256:" + "4f" * 32
RUNTIME = RuntimeInfo(name="vllm-chat-1", namespace="models", formats=("vLLM",))


def _live(deployment: DeploymentFile, runtime: RuntimeInfo | None = RUNTIME) -> dict[str, Any]:
    """What a server makes of a file."""
    (live,) = build(deployment, runtime)
    live = copy.deepcopy(live)
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 3}
    return live | {"status": {"url": "http://x"}}


_NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_QUANTITIES = st.sampled_from(["1", "8", "500m", "48Gi"])
_ARGUMENTS = st.lists(st.sampled_from(["--model=org/m", "--revision=abc", "--x", "{{.Name}}"]), max_size=3)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_FILES = st.fixed_dictionaries(
    {
        "name": _NAMES,
        "namespace": _NAMES,
        "image": st.sampled_from(["vllm-openai", "nim/meta/llama", "something"]).map(
            lambda name: f"registry.example/{name}@{DIGEST}"
        ),
    },
    optional={
        "environment": st.just("production"),
        "model": _some(
            storageUri=st.sampled_from(["", "hf://org/model", "hf://org/model:rev", "pvc://weights/x", "s3://b/k"]),
            profile=st.sampled_from(["", "abc123"]),
            revision=st.sampled_from(["", "main", "0e9e39f2"]),
        ),
        "runtime": st.sampled_from(["custom", "vllm-chat-1", "nim-1"]),
        "modelFormat": st.sampled_from(["", "vLLM", "other"]),
        "mode": st.sampled_from(["Standard", "Knative"]),
        "resources": _some(
            gpu=st.integers(0, 8),
            gpuResource=st.sampled_from(["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu"]),
            cpu=_QUANTITIES,
            memory=_QUANTITIES,
            cpuLimit=_QUANTITIES,
            memoryLimit=_QUANTITIES,
            ephemeralStorage=_QUANTITIES,
        ),
        "workers": st.fixed_dictionaries(
            {"pipelineParallelSize": st.integers(1, 4), "tensorParallelSize": st.sampled_from([1, 2, 4, 8])}
        ),
        "replicas": _some(min=st.integers(0, 4), max=st.integers(1, 6)),
        "autoscaling": st.sampled_from(
            [
                {"class": "none"},
                {"class": "external"},
                {"class": "hpa"},
                {"class": "hpa", "metric": "memory", "target": 70},
                {"class": "keda", "serverAddress": "http://prometheus:9090", "value": "4"},
                {"class": "keda", "query": "sum(x)", "serverAddress": "http://p", "value": "1", "scaleDownSeconds": 60},
                {"metric": "rps", "target": 20, "concurrency": 4},
            ]
        ),
        "command": st.lists(st.sampled_from(["vllm", "serve"]), max_size=2),
        "args": _ARGUMENTS,
        "env": st.lists(
            st.sampled_from(
                [
                    {"name": "A", "value": ""},
                    {"name": "B", "value": "x"},
                    {"name": "HF_TOKEN", "secretKeyRef": {"name": "hf", "key": "token"}},
                    {"name": "STORAGE_URI", "value": "s3://own/x"},
                    {"name": "NIM_MODEL_PROFILE", "value": "p"},
                ]
            ),
            max_size=3,
        ),
        "nodeSelector": st.dictionaries(_NAMES, _NAMES, max_size=2),
        "tolerations": st.lists(
            st.sampled_from(
                [
                    {"key": "nvidia.com/gpu", "effect": "NoSchedule"},
                    {"key": "team"},
                    {"operator": "Exists"},
                ]
            ),
            max_size=2,
        ),
        "priorityClass": _NAMES,
        "topologySpread": st.lists(
            st.fixed_dictionaries({"topologyKey": st.sampled_from(["zone", "kubernetes.io/hostname"])}), max_size=1
        ),
        "imagePullSecrets": st.lists(_NAMES, max_size=2),
        "serviceAccount": _NAMES,
        "terminationGraceSeconds": st.integers(0, 600),
        "port": st.sampled_from([8000, 9000]),
        "timeout": st.sampled_from([60, 600, 3600]),
        "strategy": st.sampled_from(["", "Recreate", "RollingUpdate"]),
        "queue": st.just("gpus"),
        "visibility": st.sampled_from(["public", "cluster-local"]),
        "canary": st.just({"steps": [10, 50]}),
        "validation": st.just({"errorRate": 0.01}),
        "onFailure": st.just("rollback"),
        "shm": st.sampled_from(["16Gi", "1Gi"]),
        "health": _some(
            live=st.sampled_from(["", "/live", "/health"]),
            ready=st.sampled_from(["", "/ready"]),
            startupSeconds=st.sampled_from([1800, 600, 605]),
        ),
    },
)


@st.composite
def deployments(draw: st.DrawFn) -> DeploymentFile:
    """Files that hold: of what does not fit together, fields are left out."""
    values = draw(_FILES)
    while True:
        try:
            return DeploymentFile.model_validate(values)
        except ValidationError as error:
            location = error.errors()[0]["loc"]
            values = {key: value for key, value in values.items() if key != (location[0] if location else "workers")}


@settings(max_examples=60)
@given(deployments())
def test_what_was_applied_comes_out_as_it_was_written(deployment: DeploymentFile) -> None:
    found = reverse(_live(deployment), deployment, RUNTIME)
    assert found.deployment == deployment
    assert found.lost == ()
    assert found.deployment is not None and parse(to_yaml(found.deployment)) == deployment


@settings(max_examples=60)
@given(deployments())
def test_without_a_file_of_ours_the_file_that_comes_out_makes_the_same(deployment: DeploymentFile) -> None:
    found = reverse(_live(deployment), None, RUNTIME)
    assert found.deployment is not None
    if not found.lost:
        assert reverse(_live(found.deployment), None, RUNTIME).lost == ()
        assert _unordered(build(found.deployment, RUNTIME)) == _unordered(build(deployment, RUNTIME))


@settings(max_examples=30)
@given(deployments(), deployments())
def test_what_others_changed_is_in_the_file_or_told(one: DeploymentFile, other: DeploymentFile) -> None:
    found = reverse(_live(one), other, RUNTIME)
    assert found.deployment is not None
    if not found.lost:
        assert _unordered(build(found.deployment, RUNTIME)) == _unordered(build(one, RUNTIME))


def _unordered(manifests: list[dict[str, Any]]) -> str:
    """With variables by name: their order means nothing where none names another."""

    def sorted_env(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: sorted(held, key=lambda one: str(one["name"])) if key == "env" else sorted_env(held)
                for key, held in value.items()
            }
        return [sorted_env(one) for one in value] if isinstance(value, list) else value

    return yaml.safe_dump(sorted_env(manifests), sort_keys=True)


def test_every_field_of_the_file_has_a_place_in_the_table() -> None:
    tops = {(field.alias or name) for name, field in DeploymentFile.model_fields.items()}
    outside = {DeploymentFile.model_fields[name].alias or name for name in NOT_IN_MANIFEST}
    assert {row.partition(".")[0] for row in ROWS} | outside == tops
    for name, field in DeploymentFile.model_fields.items():
        tables = [
            one
            for one in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if hasattr(one, "model_fields")
        ]
        alias = field.alias or name
        if name in NOT_IN_MANIFEST or not tables or str(field.annotation).startswith("tuple"):
            continue
        leaves = {f"{alias}.{one.alias or key}" for key, one in tables[0].model_fields.items()}
        assert leaves == {row for row in ROWS if row.startswith(f"{alias}.")}, alias


@pytest.mark.parametrize(
    ("file", "kinds"),
    [("a-vllm-chat.yaml", 1), ("b-nim-llm.yaml", 1), ("c-triton-trtllm.yaml", 1), ("d-embed-rerank.yaml", 2)],
)
def test_services_that_others_wrote_are_told_as_far_as_words_go(file: str, kinds: int) -> None:
    path = shared("manifests") / file
    if not path.is_file():
        pytest.skip(f"the manifests are not at {path}")
    services = [
        one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one["kind"] == "InferenceService"
    ]
    assert len(services) == kinds
    for service in services:
        image = f"registry.example/engine@{DIGEST}"
        found = reverse(service, None, None, image)
        assert (
            found.deployment is not None
            and found.deployment.runtime == service["spec"]["predictor"]["model"]["runtime"]
        )
        # The image comes from the runtime, and a file pins it in the service.
        assert any("model.image" in line for line in found.lost)


def _custom() -> dict[str, Any]:
    return _live(parse(f"name: x\nnamespace: models\nimage: registry.example/vllm@{DIGEST}\n"))


def test_what_the_file_has_no_words_for_is_told_plainly() -> None:
    live = _custom()
    live["metadata"]["annotations"] |= {"team": "nlp", "serving.kserve.io/stop": "true"}
    live["spec"]["transformer"] = {"containers": [{"name": "t", "image": "r/t:1"}]}
    container = live["spec"]["predictor"]["containers"][0]
    container["env"] = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "HF_TOKEN", "value": "hf_plain_secret"},
    ]
    container["livenessProbe"]["timeoutSeconds"] = 1
    del live["spec"]["predictor"]["timeout"]
    found = reverse(live)
    told = "\n".join(found.lost)
    assert found.deployment is not None
    for words in (
        "team: nlp",
        "stopped",
        "transformer",
        "env[POD]",
        "HF_TOKEN",
        "timeoutSeconds: it is 1",
        "timeout: it is not set",
    ):
        assert words in told, words
    assert "hf_plain_secret" not in told


def test_an_image_by_tag_or_a_runtime_of_no_name_makes_no_file() -> None:
    live = _custom()
    live["spec"]["predictor"]["containers"][0]["image"] = "registry.example/vllm:1"
    found = reverse(live)
    assert found.deployment is None and "digest" in found.lost[0]
    auto = _custom()
    auto["spec"]["predictor"] = {"model": {"modelFormat": {"name": "vLLM"}, "image": f"r.example/i@{DIGEST}"}}
    assert reverse(auto).deployment is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["metadata", "spec", "predictor", "model", "containers", "name", "env", "minReplicas", "image"]
                ),
                inner,
            )
        ),
        max_leaves=25,
    )
)
def test_no_object_is_too_strange_to_be_read(value: Any) -> None:
    live = value if isinstance(value, dict) else {"spec": value}
    assert reverse(live).lost is not None
