"""What the yard reads of an API server; what is not there is told from what is forbidden."""

from __future__ import annotations

import base64
import json
from contextlib import aclosing

import pytest

from backend.cluster.client import ClusterClient
from backend.cluster.objects import KubeObject
from backend.cluster.reader import Sight
from backend.cluster.resources import (
    INFERENCE_SERVICES,
    LLM_INFERENCE_SERVICES,
    PODS,
    PRIORITY_CLASSES,
    SECRETS,
    SERVING_RUNTIMES,
    Resource,
)
from backend.cluster.reviews import AccessRequest
from backend.core.errors import AccessDeniedError, AuthenticationError, NotFoundError, NotInstalledError
from tests.fakes.clusters import TestCluster, permit
from tests.fakes.contract import apply, manifest, runtime

ABSENT = Resource("gateway.modelyard.example", "v1alpha1", "securitypolicies", "SecurityPolicy", KubeObject)


async def test_the_server_tells_who_we_are_and_which_cluster_it_is(client: ClusterClient) -> None:
    identity = await client.identity()
    assert identity.username
    assert identity.groups
    assert identity.cluster_id
    assert await client.version()
    assert client.connection.clock_skew is not None


async def test_access_reviews_tell_what_we_may_do(contract: TestCluster, client: ClusterClient) -> None:
    request = AccessRequest(
        verb="patch", group="serving.kserve.io", resource="inferenceservices", namespace=contract.namespace
    )
    assert (await client.can_i(request)).allowed
    viewer = await contract.viewer()
    assert not (await viewer.can_i(request)).allowed


async def test_kserve_is_found(client: ClusterClient) -> None:
    kserve = await client.kserve_installed()
    assert kserve.installed
    assert kserve.message == ""
    assert "inferenceservices" in kserve.kinds


async def test_a_dead_token_is_refused(contract: TestCluster) -> None:
    expired = await contract.client("expired")
    with pytest.raises(AuthenticationError):
        await expired.list(INFERENCE_SERVICES, contract.namespace)


async def test_a_kind_that_is_not_installed_is_told(contract: TestCluster, client: ClusterClient) -> None:
    with pytest.raises(NotInstalledError, match="does not have this kind"):
        await client.list(ABSENT, contract.namespace)
    with pytest.raises(NotInstalledError):
        await client.find(ABSENT, contract.namespace, "x")
    with pytest.raises(NotInstalledError, match=r"gateway\.modelyard\.example"):
        await client.served(ABSENT)
    assert (await client.look(ABSENT, contract.namespace)).sight is Sight.NOT_INSTALLED
    with pytest.raises(NotFoundError) as caught:
        await client.get(INFERENCE_SERVICES, contract.namespace, "none")
    assert not isinstance(caught.value, NotInstalledError)


async def test_a_kind_is_found_in_the_version_that_is_served(contract: TestCluster, client: ClusterClient) -> None:
    assert (await client.served(LLM_INFERENCE_SERVICES)).version in {"v1alpha2", "v1alpha1"}
    newer = Resource(
        "serving.kserve.io", "v9", "servingruntimes", "ServingRuntime", SERVING_RUNTIMES.type, older=("v8", "v1alpha1")
    )
    assert (await client.served(newer)).version == "v1alpha1"
    await apply(client, runtime(contract))
    look = await client.look(newer, contract.namespace)
    assert look.sight is Sight.READ
    assert [one.metadata.name for one in look.objects] == ["vllm-0-27"]


async def test_one_namespace_that_is_forbidden_takes_nothing_from_another(
    contract: TestCluster, client: ClusterClient
) -> None:
    await apply(client, manifest(contract))
    reader = await contract.reader()
    objects, _ = await reader.list(INFERENCE_SERVICES, contract.namespace)
    assert [one.metadata.name for one in objects] == ["llama"]
    for namespace, words in (("default", "in namespace default"), (None, "in the whole cluster")):
        with pytest.raises(AccessDeniedError) as caught:
            await reader.list(INFERENCE_SERVICES, namespace)
        assert "list inferenceservices.serving.kserve.io" in caught.value.why
        assert words in caught.value.why
    look = await reader.look(PRIORITY_CLASSES)
    assert look.sight is Sight.FORBIDDEN
    assert "priorityclasses" in look.why
    # Which kinds there are may be known without rights on them.
    assert await reader.served(PRIORITY_CLASSES) is PRIORITY_CLASSES


async def test_lists_come_in_pages_and_by_selector(contract: TestCluster, client: ClusterClient) -> None:
    names = [f"many-{number}" for number in range(7)]
    for name in names:
        await apply(client, manifest(contract, name))
    small = await contract.client("admin", page_size=3)
    async with aclosing(small.list_pages(INFERENCE_SERVICES, contract.namespace)) as opened:
        pages = [len(items) async for items, _ in opened]
    assert pages == [3, 3, 1]
    objects, version = await small.list(
        INFERENCE_SERVICES, contract.namespace, label_selector="app.kubernetes.io/managed-by=modelyard"
    )
    assert sorted(item.metadata.name for item in objects) == names
    assert version
    assert objects[0].spec.predictor.containers is not None
    none, _ = await small.list(INFERENCE_SERVICES, contract.namespace, label_selector="x=y")
    assert none == ()


async def test_of_a_secret_nothing_but_its_metadata_is_asked_for(contract: TestCluster, client: ClusterClient) -> None:
    hidden = base64.b64encode(b"hidden").decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hf-token"}, "data": {"token": hidden}}
    await contract.send(client, "POST", SECRETS.path(contract.namespace), secret)
    assert await client.exists(SECRETS, contract.namespace, "hf-token")
    assert not await client.exists(SECRETS, contract.namespace, "ngc-key")
    read = await client.get(SECRETS, contract.namespace, "hf-token")
    listed, _ = await client.list(SECRETS, contract.namespace)
    assert "hf-token" in {one.metadata.name for one in listed}
    assert read["kind"] == "PartialObjectMetadata"
    assert hidden not in json.dumps(read)


async def test_a_pod_that_is_not_there_has_no_log_and_answers_nothing(
    contract: TestCluster, client: ClusterClient
) -> None:
    where = (contract.namespace, "nobody")
    with pytest.raises(NotFoundError):
        await client.logs(*where)
    with pytest.raises(NotFoundError):
        await anext(client.follow_logs(*where))
    with pytest.raises(NotFoundError):
        await client.pod_proxy(*where, 8000, "/metrics")
    with pytest.raises(NotFoundError):
        await client.pod_request(permit("deploy.validate"), *where, 8000, "/v1/chat/completions", b"{}")
    assert await client.exists(PODS, *where) is False
