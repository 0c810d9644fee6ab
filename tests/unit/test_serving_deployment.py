"""Deployment files, the manifests they become, and KServe's rules: what is refused is told with its line and reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import UsageError
from backend.serving.cautions import cautions, not_fixed
from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.drafts import draft, name_for
from backend.serving.manifests import RuntimeInfo, build
from backend.serving.rules import check
from tests.fakes.serving_objects import runtime as serving_runtime

DIGEST = "sha256:" + "4f" * 32
EXAMPLE = f"""\
name: llama-chat
namespace: llm-prod
image: nvcr.io/nim/meta/llama-3.1-8b-instruct@{DIGEST}
model: {{storageUri: "", profile: "", revision: ""}}   # what fixes the weights
runtime: nim-1.8
mode: Standard
resources: {{gpu: 1, gpuResource: nvidia.com/gpu, cpu: "8", memory: 48Gi}}
replicas: {{min: 1, max: 3}}
autoscaling: {{class: none}}
"""
OWN = f"name: chat\nnamespace: models\nimage: registry.example/vllm-openai@{DIGEST}\n"
WORKERS = (
    OWN
    + "model: {storageUri: 'pvc://m/x'}\nruntime: vllm\nworkers: {pipelineParallelSize: 2, tensorParallelSize: 8}\n"
    + "resources: {gpu: 8}\n"
)
EVERYTHING = f"""\
name: llama-chat
namespace: llm-prod
environment: production
image: r.example/vllm-openai@{DIGEST}
model: {{storageUri: 'hf://a/b', revision: r1}}
runtime: vllm
modelFormat: vLLM
resources: {{gpu: 2, gpuResource: nvidia.com/mig-3g.40gb, cpu: 4, cpuLimit: 8, memory: 32Gi, memoryLimit: 48Gi,
  ephemeralStorage: 100Gi}}
