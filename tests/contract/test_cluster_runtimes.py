"""Runtimes of the catalogue, and what an undo deletes: on the demo's API server and on a real one."""

from __future__ import annotations

import pytest

from backend.cluster.client import ClusterClient
from backend.cluster.resources import INFERENCE_SERVICES, SERVING_RUNTIMES
from backend.core.errors import ConflictError
from backend.serving.plan import Subject
from backend.serving.planner import Planned, Wanted, carry_out, make_plan
from backend.serving.runtime_catalogue import catalogue
from backend.serving.runtime_templates import RuntimeRequest, runtime_of, same_content
from tests.fakes.clusters import TestCluster, permit
from tests.fakes.contract import DIGEST, OTHER, apply, manifest


@pytest.mark.parametrize("name", sorted(catalogue(None).templates))
async def test_a_template_of_the_catalogue_makes_what_the_server_takes_as_it_is(
    contract: TestCluster, client: ClusterClient, name: str
) -> None:
    request = RuntimeRequest(
        template=name, image=f"registry.example/x@{DIGEST}", tag="v1.2", namespace=contract.namespace
    )
    made = runtime_of(catalogue(None).find(name), request)
    tried = await client.dry_run_apply(made)
    assert tried.created
    # What the server fills in makes it no other runtime.
    assert same_content(tried.object, made)
    assert await client.find(SERVING_RUNTIMES, contract.namespace, made["metadata"]["name"]) is None


async def _undo(contract: TestCluster, client: ClusterClient) -> Planned:
    subject = Subject(namespace=contract.namespace, name="llama", image="", source="")
    return await make_plan(client, Wanted(subject=subject, manifests=(), deletions=(manifest(contract),)))


async def test_what_an_apply_made_is_deleted_as_it_was_seen(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract))
    planned = await _undo(contract, client)
    assert [one.action for one in planned.view.objects] == ["delete"]
    assert {line.mark for line in planned.view.objects[0].diff} == {"-"}
    assert await carry_out(client, permit("deploy.settle"), planned) == ()
    assert await client.find(INFERENCE_SERVICES, contract.namespace, "llama") is None
    # What is gone already is no failure.
    assert await carry_out(client, permit("deploy.settle"), planned) == ()


async def test_an_object_that_was_changed_since_is_not_deleted(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract))
    planned = await _undo(contract, client)
    await apply(client, manifest(contract, digest=OTHER))
    with pytest.raises(ConflictError):
        await carry_out(client, permit("deploy.settle"), planned)
    assert await client.find(INFERENCE_SERVICES, contract.namespace, "llama") is not None
