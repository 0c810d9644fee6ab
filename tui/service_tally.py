"""How many services there are of each verdict, kept up from one look to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import is_not

from backend.core.views import GpuSnapshotView, ServiceMetricsView, ServiceView, Verdict


def replaced(before: Sequence[ServiceView], now: Sequence[ServiceView]) -> list[int] | None:
    """Where another view of the same service stands now; None: services came, went or changed places."""
    if len(before) != len(now):
        return None
    found = list(compress(range(len(now)), map(is_not, before, now)))
    return found if all(before[place].key == now[place].key for place in found) else None


def verdict_counts(services: Iterable[ServiceView]) -> Counter[tuple[Verdict, bool]]:
    """How many services there are of each verdict, approved and not."""
    return Counter((service.verdict, service.approved is False) for service in services)


def metrics_by_key(
    snapshot: GpuSnapshotView | None, primary: str, *, slow_alone: bool = False
) -> dict[str, ServiceMetricsView]:
    """What model servers measure, by the key of their service.

    Args:
        primary: context of those that name none.
        slow_alone: only of those that miss an objective.
    """
    services = snapshot.services if snapshot is not None else ()
    return {
        f"{one.context or primary}/{one.namespace}/{one.service}": one for one in services if one.slow or not slow_alone
    }


def is_slow(service: ServiceView, metrics: ServiceMetricsView | None) -> bool:
    """Whether it serves and misses an objective."""
    return service.verdict is Verdict.SERVING and metrics is not None and bool(metrics.slow)


def slow_keys(services: Mapping[str, ServiceView], measured: Mapping[str, ServiceMetricsView]) -> frozenset[str]:
    """Keys of the services that serve and miss an objective."""
    return frozenset(
        key for key, one in measured.items() if one.slow and key in services and is_slow(services[key], one)
    )


class ServiceTally:
    """Counts of all services: of thousands, only those that changed since the last look are counted again.

    Attributes:
        verdicts: as `verdict_counts` gives them. proposed: services for which a way back is proposed.
        contexts: how many services each context has.
    """

    def __init__(self) -> None:
        self.verdicts: Counter[tuple[Verdict, bool]] = Counter()
        self.proposed = 0
        self.contexts: Counter[str] = Counter()
        self._seen: list[ServiceView] = []
        self._slow_of: tuple[GpuSnapshotView | None, str] = (None, "")
        self._slow: Mapping[str, ServiceMetricsView] = {}

    def look(self, services: Mapping[str, ServiceView]) -> ServiceTally:
        """Count them as they are now; gives itself."""
        now = list(services.values())
        places = replaced(self._seen, now)
        if places is None:
            self.verdicts = verdict_counts(now)
            self.proposed = sum(bool(service.proposal) for service in now)
            self.contexts = Counter(service.context for service in now)
        else:
            before = [self._seen[place] for place in places]
            after = [now[place] for place in places]
            self.verdicts.update(verdict_counts(after))
            self.verdicts.subtract(verdict_counts(before))
            self.verdicts = +self.verdicts
            self.proposed += sum(bool(one.proposal) for one in after) - sum(bool(one.proposal) for one in before)
        self._seen = now
        return self

    def slow(
        self, services: Mapping[str, ServiceView], snapshot: GpuSnapshotView | None, primary: str
    ) -> frozenset[str]:
        """Keys of the services that serve and miss an objective.

        Args:
            primary: context of those metrics that name none.
        """
        if snapshot is not self._slow_of[0] or primary != self._slow_of[1]:
            self._slow_of, self._slow = (snapshot, primary), metrics_by_key(snapshot, primary, slow_alone=True)
        return slow_keys(services, self._slow)
