"""What an API server refuses, and that it is told as what it is."""

from __future__ import annotations

from typing import Any

import pytest

from backend.cluster.client import Application, ClusterClient
from backend.cluster.resources import INFERENCE_SERVICES
from backend.core.errors import (
    AccessDeniedError,
    AdmissionError,
    ConflictError,
    NotFoundError,
    PartialFailureError,
    RefusedError,
)
from backend.serving.actions import stop_patch
from tests.fakes.clusters import TestCluster, permit
from tests.fakes.contract import OTHER, apply, deployment, manifest, plan


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("minReplica", 1, "field not declared in schema"), ("minReplicas", "one", "expected numeric")],
)
async def test_a_field_that_the_schema_does_not_have_is_named(
    contract: TestCluster, client: ClusterClient, field: str, value: Any, words: str
) -> None:
    wrong = manifest(contract)
    wrong["spec"]["predictor"][field] = value
    for attempt in (client.dry_run_apply(wrong), apply(client, wrong)):
        with pytest.raises(AdmissionError) as caught:
            await attempt
        assert caught.value.why.startswith(f".spec.predictor.{field}: {words}")
    assert await client.find(INFERENCE_SERVICES, contract.namespace, "llama") is None


async def test_a_bad_name_is_refused(contract: TestCluster, client: ClusterClient) -> None:
    wrong = manifest(contract)
    wrong["metadata"]["name"] = "Bad_Name"
    with pytest.raises(AdmissionError, match=r"metadata\.name"):
        await apply(client, wrong)


async def test_a_namespace_that_is_not_there_is_told(contract: TestCluster, client: ClusterClient) -> None:
    wrong = manifest(contract)
    wrong["metadata"]["namespace"] = "modelyard-nowhere"
    with pytest.raises(NotFoundError, match="modelyard-nowhere"):
        await client.dry_run_apply(wrong)


async def test_who_may_not_apply_is_told_what_is_missing(contract: TestCluster) -> None:
    viewer = await contract.viewer()
    with pytest.raises(AccessDeniedError) as caught:
        await viewer.dry_run_apply(manifest(contract))
    assert "patch inferenceservices.serving.kserve.io" in caught.value.why
    assert contract.namespace in caught.value.why


async def test_what_admission_refuses_is_told_in_its_own_words(contract: TestCluster, client: ClusterClient) -> None:
    async with contract.refusing() as words:
        for attempt in (client.dry_run_apply(manifest(contract, "rogue")), apply(client, manifest(contract, "rogue"))):
            with pytest.raises(AdmissionError) as caught:
                await attempt
            assert caught.value.exit_code == 3
            assert words in caught.value.why
        planned = await plan(client, deployment(contract, "rogue"))
        assert any(words in refusal for refusal in planned.view.refusals)
        assert (await apply(client, manifest(contract, "honest"))).created
    assert await client.find(INFERENCE_SERVICES, contract.namespace, "rogue") is None


async def test_a_stale_precondition_is_refused(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract))
    with pytest.raises(ConflictError):
        await apply(client, manifest(contract, digest=OTHER), resource_version="1")
    with pytest.raises(ConflictError):
        await client.merge_patch(
            permit("deploy.stop"), INFERENCE_SERVICES, contract.namespace, "llama", stop_patch(), resource_version="1"
        )
    live = await client.get(INFERENCE_SERVICES, contract.namespace, "llama")
    assert live["metadata"]["generation"] == 1


async def test_an_object_that_was_deleted_and_made_again_is_another(
    contract: TestCluster, client: ClusterClient
) -> None:
    await apply(client, manifest(contract))
    wrong = manifest(contract)
    wrong["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(ConflictError, match="made again"):
        await apply(client, wrong)


async def test_a_delete_is_of_the_object_that_was_seen(contract: TestCluster, client: ClusterClient) -> None:
    created = await apply(client, manifest(contract))
    where = (INFERENCE_SERVICES, contract.namespace, "llama")
    with pytest.raises(ConflictError):
        await client.delete(permit("deploy.delete"), *where, resource_version="1")
    with pytest.raises(ConflictError):
        await client.delete(permit("deploy.delete"), *where, uid="00000000-0000-0000-0000-000000000000")
    await client.delete(permit("deploy.delete"), *where, uid=created.metadata.uid)
    assert await client.find(*where) is None
    with pytest.raises(NotFoundError):
        await client.delete(permit("deploy.delete"), *where)


async def test_what_was_done_before_a_refusal_is_told(contract: TestCluster, client: ClusterClient) -> None:
    bad = manifest(contract, "second")
    bad["spec"]["predictor"]["minReplica"] = 1
    with pytest.raises(PartialFailureError, match="InferenceService first was applied"):
        await client.apply(permit(), [Application(manifest=manifest(contract, "first")), Application(manifest=bad)])


async def test_a_permit_is_spent_once_and_for_its_own(contract: TestCluster, client: ClusterClient) -> None:
    leave = permit()
    await client.apply(leave, [Application(manifest=manifest(contract))])
    with pytest.raises(RefusedError):
        await client.apply(leave, [Application(manifest=manifest(contract))])
    with pytest.raises(RefusedError):
        await client.delete(permit("deploy.stop"), INFERENCE_SERVICES, contract.namespace, "llama")
