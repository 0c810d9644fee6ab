"""The metrics pages of the demo: real parsers read them, and they agree with each other and with the cluster."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.demo.exporters import FIELDS
from backend.demo.resources import NODES, PODS
from tests.fakes.demo_controller import NIM, Cluster, reference, service

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _samples(page: bytes) -> Samples:
    families = text_string_to_metric_families(page.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def _page(cluster: Cluster, namespace: str, pod: str, port: int, path: str = "/metrics") -> bytes:
    status, content_type, body = cluster.demo.proxy(namespace, pod, port, path)
    assert status == 200, body
    assert content_type.startswith("text/plain; version=0.0.4")
    return body


def _exporters(cluster: Cluster) -> dict[str, str]:
    pods = cluster.store.list(PODS, "gpu-operator")
    assert all(pod["metadata"]["labels"]["app"] == "nvidia-dcgm-exporter" for pod in pods)
    return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in pods}


def _gpus(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Values and labels of every GPU, by UUID."""
    found: dict[str, dict[str, Any]] = {}
    for pod in _exporters(cluster).values():
        for (name, labels), value in _samples(_page(cluster, "gpu-operator", pod, 9400)).items():
            told = dict(labels)
            key = "/".join(filter(None, (told["UUID"], told.get("GPU_I_ID"))))
            found.setdefault(key, {"labels": told})[name] = value
    return found


@pytest.fixture(scope="module")
def scenario() -> Cluster:
    return Cluster(seeded=True)


