"""Reads of the demo's cluster over HTTP: lists, watches, access, logs and proxy, beyond what the recordings hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from backend.demo.objects import ObjectStore
from backend.demo.resources import EVENTS, INFERENCE_SERVICES, NODES, PODS
from tests.fakes.demo_cluster import NAMESPACE, SERVICES, Cluster, client, running_cluster

_ALL_SERVICES = "/apis/serving.kserve.io/v1beta1/inferenceservices"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


class Insides:
    """A pod that logs three lines, serves metrics on 8000 and ends after two more lines."""

    def logs(
        self, namespace: str, pod: str, container: str | None, previous: bool, tail_lines: int | None
    ) -> list[str] | None:
        lines = ["one", "two", "three"]
        return None if previous or pod == "new" else lines[len(lines) - (tail_lines or len(lines)) :]

    async def follow_logs(self, namespace: str, pod: str, container: str | None) -> AsyncIterator[str]:
        for line in ("four", "five"):
            yield line

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> tuple[int, str, bytes]:
        if port != 8000:
            raise ConnectionRefusedError("connection refused")
        return 200, "text/plain; version=0.0.4", f"{namespace} {pod} {path}".encode()


def put_service(store: ObjectStore, name: str, namespace: str = NAMESPACE, **labels: str) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    store.put(INFERENCE_SERVICES, {"metadata": metadata, "spec": {"predictor": {"minReplicas": 1}}})


def put_pod(store: ObjectStore, name: str, node: str = "gpu-0", phase: str = "Running") -> None:
    spec = {"nodeName": node, "containers": [{"name": "kserve-container"}]}
    metadata = {"name": name, "namespace": NAMESPACE}
    store.put(PODS, {"metadata": metadata, "spec": spec, "status": {"phase": phase}})


def names(answer: httpx.Response) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json()["items"]]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster(ObjectStore(seed=1, history=40), pods=Insides()) as running:
        yield running


async def watch(cluster: Cluster, path: str, changes: Any = None, **params: str) -> list[dict[str, Any]]:
    """The events of a watch of one second; `changes` is called once it is open."""
    query = {"watch": "1", "timeoutSeconds": "1", **params}
    async with cluster.admin.stream("GET", path, params=query) as response:
        assert response.status_code == 200
        if changes is not None:
            changes()
        return [json.loads(line) async for line in response.aiter_lines()]


def seen(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (event["type"], event["object"]["metadata"]["name"])
        for event in events
        if event["type"] not in ("BOOKMARK", "ERROR")
    ]


async def test_pages_are_of_one_moment(cluster: Cluster) -> None:
    for number in range(7):
        put_service(cluster.store, f"svc-{number}", "default" if number % 2 else NAMESPACE)
    first = await cluster.admin.get(_ALL_SERVICES, params={"limit": 3})
    cluster.store.delete(INFERENCE_SERVICES, NAMESPACE, "svc-6")
    put_service(cluster.store, "svc-7")
    query = {"limit": 3, "continue": first.json()["metadata"]["continue"]}
    second = await cluster.admin.get(_ALL_SERVICES, params=query)
    query["continue"] = second.json()["metadata"]["continue"]
    third = await cluster.admin.get(_ALL_SERVICES, params=query)
    assert names(first) + names(second) + names(third) == [
        "svc-1", "svc-3", "svc-5", "svc-0", "svc-2", "svc-4", "svc-6",
    ]  # fmt: skip
    assert [page.json()["metadata"].get("remainingItemCount") for page in (first, second, third)] == [4, 1, None]
    assert len({page.json()["metadata"]["resourceVersion"] for page in (first, second, third)}) == 1
    assert "svc-7" in names(await cluster.admin.get(_ALL_SERVICES))


async def test_a_token_expires(cluster: Cluster) -> None:
    for number in range(3):
        put_service(cluster.store, f"svc-{number}")
    token = (await cluster.admin.get(SERVICES, params={"limit": 1})).json()["metadata"]["continue"]
    for number in range(50):
        put_pod(cluster.store, f"pod-{number}")
    answer = await cluster.admin.get(SERVICES, params={"limit": 1, "continue": token})
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


@pytest.mark.parametrize("token", ["garbage", "eyJ2IjoxfQ", "e30", "ä", "eyJ2IjoieCIsInJ2IjoxLCJzdGFydCI6Ii9hIn0"])
async def test_tokens_that_are_none(cluster: Cluster, token: str) -> None:
    answer = await cluster.admin.get(SERVICES, params={"limit": 1, "continue": token})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_resource_versions_of_lists(cluster: Cluster) -> None:
    put_service(cluster.store, "old")
    then = cluster.store.version
    put_service(cluster.store, "new")
    exact = {"resourceVersion": str(then), "resourceVersionMatch": "Exact"}
    assert names(await cluster.admin.get(SERVICES, params=exact)) == ["old"]
    assert names(await cluster.admin.get(SERVICES, params={"resourceVersion": "0"})) == ["new", "old"]
    future = await cluster.admin.get(SERVICES, params={"resourceVersion": "999999"})
    assert (future.status_code, future.json()["reason"]) == (504, "Timeout")
    word = await cluster.admin.get(SERVICES, params={"resourceVersion": "x"})
    assert word.status_code == 400


async def test_field_selectors(cluster: Cluster) -> None:
    put_pod(cluster.store, "a", "gpu-0")
    put_pod(cluster.store, "b", "gpu-1", "Pending")
    event = {"metadata": {"name": "a.1", "namespace": NAMESPACE}, "involvedObject": {"name": "a", "kind": "Pod"}}
    cluster.store.put(EVENTS, event)
    assert names(await cluster.admin.get(_PODS, params={"fieldSelector": "spec.nodeName=gpu-1"})) == ["b"]
    assert names(await cluster.admin.get(_PODS, params={"fieldSelector": "status.phase!=Pending"})) == ["a"]
    assert names(await cluster.admin.get(_PODS, params={"fieldSelector": "metadata.name=b"})) == ["b"]
    involved = {"fieldSelector": "involvedObject.name=a,involvedObject.kind=Pod"}
    assert names(await cluster.admin.get("/api/v1/events", params=involved)) == ["a.1"]
    bad = await cluster.admin.get(_PODS, params={"fieldSelector": "spec.color=red"})
    assert (bad.status_code, bad.json()["message"]) == (400, "field label not supported: spec.color")


async def test_a_watch_begins_with_what_there_is(cluster: Cluster) -> None:
    put_service(cluster.store, "b")
    put_service(cluster.store, "a")
    assert seen(await watch(cluster, SERVICES)) == [("ADDED", "a"), ("ADDED", "b")]
    assert seen(await watch(cluster, SERVICES, resourceVersion="0")) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_goes_on_from_a_version(cluster: Cluster) -> None:
    put_service(cluster.store, "a")
    version = str(cluster.store.version)
    put_service(cluster.store, "b")
    put_service(cluster.store, "elsewhere", "default")
    cluster.store.delete(INFERENCE_SERVICES, NAMESPACE, "a")
    events = await watch(cluster, SERVICES, resourceVersion=version, allowWatchBookmarks="true")
    assert seen(events) == [("ADDED", "b"), ("DELETED", "a")]
    deleted = events[1]["object"]["metadata"]
    assert int(deleted["resourceVersion"]) > int(events[0]["object"]["metadata"]["resourceVersion"])
    bookmark = events[-1]["object"]["metadata"]["resourceVersion"]
    assert (events[-1]["type"], bookmark) == ("BOOKMARK", str(cluster.store.version))


async def test_leaving_the_selection_is_a_deletion(cluster: Cluster) -> None:
    put_service(cluster.store, "a", app="chat")

    def change() -> None:
        put_service(cluster.store, "b", app="other")
        put_service(cluster.store, "b", app="chat")
        put_service(cluster.store, "b", app="chat", more="x")
        put_service(cluster.store, "b", app="other")
        cluster.store.delete(INFERENCE_SERVICES, NAMESPACE, "b")

    events = await watch(cluster, SERVICES, change, labelSelector="app=chat")
    assert seen(events) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]
    assert events[-1]["object"]["metadata"]["labels"] == {"app": "chat", "more": "x"}


async def test_a_watch_list_says_where_its_burst_ends(cluster: Cluster) -> None:
    put_service(cluster.store, "a")
    params = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    events = await watch(cluster, SERVICES, **params)
    assert [event["type"] for event in events][:2] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    del params["resourceVersionMatch"]
    answer = await cluster.admin.get(SERVICES, params={"watch": "1", **params})
    assert answer.status_code == 400


async def test_an_expired_watch_says_so_in_the_stream(cluster: Cluster) -> None:
    version = str(cluster.store.version)
    for number in range(50):
        put_pod(cluster.store, f"pod-{number}")
    (event,) = await watch(cluster, SERVICES, resourceVersion=version)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_stopping_the_server_ends_its_watches() -> None:
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        async with running_cluster() as cluster:
            watcher = await stack.enter_async_context(client(cluster.url, cluster.tokens["admin"]))
            request = watcher.build_request("GET", SERVICES, params={"watch": "1"})
            response = await watcher.send(request, stream=True)
        assert await response.aread() == b""


async def test_tables(cluster: Cluster) -> None:
    put_pod(cluster.store, "a")
    cluster.store.put(
        NODES, {"metadata": {"name": "gpu-0"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    )
    table = (await cluster.admin.get(_PODS, headers=_TABLE)).json()
    assert [column["name"] for column in table["columnDefinitions"]][:5] == [
        "Name",
        "Ready",
        "Status",
        "Restarts",
        "Age",
    ]
    assert table["rows"][0]["cells"][:4] == ["a", "0/1", "Running", "0"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    nodes = (await cluster.admin.get("/api/v1/nodes", headers=_TABLE, params={"includeObject": "None"})).json()
    assert (nodes["rows"][0]["cells"][:2], nodes["rows"][0]["object"]) == (["gpu-0", "Ready"], None)


async def test_without_a_token_there_is_little_to_see(cluster: Cluster) -> None:
    async with client(cluster.url) as nobody:
        assert (await nobody.get("/version")).status_code == 200
        assert (await nobody.get("/readyz")).text == "ok"
        assert (await nobody.get("/apis")).status_code == 403
        answer = await nobody.get(SERVICES)
        assert (answer.status_code, "system:anonymous" in answer.json()["message"]) == (403, True)
        bad = await nobody.get(SERVICES, headers={"Authorization": "Bearer wrong"})
        assert bad.status_code == 401


@pytest.mark.parametrize(
    ("user", "method", "path", "allowed"),
    [
        ("robin", "DELETE", f"{SERVICES}/x", True),
        ("robin", "GET", f"{_PODS}/a/log", True),
        ("robin", "GET", "/api/v1/namespaces", True),
        ("robin", "DELETE", f"{_PODS}/a", False),
        ("robin", "GET", f"/api/v1/namespaces/{NAMESPACE}/secrets", False),
        ("mira", "GET", SERVICES, True),
        ("mira", "GET", "/apis/apps/v1/deployments", True),
        ("mira", "DELETE", f"{SERVICES}/x", False),
        ("mira", "GET", f"{_PODS}/a/log", False),
        ("viewer", "GET", "/api/v1/namespaces", False),
        ("operator", "GET", f"{_PODS}/a:8000/proxy/metrics", False),
    ],
)
async def test_rights(cluster: Cluster, user: str, method: str, path: str, allowed: bool) -> None:
    answer = await cluster.clients[user].request(method, path)
    assert (answer.status_code != 403) is allowed


async def test_reviews_and_rights_agree(cluster: Cluster) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for user, verb, subresource in (("robin", "get", "log"), ("mira", "get", "log"), ("admin", "delete", "")):
        attributes = {"verb": verb, "resource": "pods", "subresource": subresource, "namespace": NAMESPACE}
        answer = await cluster.clients[user].post(path, json={"spec": {"resourceAttributes": attributes}})
        assert answer.json()["status"]["allowed"] is (user != "mira")
    paths = {"nonResourceAttributes": {"path": "/version", "verb": "get"}}
    assert (await cluster.clients["mira"].post(path, json={"spec": paths})).json()["status"]["allowed"] is True
    assert (await cluster.admin.post(path, json={})).status_code == 400


async def test_logs(cluster: Cluster) -> None:
    put_pod(cluster.store, "a")
    put_pod(cluster.store, "new")
    robin = cluster.clients["robin"]
    assert (await robin.get(f"{_PODS}/a/log")).text == "one\ntwo\nthree\n"
    assert (await robin.get(f"{_PODS}/a/log", params={"tailLines": "1"})).text == "three\n"
    assert (await robin.get(f"{_PODS}/a/log", params={"follow": "true"})).text == "one\ntwo\nthree\nfour\nfive\n"
    before = await robin.get(f"{_PODS}/a/log", params={"previous": "true"})
    assert before.json()["message"] == 'previous terminated container "kserve-container" in pod "a" not found'
    starting = await robin.get(f"{_PODS}/new/log")
    assert (starting.status_code, "waiting to start" in starting.json()["message"]) == (400, True)
    other = await robin.get(f"{_PODS}/a/log", params={"container": "x"})
    assert other.json()["message"] == "container x is not valid for pod a"
    assert (await robin.get(f"{_PODS}/none/log")).status_code == 404


async def test_pod_proxy(cluster: Cluster) -> None:
    put_pod(cluster.store, "a")
    robin = cluster.clients["robin"]
    answer = await robin.get(f"{_PODS}/http:a:8000/proxy/metrics", params={"x": "1"})
    assert (answer.text, answer.headers["content-type"]) == ("llm-prod a /metrics?x=1", "text/plain; version=0.0.4")
    assert (await robin.get(f"{_PODS}/a:8000/proxy/")).text == "llm-prod a /"
    refused = await robin.get(f"{_PODS}/a/proxy/metrics")
    assert (refused.status_code, refused.json()["reason"]) == (503, "ServiceUnavailable")
    assert (await robin.get(f"{_PODS}/none:1/proxy/metrics")).status_code == 404
    assert (await robin.get(f"{_PODS}/a:99999/proxy/metrics")).status_code == 400


async def test_discovery_finds_every_kind(cluster: Cluster) -> None:
    groups = (await cluster.admin.get("/apis")).json()["groups"]
    for group in groups:
        assert (await cluster.admin.get(f"/apis/{group['name']}")).json()["name"] == group["name"]
        for version in group["versions"]:
            found = (await cluster.admin.get(f"/apis/{version['groupVersion']}")).json()
            assert found["resources"], version
            for resource in found["resources"]:
                if "list" in resource["verbs"]:
                    path = f"/apis/{version['groupVersion']}/{resource['name']}"
                    assert (await cluster.admin.get(path)).status_code == 200
    assert (await cluster.admin.get("/api")).json()["versions"] == ["v1"]
    paths = (await cluster.admin.get("/openapi/v3")).json()["paths"]
    for path in paths.values():
        assert (await cluster.admin.get(path["serverRelativeURL"])).json()["paths"] is not None
    assert (await cluster.admin.get("/apis/none.example/v1")).text == "404 page not found\n"
