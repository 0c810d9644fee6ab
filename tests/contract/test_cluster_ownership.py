"""Whose fields are whose: conflicts, and the taking of what a person named and nothing else."""

from __future__ import annotations

import pytest

from backend.cluster.client import ClusterClient
from backend.cluster.resources import INFERENCE_SERVICES
from backend.core.errors import ConflictError
from tests.fakes.clusters import TestCluster
from tests.fakes.contract import OTHER, apply, deployment, edit, manifest, plan

TIMEOUT = ".spec.predictor.timeout"
MINIMUM = ".spec.predictor.minReplicas"


@pytest.fixture
async def edited(contract: TestCluster, client: ClusterClient) -> None:
    """A service of ours whose timeout somebody edited, and whose number of replicas somebody else did."""
    await apply(client, manifest(contract))
    await edit(contract, client, {"spec": {"predictor": {"timeout": 30}}}, "kubectl-edit", "llama")
    await edit(contract, client, {"spec": {"predictor": {"minReplicas": 5}}}, "scaler", "llama")


async def _predictor(contract: TestCluster, client: ClusterClient) -> tuple[int, int]:
    live = await client.get(INFERENCE_SERVICES, contract.namespace, "llama")
    return live["spec"]["predictor"]["timeout"], live["spec"]["predictor"]["minReplicas"]


async def test_fields_of_other_managers_are_not_taken(
    contract: TestCluster, client: ClusterClient, edited: None
) -> None:
    with pytest.raises(ConflictError) as caught:
        await apply(client, manifest(contract))
    assert caught.value.exit_code == 4
    assert set(caught.value.conflicts) == {f"{TIMEOUT} is managed by kubectl-edit", f"{MINIMUM} is managed by scaler"}
    assert {str(one) for one in await client.dry_run_conflicts(manifest(contract))} == set(caught.value.conflicts)
    planned = await plan(client, deployment(contract))
    assert any("kubectl-edit" in refusal for refusal in planned.view.refusals)
    assert await _predictor(contract, client) == (30, 5)


@pytest.mark.parametrize(
    "forced",
    [
        (TIMEOUT,),
        (".spec.predictor.maxReplicas",),
        (TIMEOUT, f"{MINIMUM} is managed by kubectl-edit"),
        (f"{TIMEOUT} is managed by scaler", MINIMUM),
    ],
)
async def test_naming_some_of_them_takes_none(
    contract: TestCluster, client: ClusterClient, edited: None, forced: tuple[str, ...]
) -> None:
    with pytest.raises(ConflictError) as caught:
        await apply(client, manifest(contract), forced=forced)
    assert len(caught.value.conflicts) == 2
    assert await _predictor(contract, client) == (30, 5)


@pytest.mark.parametrize("told", [False, True])
async def test_named_fields_are_taken(contract: TestCluster, client: ClusterClient, edited: None, told: bool) -> None:
    named = (f"{TIMEOUT} is managed by kubectl-edit", f"{MINIMUM} is managed by scaler") if told else (TIMEOUT, MINIMUM)
    taken = await apply(client, manifest(contract), forced=named)
    assert taken.object["spec"]["predictor"]["timeout"] == 600
    assert await client.dry_run_conflicts(manifest(contract)) == ()
    await apply(client, manifest(contract, digest=OTHER))


async def test_named_fields_are_taken_of_the_object_that_was_seen(
    contract: TestCluster, client: ClusterClient, edited: None
) -> None:
    seen = await client.get(INFERENCE_SERVICES, contract.namespace, "llama")
    await edit(contract, client, {"metadata": {"labels": {"team": "search"}}}, "kubectl-label", "llama")
    version = seen["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError):
        await apply(client, manifest(contract), forced=(TIMEOUT, MINIMUM), resource_version=version)
    assert await _predictor(contract, client) == (30, 5)


async def test_a_dry_run_shows_what_taking_them_would_lead_to(
    contract: TestCluster, client: ClusterClient, edited: None
) -> None:
    with pytest.raises(ConflictError):
        await client.dry_run_apply(manifest(contract), forced=(TIMEOUT,))
    tried = await client.dry_run_apply(manifest(contract), forced=(TIMEOUT, MINIMUM))
    assert tried.object["spec"]["predictor"]["timeout"] == 600
    assert await _predictor(contract, client) == (30, 5)