replicas: {{min: 1, max: 5}}
autoscaling: {{class: keda, serverAddress: 'http://prometheus.monitoring:9090', value: 4, scaleDownSeconds: 600}}
nodeSelector: {{nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, zone: 1, spot: true}}
tolerations: [{{key: dedicated, operator: Equal, value: llm, effect: NoSchedule}}]
priorityClass: high
topologySpread: [{{topologyKey: topology.kubernetes.io/zone, maxSkew: 2}}]
serviceAccount: chat
terminationGraceSeconds: 300
visibility: cluster-local
validation: {{latency: 2s, errorRate: 0.01, window: 5m}}
onFailure: rollback
"""


def _predictor(text: str, runtime: RuntimeInfo | None = None) -> dict[str, Any]:
    predictor: dict[str, Any] = build(parse(text), runtime)[0]["spec"]["predictor"]
    return predictor


def test_the_designs_example_is_read() -> None:
    file = parse(EXAMPLE)
    assert (file.name, file.namespace, file.runtime) == ("llama-chat", "llm-prod", "nim-1.8")
    assert file.resources.gpu == 1
    assert file.replicas.max == 3


def test_what_is_written_reads_back_the_same() -> None:
    canary = OWN + "mode: Knative\ncanary: {steps: [10, 50], hold: 90s}\nautoscaling: {metric: rps, target: 5}\n"
    for text in (
        EXAMPLE,
        OWN,
        WORKERS,
        EVERYTHING,
        canary,
        OWN + "env: [{name: A, value: b}]\nport: 9000\nnodeSelector: {a: b}\nshm: 1Gi\n",
    ):
        assert parse(to_yaml(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (EXAMPLE.replace("runtime:", "runtim:"), 5, "did you mean 'runtime'"),
        (EXAMPLE.replace("gpu: 1", "gpus: 1"), 7, "did you mean 'gpu'"),
        (EXAMPLE.replace("gpu: 1", "gpu: many"), 7, "resources.gpu"),
        (EXAMPLE.replace("class: none", "class: kpa"), 9, "autoscaling.class"),
        (EXAMPLE + "name: again\n", 10, "twice"),
        (EXAMPLE.replace("llama-chat", "Llama_Chat"), 1, "lower-case"),
        (EXAMPLE.replace("llama-chat", "l" * 49), 1, "48 characters"),
        (EXAMPLE.replace("llama-chat", "l" * 45), 1, "together"),
        (EXAMPLE.replace(f"@{DIGEST}", ":1.8"), 3, "by its digest only"),
        (EXAMPLE.replace("nvcr.io/", "ngc/"), 3, "is no host"),
        (EXAMPLE.replace("min: 1, max: 3", "min: 4, max: 3"), 8, "greater than max"),
        (EXAMPLE.replace("48Gi", "48 GB"), 7, "quantity"),
        (EXAMPLE.replace('storageUri: ""', "storageUri: ftp://x/y"), 4, "hf and ://"),
        (EXAMPLE.replace("mode: Standard", "mode: Knative\nstrategy: Recreate"), 7, "outside Standard"),
        (OWN + "env:\n- {name: HF_TOKEN, value: abc}\n", 5, "use secretKeyRef"),
        (OWN + "env:\n- {name: PYTHONPATH, value: /x}\n", 5, "PYTHONPATH"),
        (OWN + "env:\n- {name: A}\n", 5, "either value or secretKeyRef"),
        (OWN + "env: [{name: A, value: b}, {name: A, value: c}]\n", 4, "same variable twice"),
        (OWN + "autoscaling: {class: hpa, target: 101}\n", 4, "target"),
        (OWN + "autoscaling: {class: keda, query: x}\n", 4, "needs serverAddress (of Prometheus) and value"),
        (OWN + "autoscaling: {class: none, metric: cpu}\n", 4, "belong to class hpa"),
        (OWN + "autoscaling: {class: hpa, metric: rps}\n", 4, "by cpu or memory"),
        (OWN + "autoscaling: {class: hpa}\nreplicas: {min: 0, max: 2}\n", 4, "silently makes"),
        (OWN + "autoscaling: {class: keda, value: 4, serverAddress: 'http://p'}\nreplicas: {min: 0}\n", 4, "to wake"),
        (OWN + "mode: Knative\nautoscaling: {metric: cpu}\n", 5, "by concurrency or rps"),
        (OWN + "autoscaling: {concurrency: 4}\n", 4, "belongs to Knative"),
        (OWN + "strategy: Recreate\nreplicas: {min: 2}\n", 4, "for one replica only"),
        (OWN + "resources: {gpu: 1, gpuResource: nvidia.com/mig-big}\n", 4, "no MIG profile"),
        (OWN + "resources: {cpuLimit: 4}\n", 4, "needs cpu beside"),
        (OWN + "priorityClass: High!\n", 4, "no name of a Kubernetes object"),
        (OWN + "tolerations: [{operator: Exists, value: x}]\n", 4, "operator: Equal"),
        (OWN + "topologySpread: [{topologyKey: 'a b'}]\n", 4, "no key of a label"),
        (OWN + "topologySpread: [{topologyKey: z}, {topologyKey: z}]\n", 4, "twice"),
        (OWN + "canary: {steps: [50, 10]}\n", 4, "rise from one to the next"),
        (OWN + "canary: {steps: [100]}\n", 4, "canary.steps.0"),
        (OWN + "canary: {steps: [10], hold: soon}\n", 4, "duration"),
        (OWN + "canary: {steps: [10]}\nautoscaling: {class: hpa}\n", 4, "scales by itself"),
        (OWN + "validation: {errorRate: 2}\n", 4, "errorRate"),
        (OWN + "onFailure: panic\n", 4, "onFailure"),
        (OWN + "visibility: secret\n", 4, "visibility"),
        (OWN + "workers: {pipelineParallelSize: 2, tensorParallelSize: 8}\n", 4, "by a runtime only"),
        (WORKERS.replace("gpu: 8", "gpu: 3"), 6, "divisor of 16"),
        (WORKERS.replace("pvc://m", "hf://m"), 6, "pvc:// or oci://"),
        (WORKERS.replace("gpu: 8", "gpu: 8, gpuResource: nvidia.com/mig-1g.10gb"), 6, "refuses nvidia.com/mig"),
        (WORKERS + "mode: Knative\n", 6, "Standard mode only"),
        (WORKERS + "env: [{name: TENSOR_PARALLEL_SIZE, value: '8'}]\n", 8, "set by workers"),
        (WORKERS + "autoscaling: {class: hpa}\n", 8, "does not scale"),
        ("name: [\n", 2, "not YAML"),
        ("a: &x [1]\nb: *x\n", 1, "anchors"),
        ("- 1\n", None, "no table"),
        ("", None, "no table"),
        ("namespace: a\n", 1, "'name' is missing"),
        ("? [a]\n: b\n", 1, "no plain text"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("[" * 5000, 1, "nests deeper"),
        ("x: " + "9" * 5000, None, "cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "chat.yaml")
    where = "chat.yaml" if line is None else f"chat.yaml:{line}"
    assert caught.value.what == where, str(caught.value)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_secret_in_plain_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(UsageError) as caught:
        parse(OWN + "env:\n- {name: HF_TOKEN, value: hf_very_secret}\n")
    assert "hf_very_secret" not in str(caught.value)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading(text: str) -> None:
    try:
        parse(text)
    except UsageError:
        return
    raise AssertionError("a random text was taken for a deployment")


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(field.alias or name for name, field in DeploymentFile.model_fields.items())),
            inner,
            max_size=6,
        )
    ),
    max_leaves=15,
)


@given(_TREES)
def test_no_tree_breaks_the_reading(tree: Any) -> None:
    try:
        parse(yaml.safe_dump(tree))
    except UsageError as error:
        assert error.why


def test_own_containers_become_a_predictor_that_survives_its_rollouts() -> None:
    (manifest,) = build(parse(OWN + "resources: {gpu: 2, cpu: 4, memory: 48Gi}\nargs: [--model=org/m]\n"))
    assert manifest["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "none",
    }
    assert manifest["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "modelyard"}
    predictor = manifest["spec"]["predictor"]
    assert predictor["deploymentStrategy"] == {"type": "Recreate"}
    assert predictor["timeout"] == 600
    assert predictor["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert predictor["volumes"] == [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}]
    (container,) = predictor["containers"]
    assert container["name"] == "kserve-container"
    assert container["image"].endswith(DIGEST)
    assert (
        container["resources"]["requests"]
        == container["resources"]["limits"]
        == {"cpu": "4", "memory": "48Gi", "nvidia.com/gpu": "2"}
    )
    assert container["livenessProbe"]["timeoutSeconds"] == 10
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 1800
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": 8000}
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_several_replicas_are_replaced_in_turn_without_one_more() -> None:
    assert _predictor(OWN + "replicas: {min: 3}\n")["deploymentStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_a_named_runtime_is_named_and_the_approved_image_pinned() -> None:
    runtime = RuntimeInfo(name="nim-1.8", namespace="", formats=("nvidia-nim-llama", "other"))
    predictor = _predictor(EXAMPLE, runtime)
    assert "containers" not in predictor
    assert predictor["model"]["runtime"] == "nim-1.8"
    assert predictor["model"]["modelFormat"] == {"name": "nvidia-nim-llama"}
    assert predictor["model"]["image"].endswith(DIGEST)
    chosen = _predictor(EXAMPLE + "modelFormat: other\n", runtime)
    assert chosen["model"]["modelFormat"] == {"name": "other"}


def test_what_fixes_the_weights_reaches_the_server() -> None:
    nim = OWN.replace("vllm-openai", "nim/meta/llama") + "model: {profile: abc}\n"
    (container,) = _predictor(nim)["containers"]
    assert container["env"] == [{"name": "NIM_MODEL_PROFILE", "value": "abc"}]
    assert container["livenessProbe"]["httpGet"]["path"] == "/v1/health/live"
    (container,) = _predictor(OWN + "model: {revision: r1}\nargs: [--model=a/b]\n")["containers"]
    assert container["args"] == ["--model=a/b", "--revision=r1"]
    (container,) = _predictor(OWN + "model: {storageUri: 'hf://a/b', revision: r1}\n")["containers"]
    assert container["env"] == [{"name": "STORAGE_URI", "value": "hf://a/b:r1"}]


def test_every_field_reaches_the_manifest() -> None:
    file = parse(EVERYTHING)
    (manifest,) = build(file)
    assert check(manifest) == ()
    assert manifest["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"
    predictor = manifest["spec"]["predictor"]
    assert predictor["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "zone": "1", "spot": "true"}
    assert predictor["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"},
    ]
    assert predictor["priorityClassName"] == "high"
    assert predictor["serviceAccountName"] == "chat"
    assert predictor["terminationGracePeriodSeconds"] == 300
    assert predictor["topologySpreadConstraints"] == [
        {
            "maxSkew": 2,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"serving.kserve.io/inferenceservice": "llama-chat"}},
        }
    ]
    assert predictor["model"]["resources"] == {
        "requests": {"cpu": "4", "memory": "32Gi", "ephemeral-storage": "100Gi", "nvidia.com/mig-3g.40gb": "2"},
        "limits": {"cpu": "8", "memory": "48Gi", "ephemeral-storage": "100Gi", "nvidia.com/mig-3g.40gb": "2"},
    }
    scaling = predictor["autoScaling"]
    assert scaling["behavior"] == {"scaleDown": {"stabilizationWindowSeconds": 600}}
    assert 'namespace="llm-prod",model_name="llama-chat"' in scaling["metrics"][0]["external"]["metric"]["query"]


def test_a_replica_over_several_nodes_has_workers_of_the_approved_image() -> None:
    file = parse(WORKERS)
    assert file.pods_per_replica == 2
    predictor = _predictor(WORKERS)
    assert check(build(file)[0]) == ()
    worker = predictor["workerSpec"]
    assert (worker["pipelineParallelSize"], worker["tensorParallelSize"]) == (2, 8)
    (container,) = worker["containers"]
    assert container["image"] == file.image
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    assert worker["tolerations"] == predictor["tolerations"]


def test_knative_scales_by_concurrency_or_rps() -> None:
    predictor = _predictor(OWN + "mode: Knative\nautoscaling: {metric: rps, target: 7, concurrency: 2}\n")
    assert (predictor["scaleMetric"], predictor["scaleTarget"], predictor["containerConcurrency"]) == ("rps", 7, 2)


def test_secrets_stay_references() -> None:
    (container,) = _predictor(OWN + "env: [{name: HF_TOKEN, secretKeyRef: {name: hf, key: t}}]\n")["containers"]
    assert container["env"] == [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "t"}}}]


def test_an_unknown_server_is_probed_by_its_port_unless_pages_are_given() -> None:
    text = OWN.replace("vllm-openai", "my-server")
    (container,) = _predictor(text)["containers"]
    assert container["livenessProbe"]["tcpSocket"] == {"port": 8000}
    (container,) = _predictor(text + "health: {live: /alive, ready: /ready}\n")["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/alive"


def test_knative_takes_neither_strategy_nor_class() -> None:
    (manifest,) = build(parse(OWN + "mode: Knative\nreplicas: {min: 0, max: 4}\n"))
    assert manifest["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Knative"}
    assert "deploymentStrategy" not in manifest["spec"]["predictor"]
    assert manifest["spec"]["predictor"]["maxReplicas"] == 4


@pytest.mark.parametrize(
    "more",
    [
        "",
        "mode: Knative\nreplicas: {min: 0, max: 2}\n",
        "autoscaling: {class: hpa}\nreplicas: {min: 1, max: 3}\n",
        "autoscaling: {class: keda, query: q, serverAddress: 'http://p', value: '4'}\nreplicas: {min: 1, max: 5}\n",
        "model: {storageUri: 's3://b/k'}\nreplicas: {min: 2}\n",
        "strategy: RollingUpdate\n",
    ],
)
def test_what_is_built_passes_kserves_rules(more: str) -> None:
    for text in (OWN, EXAMPLE):
        file = yaml.safe_load(text) | (yaml.safe_load(more) or {})
        (manifest,) = build(parse(yaml.safe_dump(file)))
        assert check(manifest) == ()


def _base(**predictor: Any) -> dict[str, Any]:
    image = f"r.example/x@{DIGEST}"
    return {
        "metadata": {
            "name": "x",
            "namespace": "y",
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "none",
            },
        },
        "spec": {"predictor": {"containers": [{"name": "kserve-container", "image": image}], **predictor}},
    }


def _annotated(manifest: dict[str, Any], **annotations: str) -> dict[str, Any]:
    for key, value in annotations.items():
        manifest["metadata"]["annotations"][f"serving.kserve.io/{key}"] = value
    return manifest


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        (_base() | {"metadata": {"name": "Bad", "namespace": "y"}}, "metadata.name"),
        (_base(minReplicas=-1), "spec.predictor.minReplicas"),
        (_base(minReplicas=3, maxReplicas=2), "spec.predictor.minReplicas"),
        (_base(model={"modelFormat": {"name": "x"}}), "spec.predictor"),
        (_base(containers=[{"name": "other", "image": f"a.b/c@{DIGEST}"}]), "spec.predictor"),
        (_base(containers=[{"name": "kserve-container", "image": "a.b/c:1"}]), "spec.predictor.containers[0].image"),
        (
            _base(containers=[{"name": "kserve-container", "env": [{"name": "PYTHONPATH"}]}]),
            "spec.predictor.containers[0].env",
        ),
        (
            _base(containers=[{"name": "sidecar"}, {"name": "kserve-container"}]),
            "spec.predictor.containers",
        ),
        (_annotated(_base(), autoscalerClass="kpa"), "metadata.annotations[serving.kserve.io/autoscalerClass]"),
        (_annotated(_base(), deploymentMode="Fancy"), "metadata.annotations[serving.kserve.io/deploymentMode]"),
        (_annotated(_base(scaleMetric="rps"), autoscalerClass="hpa"), "spec.predictor.scaleMetric"),
        (_annotated(_base(scaleTarget=101), autoscalerClass="hpa"), "spec.predictor.scaleTarget"),
        (_annotated(_base(scaleMetric="cpu"), autoscalerClass="keda"), "spec.predictor.scaleMetric"),
        (
            _annotated(
                _base(autoScaling={"metrics": [{"type": "External", "external": {"metric": {}}}]}),
                autoscalerClass="keda",
            ),
            "spec.predictor.autoScaling.metrics[0].external",
        ),
        (
            _annotated(_base(deploymentStrategy={"type": "Recreate"}), deploymentMode="Knative"),
            "spec.predictor.deploymentStrategy",
        ),
        (_annotated(_base(scaleMetric="cpu"), deploymentMode="Knative"), "spec.predictor.scaleMetric"),
        (
            _base() | {"spec": _base()["spec"] | {"canary": [{"trafficPercent": 60}, {"trafficPercent": 50}]}},
            "spec.canary",
        ),
        (
            _base() | {"spec": _base()["spec"] | {"canary": [{"predictor": {"maxReplicas": 2}}]}},
            "spec.canary[0].predictor.maxReplicas",
        ),
    ],
)
def test_what_kserve_refuses_is_refused_first(manifest: dict[str, Any], field: str) -> None:
    assert field in [violation.field for violation in check(manifest)]


def test_changes_that_kserve_refuses_are_refused_first() -> None:
    before, after = _annotated(_base(), deploymentMode="RawDeployment"), _annotated(_base(), deploymentMode="Knative")
    assert any("change the mode" in one.why for one in check(after, before))
    assert check(_base(), before) == ()
    assert [one.field for one in check(_base(name="b"), _base(name="a"))] == ["spec.predictor.name"]


def test_long_names_are_refused_though_the_api_admits_them() -> None:
    manifest = _base()
    manifest["metadata"] = manifest["metadata"] | {"name": "n" * 40, "namespace": "m" * 13}
    assert any("53 characters together" in violation.why for violation in check(manifest))


def test_the_worked_examples_pass(shared: Path) -> None:
    seen = 0
    for file in sorted((shared / "manifests").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if document["kind"] == "InferenceService":
                assert check(document) == (), file.name
                seen += 1
    assert seen >= 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OWN.replace("vllm-openai", "nim/x/y"), "profile: NIM chooses one"),
        (OWN, "weights: the image"),
        (OWN + "args: [--model, org/m]\n", "revision: the newest one of org/m"),
        (OWN + "model: {storageUri: 'hf://org/m'}\n", "revision: the newest one of hf://org/m"),
        (OWN + "model: {storageUri: 's3://b/k'}\n", "weights: what lies at s3://b/k"),
    ],
)
def test_what_nothing_fixes_is_told(text: str, words: str) -> None:
    assert any(sentence.startswith(words) for sentence in not_fixed(parse(text)))


@pytest.mark.parametrize(
    "more",
    [
        "model: {storageUri: 'hf://org/m', revision: abc}\n",
        "args: [--model=org/m, --revision=abc]\n",
        f"model: {{storageUri: 'oci://r.example/m@{DIGEST}'}}\n",
    ],
)
def test_what_is_fixed_is_not_told(more: str) -> None:
    assert not_fixed(parse(OWN + more)) == ()


def test_surprises_are_told() -> None:
    file = parse(OWN + "runtime: r\nargs: [--trust-remote-code]\nreplicas: {min: 1, max: 2}\n")
    stopped = {"metadata": {"annotations": {"serving.kserve.io/stop": "true"}}}
    runtime = RuntimeInfo(name="r", namespace="", formats=(), liveness_timeout=1)
    told = "\n".join(cautions(file, stopped, runtime, "Argo CD"))
    for words in ("Argo CD writes", "is stopped", "liveness probe", "has no effect", "--trust-remote-code"):
        assert words in told
    format_ = parse(OWN + "runtime: r\nmodelFormat: x\n")
    assert "'r' serves vLLM and not x" in "\n".join(
        cautions(format_, None, RuntimeInfo(name="r", namespace="", formats=("vLLM",)), "")
    )
    for args, words in (("", "without --tensor-parallel-size the server uses one"), ("args: [-tp, '2']\n", "is 2")):
        told = "\n".join(cautions(parse(OWN + "resources: {gpu: 4}\n" + args), None, None, ""))
        assert f"4 GPUs are asked for, and {words}" in told.replace("--tensor-parallel-size is", "is")
    whole = parse(OWN + "resources: {gpu: 4}\nargs: [--tensor-parallel-size=4]\nterminationGraceSeconds: 120\n")
    assert cautions(whole, None, None, "") == ()
    assert "'r' is not in the namespace" in "\n".join(cautions(file, None, None, ""))


@given(st.text(max_size=60), st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True))
def test_every_repository_gets_a_name_that_kserve_takes(repository: str, namespace: str) -> None:
    name = name_for(f"r.example/{repository}@{DIGEST}", namespace)
    assert draft(f"r.example/x@{DIGEST}", namespace=namespace, name=name).name == name


def test_a_draft_names_the_runtime_of_the_images_engine() -> None:
    container: dict[str, Any] = {"containers": [{"name": "kserve-container", "image": "r.example/vllm-openai:1"}]}
    runtimes = [
        serving_runtime("vllm-0.26", **container),
        serving_runtime("vllm-0.27", **container),
        serving_runtime("vllm-0.28", disabled=True, **container),
        serving_runtime("triton", containers=[{"image": "r.example/tritonserver:1"}]),
        serving_runtime("vllm-other", "elsewhere", **container),
    ]
    image = f"r.example/org/vllm-openai@{DIGEST}"
    made = draft(image, namespace="models", runtimes=runtimes)
    assert (made.name, made.runtime, made.resources.gpu) == ("vllm-openai", "vllm-0.27", 1)
    assert parse(to_yaml(made)) == made
    own = serving_runtime("vllm-0.1", "models", **container)
    assert draft(image, namespace="models", runtimes=[*runtimes, own]).runtime == "vllm-0.1"
    assert draft(f"r.example/unknown@{DIGEST}", namespace="models", runtimes=runtimes).own_containers
    with pytest.raises(UsageError, match="by its digest only"):
        draft("r.example/vllm:1", namespace="models")


@pytest.mark.parametrize(
    ("repository", "gpus"),
    [
        ("nim/meta/llama-3.1-8b-instruct", 1), ("nim/meta/llama-3.3-70b-instruct", 4), ("nim/openai/gpt-oss-20b", 1),
        ("nim/meta/llama-3.1-405b-instruct", 8), ("mistralai/mixtral-47b", 2), ("vllm/vllm-openai", 1),
        ("nim/nvidia/nv-embedqa-e5-v5", 1),
    ],
)  # fmt: skip
def test_a_draft_asks_for_as_many_gpus_as_the_name_suggests(repository: str, gpus: int) -> None:
    made = draft(f"r.example/{repository}@{DIGEST}", namespace="models", name="it")
    assert made.resources.gpu == gpus
