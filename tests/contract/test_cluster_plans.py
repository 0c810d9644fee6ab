"""Plans, dry runs and applies: what the serving room relies on of an API server, the demo's and a real one."""

from __future__ import annotations

import pytest

from backend.cluster.client import ClusterClient
from backend.cluster.resources import INFERENCE_SERVICES, SERVING_RUNTIMES
from backend.core.errors import ConflictError
from backend.serving.actions import scale_patch, start_patch, stop_patch
from backend.serving.deployment import parse
from backend.serving.plan import Subject
from backend.serving.planner import Wanted, carry_out, make_plan, require_applicable
from tests.fakes.clusters import TestCluster, permit
from tests.fakes.contract import DIGEST, OTHER, apply, deployment, edit, manifest, plan, report_status, runtime


async def test_a_plan_to_create_changes_nothing(contract: TestCluster, client: ClusterClient) -> None:
    planned = await plan(client, deployment(contract))
    assert planned.view.refusals == ()
    assert [one.action for one in planned.view.objects] == ["create"]
    assert {line.mark for line in planned.view.objects[0].diff} == {"+"}
    assert await client.find(INFERENCE_SERVICES, contract.namespace, "llama") is None


async def test_a_dry_run_answers_what_the_apply_will(contract: TestCluster, client: ClusterClient) -> None:
    tried = await client.dry_run_apply(manifest(contract))
    assert tried.created
    assert await client.find(INFERENCE_SERVICES, contract.namespace, "llama") is None
    applied = await apply(client, manifest(contract))
    assert applied.created
    assert applied.object["spec"] == tried.object["spec"]
    again = await client.dry_run_apply(manifest(contract, digest=OTHER))
    assert not again.created
    live = await client.get(INFERENCE_SERVICES, contract.namespace, "llama")
    assert live["metadata"]["resourceVersion"] == applied.metadata.resource_version


async def test_a_plan_is_carried_out_and_then_nothing_is_left_to_do(
    contract: TestCluster, client: ClusterClient
) -> None:
    planned = await plan(client, deployment(contract))
    await require_applicable(client, planned)
    (created,) = await carry_out(client, permit(), planned)
    assert created.created
    assert created.metadata.generation == 1
    again = await plan(client, deployment(contract))
    assert [one.action for one in again.view.objects] == ["unchanged"]
    assert again.view.objects[0].diff == ()
    (unchanged,) = await carry_out(client, permit(), again)
    assert not unchanged.created
    assert unchanged.metadata.generation == 1
    assert unchanged.metadata.resource_version == created.metadata.resource_version


async def test_a_plan_is_the_same_as_long_as_what_it_saw_is(contract: TestCluster, client: ClusterClient) -> None:
    first = await plan(client, deployment(contract))
    assert (await plan(client, deployment(contract))).view.id == first.view.id
    await carry_out(client, permit(), first)
    after = await plan(client, deployment(contract))
    assert after.view.id != first.view.id
    await report_status(contract, client, "llama")
    assert (await plan(client, deployment(contract))).view.id == after.view.id


async def test_an_update_shows_what_changes_and_changes_it(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract))
    planned = await plan(client, deployment(contract, digest=OTHER))
    (one,) = planned.view.objects
    assert one.action == "update"
    changed = [(line.mark, line.text.strip()) for line in one.diff if line.mark != " "]
    assert changed == [
        ("-", f"image: registry.example/nim/meta/llama@{DIGEST}"),
        ("+", f"image: registry.example/nim/meta/llama@{OTHER}"),
    ]
    assert "nothing serves for a cold start" in planned.view.outage
    (updated,) = await carry_out(client, permit(), planned)
    assert updated.metadata.generation == 2


async def test_a_status_that_moved_does_not_stand_in_the_way(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, manifest(contract))
    planned = await plan(client, deployment(contract, digest=OTHER))
    await report_status(contract, client, "llama")
    (updated,) = await carry_out(client, permit(), planned)
    assert updated.metadata.generation == 2


async def test_an_object_that_changed_since_the_plan_is_not_touched(
    contract: TestCluster, client: ClusterClient
) -> None:
    await apply(client, manifest(contract))
    planned = await plan(client, deployment(contract, digest=OTHER))
    await edit(contract, client, {"metadata": {"labels": {"team": "search"}}}, "kubectl-label", "llama")
    with pytest.raises(ConflictError):
        await carry_out(client, permit(), planned)


