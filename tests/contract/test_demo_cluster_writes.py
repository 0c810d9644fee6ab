"""Writes to the demo's cluster over HTTP, beyond what the recordings hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from backend.demo.resources import DEPLOYMENTS, INFERENCE_SERVICES, KSERVE_RESOURCES, NAMESPACES, find_kind
from tests.fakes.demo_cluster import APPLY, NAMESPACE, SERVICES, Cluster, namespace, running_cluster, shared

_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_DIGEST = "sha256:" + "4" * 64


def spec(replicas: int = 1, **more: Any) -> dict[str, Any]:
    predictor = {
        "minReplicas": replicas,
        "containers": [{"name": "kserve-container", "image": f"registry.example/llm@{_DIGEST}"}],
    }
    return {"spec": {"predictor": {**predictor, **more}}}


def pod(name: str = "one") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "main"}]}}


def reasons(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cause["reason"], cause["field"]) for cause in body["details"]["causes"]]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as running:
        yield running


async def test_a_dry_run_stores_nothing(cluster: Cluster) -> None:
    before = cluster.store.version
    made = await cluster.apply("chat", spec(), dryRun="All")
    assert (made.status_code, "resourceVersion" in made.json()["metadata"]) == (201, False)
    assert cluster.store.version == before
    stored = (await cluster.apply("chat", spec())).json()
    would = (await cluster.apply("chat", spec(2), dryRun="All")).json()
    assert would["metadata"]["generation"] == 2
    assert would["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    assert (await cluster.admin.get(f"{SERVICES}/chat")).json() == stored


async def test_a_wrong_dry_run_is_refused(cluster: Cluster) -> None:
    answer = await cluster.apply("chat", spec(), dryRun="Some")
    assert (answer.status_code, reasons(answer.json())) == (422, [("FieldValueNotSupported", "dryRun")])


async def test_a_field_that_is_no_longer_applied_goes(cluster: Cluster) -> None:
    await cluster.apply("chat", {**spec(timeout=600), "metadata": {"labels": {"a": "1", "b": "2"}}})
    answer = (await cluster.apply("chat", {**spec(), "metadata": {"labels": {"b": "2"}}})).json()
    assert "timeout" not in answer["spec"]["predictor"]
    assert answer["metadata"]["labels"] == {"b": "2"}
    assert "labels" not in (await cluster.apply("chat", spec())).json()["metadata"]


async def test_a_second_manager_shares_equal_fields(cluster: Cluster) -> None:
    first = (await cluster.apply("chat", spec())).json()
    second = (await cluster.apply("chat", spec(), fieldManager="argocd")).json()
    assert [entry["manager"] for entry in second["metadata"]["managedFields"]] == ["argocd", "modelyard"]
    assert second["metadata"]["generation"] == first["metadata"]["generation"]
    conflict = await cluster.apply("chat", spec(3))
    assert conflict.json()["message"] == (
        'Apply failed with 1 conflict: conflict with "argocd": .spec.predictor.minReplicas'
    )


async def test_the_controller_writes_status_and_the_operator_the_rest(cluster: Cluster) -> None:
    await cluster.apply("chat", {**spec(), "status": {"url": "http://forged"}})
    answer = await cluster.merge(f"{SERVICES}/chat/status", {"status": {"url": "http://chat"}, "spec": {}})
    content = answer.json()
    assert content["status"] == {"url": "http://chat"}
    assert content["spec"]["predictor"]["minReplicas"] == 1
    assert content["metadata"]["generation"] == 1
    again = (await cluster.apply("chat", {**spec(2), "status": {}})).json()
    assert (again["status"], again["metadata"]["generation"]) == ({"url": "http://chat"}, 2)


async def test_status_can_be_applied(cluster: Cluster) -> None:
    await cluster.apply("chat", spec())
    body = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "status": {"url": "http://x"}}
    answer = await cluster.admin.patch(
        f"{SERVICES}/chat/status", json=body, params={"fieldManager": "controller"}, headers={"Content-Type": APPLY}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, {"url": "http://x"})
    entries = {entry["manager"]: entry for entry in answer.json()["metadata"]["managedFields"]}
    assert entries["controller"]["subresource"] == "status"
    assert entries["controller"]["fieldsV1"] == {"f:status": {"f:url": {}}}


async def test_the_answer_has_the_schemas_defaults(cluster: Cluster) -> None:
    runtime = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "vllm"},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 8000}]}]},
    }
    path = f"/apis/serving.kserve.io/v1alpha1/namespaces/{NAMESPACE}/servingruntimes"
    answer = await cluster.admin.post(path, json=runtime)
    assert answer.status_code == 201
    assert answer.json()["spec"]["containers"][0]["ports"] == [{"containerPort": 8000, "protocol": "TCP"}]


async def test_creating(cluster: Cluster) -> None:
    body = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "chat"},
        **spec(),
    }
    made = await cluster.admin.post(SERVICES, json=body)
    assert made.status_code == 201
    assert made.json()["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] == {
        ".": {},
        "f:predictor": {".": {}, "f:containers": {}, "f:minReplicas": {}},
    }
    again = await cluster.admin.post(SERVICES, json=body)
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    generated = await cluster.admin.post(SERVICES, json={**body, "metadata": {"generateName": "chat-"}})
    assert generated.json()["metadata"]["name"].startswith("chat-")
    nameless = await cluster.admin.post(SERVICES, json={**body, "metadata": {}})
    assert nameless.status_code == 422


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "Pod"}, 400),
        ({"apiVersion": "v1"}, 400),
        ({"metadata": {"name": "chat", "namespace": "default"}}, 400),
        ({"metadata": {"name": "chat", "resourceVersion": "5"}}, 400),
        ({"metadata": {"name": "chat", "labels": {"a": 1}}}, 400),
        ({"metadata": []}, 400),
        ({"metadata": {"name": 7}}, 400),
        ({"spec": {"predictor": {"minReplicas": "x"}}}, 422),
        ({"spec": []}, 422),
    ],
)
async def test_objects_that_cannot_be_made(cluster: Cluster, change: dict[str, Any], code: int) -> None:
    body = {"metadata": {"name": "chat"}, **spec(), **change}
    answer = await cluster.admin.post(SERVICES, json=body)
    assert answer.status_code == code
    assert answer.json()["kind"] == "Status"
    assert cluster.store.list(INFERENCE_SERVICES) == []


async def test_replacing_needs_the_version_that_was_read(cluster: Cluster) -> None:
    read = (await cluster.apply("chat", spec())).json()
    await cluster.apply("chat", spec(2))
    stale = await cluster.admin.put(f"{SERVICES}/chat", json={**read, **spec(3)})
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    read["metadata"].pop("resourceVersion")
    unversioned = await cluster.admin.put(f"{SERVICES}/chat", json=read)
    assert (unversioned.status_code, reasons(unversioned.json())) == (
        422,
        [("FieldValueInvalid", "metadata.resourceVersion")],
    )
    fresh = (await cluster.admin.get(f"{SERVICES}/chat")).json()
    done = await cluster.admin.put(f"{SERVICES}/chat", json={**fresh, **spec(3)})
    assert (done.status_code, done.json()["metadata"]["generation"]) == (200, 3)


@pytest.mark.parametrize(("validation", "code"), [("Strict", 400), ("Warn", 200), ("Ignore", 200)])
async def test_unknown_fields_in_a_patch(cluster: Cluster, validation: str, code: int) -> None:
    await cluster.apply("chat", spec())
    answer = await cluster.merge(
        f"{SERVICES}/chat", {"spec": {"predictor": {"minReplica": 3}}}, fieldValidation=validation
    )
    assert answer.status_code == code
    warned = '299 - "unknown field \\"spec.predictor.minReplica\\""'
    assert (answer.headers.get("Warning") == warned) is (validation == "Warn")
    (stored,) = cluster.store.list(INFERENCE_SERVICES)
    assert "minReplica" not in stored["spec"]["predictor"]


async def test_a_merge_patch_that_changes_nothing_moves_nothing(cluster: Cluster) -> None:
    stored = (await cluster.apply("chat", spec())).json()
    answer = await cluster.merge(f"{SERVICES}/chat", {"spec": {"predictor": {"minReplicas": 1}}})
    assert answer.json() == stored


async def test_a_stale_version_in_a_merge_patch(cluster: Cluster) -> None:
    await cluster.apply("chat", spec())
    answer = await cluster.merge(f"{SERVICES}/chat", {"metadata": {"resourceVersion": "1"}})
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")


async def test_json_patch(cluster: Cluster) -> None:
    await cluster.apply("chat", spec())
    headers = {"Content-Type": "application/json-patch+json"}
    patch = [{"op": "replace", "path": "/spec/predictor/minReplicas", "value": 4}]
    answer = await cluster.admin.patch(f"{SERVICES}/chat", json=patch, headers=headers)
    assert answer.json()["spec"]["predictor"]["minReplicas"] == 4
    bad = await cluster.admin.patch(f"{SERVICES}/chat", json=[{"op": "remove", "path": "/x"}], headers=headers)
    assert bad.status_code == 422


async def test_strategic_merge_on_a_built_in_kind(cluster: Cluster) -> None:
    await cluster.admin.post(_PODS, json=pod())
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    patch = {"spec": {"containers": [{"name": "main", "image": "x:1"}]}}
    answer = await cluster.admin.patch(f"{_PODS}/one", json=patch, headers=headers)
    (container,) = answer.json()["spec"]["containers"]
    assert (container["image"], container["terminationMessagePolicy"]) == ("x:1", "File")


@pytest.mark.parametrize("body", [b"{", b'"text"', b"[]", b"\xff\xfe", b"7", b""])
async def test_bodies_that_are_no_objects(cluster: Cluster, body: bytes) -> None:
    await cluster.apply("chat", spec())
    for content_type in (APPLY, "application/merge-patch+json"):
        answer = await cluster.admin.patch(
            f"{SERVICES}/chat", content=body, params={"fieldManager": "x"}, headers={"Content-Type": content_type}
        )
        assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_a_body_that_is_too_large(cluster: Cluster) -> None:
    answer = await cluster.admin.post(SERVICES, content=b" " * (3 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


async def test_what_an_apply_body_may_not_hold(cluster: Cluster) -> None:
    answer = await cluster.apply("chat", {**spec(), "metadata": {"managedFields": []}})
    assert (answer.status_code, answer.json()["message"]) == (400, "metadata.managedFields must be nil")
    answer = await cluster.apply("chat", {**spec(), "metadata": {"name": "other"}})
    assert answer.status_code == 400
    answer = await cluster.apply("chat", {**spec(), "metadata": {"uid": "0"}})
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")


async def test_deleting(cluster: Cluster) -> None:
    made = (await cluster.apply("chat", spec())).json()
    path = f"{SERVICES}/chat"
    wrong = {"preconditions": {"uid": "other"}}
    answer = await cluster.admin.request("DELETE", path, json=wrong)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    answer = await cluster.admin.request("DELETE", path, json={"propagationPolicy": "Sideways"})
    assert answer.status_code == 422
    assert (await cluster.admin.delete(path, params={"dryRun": "All"})).status_code == 200
    assert (await cluster.admin.get(path)).status_code == 200
    right = {"preconditions": {"uid": made["metadata"]["uid"]}, "propagationPolicy": "Foreground"}
    assert (await cluster.admin.request("DELETE", path, json=right)).json()["status"] == "Success"
    assert (await cluster.admin.delete(path)).status_code == 404


async def test_finalizers_hold_a_deletion(cluster: Cluster) -> None:
    await cluster.apply("chat", {**spec(), "metadata": {"finalizers": ["inferenceservice.finalizers"]}})
    answer = (await cluster.admin.delete(f"{SERVICES}/chat")).json()
    assert answer["metadata"]["deletionTimestamp"]
    kept = (await cluster.merge(f"{SERVICES}/chat", {"metadata": {"labels": {"a": "b"}}})).json()
    assert kept["metadata"]["deletionTimestamp"] == answer["metadata"]["deletionTimestamp"]
    await cluster.merge(f"{SERVICES}/chat", {"metadata": {"finalizers": None}})
    assert (await cluster.admin.get(f"{SERVICES}/chat")).status_code == 404


async def test_deleting_a_selection(cluster: Cluster) -> None:
    for name in ("a", "b"):
        await cluster.apply(name, {**spec(), "metadata": {"labels": {"name": name}}})
    answer = await cluster.admin.delete(SERVICES, params={"labelSelector": "name=a"})
    assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["a"]
    assert [item["metadata"]["name"] for item in cluster.store.list(INFERENCE_SERVICES)] == ["b"]


async def test_system_writes_and_clients_writes_meet(cluster: Cluster) -> None:
    deployment = {"metadata": {"name": "chat", "namespace": NAMESPACE}, "spec": {"replicas": 1}}
    cluster.store.put(DEPLOYMENTS, deployment)
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/chat"
    content = (await cluster.merge(path, {"spec": {"replicas": 3}}, fieldManager="kubectl")).json()
    assert content["metadata"]["generation"] == 2
    assert {entry["manager"] for entry in content["metadata"]["managedFields"]} == {"kubectl"}


async def test_methods_that_an_address_lacks(cluster: Cluster) -> None:
    for method, path in (("PUT", SERVICES), ("POST", f"{SERVICES}/chat"), ("DELETE", f"{SERVICES}/chat/status")):
        answer = await cluster.admin.request(method, path, json={})
        assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    assert (await cluster.admin.get(f"{SERVICES}/chat/scale")).text == "404 page not found\n"


async def test_the_worked_examples_are_accepted(cluster: Cluster) -> None:
    """What a real API server with the same CRDs accepted, in a dry run."""
    examples = shared("manifests")
    if not examples.is_dir():
        pytest.skip(f"the examples are not at {examples}")
    accepted = []
    for path in sorted(examples.glob("*.yaml")):
        for content in yaml.safe_load_all(path.read_text("utf-8")):
            resource = find_kind(content["apiVersion"], content["kind"])
            if resource not in KSERVE_RESOURCES:
                continue
            metadata = content["metadata"]
            cluster.store.put(NAMESPACES, namespace(metadata.get("namespace", "default")))
            scope = f"/namespaces/{metadata['namespace']}" if resource.namespaced else ""
            address = f"/apis/{resource.api_version}{scope}/{resource.plural}/{metadata['name']}"
            query = {"fieldManager": "modelyard", "dryRun": "All", "fieldValidation": "Strict"}
            headers = {"Content-Type": APPLY}
            answer = await cluster.admin.patch(address, json=content, params=query, headers=headers)
            accepted.append((path.name, resource.kind, answer.status_code))
            assert answer.status_code == 201, answer.text
    assert len(accepted) > 6
