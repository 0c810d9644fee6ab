"""Where a series goes: a trend that says how sure it is, or that it cannot be told. Pure.

The slope is Theil's and Sen's (the median of the slopes between all pairs of days), which a few odd days do not bend;
its interval is the one of Sen (1968) from Kendall's tau. The interval of a single day to come is that of the slope
plus the spread of the days around the line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final, NamedTuple

from backend.core.views import TrendView

#: Days with measurements below which nothing is said of where they go.
LEAST_DAYS: Final = 5
#: Two-sided quantile of the normal distribution for 90 %.
_NORMAL: Final = 1.6449
_LONGEST_HORIZON: Final = 30.0


class Line(NamedTuple):
    """A line through days, and how sure it is.

    Attributes:
        slope, slope_low, slope_high: a day. level: at day 0. spread: within which 90 % of the days lie around it.
    """

    slope: float
    slope_low: float
    slope_high: float
    level: float
    spread: float

    def at(self, day: float) -> float:
        """Its value."""
        return self.level + self.slope * day


def line_through(days: Sequence[float], values: Sequence[float]) -> Line | None:
    """The line through measurements of days; None where there are too few, or they are of one day."""
    count = len(days)
    slopes = sorted(
        (values[after] - values[before]) / (days[after] - days[before])
        for before in range(count)
        for after in range(before + 1, count)
        if days[after] != days[before]
    )
    if count < LEAST_DAYS or not slopes:
        return None
    slope = median(slopes)
    level = median(value - slope * day for day, value in zip(days, values, strict=True))
    # Kendall's score without ties has this variance; with ties it is smaller, so the interval is on the safe side.
    reach = _NORMAL * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    away = sorted(abs(value - level - slope * day) for day, value in zip(days, values, strict=True))
    # Of few days the farthest one stands for the 90th percentile of all.
    spread = away[min(count - 1, math.ceil(0.9 * (count + 1)) - 1)]
    return Line(slope, slopes[low], slopes[high], level, spread)


def trend(days: Sequence[float], values: Sequence[float], unit: str) -> TrendView:
    """What is to be expected.

    Args:
        days: of the measurements, the last of them today.
        unit: of the values, as a person reads it.
    """
    line = line_through(days, values)
    basis = days[-1] - days[0] if days else 0.0
    if line is None:
        return TrendView(
            basis=basis,
            sentence=f"not enough history for a trend: {_days(len(days))} measured, {LEAST_DAYS} are needed",
        )
    horizon = min(basis, _LONGEST_HORIZON)
    today, middle = days[-1], (days[0] + days[-1]) / 2
    # The line turns around the middle of what was measured.
    ahead = today + horizon - middle
    expected = line.at(today + horizon)
    low = min(expected, expected + (line.slope_low - line.slope) * ahead) - line.spread
    high = max(expected, expected + (line.slope_high - line.slope) * ahead) + line.spread
    if line.slope_low <= 0 <= line.slope_high:
        told = "no clear direction"
    else:
        told = f"{line.slope:+.2f} {unit} a day ({line.slope_low:+.2f} to {line.slope_high:+.2f})"
    return TrendView(
        per_day=line.slope,
        per_day_low=line.slope_low,
        per_day_high=line.slope_high,
        basis=basis,
        horizon=horizon,
        expected=max(0.0, expected),
        expected_low=max(0.0, low),
        expected_high=max(0.0, high),
        sentence=(
            f"{told}; in {_days(round(horizon))} {max(0.0, expected):.0f} {unit}, 90 % between {max(0.0, low):.0f} and "
            f"{max(0.0, high):.0f}; from {_days(len(days))} of history"
        ),
    )


def full_in(found: TrendView, now: float, supply: float) -> str:
    """When demand is expected to exceed the supply, in a sentence; empty: that cannot be told."""
    if found.per_day is None or found.per_day_low is None or found.per_day_high is None:
        return ""
    if now >= supply:
        return "demand exceeds the supply now" if now > supply else "all of the supply is in use now"
    if found.per_day_high <= 0:
        return "demand does not grow"
    earliest = (supply - now) / found.per_day_high
    if earliest > found.horizon:
        return f"not within {_days(round(found.horizon))}"
    if found.per_day_low <= 0:
        return f"in {_days(math.ceil(earliest))} at the earliest, or never"
    first, last = math.ceil(earliest), math.ceil((supply - now) / found.per_day_low)
    return f"in {_days(first)}" if first == last else f"in {first} to {_days(last)}"


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"
