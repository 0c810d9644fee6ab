"""The demo's cluster answers recorded requests as the recorded kube-apiserver did.

The recordings, the state between them and what is exempt are described in the `wire/README.md` of the shared data.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.demo_cluster import NAMESPACE, SERVICES, Cluster, running_cluster, shared

_RECORDINGS = shared("wire", "kube-apiserver-1.36")
#: Admission by CEL is not played, and without pods' insides 36 and 37 hold as they are.
_EXEMPT = range(39, 43)
#: Discovery of kinds: the server has its own, of which those that are recorded as well are compared.
_OWN_KINDS = ("03", "04")
#: Groups that the recorded server did not have.
_OWN_GROUPS = ("gateway.networking.k8s.io", "serving.knative.dev")
#: Keys whose content is compared elsewhere or not at all.
_UNCOMPARED = frozenset({"managedFields"})
#: Values that later requests repeat.
_REPEATED = ("uid", "resourceVersion", "continue")

Between = Callable[[Cluster, dict[str, Any]], Coroutine[Any, Any, None]]


def shape_differences(recorded: Any, actual: Any, where: str = "") -> Iterator[str]:
    """Where two bodies differ in their keys, types and list lengths."""
    if type(recorded) is not type(actual):
        yield f"{where}: {type(recorded).__name__} {recorded!r} is {type(actual).__name__} {actual!r}"
    elif isinstance(recorded, dict):
        for name in (recorded.keys() ^ actual.keys()) - _UNCOMPARED:
            yield f"{where}.{name}: {'missing' if name in recorded else 'too much'}"
        for name in (recorded.keys() & actual.keys()) - _UNCOMPARED:
            yield from shape_differences(recorded[name], actual[name], f"{where}.{name}")
    elif isinstance(recorded, list):
        if len(recorded) != len(actual):
            yield f"{where}: {len(recorded)} elements are {len(actual)}"
        for index, (one, other) in enumerate(zip(recorded, actual, strict=False)):
            yield from shape_differences(one, other, f"{where}[{index}]")


def status_differences(recorded: Any, actual: Any) -> Iterator[str]:
    """Where two Status bodies differ in what clients decide by; messages are ours to match too."""
    if not isinstance(recorded, dict) or recorded.get("kind") != "Status":
        return
    for name in ("status", "reason", "code"):
        if recorded.get(name) != actual.get(name):
            yield f".{name}: {recorded.get(name)!r} is {actual.get(name)!r}"
    causes = [
        [cause.get("reason") for cause in body.get("details", {}).get("causes", [])] for body in (recorded, actual)
    ]
    if causes[0] != causes[1]:
        yield f".details.causes: {causes[0]} are {causes[1]}"


def in_common(recorded: Any, actual: Any) -> tuple[Any, Any]:
    """Two discoveries, each with the kinds that both have, in one order."""
    by_name = [{each["name"]: each for each in body["resources"]} for body in (recorded, actual)]
    names = sorted(by_name[0].keys() & by_name[1].keys())
    assert names
    one, other = ([resources[name] for name in names] for resources in by_name)
    return {**recorded, "resources": one}, {**actual, "resources": other}


def owners(content: Any) -> list[Any]:
    """The field owners of an object without their times."""
    entries = content.get("metadata", {}).get("managedFields", [])
    return [{name: value for name, value in entry.items() if name != "time"} for entry in entries]


def learn(recorded: Any, actual: Any, known: dict[str, str]) -> None:
    """Note which of our UIDs, resource versions and tokens stand for which recorded ones."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        for name, value in recorded.items():
            if name in _REPEATED and isinstance(actual.get(name), str) and value:
                known[value] = actual[name]
            learn(value, actual.get(name), known)
    elif isinstance(recorded, list) and isinstance(actual, list):
        for one, other in zip(recorded, actual, strict=False):
            learn(one, other, known)


def translated(value: Any, known: dict[str, str]) -> Any:
    """A recorded request's value with our UIDs, resource versions and tokens in it."""
    if isinstance(value, dict):
        return {name: translated(item, known) for name, item in value.items()}
    if isinstance(value, list):
        return [translated(item, known) for item in value]
    return known.get(value, value) if isinstance(value, str) else value