def test_every_node_exports_its_eight_gpus(scenario: Cluster) -> None:
    exporters = _exporters(scenario)
    assert set(exporters) == {node["metadata"]["name"] for node in scenario.store.list(NODES)}
    page = _page(scenario, "gpu-operator", exporters["gpu-01"], 9400).decode()
    for field in FIELDS:
        assert f"# HELP {field.name} {field.help}\n# TYPE {field.name} {field.type}\n" in page
        assert page.count(f"\n{field.name}{{") == 8
    labels = {"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "DCGM_FI_DRIVER_VERSION"}
    for gpu in _gpus(scenario).values():
        assert set(gpu["labels"]) - {"pod", "namespace", "container", "GPU_I_ID", "GPU_I_PROFILE"} == labels


def test_a_gpu_is_cut_into_instances_of_which_a_pod_holds_one(scenario: Cluster) -> None:
    instances = [gpu for gpu in _gpus(scenario).values() if "GPU_I_ID" in gpu["labels"]]
    assert [gpu["labels"]["GPU_I_PROFILE"] for gpu in instances] == ["2g.20gb"] * 3
    assert len({gpu["labels"]["UUID"] for gpu in instances}) == 1
    assert ["rerank" in gpu["labels"].get("pod", "") for gpu in instances] == [True, False, False]
    assert [gpu["DCGM_FI_DEV_GPU_UTIL"] for gpu in instances] == [0, 0, 0]
    assert instances[0]["DCGM_FI_PROF_GR_ENGINE_ACTIVE"] > 0


def test_gpus_belong_to_the_pods_that_the_api_names(scenario: Cluster) -> None:
    by_pod: dict[str, set[str]] = {}
    for uuid, gpu in _gpus(scenario).items():
        # The device plugin names an instance by a UUID of its own, which the exporter does not tell.
        if "pod" in gpu["labels"] and "GPU_I_ID" not in gpu["labels"]:
            by_pod.setdefault(gpu["labels"]["pod"], set()).add(uuid)
    told: dict[str, set[str]] = {}
    for pod in scenario.store.list(PODS):
        for status in pod["status"].get("containerStatuses", []):
            for resource in status.get("allocatedResourcesStatus", []):
                if resource["name"] == "nvidia.com/gpu":
                    told[pod["metadata"]["name"]] = {item["resourceID"] for item in resource["resources"]}
    assert by_pod == told


def test_memory_adds_up_and_values_are_in_bounds(scenario: Cluster) -> None:
    for gpu in _gpus(scenario).values():
        total = gpu["DCGM_FI_DEV_FB_USED"] + gpu["DCGM_FI_DEV_FB_FREE"] + gpu["DCGM_FI_DEV_FB_RESERVED"]
        whole = 81559 if "H100" in gpu["labels"]["modelName"] else 81920
        assert total == (whole if "GPU_I_ID" not in gpu["labels"] else 19660)
        assert 0 <= gpu["DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"] <= gpu["DCGM_FI_PROF_GR_ENGINE_ACTIVE"] <= 1
        assert 0 <= gpu["DCGM_FI_DEV_GPU_UTIL"] <= 100
        assert 50 < gpu["DCGM_FI_DEV_POWER_USAGE"] <= 700
        assert 25 < gpu["DCGM_FI_DEV_GPU_TEMP"] < 90


def test_one_gpu_reports_an_error(scenario: Cluster) -> None:
    faulty = [gpu["labels"] for gpu in _gpus(scenario).values() if gpu["DCGM_FI_DEV_XID_ERRORS"]]
    assert len(faulty) == 1
    assert faulty[0]["Hostname"] == "gpu-03"
    assert faulty[0]["pod"]


def test_the_idle_service_holds_eight_gpus_and_does_nothing() -> None:
    cluster = Cluster(seeded=True)
    pod = cluster.pod("deepseek-dev", "llm-dev")["metadata"]["name"]
    before = _samples(_page(cluster, "llm-dev", pod, 8000))
    cluster.advance(120)
    after = _samples(_page(cluster, "llm-dev", pod, 8000))
    ignored = ("process_", "python_")
    assert {key: value for key, value in before.items() if not key[0].startswith(ignored)} == {
        key: value for key, value in after.items() if not key[0].startswith(ignored)
    }
    tokens = [value for (name, _), value in after.items() if name == "vllm:generation_tokens_total"]
    assert tokens[0] > 0
    held = [gpu for gpu in _gpus(cluster).values() if gpu["labels"].get("pod") == pod]
    assert len(held) == 8
    assert all(gpu["DCGM_FI_PROF_GR_ENGINE_ACTIVE"] == 0 for gpu in held)
    assert all(gpu["DCGM_FI_DEV_FB_USED"] > 70_000 for gpu in held)


def test_gpus_follow_the_pod_from_free_to_loading_to_working() -> None:
    cluster = Cluster()
    free = next(iter(_gpus(cluster).values()))
    assert "pod" not in free["labels"]
    assert free["DCGM_FI_DEV_FB_USED"] < 100
    cluster.apply(service())
    cluster.advance(5)
    (loading,) = [gpu for gpu in _gpus(cluster).values() if "pod" in gpu["labels"]]
    assert 0 < loading["DCGM_FI_DEV_FB_USED"] < 60_000
    cluster.advance(5)
    (working,) = [gpu for gpu in _gpus(cluster).values() if "pod" in gpu["labels"]]
    assert working["labels"]["container"] == "kserve-container"
    assert working["DCGM_FI_PROF_GR_ENGINE_ACTIVE"] > 0.2
    assert working["DCGM_FI_DEV_FB_USED"] > 70_000
    cluster.delete("chat")
    cluster.advance(3)
    assert not [gpu for gpu in _gpus(cluster).values() if "pod" in gpu["labels"]]


def test_energy_never_falls_whatever_happens_to_the_pod() -> None:
    cluster = Cluster()
    cluster.apply(service(args=("--model=a/b-8B", "--max-model-len=9000000")))
    last: dict[str, float] = {}
    for step in range(30):
        cluster.advance(2)
        if step == 15:
            cluster.apply(service())
        for uuid, gpu in _gpus(cluster).items():
            energy = gpu["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION_total"]  # renamed by the parser
            assert energy >= last.get(uuid, 0)
            last[uuid] = energy


def test_the_page_moves_between_collections_only() -> None:
    cluster = Cluster(seeded=True)
    pod = _exporters(cluster)["gpu-01"]
    first = _page(cluster, "gpu-operator", pod, 9400)
    cluster.time.seconds += 0.4
    assert _page(cluster, "gpu-operator", pod, 9400) == first
    cluster.advance(5)
    assert _page(cluster, "gpu-operator", pod, 9400) != first


class TestModelServers:
    @pytest.fixture
    def cluster(self) -> Cluster:
        cluster = Cluster()
        cluster.apply(service())
        cluster.advance(30)
        return cluster

    def samples(self, cluster: Cluster) -> Samples:
        return _samples(_page(cluster, "llm-prod", cluster.pod("chat")["metadata"]["name"], 8000))

    def value(self, samples: Samples, name: str) -> float:
        (value,) = [value for (found, _), value in samples.items() if found == name]
        return value

    def test_gauges_and_counters_have_their_present_names(self, cluster: Cluster) -> None:
        samples = self.samples(cluster)
        assert self.value(samples, "vllm:num_requests_running") > 0
        assert self.value(samples, "vllm:num_requests_waiting") >= 0
        assert 0 < self.value(samples, "vllm:kv_cache_usage_perc") < 1
        assert self.value(samples, "vllm:prefix_cache_hits_total") < self.value(
            samples, "vllm:prefix_cache_queries_total"
        )
        assert ("vllm:gpu_cache_usage_perc", ()) not in samples
        for name, labels in samples:
            if name.startswith("vllm:") and "info" not in name:
                assert dict(labels)["model_name"] == "meta-llama/Llama-3.1-8B-Instruct"
                assert dict(labels)["engine"] == "0"

    def test_counters_grow_and_histograms_hold_together(self, cluster: Cluster) -> None:
        before: Samples = {}
        for _ in range(20):
            cluster.advance(7)
            samples = self.samples(cluster)
            for key, value in samples.items():
                if key[0].endswith(("_total", "_bucket", "_count", "_sum")):
                    assert value >= before.get(key, 0)
            before = samples
        for stem in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
            buckets = sorted(
                (float(dict(labels)["le"]), value)
                for (name, labels), value in before.items()
                if name == f"vllm:{stem}_bucket"
            )
            counts = [count for _, count in buckets]
            assert counts == sorted(counts)
            assert math.isinf(buckets[-1][0])
            assert counts[-1] == self.value(before, f"vllm:{stem}_count") > 0
        assert self.value(before, "vllm:generation_tokens_total") > 10_000

    def test_a_saturated_service_queues_and_answers_late(self) -> None:
        cluster = Cluster(seeded=True)
        pod = cluster.pods("mistral")[0]["metadata"]["name"]
        samples = _samples(_page(cluster, "llm-prod", pod, 8000, "/v1/metrics"))
        assert self.value(samples, "num_requests_waiting") > 10
        assert self.value(samples, "gpu_cache_usage_perc") > 0.9
        late = {
            dict(labels)["le"]: value
            for (name, labels), value in samples.items()
            if name.endswith("token_seconds_bucket") and "first" in name
        }
        assert late["1.0"] < 0.6 * late["+Inf"]

    def test_a_nim_has_its_own_path_and_names(self) -> None:
        cluster = Cluster()
        cluster.apply(service(image=reference(NIM), args=()))
        cluster.advance(30)
        pod = cluster.pod("chat")["metadata"]["name"]
        samples = _samples(_page(cluster, "llm-prod", pod, 8000, "/v1/metrics"))
        assert self.value(samples, "num_requests_running") > 0
        assert self.value(samples, "time_per_output_token_seconds_count") > 0
        assert cluster.demo.proxy("llm-prod", pod, 8000, "/metrics")[0] == 404

    def test_other_paths(self, cluster: Cluster) -> None:
        pod = cluster.pod("chat")["metadata"]["name"]
        assert cluster.demo.proxy("llm-prod", pod, 8000, "health")[0] == 200
        status, _, body = cluster.demo.proxy("llm-prod", pod, 8000, "/v1/models?x=1")
        assert (status, json.loads(body)["data"][0]["id"]) == (200, "meta-llama/Llama-3.1-8B-Instruct")
        assert cluster.demo.proxy("llm-prod", pod, 8000, "/nowhere")[0] == 404

    def test_what_does_not_listen_is_told_by_the_api_server(self) -> None:
        cluster = Cluster()
        cluster.apply(service())
        cluster.advance(3)
        pod = cluster.pod("chat")["metadata"]["name"]
        for port in (8000, 9400):
            status, _, body = cluster.demo.proxy("llm-prod", pod, port, "/metrics")
            assert status == 503
            assert "connect: connection refused" in json.loads(body)["message"]
        assert cluster.demo.proxy("llm-prod", "nobody", 8000, "/metrics")[0] == 404


def test_exporters_have_logs_and_a_health_page() -> None:
    cluster = Cluster()
    pod = _exporters(cluster)["gpu-02"]
    lines = cluster.demo.logs("gpu-operator", pod, None, False, None)
    assert lines
    assert "gpu-02" in "\n".join(lines)
    assert cluster.demo.proxy("gpu-operator", pod, 9400, "/other")[0] == 404
