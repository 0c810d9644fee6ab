"""History for the screen's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from backend.core.errors import StoreDamagedError
from backend.core.views import (
    CapacityView,
    CostView,
    HistoryView,
    PointView,
    ReplicaAdviceView,
    SeriesView,
    TenureView,
    TrendView,
    WhatIfView,
)
from tests.fakes import screen_data as data

if TYPE_CHECKING:
    from tests.fakes.screen_yard import FakeYard

_UNITS = {
    "memory_used": "bytes",
    "power": "watts",
    "ttft_p95": "seconds",
    "error_rate": "share",
    "demand": "GPUs",
    "busy": "share",
}
_LEVEL = {"memory_used": 60.0 * 2**30, "power": 450.0, "ttft_p95": 0.8, "error_rate": 0.01, "demand": 50.0, "busy": 0.7}


def series(key: str, metric: str, window: timedelta) -> SeriesView:
    """A hundred points, none in the middle."""
    level, step = _LEVEL.get(metric, 70.0), window / 100
    points = tuple(
        PointView(at=data.NOW - window + step * number, mean=level, low=level * 0.9, high=level * 1.1)
        for number in range(100)
        if not 40 <= number < 60
    )
    return SeriesView(
        key=key, metric=metric, unit=_UNITS.get(metric, "percent"), step=step.total_seconds(), points=points
    )


class FakeTelemetry:
    """History that is there at once."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        self.problem = ""
        self.notes: tuple[str, ...] = ()
        self.priced = True

    async def series(self, keys: Sequence[str], metric: str, window: timedelta) -> list[SeriesView]:
        self._note("series", metric, window)
        # What nothing measures has no points.
        return (
            []
            if metric in {"dram_active", "kv_cache", "idle", "free", "fault"}
            else [series(key, metric, window) for key in keys]
        )

    async def tenures(self, key: str, window: timedelta) -> list[TenureView]:
        self._note("tenures", key)
        return [
            TenureView(holder="llm-prod/llama-70b", since=data.NOW - timedelta(hours=5), until=data.NOW),
            TenureView(holder="llm-dev/try", since=data.NOW - timedelta(hours=9), until=data.NOW - timedelta(hours=6)),
        ]

    async def capacity(self, window: timedelta = timedelta(days=30)) -> list[CapacityView]:
        self._note("capacity", window)
        line = series("NVIDIA H100 80GB HBM3", "demand", window)
        return [
            CapacityView(
                key=line.key, at=data.NOW, supply=64, allocated=56, pending=8, idle=9, peak=60, demand=line,
                supplied=line, trend=TrendView(sentence="not enough history for a trend: 2 days measured"),
            )
        ]  # fmt: skip

    async def what_if(self, text: str) -> WhatIfView:
        self._note("what_if", text)
        return WhatIfView(
            service="llm-prod/llama-70b", replicas=2, gpus=16, type="NVIDIA H100 80GB HBM3", free=6, fits=False,
            cost_per_hour=32.0, currency="USD", sentence="8 GPUs: 6 free, no node has more than 5",
        )  # fmt: skip

    async def advice(self) -> list[ReplicaAdviceView]:
        return [
            ReplicaAdviceView(
                service="llm-prod/llama-70b", replicas=2, advised=3, expected=4.0, expected_high=8.0, per_replica=4.0,
                sentence="forecast from history, advice only: the busiest hour of the next day 4.0 requests at once",
            )
        ]  # fmt: skip

    async def cost(self, window: timedelta = timedelta(days=7), by: str = "service") -> list[CostView]:
        self._note("cost", window, by)
        return [
            CostView(
                key=key, gpu_hours=100, idle_hours=25, cost=200.0 if self.priced else None,
                idle_cost=50.0 if self.priced else None, tokens=1e8, per_million_tokens=2.0 if self.priced else None,
                measured=0.93, currency="USD" if self.priced else "",
            )
            for key in ("/llm-prod/llama-70b" if by == "service" else f"some {by}", "total")
        ]  # fmt: skip

    async def state(self) -> HistoryView:
        return HistoryView(
            problem=self.problem, notes=self.notes, since=data.NOW - timedelta(days=3), size=10_000, priced=self.priced
        )

    def _note(self, name: str, *arguments: object) -> None:
        self._yard.note(name, *arguments)
        if self.problem:
            raise StoreDamagedError("database telemetry.db", self.problem, "put it aside")
