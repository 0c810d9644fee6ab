"""GPUs of several clusters: one that is away makes its own rows older, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.config import Configuration
from backend.core.errors import ConfigurationError, UnreachableError
from backend.flows import gpus
from backend.flows.foundation import Foundation
from backend.flows.gpus import GpusFlow
from backend.telemetry.readings import LocalGpus
from backend.telemetry.store import TelemetryStore
from tests.fakes.ports import FixedClock
from tests.fakes.telemetry import SmallCluster, dcgm_page, exporter, node, pod

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BUSY = {"DEV_GPU_UTIL": 90, "PROF_GR_ENGINE_ACTIVE": 0.8}
EXPORTER = "gpu-operator/dcgm-gpu-01:9400/metrics"


def cluster_of(uuid: str) -> SmallCluster:
    page = dcgm_page({"gpu": "0", "UUID": uuid, "pod": "llama-0", "namespace": "llm-prod", **BUSY})
    return SmallCluster(
        [node("gpu-01", 1)], [exporter("gpu-01"), pod("llama-0", gpus=1, service="llama")], {EXPORTER: page}
    )


class Link:
    """A context, with the cluster behind it; None: its kubeconfig is broken."""

    def __init__(self, context: str, cluster: SmallCluster | None) -> None:
        self.context = context
        self.namespaces = ()
        self.cluster = cluster

    async def client(self) -> SmallCluster:
        if self.cluster is None:
            raise ConfigurationError(f"the context {self.context} has no server", "correct it")
        return self.cluster


class NoDriver:
    def __init__(self, **_: Any) -> None: ...

    async def sample(self) -> LocalGpus:
        return LocalGpus((), None, "no NVIDIA driver here", False)

    async def close(self) -> None: ...


async def _nothing() -> None: ...


@pytest.fixture
async def flow_of(tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(gpus, "NvmlSource", NoDriver)
    monkeypatch.setattr(gpus, "ClusterSource", lambda client, *_, **__: client)
    store = TelemetryStore(tmp_path / "telemetry.db", clock)
    flows: list[GpusFlow] = []

    def made(*links: Link) -> GpusFlow:
        clusters = SimpleNamespace(links=links, link=lambda context: links[0])
        settings = Configuration.model_validate({})
        foundation = SimpleNamespace(
            clock=clock, telemetry=store, clusters=clusters, cluster=links[0],
            configuration=SimpleNamespace(settings=settings, folder=tmp_path),
        )  # fmt: skip
        judged = SimpleNamespace(approved=True)
        approvals = SimpleNamespace(refresh=_nothing, judge=lambda digests: judged)
        flows.append(GpusFlow(cast(Foundation, foundation), cast(Any, approvals), dict))
        return flows[-1]

    yield made
    for flow in flows:
        await flow.close()
    await store.close()


async def test_a_cluster_that_is_away_makes_its_own_rows_older_alone(flow_of: Any, clock: FixedClock) -> None:
    one, two = cluster_of("GPU-1"), cluster_of("GPU-2")
    flow = flow_of(Link("one", one), Link("two", two))
    snapshot = await flow.snapshot()
    assert [(gpu.context, gpu.key, gpu.age) for gpu in snapshot.gpus] == [("one", "GPU-1", 0), ("two", "GPU-2", 0)]
    assert [service.key for service in snapshot.services] == ["one/llm-prod/llama", "two/llm-prod/llama"]
    two.failing["nodes"] = UnreachableError("x", "connection refused", "look")
    two.pages.clear()
    clock.advance(seconds=30)
    one.pages[EXPORTER] = dcgm_page({"gpu": "0", "UUID": "GPU-1", **BUSY, "DEV_POWER_USAGE": 300})
    snapshot = await flow.snapshot()
    assert [(gpu.key, gpu.age) for gpu in snapshot.gpus] == [("GPU-1", 0), ("GPU-2", 30)]
    assert "two: the cluster does not answer: connection refused" in snapshot.notes
    assert not [note for note in snapshot.notes if note.startswith("one: the cluster")]


async def test_a_context_that_cannot_be_used_is_told(flow_of: Any) -> None:
    flow = flow_of(Link("one", cluster_of("GPU-1")), Link("two", None))
    snapshot = await flow.snapshot()
    assert [gpu.context for gpu in snapshot.gpus] == ["one"]
    assert any(note.startswith("two: it is not looked at: ") and "no server" in note for note in snapshot.notes)
    checks = {check.name: check.state for check in await flow.check()}
    assert (checks["GPUs by dcgm-exporter in one"], checks["GPUs in two"]) == ("ok", "failed")
