"""Asks a Prometheus, by its HTTP API (version 1: `query` and `query_range`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from backend.core.errors import LimitExceededError, MalformedDataError
from backend.core.text import sanitise

#: Points of one line that Prometheus gives at most.
MOST_POINTS: Final = 11_000
_MOST_SERIES: Final = 1_000_000
_CHECK: Final = "check that it is a Prometheus, and that url or service under [telemetry] prometheus is right"


class Transport(Protocol):
    """How a Prometheus is reached."""

    @property
    def name(self) -> str:
        """How it is called where its numbers are shown."""

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        """The body of the answer, whatever the status of a Prometheus' own error is.

        Raises:
            UnreachableError, AccessDeniedError, AuthenticationError, NotFoundError, LimitExceededError
        """

    async def close(self) -> None:
        """Let go of connections."""


class Value(NamedTuple):
    """A series at one time: its labels with `__name__`, the time in seconds since 1970, and the value."""

    labels: dict[str, str]
    at: float
    value: float


class Line(NamedTuple):
    """A series over time: `(seconds since 1970, value)`, oldest first; what is no number is left out."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] | None = None


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: list[_Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


_DECODER: Final = msgspec.json.Decoder(_Answer)


class Prometheus:
    """One Prometheus, Thanos, Mimir or VictoriaMetrics.

    Args:
        labels: that series of our cluster carry.
    """

    def __init__(self, transport: Transport, labels: Mapping[str, str] | None = None) -> None:
        self._transport = transport
        self._labels = dict(labels or {})

    @property
    def name(self) -> str:
        """How it is called where its numbers are shown."""
        return self._transport.name

    def selector(self, names: Iterable[str] = (), **matchers: str) -> str:
        """A selector of the series with one of these names, within our cluster.

        Args:
            names: of metrics; none: any.
            matchers: labels with the values that they must have.
        """
        parts = [f'{label}="{_quoted(value)}"' for label, value in {**self._labels, **matchers}.items()]
        named = sorted(set(names))
        if named:
            # Names of metrics hold no character that means anything in a regular expression.
            parts.insert(0, f'__name__=~"{"|".join(named)}"')
        return "{" + ",".join(parts) + "}"

    async def query(self, expression: str) -> list[Value]:
        """What an expression gives now.

        Raises:
            UnreachableError and its kinds: it does not answer, or refuses us.
            MalformedDataError: it is no Prometheus, or it refuses the expression.
        """
        series = await self._ask("api/v1/query", {"query": expression}, "vector")
        return [
            Value(one.metric, one.value[0], number)
            for one in series
            if one.value is not None and (number := _number(one.value[1])) is not None
        ]

    async def query_range(self, expression: str, start: datetime, end: datetime, step: float) -> list[Line]:
        """What an expression gives over time.

        Args:
            step: seconds between two points; made longer where that would be too many points.

        Raises:
            As for `query`.
        """
        seconds = max(0.0, (end - start).total_seconds())
        step = max(step, seconds / (MOST_POINTS - 1), 0.001)
        params = {
            "query": expression,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{math.ceil(step * 1000) / 1000:.3f}",
        }
        series = await self._ask("api/v1/query_range", params, "matrix")
        return [
            Line(
                one.metric,
                tuple((at, number) for at, text in one.values or () if (number := _number(text)) is not None),
            )
            for one in series
        ]

    async def close(self) -> None:
        """Let go of connections."""
        await self._transport.close()

    async def _ask(self, path: str, params: Mapping[str, str], kind: str) -> Sequence[_Series]:
        what = f"Prometheus {self.name}"
        body = await self._transport.get(path, params)
        try:
            answer = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedDataError(what, "what it answers is not of Prometheus' API", _CHECK) from error
        if answer.status != "success" or answer.data is None:
            raise MalformedDataError(what, f"it says: {sanitise(answer.error, 300) or 'no reason'}", _CHECK)
        if answer.data.result_type != kind:
            raise MalformedDataError(
                what, f"it answers a {sanitise(answer.data.result_type, 40)}, not a {kind}", _CHECK
            )
        if len(answer.data.result) > _MOST_SERIES:
            raise LimitExceededError(what, f"it answers {len(answer.data.result)} series", "set labels that tell ours")
        return answer.data.result


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(text: str) -> float | None:
    """A sample's value; None for NaN, and for what is no number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number
