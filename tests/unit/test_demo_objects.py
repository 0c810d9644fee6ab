"""The demo's object store: versions, generations, history and subscriptions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.demo.objects import ExpiredVersionError, ObjectStore, copied
from backend.demo.resources import (
    CLUSTER_SERVING_RUNTIMES,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    NODES,
    PODS,
    SERVING_RUNTIMES,
    Resource,
)


def service(name: str, replicas: int = 1, namespace: str = "llm-prod", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"predictor": {"minReplicas": replicas}},
    }


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(seed=7, clock=lambda: datetime(2026, 8, 1, 12, tzinfo=UTC))


def test_put_sets_what_a_server_sets(store: ObjectStore) -> None:
    stored = store.put(INFERENCE_SERVICES, service("chat"))
    metadata = stored["metadata"]
    assert (stored["apiVersion"], stored["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert metadata["creationTimestamp"] == "2026-08-01T12:00:00Z"
    assert metadata["resourceVersion"] == str(store.version)
    assert metadata["generation"] == 1
    assert len(metadata["uid"]) == 36
    assert metadata["managedFields"][0]["fieldsV1"] == {"f:spec": {"f:predictor": {"f:minReplicas": {}}}}


def test_the_same_seed_gives_the_same_objects() -> None:
    clock = lambda: datetime(2026, 8, 1, tzinfo=UTC)  # noqa: E731 - a constant clock
    one, other = (ObjectStore(3, clock=clock).put(PODS, service("pod")) for _ in range(2))
    assert one == other
    assert ObjectStore(4, clock=clock).put(PODS, service("pod"))["metadata"]["uid"] != one["metadata"]["uid"]


def test_an_equal_write_changes_nothing(store: ObjectStore) -> None:
    first = store.put(INFERENCE_SERVICES, service("chat"))
    seen: list[str] = []
    store.subscribe(lambda kind, resource, obj: seen.append(kind))
    assert store.put(INFERENCE_SERVICES, first) == first
    assert store.put(INFERENCE_SERVICES, service("chat")) == first
    assert seen == []


@pytest.mark.parametrize(
    ("resource", "spec", "status", "label"),
    [(INFERENCE_SERVICES, 2, 1, 1), (DEPLOYMENTS, 2, 1, 1), (SERVING_RUNTIMES, 2, 2, 1), (NODES, None, None, None)],
)
def test_generation_counts_what_is_wanted(
    store: ObjectStore, resource: Resource, spec: int | None, status: int | None, label: int | None
) -> None:
    store.put(resource, service("a"))
    store.put(resource, service("b"))
    store.put(resource, service("c"))
    assert store.put(resource, service("a", 2))["metadata"].get("generation") == spec
    assert store.patch_status(resource, "llm-prod", "b", {"x": 1})["metadata"].get("generation") == status
    assert store.put(resource, service("c", labels={"x": "y"}))["metadata"].get("generation") == label


def test_put_keeps_the_status(store: ObjectStore) -> None:
    store.put(INFERENCE_SERVICES, service("chat"))
    store.patch_status(INFERENCE_SERVICES, "llm-prod", "chat", {"url": "http://chat"})
    assert store.put(INFERENCE_SERVICES, service("chat", 3))["status"] == {"url": "http://chat"}


def test_status_of_nothing(store: ObjectStore) -> None:
    with pytest.raises(KeyError):
        store.patch_status(PODS, "llm-prod", "none", {})


def test_callers_cannot_change_what_is_stored(store: ObjectStore) -> None:
    given_object = service("chat")
    store.put(INFERENCE_SERVICES, given_object)["spec"]["predictor"]["minReplicas"] = 9
    given_object["spec"]["predictor"]["minReplicas"] = 9
    store.list(INFERENCE_SERVICES)[0]["spec"]["predictor"]["minReplicas"] = 9
    found = store.get(INFERENCE_SERVICES, "llm-prod", "chat")
    assert found is not None
    assert found["spec"]["predictor"]["minReplicas"] == 1


def test_lists_are_ordered_and_of_one_namespace(store: ObjectStore) -> None:
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y"), ("ab", "w")):
        store.put(PODS, service(name, namespace=namespace))
    names = [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in store.list(PODS)]
    assert names == [("a", "y"), ("a", "z"), ("ab", "w"), ("b", "x")]
    assert [pod["metadata"]["name"] for pod in store.list(PODS, "a")] == ["y", "z"]
    assert [stored.key for stored in store.scan(PODS, None, ("a", "y"))] == [("a", "z"), ("ab", "w"), ("b", "x")]


def test_cluster_wide_kinds_have_no_namespace(store: ObjectStore) -> None:
    store.put(CLUSTER_SERVING_RUNTIMES, {"metadata": {"name": "vllm"}, "spec": {}})
    assert store.get(CLUSTER_SERVING_RUNTIMES, None, "vllm") is not None


def test_a_namespaced_kind_needs_its_namespace(store: ObjectStore) -> None:
    with pytest.raises(KeyError):
        store.put(PODS, {"metadata": {"name": "pod"}})


def test_subscribers_hear_each_change_until_they_leave(store: ObjectStore) -> None:
    seen: list[tuple[str, str, str]] = []
    end = store.subscribe(lambda kind, resource, obj: seen.append((kind, resource.plural, obj["metadata"]["name"])))
    store.put(PODS, service("pod"))
    store.patch_status(PODS, "llm-prod", "pod", {"phase": "Running"})
    store.delete(PODS, "llm-prod", "pod")
    store.delete(PODS, "llm-prod", "pod")
    end()
    end()
    store.put(PODS, service("other"))
    assert seen == [("ADDED", "pods", "pod"), ("MODIFIED", "pods", "pod"), ("DELETED", "pods", "pod")]


def test_writes_of_a_subscriber_are_heard_in_order(store: ObjectStore) -> None:
    heard: list[tuple[str, int]] = []

    def answer(kind: str, resource: Resource, obj: dict[str, Any]) -> None:
        if kind == "ADDED":
            store.patch_status(PODS, "llm-prod", "pod", {"phase": "Running"})

    store.subscribe(answer)
    store.listen(lambda change: heard.append((change.type, change.version)))
    store.put(PODS, service("pod"))
    assert heard == [("ADDED", store.version - 1), ("MODIFIED", store.version)]


def test_the_last_finalizer_completes_a_deletion(store: ObjectStore) -> None:
    marked = service("chat", finalizers=["inferenceservice.finalizers"], deletionTimestamp="2026-08-01T12:00:00Z")
    store.put(INFERENCE_SERVICES, marked)
    assert store.get(INFERENCE_SERVICES, "llm-prod", "chat") is not None
    store.put(INFERENCE_SERVICES, service("chat", deletionTimestamp="2026-08-01T12:00:00Z"))
    assert store.get(INFERENCE_SERVICES, "llm-prod", "chat") is None


def test_history_is_bounded() -> None:
    store = ObjectStore(history=3)
    start = store.version
    for number in range(5):
        store.put(PODS, service(f"pod-{number}"))
    with pytest.raises(ExpiredVersionError, match=r"too old resource version: 300 \(302\)"):
        store.changes_since(start)
    assert [change.version for change in store.changes_since(start + 2)] == [start + 3, start + 4, start + 5]
    assert store.changes_since(store.version) == ()
    with pytest.raises(ExpiredVersionError):
        ObjectStore().changes_since(1)


_WRITES = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=30
)


@given(_WRITES, st.integers(0, 30))
def test_a_list_at_an_earlier_version_is_the_list_of_then(writes: list[tuple[str, str, int]], moment: int) -> None:
    store = ObjectStore()
    states = {store.version: copied(store.list(PODS))}
    for action, name, replicas in writes:
        if action == "put":
            store.put(PODS, service(name, replicas))
        else:
            store.delete(PODS, "llm-prod", name)
        states[store.version] = copied(store.list(PODS))
    version = min(300 + moment, store.version)
    assert [stored.content for stored in store.scan_at(PODS, version)] == states[version]
