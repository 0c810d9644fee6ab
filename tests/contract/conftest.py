"""The clusters that the contract suite holds the cluster and serving rooms to: the demo's, and a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.cluster.client import ClusterClient
from tests.fakes.clusters import TestCluster, demo_cluster, real_cluster, real_kubeconfig


@pytest.fixture(params=["demo", pytest.param("real", marks=pytest.mark.cluster)])
async def contract(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TestCluster]:
    """A cluster with a namespace of the test's own."""
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
async def client(contract: TestCluster) -> ClusterClient:
    """Its administrator."""
    return await contract.client("admin")
