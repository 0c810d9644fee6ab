"""Several clusters in one snapshot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backend.core.views import GpuSnapshotView, GpuState, GpuView
from backend.telemetry.merging import merged

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def gpu(key: str, context: str = "", source: str = "dcgm") -> GpuView:
    return GpuView(
        key=key, node="n", index=0, uuid=key, product="", context=context, state=GpuState.FREE, utilisation=None,
        engine_active=None, memory_used=None, memory_total=None, power=None, temperature=None, source=source, age=0,
    )  # fmt: skip


def snapshot(*gpus: GpuView, seconds: int = 0, notes: tuple[str, ...] = (), unreached: str = "") -> GpuSnapshotView:
    return GpuSnapshotView(
        at=NOON + timedelta(seconds=seconds), gpus=gpus, servers=(), notes=notes, unreached=unreached
    )


def test_this_machine_stands_where_it_is_a_node() -> None:
    own, other = gpu("GPU-own", source="nvml"), gpu("GPU-own", "two")
    together = merged([snapshot(gpu("GPU-a", "one"), own), snapshot(other, seconds=1)], ["one", "two"])
    assert [(each.key, each.context) for each in together.gpus] == [("GPU-a", "one"), ("GPU-own", "two")]
    assert together.at == NOON + timedelta(seconds=1)


def test_nothing_is_known_only_when_no_cluster_tells() -> None:
    away = snapshot(notes=("away",), unreached="it is away")
    together = merged([snapshot(gpu("GPU-a", "one")), away], ["one", "two"])
    assert (together.unreached, together.notes) == ("", ("two: away",))
    assert merged([away, away], ["one", "two"]).unreached == "one: it is away; two: it is away"
    assert merged([away], ["one"]) is away
