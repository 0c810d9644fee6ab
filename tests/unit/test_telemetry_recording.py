"""What is recorded of snapshots, and what becomes of it while it cannot be written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from backend.core.views import (
    CellView,
    GpuSnapshotView,
    GpuState,
    GpuView,
    LatencyView,
    PendingView,
    ServiceMetricsView,
)
from backend.telemetry import recording
from backend.telemetry.recording import Recorder
from backend.telemetry.series_metrics import METRICS, SeriesKind
from backend.telemetry.series_samples import Sample, holders_of, holding_of, samples_of
from backend.telemetry.series_store import Piece

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
H100 = "NVIDIA H100 80GB HBM3"


def gpu(number: int = 0, **more: object) -> GpuView:
    base = GpuView(
        key=f"GPU-{number}",
        node="n1",
        index=number,
        uuid=f"GPU-{number}",
        product=H100,
        state=GpuState.BUSY,
        utilisation=90.0,
        engine_active=80.0,
        memory_used=2**34,
        memory_total=2**36,
        power=500.0,
        temperature=60.0,
        namespace="llm",
        pod="chat-0",
        service="chat",
        team="nlp",
        source="dcgm",
        age=1.0,
    )
    return msgspec.structs.replace(base, **more)


def snapshot(*gpus: GpuView, at: datetime = NOW, **more: object) -> GpuSnapshotView:
    base = GpuSnapshotView(at=at, gpus=gpus, servers=(), notes=())
    return msgspec.structs.replace(base, **more)


def pieces(recorder: Recorder) -> list[Piece]:
    """What is to be written."""
    return recorder.pieces(recorder.pending())


def values(samples: list[Sample], kind: SeriesKind, key: str) -> dict[str, float | None]:
    found = next(sample for sample in samples if (sample.kind, sample.key) == (kind, key))
    return {metric.name: value for metric, value in zip(METRICS[kind], found.values, strict=True)}


def test_a_sample_has_a_value_for_each_metric_of_its_kind() -> None:
    service = ServiceMetricsView(
        namespace="llm", service="chat", replicas=1, age=1.0, ttft=LatencyView(p50=0.1, p95=0.2, p99=0.3), running=4.0
    )
    samples = samples_of(snapshot(gpu(), services=(service,)))
    assert {sample.kind for sample in samples} == set(SeriesKind)
    for sample in samples:
        assert len(sample.values) == len(METRICS[sample.kind])
    assert values(samples, SeriesKind.SERVICE, "/llm/chat")["ttft_p95"] == 0.2
    assert values(samples, SeriesKind.SERVICE, "/llm/chat")["inter_token_p95"] is None


def test_what_is_too_old_or_not_known_is_not_recorded() -> None:
    old = samples_of(snapshot(gpu(age=500.0, state=GpuState.UNKNOWN)))
    assert set(values(old, SeriesKind.GPU, "GPU-0").values()) == {None}
    recorder = Recorder(timedelta(seconds=2))
    recorder.add(snapshot(gpu(age=None, state=GpuState.UNKNOWN)))
    assert SeriesKind.GPU not in {piece.kind for piece in pieces(recorder)}
    # Who holds it is not known any more, which is not that nobody does.
    stale = gpu(cells=(CellView(field="pod", source="cluster", age=1000.0),))
    assert holders_of(snapshot(stale)) == {}
    assert SeriesKind.HOLDING not in {sample.kind for sample in samples_of(snapshot(stale))}


def test_nothing_is_recorded_while_the_cluster_is_away() -> None:
    assert samples_of(snapshot(unreached="it does not answer")) == []


def test_supply_and_demand_are_counted_by_type() -> None:
    free = gpu(1, state=GpuState.FREE, pod="", service="")
    broken = gpu(2, state=GpuState.FAULT, pod="", service="")
    idle = gpu(3, state=GpuState.IDLE)
    waiting = PendingView(
        namespace="llm", pod="big-0", service="big", resource="nvidia.com/gpu", gpus=8, since=None, sentence=""
    )
    found = values(samples_of(snapshot(gpu(), free, broken, idle, pending=(waiting,))), SeriesKind.TYPE, H100)
    assert found == {"allocatable": 3, "allocated": 2, "pending": 8, "busy": 1, "idle": 1, "fault": 1}


def test_a_pod_that_takes_any_type_waits_for_a_type_of_its_own() -> None:
    waiting = PendingView(
        namespace="llm", pod="big-0", service="big", resource="nvidia.com/gpu", gpus=8, since=None, sentence=""
    )
    samples = samples_of(snapshot(gpu(), gpu(1, product="NVIDIA A100"), pending=(waiting,)))
    assert values(samples, SeriesKind.TYPE, H100)["pending"] == 0
    assert values(samples, SeriesKind.TYPE, "any nvidia.com/gpu")["pending"] == 8


def test_holdings_are_kept_by_service_team_and_type() -> None:
    samples = samples_of(snapshot(gpu(), gpu(1, state=GpuState.IDLE), gpu(2, service="", pod="job-7")))
    found = {holding_of(sample.key): sample.values for sample in samples if sample.kind is SeriesKind.HOLDING}
    by_service = {holding.service: counts for holding, counts in found.items() if holding is not None}
    assert by_service == {"chat": (2.0, 1.0), "": (1.0, 0.0)}


def test_blocks_close_every_ten_minutes_and_when_the_clock_is_set_back() -> None:
    recorder = Recorder(timedelta(seconds=2))
    for seconds in (0, 2, 4, 600, 602, 100):
        recorder.add(snapshot(gpu(), at=NOW + timedelta(seconds=seconds)))
    sizes = [len(piece.block.times) for piece in pieces(recorder) if piece.kind is SeriesKind.GPU]
    assert sizes == [3, 2, 1]


def test_a_snapshot_that_was_taken_already_counts_once() -> None:
    recorder = Recorder(timedelta(seconds=2))
    for _ in range(3):
        recorder.add(snapshot(gpu()))
    assert all(len(piece.block.times) == 1 for piece in pieces(recorder))


def test_what_was_written_is_not_written_again_until_it_grows() -> None:
    recorder = Recorder(timedelta(seconds=2))
    recorder.add(snapshot(gpu()))
    before = pieces(recorder)
    recorder.written(recorder.pending(), recorder.tenures())
    assert recorder.pending() == []
    recorder.add(snapshot(gpu(), at=NOW + timedelta(seconds=2)))
    again = next(piece for piece in pieces(recorder) if piece.kind is SeriesKind.GPU)
    # The same block, longer: it replaces what was written.
    assert len(again.block.times) == 2
    assert again.block.times[0] == next(p for p in before if p.kind is SeriesKind.GPU).block.times[0]


def test_a_sample_that_came_while_others_were_written_is_written_the_next_time() -> None:
    recorder = Recorder(timedelta(seconds=2))
    recorder.add(snapshot(gpu()))
    pending = recorder.pending()
    recorder.add(snapshot(gpu(), at=NOW + timedelta(seconds=2)))
    assert {len(piece.block.times) for piece in recorder.pieces(pending)} == {1}
    recorder.written(pending)
    assert {len(piece.block.times) for piece in pieces(recorder)} == {2}


def test_what_waits_for_too_long_to_be_written_is_let_go() -> None:
    recorder = Recorder(timedelta(seconds=60))
    for minutes in range(180):
        recorder.add(snapshot(gpu(), at=NOW + timedelta(minutes=minutes)))
    recorder.let_go()
    kept = [piece for piece in pieces(recorder) if piece.kind is SeriesKind.GPU]
    assert sum(len(piece.block.times) for piece in kept) <= 45


def test_samples_stand_for_the_time_that_passes_between_them() -> None:
    recorder = Recorder(timedelta(seconds=2))
    for number in range(10):
        recorder.add(snapshot(gpu(), at=NOW + timedelta(seconds=3 * number)))
    assert {piece.block.interval for piece in pieces(recorder)} == {3000}


def test_who_held_a_gpu_is_kept_with_its_time() -> None:
    recorder = Recorder(timedelta(seconds=2))
    recorder.add(snapshot(gpu()))
    recorder.add(snapshot(gpu(), at=NOW + timedelta(seconds=2)))
    recorder.add(snapshot(gpu(service="other"), at=NOW + timedelta(seconds=4)))
    recorder.add(snapshot(gpu(service="", pod="", state=GpuState.FREE), at=NOW + timedelta(seconds=6)))
    assert [(tenure.holder, tenure.until - tenure.since) for tenure in recorder.tenures()] == [
        ("llm/chat", 2000),
        ("llm/other", 0),
    ]


def _servers(number: int, value: float) -> tuple[ServiceMetricsView, ...]:
    latency = LatencyView(p50=value, p95=value, p99=value)
    return tuple(
        ServiceMetricsView(
            namespace="llm", service=f"chat-{at}", replicas=1, age=1.0, ttft=latency, inter_token=latency, running=value
        )
        for at in range(number)
    )


def test_thousands_of_series_are_sampled_less_often_and_held_in_little() -> None:
    recorder = Recorder(timedelta(seconds=2))
    for number in range(20):
        at = NOW + timedelta(seconds=2 * number)
        recorder.add(snapshot(at=at, services=_servers(2500, 1.5)))
    found = pieces(recorder)
    assert len(found) == 2500
    # 0, 6, 12 ...: the first sample tells how many there are.
    assert {len(piece.block.times) for piece in found} == {7}
    assert {piece.block.times[1] - piece.block.times[0] for piece in found} == {6000}
    column = found[0].block.columns[next(m.code for m in METRICS[SeriesKind.SERVICE] if m.name == "ttft_p95")]
    assert column.mean == [15000] * 7


def test_too_much_ends_blocks_early_and_is_let_go_where_it_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MOST_HELD", 2 * 16 * 40)
    recorder = Recorder(timedelta(seconds=2))
    for number in range(30):
        assert not recorder.is_full or number >= 4
        recorder.add(snapshot(at=NOW + timedelta(seconds=2 * number), services=_servers(10, 1.0)))
        if number % 10 == 9:
            recorder.let_go()
            assert sum(len(one.rows) for one, _ in recorder.pending()) <= 2 * 16 * 40 + 10 * 16
    assert recorder.is_full
    recorder.written(recorder.pending())
    recorder.add(snapshot(at=NOW + timedelta(seconds=60), services=_servers(10, 1.0)))
    assert not recorder.is_full
    assert len(pieces(recorder)) == 10