async def make_many(cluster: Cluster, recordings: dict[str, Any]) -> None:
    body = recordings["11"]["request"]["body"]
    for number in range(23):
        assert (await cluster.apply(f"many-{number:02}", renamed(body, f"many-{number:02}"))).status_code == 201


async def make_nodes(cluster: Cluster, recordings: dict[str, Any]) -> None:
    for node in recordings["33"]["response"]["body"]["items"]:
        metadata = {name: node["metadata"][name] for name in ("name", "labels")}
        body = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": metadata,
            "spec": {"taints": node["spec"]["taints"][:1]},
        }
        assert (await cluster.admin.post("/api/v1/nodes", json=body)).status_code == 201
        status = {name: node["status"][name] for name in ("capacity", "allocatable", "conditions")}
        answer = await cluster.merge(f"/api/v1/nodes/{metadata['name']}/status", {"status": status})
        assert answer.status_code == 200


async def make_service_account(cluster: Cluster, recordings: dict[str, Any]) -> None:
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    assert (await cluster.admin.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", json=body)).status_code == 201


async def patch_pod_status(cluster: Cluster, recordings: dict[str, Any]) -> None:
    pod = recordings["35"]["response"]["body"]["items"][0]
    status = {name: pod["status"][name] for name in ("conditions", "containerStatuses")}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/status"
    assert (await cluster.merge(path, {"status": status})).status_code == 200


async def make_allowed(cluster: Cluster, recordings: dict[str, Any]) -> None:
    request = recordings["42"]["request"]
    answer = await cluster.apply("llama-70b", request["body"])
    assert answer.status_code == recordings["42"]["response"]["status"]


async def make_event(cluster: Cluster, recordings: dict[str, Any]) -> None:
    event = recordings["53"]["response"]["body"]["items"][0]
    metadata = {name: event["metadata"][name] for name in ("name", "namespace")}
    left_out = ("metadata", "eventTime", "reportingComponent", "reportingInstance")
    body = {name: value for name, value in event.items() if name not in left_out}
    path = f"/api/v1/namespaces/{NAMESPACE}/events"
    assert (await cluster.admin.post(path, json={**body, "metadata": metadata})).status_code == 201


_BEFORE: dict[int, Between] = {
    25: make_many,
    33: make_nodes,
    34: make_service_account,
    35: patch_pod_status,
    43: make_allowed,
    53: make_event,
}


def renamed(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "name": name}}


async def change_while_watched(cluster: Cluster, recordings: dict[str, Any]) -> None:
    """What happened while 29 was open."""
    await cluster.merge(f"{SERVICES}/many-00", {"spec": {"predictor": {"minReplicas": 2}}})
    await cluster.admin.delete(f"{SERVICES}/many-01")
    await cluster.apply("fresh", renamed(recordings["11"]["request"]["body"], "fresh"))


async def send(cluster: Cluster, request: dict[str, Any]) -> httpx.Response:
    client = cluster.clients[{"expired token": "expired"}.get(request["as"], request["as"])]
    arguments: dict[str, Any] = {"params": request["params"], "headers": request["headers"]}
    if isinstance(request.get("body"), str):
        arguments["content"] = request["body"]
    elif "body" in request:
        arguments["json"] = request["body"]
    return await client.request(request["method"], request["path"], **arguments)


async def stream(
    cluster: Cluster, request: dict[str, Any], meanwhile: Callable[[], Coroutine[Any, Any, None]] | None
) -> Any:
    """The events of a watch, cut to a second after its first burst; `meanwhile` runs once it is open."""
    client = cluster.clients[request["as"]]
    params = {**request["params"], "timeoutSeconds": 1}
    async with client.stream("GET", request["path"], params=params, headers=request["headers"]) as response:
        if meanwhile is not None:
            await meanwhile()
        lines = [json.loads(line) async for line in response.aiter_lines()]
    return response.status_code, lines