async def test_an_object_that_appeared_since_the_plan_is_not_touched(
    contract: TestCluster, client: ClusterClient
) -> None:
    planned = await plan(client, deployment(contract))
    await apply(client, manifest(contract, digest=OTHER))
    with pytest.raises(ConflictError, match="somebody made it since"):
        await carry_out(client, permit(), planned)


async def test_installing_a_runtime_is_a_plan_and_an_apply_like_any_other(
    contract: TestCluster, client: ClusterClient
) -> None:
    made = runtime(contract)
    subject = Subject(
        kind="runtime",
        namespace=contract.namespace,
        name="vllm-0-27",
        image=f"registry.example/vllm@{DIGEST}",
        source="",
    )
    planned = await make_plan(client, Wanted(subject=subject, manifests=(made,)))
    assert planned.view.refusals == ()
    assert [one.action for one in planned.view.objects] == ["create"]
    assert await client.find(SERVING_RUNTIMES, contract.namespace, "vllm-0-27") is None
    (installed,) = await carry_out(client, permit("runtime.apply"), planned)
    assert installed.created
    held, _ = await client.list(SERVING_RUNTIMES, contract.namespace)
    assert [one.metadata.name for one in held] == ["vllm-0-27"]
    assert held[0].spec.supported_model_formats is not None
    again = await make_plan(client, Wanted(subject=subject, manifests=(made,)))
    assert [one.action for one in again.view.objects] == ["unchanged"]


async def test_a_named_runtime_gives_its_model_format(contract: TestCluster, client: ClusterClient) -> None:
    await apply(client, runtime(contract))
    file = parse(
        f"name: chat\nnamespace: {contract.namespace}\nimage: registry.example/vllm@{DIGEST}\nruntime: vllm-0-27\n"
        "args: [--model=org/model]\nmodel: {revision: abc}\nresources: {gpu: 2}\n"
        "env: [{name: HF_TOKEN, secretKeyRef: {name: hf, key: token}}]\n"
    )
    planned = await plan(client, file)
    assert planned.view.refusals == ()
    (applied,) = await carry_out(client, permit(), planned)
    model = applied.object["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "vLLM"}
    assert model["args"] == ["--model=org/model", "--revision=abc"]


async def test_a_runtime_that_is_not_there_is_told(contract: TestCluster, client: ClusterClient) -> None:
    file = parse(f"name: chat\nnamespace: {contract.namespace}\nimage: r.example/vllm@{DIGEST}\nruntime: vllm-none\n")
    planned = await plan(client, file)
    assert any("'vllm-none' is not in the namespace" in warning for warning in planned.view.warnings)


async def test_what_we_scaled_and_stopped_ourselves_is_ours_to_apply_over(
    contract: TestCluster, client: ClusterClient
) -> None:
    created = await apply(client, manifest(contract))
    scaled = await client.merge_patch(
        permit("deploy.scale"), INFERENCE_SERVICES, contract.namespace, "llama", scale_patch(created.object, 3)
    )
    assert scaled["spec"]["predictor"]["minReplicas"] == 3
    back = await apply(client, manifest(contract))
    assert back.object["spec"]["predictor"]["minReplicas"] == 1


async def test_a_service_is_stopped_and_started(contract: TestCluster, client: ClusterClient) -> None:
    where = (INFERENCE_SERVICES, contract.namespace, "llama")
    await apply(client, manifest(contract))
    seen = await client.get(*where)
    # The controller writes the status meanwhile, which is no reason to refuse.
    await report_status(contract, client, "llama")
    stopped = await client.merge_patch(permit("deploy.stop"), *where, stop_patch(), seen=seen)
    assert stopped["metadata"]["annotations"]["serving.kserve.io/stop"] == "true"
    assert stopped["metadata"]["generation"] == seen["metadata"]["generation"]
    planned = await plan(client, deployment(contract))
    assert any("does not start it" in warning for warning in planned.view.warnings)
    started = await client.merge_patch(permit("deploy.start"), *where, start_patch(), seen=stopped)
    assert "serving.kserve.io/stop" not in started["metadata"]["annotations"]
