"""Watches of an API server: every change, silence, and versions that have expired."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from backend.cluster.client import ClusterClient
from backend.cluster.resources import INFERENCE_SERVICES
from backend.cluster.watch import Changed, Listed, Lost, Regained, Removed, Watcher
from backend.core.ports import SystemClock
from tests.fakes.clusters import TestCluster, permit
from tests.fakes.contract import OTHER, apply, manifest


async def test_a_watch_tells_every_change(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract, "one"))
    seen: list[Any] = []
    async with aclosing(client.watch(INFERENCE_SERVICES, contract.namespace)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 1:
                await apply(client, manifest(contract, "one", OTHER))
                await apply(client, manifest(contract, "two"))
                await client.delete(permit("deploy.delete"), INFERENCE_SERVICES, contract.namespace, "one")
            if len(seen) == 4:
                break
    assert [type(event) for event in seen] == [Listed, Changed, Changed, Removed]
    assert [item.metadata.name for item in seen[0].objects] == ["one"]
    assert seen[1].object.metadata.generation == 2
    assert seen[2].object.metadata.name == "two"
    assert seen[3].object.metadata.name == "one"


async def test_a_watch_that_falls_silent_is_listed_anew(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract, "one"))
    impatient = await contract.client("admin", silence=0.3)
    seen: list[Any] = []
    async with aclosing(impatient.watch(INFERENCE_SERVICES, contract.namespace)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 4:
                break
    assert [type(event) for event in seen] == [Listed, Lost, Regained, Listed]
    assert "sent nothing for 0.3 s" in seen[1].reason
    assert [item.metadata.name for item in seen[3].objects] == ["one"]


async def test_a_watch_from_an_expired_version_lists_again(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract, "one"))
    versions = iter(["1"])

    async def lister() -> tuple[tuple[Any, ...], str]:
        objects, version = await client.list(INFERENCE_SERVICES, contract.namespace)
        return objects, next(versions, version)

    async def sleep(seconds: float) -> None:
        raise AssertionError("an expired version is no reason to wait")

    watcher = Watcher(
        client.connection,
        INFERENCE_SERVICES,
        contract.namespace,
        lister=lister,
        params={},
        clock=SystemClock(),
        sleep=sleep,
    )
    seen: list[Any] = []
    async with aclosing(watcher.events()) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 2:
                break
    assert [type(event) for event in seen] == [Listed, Listed]
    assert seen[1].resource_version != "1"


async def test_what_was_forbidden_is_told_by_the_watch(contract: TestCluster) -> None:
    viewer = await contract.viewer()
    async with aclosing(viewer.watch(INFERENCE_SERVICES, contract.namespace)) as events:
        lost = await anext(events)
    assert isinstance(lost, Lost)
    assert "list inferenceservices.serving.kserve.io" in lost.reason