def stream_differences(recorded: list[Any], actual: list[Any]) -> Iterator[str]:
    """Where two streams differ: events and their order, and whether bookmarks stand where a client waits for them."""
    events = [[line for line in lines if line["type"] != "BOOKMARK"] for lines in (recorded, actual)]
    if [line["type"] for line in events[0]] != [line["type"] for line in events[1]]:
        yield f"events: {[line['type'] for line in events[0]]} are {[line['type'] for line in events[1]]}"
    for number, (one, other) in enumerate(zip(*events, strict=False)):
        yield from shape_differences(one, other, f"event {number}")
        yield from status_differences(one["object"], other["object"])
    bookmarks = [[line for line in lines if line["type"] == "BOOKMARK"] for lines in (recorded, actual)]
    if bool(bookmarks[0]) != bool(bookmarks[1]):
        yield f"{len(bookmarks[0])} bookmarks are {len(bookmarks[1])}"
    elif bookmarks[0]:
        yield from shape_differences(bookmarks[0][0], bookmarks[1][0], "first bookmark")


@pytest.fixture
def recordings() -> dict[str, Any]:
    """The recordings by their two-digit number."""
    if not _RECORDINGS.is_dir():
        pytest.skip(f"the recordings are not at {_RECORDINGS}")
    return {path.name[:2]: json.loads(path.read_text("utf-8")) for path in sorted(_RECORDINGS.glob("*.json"))}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as running:
        yield running


async def replay_one(cluster: Cluster, number: str, recordings: dict[str, Any], known: dict[str, str]) -> list[str]:
    """Send one recorded request and compare its answer."""
    recorded = recordings[number]
    request, wanted = translated(recorded["request"], known), recorded["response"]
    if "lines" in wanted:
        changing = number == "29"
        status, lines = await stream(
            cluster, request, (lambda: change_while_watched(cluster, recordings)) if changing else None
        )
        learn(wanted["lines"], lines, known)
        found = [] if status == wanted["status"] else [f"status {wanted['status']} is {status}"]
        return found + list(stream_differences(wanted["lines"], lines))
    answer = await send(cluster, request)
    found = [] if answer.status_code == wanted["status"] else [f"status {wanted['status']} is {answer.status_code}"]
    if answer.headers["content-type"].partition(";")[0] != wanted["headers"]["content-type"].partition(";")[0]:
        found.append(f"content type is {answer.headers['content-type']}")
    if isinstance(wanted["body"], str):
        return found + ([] if answer.text == wanted["body"] else [f"text is {answer.text!r}"])
    actual = answer.json()
    learn(wanted["body"], actual, known)
    if number == "02":
        actual["groups"] = [group for group in actual["groups"] if group["name"] not in _OWN_GROUPS]
    if number in _OWN_KINDS:
        wanted["body"], actual = in_common(wanted["body"], actual)
    found += shape_differences(wanted["body"], actual)
    found += status_differences(wanted["body"], actual)
    if request["path"].startswith("/apis/serving") and owners(wanted["body"]) != owners(actual):
        found.append(f"owners {owners(wanted['body'])} are {owners(actual)}")
    return found


async def test_recorded_requests_are_answered_as_recorded(cluster: Cluster, recordings: dict[str, Any]) -> None:
    known: dict[str, str] = {}
    differences: list[str] = []
    for number in sorted(recordings):
        between = _BEFORE.get(int(number))
        if between is not None:
            await between(cluster, recordings)
        if int(number) in _EXEMPT:
            continue
        async with asyncio.timeout(20):
            found = await replay_one(cluster, number, recordings, known)
        differences += [f"{number} {recordings[number]['name']}: {line}" for line in found]
    assert not differences, "\n".join(differences)


async def test_recorded_messages_are_worded_as_recorded(cluster: Cluster, recordings: dict[str, Any]) -> None:
    """Clients show these messages, so their wording counts where nothing of the server's own is in them."""
    body = recordings["11"]["request"]["body"]
    assert (await cluster.apply("llama-8b", body)).status_code == 201
    await cluster.merge(
        f"{SERVICES}/llama-8b", {"spec": {"predictor": {"maxReplicas": 9}}}, fieldManager="kubectl-edit"
    )
    for number in ("09", "16", "18", "19", "20", "21", "22", "23", "38", "50", "52", "56", "58", "64"):
        answer = await send(cluster, recordings[number]["request"])
        assert answer.json()["message"] == recordings[number]["response"]["body"]["message"], number
