"""What the cluster and serving rooms rely on of an API server: it holds on the demo's and on a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from backend.cluster.client import Application, ClusterClient
from backend.cluster.objects import KubeObject
from backend.cluster.resources import INFERENCE_SERVICES, SERVING_RUNTIMES, Resource
from backend.cluster.reviews import AccessRequest
from backend.cluster.watch import Changed, Listed, Removed, Watcher
from backend.core.errors import (
    AccessDeniedError,
    AdmissionError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PartialFailureError,
    RefusedError,
)
from backend.core.ports import SystemClock
from backend.serving.actions import scale_patch, start_patch, stop_patch
from backend.serving.deployment import DeploymentFile, parse
from backend.serving.manifests import build
from backend.serving.planner import carry_out, make_plan, require_applicable
from tests.fakes.clusters import MERGE, TestCluster, demo_cluster, permit, real_cluster, real_kubeconfig

DIGEST = "sha256:" + "4f" * 32
OTHER = "sha256:" + "5a" * 32


@pytest.fixture(params=["demo", pytest.param("real", marks=pytest.mark.cluster)])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TestCluster]:
    if request.param == "demo":
        async with demo_cluster(tmp_path) as made:
            yield made
        return
    kubeconfig = real_kubeconfig()
    if kubeconfig is None:
        pytest.skip("no real cluster: set MODELYARD_TEST_KUBECONFIG")
    async with real_cluster(tmp_path, kubeconfig) as made:
        yield made


@pytest.fixture
async def client(cluster: TestCluster) -> ClusterClient:
    return await cluster.client("admin")


def _file(cluster: TestCluster, name: str = "llama", digest: str = DIGEST, **replaced: str) -> DeploymentFile:
    return parse(
        f"name: {name}\nnamespace: {cluster.namespace}\n"
        f"image: registry.example/nim/meta/llama@{digest}\n"
        f"resources: {{gpu: 1, cpu: '4', memory: 32Gi}}\nreplicas: {{min: {replaced.get('replicas', '1')}}}\n"
    )


def _manifest(cluster: TestCluster, name: str = "llama", digest: str = DIGEST) -> dict[str, Any]:
    return build(_file(cluster, name, digest))[0]


def _path(cluster: TestCluster, name: str) -> str:
    return INFERENCE_SERVICES.path(cluster.namespace, name)


async def _apply(client: ClusterClient, manifest: dict[str, Any], **conditions: Any) -> Any:
    (applied,) = await client.apply(permit(), [Application(manifest=manifest, **conditions)])
    return applied


async def test_the_server_tells_who_we_are_and_which_cluster_it_is(client: ClusterClient) -> None:
    identity = await client.identity()
    assert identity.username
    assert identity.groups
    assert identity.cluster_id
    assert await client.version()


async def test_access_reviews_tell_what_we_may_do(cluster: TestCluster, client: ClusterClient) -> None:
    request = AccessRequest(
        verb="patch", group="serving.kserve.io", resource="inferenceservices", namespace=cluster.namespace
    )
    assert (await client.can_i(request)).allowed
    viewer = await cluster.client("viewer")
    assert not (await viewer.can_i(request)).allowed


async def test_kserve_is_found(client: ClusterClient) -> None:
    kserve = await client.kserve_installed()
    assert kserve.installed
    assert kserve.message == ""
    assert "inferenceservices" in kserve.kinds


async def test_a_kind_that_is_not_installed_is_told(cluster: TestCluster, client: ClusterClient) -> None:
    absent = Resource("gateway.modelyard.example", "v1alpha1", "securitypolicies", "SecurityPolicy", KubeObject)
    with pytest.raises(NotFoundError, match="does not have this kind"):
        await client.list(absent, cluster.namespace)
    with pytest.raises(NotFoundError):
        await client.find(absent, cluster.namespace, "x")


async def test_a_dead_token_is_refused(cluster: TestCluster) -> None:
    expired = await cluster.client("expired")
    with pytest.raises(AuthenticationError):
        await expired.list(INFERENCE_SERVICES, cluster.namespace)


async def test_a_plan_to_create_changes_nothing(cluster: TestCluster, client: ClusterClient) -> None:
    planned = await make_plan(client, _file(cluster))
    assert planned.view.refusals == ()
    assert [one.action for one in planned.view.objects] == ["create"]
    assert {line.mark for line in planned.view.objects[0].diff} == {"+"}
    assert await client.find(INFERENCE_SERVICES, cluster.namespace, "llama") is None


async def test_a_plan_is_carried_out_and_then_nothing_is_left_to_do(
    cluster: TestCluster, client: ClusterClient
) -> None:
    planned = await make_plan(client, _file(cluster))
    await require_applicable(client, planned)
    (created,) = await carry_out(client, permit(), planned)
    assert created.created
    assert created.metadata.generation == 1
    again = await make_plan(client, _file(cluster))
    assert [one.action for one in again.view.objects] == ["unchanged"]
    assert again.view.objects[0].diff == ()
    (unchanged,) = await carry_out(client, permit(), again)
    assert not unchanged.created
    assert unchanged.metadata.generation == 1
    assert unchanged.metadata.resource_version == created.metadata.resource_version


async def test_a_plan_is_the_same_as_long_as_what_it_saw_is(cluster: TestCluster, client: ClusterClient) -> None:
    first = await make_plan(client, _file(cluster))
    assert (await make_plan(client, _file(cluster))).view.id == first.view.id
    await carry_out(client, permit(), first)
    after = await make_plan(client, _file(cluster))
    assert after.view.id != first.view.id
    await _report_status(cluster, client, "llama")
    assert (await make_plan(client, _file(cluster))).view.id == after.view.id


async def test_an_update_shows_what_changes_and_changes_it(cluster: TestCluster, client: ClusterClient) -> None:
    await _apply(client, _manifest(cluster))
    planned = await make_plan(client, _file(cluster, digest=OTHER))
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


async def test_a_status_that_moved_does_not_stand_in_the_way(cluster: TestCluster, client: ClusterClient) -> None:
    await _apply(client, _manifest(cluster))
    planned = await make_plan(client, _file(cluster, digest=OTHER))
    await _report_status(cluster, client, "llama")
    (updated,) = await carry_out(client, permit(), planned)
    assert updated.metadata.generation == 2


async def test_an_object_that_changed_since_the_plan_is_not_touched(
    cluster: TestCluster, client: ClusterClient
) -> None:
    await _apply(client, _manifest(cluster))
    planned = await make_plan(client, _file(cluster, digest=OTHER))
    patch = {"metadata": {"labels": {"team": "search"}}}
    await cluster.send(client, "PATCH", _path(cluster, "llama"), patch, content_type=MERGE, manager="kubectl-label")
    with pytest.raises(ConflictError):
        await carry_out(client, permit(), planned)


async def test_an_object_that_appeared_since_the_plan_is_not_touched(
    cluster: TestCluster, client: ClusterClient
) -> None:
    planned = await make_plan(client, _file(cluster))
    await _apply(client, _manifest(cluster, digest=OTHER))
    with pytest.raises(ConflictError, match="somebody made it since"):
        await carry_out(client, permit(), planned)


async def test_a_field_of_another_manager_is_not_taken(cluster: TestCluster, client: ClusterClient) -> None:
    await _apply(client, _manifest(cluster))
    patch = {"spec": {"predictor": {"timeout": 30}}}
    await cluster.send(client, "PATCH", _path(cluster, "llama"), patch, content_type=MERGE, manager="kubectl-edit")
    with pytest.raises(ConflictError) as caught:
        await _apply(client, _manifest(cluster))
    assert caught.value.exit_code == 4
    assert caught.value.conflicts == (".spec.predictor.timeout is managed by kubectl-edit",)
    planned = await make_plan(client, _file(cluster))
    assert any("kubectl-edit" in refusal for refusal in planned.view.refusals)
    with pytest.raises(ConflictError):
        await _apply(client, _manifest(cluster), forced=(".spec.predictor.minReplicas",))
    taken = await _apply(client, _manifest(cluster), forced=(".spec.predictor.timeout",))
    assert taken.object["spec"]["predictor"]["timeout"] == 600


async def test_what_we_scaled_and_stopped_ourselves_is_ours_to_apply_over(
    cluster: TestCluster, client: ClusterClient
) -> None:
    created = await _apply(client, _manifest(cluster))
    scaled = await client.merge_patch(
        permit("deploy.scale"), INFERENCE_SERVICES, cluster.namespace, "llama", scale_patch(created.object, 3)
    )
    assert scaled["spec"]["predictor"]["minReplicas"] == 3
    back = await _apply(client, _manifest(cluster))
    assert back.object["spec"]["predictor"]["minReplicas"] == 1
    stopped = await client.merge_patch(
        permit("deploy.stop"), INFERENCE_SERVICES, cluster.namespace, "llama", stop_patch()
    )
    assert stopped["metadata"]["annotations"]["serving.kserve.io/stop"] == "true"
    planned = await make_plan(client, _file(cluster))
    assert any("does not start it" in warning for warning in planned.view.warnings)
    started = await client.merge_patch(
        permit("deploy.start"), INFERENCE_SERVICES, cluster.namespace, "llama", start_patch()
    )
    assert "serving.kserve.io/stop" not in started["metadata"]["annotations"]


async def test_a_merge_patch_of_a_stale_object_is_refused(cluster: TestCluster, client: ClusterClient) -> None:
    await _apply(client, _manifest(cluster))
    with pytest.raises(ConflictError):
        await client.merge_patch(
            permit("deploy.stop"), INFERENCE_SERVICES, cluster.namespace, "llama", stop_patch(), resource_version="1"
        )


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("minReplica", 1, "field not declared in schema"), ("minReplicas", "one", "expected numeric")],
)
async def test_a_field_that_the_schema_does_not_have_is_named(
    cluster: TestCluster, client: ClusterClient, field: str, value: Any, words: str
) -> None:
    manifest = _manifest(cluster)
    manifest["spec"]["predictor"][field] = value
    for attempt in (client.dry_run_apply(manifest), _apply(client, manifest)):
        with pytest.raises(AdmissionError) as caught:
            await attempt
        assert caught.value.why.startswith(f".spec.predictor.{field}: {words}")
    assert await client.find(INFERENCE_SERVICES, cluster.namespace, "llama") is None


async def test_a_bad_name_is_refused(cluster: TestCluster, client: ClusterClient) -> None:
    manifest = _manifest(cluster)
    manifest["metadata"]["name"] = "Bad_Name"
    with pytest.raises(AdmissionError, match=r"metadata\.name"):
        await _apply(client, manifest)


async def test_a_namespace_that_is_not_there_is_told(cluster: TestCluster, client: ClusterClient) -> None:
    manifest = _manifest(cluster)
    manifest["metadata"]["namespace"] = "modelyard-nowhere"
    with pytest.raises(NotFoundError, match="modelyard-nowhere"):
        await client.dry_run_apply(manifest)


async def test_who_may_not_apply_is_told_what_is_missing(cluster: TestCluster) -> None:
    viewer = await cluster.client("viewer")
    with pytest.raises(AccessDeniedError) as caught:
        await viewer.dry_run_apply(_manifest(cluster))
    assert "patch inferenceservices.serving.kserve.io" in caught.value.why
    assert cluster.namespace in caught.value.why


async def test_a_stale_precondition_is_refused(cluster: TestCluster, client: ClusterClient) -> None:
    await _apply(client, _manifest(cluster))
    with pytest.raises(ConflictError):
        await _apply(client, _manifest(cluster, digest=OTHER), resource_version="1")
    live = await client.get(INFERENCE_SERVICES, cluster.namespace, "llama")
    assert live["metadata"]["generation"] == 1


async def test_what_was_done_before_a_refusal_is_told(cluster: TestCluster, client: ClusterClient) -> None:
    bad = _manifest(cluster, "second")
    bad["spec"]["predictor"]["minReplica"] = 1
    with pytest.raises(PartialFailureError, match="InferenceService first was applied"):
        await client.apply(permit(), [Application(manifest=_manifest(cluster, "first")), Application(manifest=bad)])


async def test_a_permit_is_spent_once_and_for_its_own(cluster: TestCluster, client: ClusterClient) -> None:
    leave = permit()
    await client.apply(leave, [Application(manifest=_manifest(cluster))])
    with pytest.raises(RefusedError):
        await client.apply(leave, [Application(manifest=_manifest(cluster))])
    with pytest.raises(RefusedError):
        await client.delete(permit("deploy.stop"), INFERENCE_SERVICES, cluster.namespace, "llama")


async def test_lists_come_in_pages_and_by_selector(cluster: TestCluster, client: ClusterClient) -> None:
    names = [f"many-{number}" for number in range(7)]
    for name in names:
        await _apply(client, _manifest(cluster, name))
    small = await cluster.client("admin", page_size=3)
    async with aclosing(small.list_pages(INFERENCE_SERVICES, cluster.namespace)) as opened:
        pages = [len(items) async for items, _ in opened]
    assert pages == [3, 3, 1]
    objects, version = await small.list(
        INFERENCE_SERVICES, cluster.namespace, label_selector="app.kubernetes.io/managed-by=modelyard"
    )
    assert sorted(item.metadata.name for item in objects) == names
    assert version
    assert objects[0].spec.predictor.containers is not None
    none, _ = await small.list(INFERENCE_SERVICES, cluster.namespace, label_selector="x=y")
    assert none == ()


async def test_a_watch_tells_every_change(cluster: TestCluster, client: ClusterClient) -> None:
    await _apply(client, _manifest(cluster, "one"))
    seen: list[Any] = []
    async with aclosing(client.watch(INFERENCE_SERVICES, cluster.namespace)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 1:
                await _apply(client, _manifest(cluster, "one", OTHER))
                await _apply(client, _manifest(cluster, "two"))
                await client.delete(permit("deploy.delete"), INFERENCE_SERVICES, cluster.namespace, "one")
            if len(seen) == 4:
                break
    assert [type(event) for event in seen] == [Listed, Changed, Changed, Removed]
    assert [item.metadata.name for item in seen[0].objects] == ["one"]
    assert seen[1].object.metadata.generation == 2
    assert seen[2].object.metadata.name == "two"
    assert seen[3].object.metadata.name == "one"


async def test_a_watch_from_an_expired_version_lists_again(cluster: TestCluster, client: ClusterClient) -> None:
    await _apply(client, _manifest(cluster, "one"))
    versions = iter(["1"])

    async def lister() -> tuple[tuple[Any, ...], str]:
        objects, version = await client.list(INFERENCE_SERVICES, cluster.namespace)
        return objects, next(versions, version)

    async def sleep(seconds: float) -> None:
        raise AssertionError("an expired version is no reason to wait")

    watcher = Watcher(
        client.connection,
        INFERENCE_SERVICES,
        cluster.namespace,
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


async def test_a_delete_is_of_the_object_that_was_seen(cluster: TestCluster, client: ClusterClient) -> None:
    created = await _apply(client, _manifest(cluster))
    where = (INFERENCE_SERVICES, cluster.namespace, "llama")
    with pytest.raises(ConflictError):
        await client.delete(permit("deploy.delete"), *where, resource_version="1")
    with pytest.raises(ConflictError):
        await client.delete(permit("deploy.delete"), *where, uid="00000000-0000-0000-0000-000000000000")
    await client.delete(permit("deploy.delete"), *where, uid=created.metadata.uid)
    assert await client.find(*where) is None
    with pytest.raises(NotFoundError):
        await client.delete(permit("deploy.delete"), *where)


async def test_a_named_runtime_gives_its_model_format(cluster: TestCluster, client: ClusterClient) -> None:
    runtime = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "vllm-0-27", "namespace": cluster.namespace},
        "spec": {
            "supportedModelFormats": [{"name": "vLLM", "version": "1", "autoSelect": False}],
            "containers": [{"name": "kserve-container", "image": f"registry.example/vllm@{DIGEST}"}],
        },
    }
    await client.dry_run_apply(runtime)
    await _apply(client, runtime)
    held, _ = await client.list(SERVING_RUNTIMES, cluster.namespace)
    assert [one.metadata.name for one in held] == ["vllm-0-27"]
    file = parse(
        f"name: chat\nnamespace: {cluster.namespace}\nimage: registry.example/vllm@{DIGEST}\nruntime: vllm-0-27\n"
        "args: [--model=org/model]\nmodel: {revision: abc}\nresources: {gpu: 2}\n"
        "env: [{name: HF_TOKEN, secretKeyRef: {name: hf, key: token}}]\n"
    )
    planned = await make_plan(client, file)
    assert planned.view.refusals == ()
    (applied,) = await carry_out(client, permit(), planned)
    model = applied.object["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "vLLM"}
    assert model["args"] == ["--model=org/model", "--revision=abc"]


async def test_a_runtime_that_is_not_there_is_told(cluster: TestCluster, client: ClusterClient) -> None:
    file = parse(f"name: chat\nnamespace: {cluster.namespace}\nimage: r.example/vllm@{DIGEST}\nruntime: vllm-none\n")
    planned = await make_plan(client, file)
    assert any("'vllm-none' is not in the namespace" in warning for warning in planned.view.warnings)


async def _report_status(cluster: TestCluster, client: ClusterClient, name: str) -> None:
    """What KServe's controller does all the time."""
    status = {"status": {"url": f"http://{name}.example.com"}}
    await cluster.send(client, "PATCH", f"{_path(cluster, name)}/status", status, content_type=MERGE, manager="kserve")
