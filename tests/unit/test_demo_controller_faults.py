"""The demo's failures: each follows from the object and reads as on a real cluster."""

from __future__ import annotations

import pytest

from backend.demo.resources import SERVING_RUNTIMES
from backend.demo.workloads_faults import load_failure, model_of, parameters_of
from tests.fakes.demo_controller import HOST, Cluster, reference, service


def test_an_unknown_digest_is_not_pulled() -> None:
    cluster = Cluster()
    image = f"{HOST}/vllm/vllm-openai@sha256:{'0' * 64}"
    cluster.apply(service(image=image))
    cluster.advance(3)
    assert cluster.container("chat")["state"]["waiting"]["reason"] == "ErrImagePull"
    cluster.advance(2)
    waiting = cluster.container("chat")["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert waiting["message"].startswith(f'Back-off pulling image "{image}"')
    assert cluster.pod("chat")["status"]["phase"] == "Pending"
    assert cluster.model_status("chat")["transitionStatus"] == "InProgress"
    assert cluster.model_status("chat")["states"]["targetModelState"] == "Pending"
    cluster.advance(600)
    (event,) = cluster.events("Pulling")
    assert event["count"] > 4
    messages = [event["message"] for event in cluster.events("Failed")]
    assert "Error: ErrImagePull" in messages
    assert "Error: ImagePullBackOff" in messages
    assert any(
        message.startswith(f'Failed to pull image "{image}": rpc error: code = NotFound') for message in messages
    )
    assert cluster.demo.logs("llm-prod", cluster.pod("chat")["metadata"]["name"], None, False, None) is None


@pytest.mark.parametrize("image", [f"{HOST}/nobody/knows:1", "other.example/vllm/vllm-openai:v0.27.1", "busybox"])
def test_images_from_elsewhere_are_not_pulled(image: str) -> None:
    cluster = Cluster()
    cluster.apply(service(image=image))
    cluster.advance(5)
    assert cluster.container("chat")["state"]["waiting"]["reason"] == "ImagePullBackOff"


def test_a_tag_is_pulled_too() -> None:
    cluster = Cluster()
    cluster.apply(service(image=f"{HOST}/vllm/vllm-openai:v0.27.1"))
    cluster.advance(10)
    assert cluster.ready("chat") == 1
    assert cluster.container("chat")["imageID"].split("@")[1].startswith("sha256:")


def test_too_many_gpus_stay_unscheduled_and_are_told_once() -> None:
    cluster = Cluster()
    cluster.apply(service(gpus=9))
    cluster.advance(5)
    told = (
        "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available: "
        "4 Preemption is not helpful for scheduling."
    )
    pod = cluster.pod("chat")
    (condition,) = pod["status"]["conditions"]
    assert condition["type"] == "PodScheduled"
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "Unschedulable", told)
    assert pod["status"]["phase"] == "Pending"
    (event,) = cluster.events("FailedScheduling")
    assert event["message"] == told
    assert event["count"] == 1


def test_no_node_has_room_for_a_pod_beside_the_others() -> None:
    cluster = Cluster()
    cluster.apply(service("filler", replicas=4, gpus=2, memory="64Gi"))
    cluster.apply(service("wide", replicas=3, gpus=8, memory="200Gi"))
    cluster.apply(service(gpus=4))
    cluster.advance(10)
    (event,) = cluster.events("FailedScheduling")
    assert event["message"].startswith("0/4 nodes are available: 4 Insufficient nvidia.com/gpu. preemption: 0/4")
    assert "4 No preemption victims found for incoming pod." in event["message"]


def test_a_selector_that_matches_nothing() -> None:
    cluster = Cluster()
    cluster.apply(service(nodeSelector={"nvidia.com/gpu.product": "NVIDIA-B200"}))
    cluster.advance(3)
    (event,) = cluster.events("FailedScheduling")
    assert "4 node(s) didn't match Pod's node affinity/selector" in event["message"]


def test_a_length_that_does_not_fit_ends_in_a_crash_loop_with_the_words_of_vllm() -> None:
    cluster = Cluster()
    cluster.apply(service(args=("--model=meta-llama/Llama-3.1-8B-Instruct", "--max-model-len", "2000000")))
    cluster.advance(6)
    state = cluster.container("chat")["state"]
    assert state["terminated"]["exitCode"] == 1
    assert state["terminated"]["reason"] == "Error"
    assert "models's max seq len (2000000), (" in cluster.log("chat")
    cluster.advance(10)
    container = cluster.container("chat")
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert container["restartCount"] == 1
    log = cluster.log("chat", previous=True)
    assert "GiB KV cache is needed, which is larger than the available KV cache memory (" in log
    assert "decreasing `max_model_len` when initializing the engine." in log
    assert "Engine core initialization failed. See root cause above." in log
    status = cluster.model_status("chat")
    assert status["transitionStatus"] == "BlockedByFailedLoad"
    assert status["states"]["targetModelState"] == "FailedToLoad"
    assert status["lastFailureInfo"] == {"reason": "ModelLoadFailed", "exitCode": 1}
    cluster.advance(600)
    assert 5 <= cluster.container("chat")["restartCount"] <= 9
    (event,) = cluster.events("BackOff")
    assert event["count"] >= 5
    assert event["message"].startswith("Back-off restarting failed container kserve-container in pod chat-predictor-")


