"""What is known of GPUs over time: supply and demand, and what can be expected."""

from __future__ import annotations

from datetime import datetime

from backend.core.views.base import View
from backend.core.views.gpus import SeriesView


class TenureView(View, frozen=True, kw_only=True):
    """Who held a GPU, and until when it was last seen so."""

    holder: str
    since: datetime
    until: datetime


class TrendView(View, frozen=True, kw_only=True):
    """Where demand goes, from history alone.

    Attributes:
        per_day: change a day, the median of the slopes between all pairs of days; `per_day_low`, `per_day_high`: where
            it lies with a confidence of 90 %. All None: not enough history.
        basis: days that it rests on.
        horizon: days ahead that it is told for: never longer than the history itself.
        expected, expected_low, expected_high: demand then; the bounds cover 90 % of single days.
        sentence: for a person; names what it rests on, or what is missing.
    """

    per_day: float | None = None
    per_day_low: float | None = None
    per_day_high: float | None = None
    basis: float = 0.0
    horizon: float = 0.0
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    sentence: str


class CapacityView(View, frozen=True, kw_only=True):
    """Supply of and demand for one type of GPU.

    Attributes:
        key: product and MIG profile; `any RESOURCE` for pods that wait for whatever type there is.
        supply: GPUs that may be given out. allocated: of them given out. pending: that pods wait for. idle: allocated
            and doing nothing. All as last recorded, at `at`.
        demand: allocated and pending together over the time, `supplied` what there was.
        peak: the highest demand of that time.
        trend: of the demand. full: when it is expected to exceed the supply, in a sentence; empty: it cannot be told.
    """

    key: str
    at: datetime | None
    supply: float
    allocated: float
    pending: float
    idle: float
    peak: float | None
    demand: SeriesView
    supplied: SeriesView
    trend: TrendView
    full: str = ""


class WhatIfView(View, frozen=True, kw_only=True):
    """What more replicas of a service would need.

    Attributes:
        service: `namespace/name`. replicas: more than now, or fewer. gpus: that they take together.
        fits: whether they would run now; None: it cannot be told.
        cost_per_hour: more than now, an estimate; None: no price.
        sentence: for a person.
    """

    context: str = ""
    service: str
    replicas: int
    gpus: int
    type: str
    free: int | None
    fits: bool | None
    cost_per_hour: float | None
    currency: str = ""
    sentence: str


class ReplicaAdviceView(View, frozen=True, kw_only=True):
    """How many replicas a service may need over the next day: a forecast from its own history, and advice only.

    Attributes:
        replicas: now. advised: by the forecast; None: it cannot be told.
        expected, expected_high: requests at once in the busiest hour of the next day, and its upper bound.
        per_replica: requests at once that a replica took without a queue.
        sentence: for a person; starts with what it is.
    """

    context: str = ""
    service: str
    replicas: float | None
    advised: int | None
    expected: float | None
    expected_high: float | None
    per_replica: float | None
    sentence: str


class HistoryView(View, frozen=True, kw_only=True):
    """How it stands with what is kept.

    Attributes:
        problem: why nothing can be read or recorded for now; empty: as far as is known it can.
        notes: what a person should know, such as that a damaged file was moved aside.
        since: of the oldest that is kept; None: nothing is.
        size: bytes in use; None: not known.
        priced: whether there is a price table.
    """

    problem: str = ""
    notes: tuple[str, ...] = ()
    since: datetime | None = None
    size: int | None = None
    priced: bool = False