def test_a_shorter_length_on_the_same_gpu_serves() -> None:
    cluster = Cluster()
    cluster.apply(service(args=("--model=meta-llama/Llama-3.1-8B-Instruct", "--max-model-len=131072")))
    cluster.advance(10)
    assert cluster.ready("chat") == 1


def test_weights_that_fill_the_gpu_leave_no_cache() -> None:
    cluster = Cluster()
    cluster.apply(service(args=("--model=meta-llama/Llama-3.3-70B-Instruct",)))
    cluster.advance(6)
    assert "No available memory for the cache blocks." in cluster.log("chat")


def test_too_little_memory_is_killed_and_kserve_does_not_tell() -> None:
    cluster = Cluster()
    cluster.apply(service(memory="2Gi"))
    cluster.advance(6)
    state = cluster.container("chat")["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (137, "OOMKilled")
    cluster.advance(8)
    container = cluster.container("chat")
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["reason"] == "OOMKilled"
    status = cluster.model_status("chat")
    assert status["transitionStatus"] == "InProgress"
    assert status["states"]["targetModelState"] == "Pending"
    assert "lastFailureInfo" not in status
    event = cluster.events("OOMKilling")[0]
    assert event["involvedObject"]["kind"] == "Node"
    assert event["message"].startswith("Memory cgroup out of memory: Killed process ")
    assert "Traceback" not in cluster.log("chat", previous=True)


def test_a_model_that_does_not_exist_fails_to_load() -> None:
    cluster = Cluster()
    cluster.apply(service(args=("--model=meta-llama/does-not-exist-8B",)))
    cluster.advance(20)
    assert cluster.model_status("chat")["lastFailureInfo"]["reason"] == "ModelLoadFailed"
    assert "is not a valid model identifier listed on 'https://huggingface.co/models'" in cluster.log("chat")


def test_a_storage_address_without_a_model_fails_in_the_initializer() -> None:
    cluster = Cluster()
    runtime = {
        "metadata": {"name": "vllm", "namespace": "llm-prod"},
        "spec": {
            "supportedModelFormats": [{"name": "vLLM"}],
            "containers": [{"name": "kserve-container", "image": reference()}],
        },
    }
    cluster.store.put(SERVING_RUNTIMES, runtime)
    obj = service()
    obj["spec"]["predictor"] = {
        "model": {
            "modelFormat": {"name": "vLLM"},
            "runtime": "vllm",
            "storageUri": "s3://models/missing",
            "resources": {"limits": {"memory": "32Gi", "nvidia.com/gpu": "1"}},
        }
    }
    cluster.apply(obj)
    cluster.advance(3)
    (initializer,) = cluster.pod("chat")["status"]["initContainerStatuses"]
    assert "running" in initializer["state"]
    assert cluster.model_status("chat")["states"]["targetModelState"] == "Loading"
    cluster.advance(6)
    (initializer,) = cluster.pod("chat")["status"]["initContainerStatuses"]
    assert initializer["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert cluster.container("chat")["state"]["waiting"]["reason"] == "PodInitializing"
    status = cluster.model_status("chat")
    assert status["transitionStatus"] == "BlockedByFailedLoad"
    assert "s3://models/missing" in status["lastFailureInfo"]["message"]
    assert "Failed to fetch model" in cluster.log("chat", container="storage-initializer")
    obj["spec"]["predictor"]["model"]["storageUri"] = "s3://models/llama-8b"
    cluster.apply(obj)
    cluster.advance(15)
    assert cluster.ready("chat") == 1
    assert "Successfully copied" in cluster.log("chat", container="storage-initializer")


def test_logs_of_what_is_not_there() -> None:
    cluster = Cluster()
    cluster.apply(service())
    cluster.advance(10)
    name = cluster.pod("chat")["metadata"]["name"]
    assert cluster.demo.logs("llm-prod", "nobody", None, False, None) is None
    assert cluster.demo.logs("llm-prod", name, "other", False, None) is None
    assert cluster.demo.logs("llm-prod", name, None, True, None) is None
    assert "Application startup complete." in cluster.log("chat")
    cluster.advance(95)
    lines = cluster.demo.logs("llm-prod", name, None, False, 3)
    assert lines is not None
    assert len(lines) == 3
    assert all("Avg generation throughput: " in line for line in lines)
    assert cluster.demo.logs("llm-prod", name, None, False, 0) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8.0),
        ("Qwen/Qwen2.5-0.5B", 0.5),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 47.04),
        ("BAAI/bge-m3", 0.6),
        ("llama-3.3-70b-instruct", 70.0),
        ("whatever", 8.0),
    ],
)
def test_the_size_of_a_model_is_read_from_its_name(name: str, expected: float) -> None:
    assert parameters_of(name) == pytest.approx(expected)


def test_a_nim_is_named_by_its_image_and_its_length_by_the_environment() -> None:
    spec = {
        "containers": [
            {
                "name": "kserve-container",
                "image": f"{HOST}/nim/meta/llama-3.3-70b-instruct@sha256:{'1' * 64}",
                "env": [{"name": "NIM_MAX_MODEL_LEN", "value": "131072"}],
                "resources": {"limits": {"nvidia.com/gpu": "2"}},
            }
        ]
    }
    model = model_of(spec)
    assert (model.name, model.parameters, model.max_length, model.gpus) == ("llama-3.3-70b-instruct", 70.0, 131072, 2)
    failure = load_failure(spec, 79.6)
    assert failure is not None
    assert failure.kind == "kv-cache"
    assert failure.needed > failure.available > 0
