"""Changes beside what failed: which change stands nearest before a failure. Pure.

That something was changed before something broke does not make it the cause; it is where a person looks first, and is
told as a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from backend.core.views import ChangeView, ServiceView, Verdict

#: Verdicts that are a failure to explain.
BROKEN: Final = frozenset({Verdict.FAILED, Verdict.STUCK, Verdict.DEGRADED})
#: A change longer ago than this is no guess that would help anybody.
_LONGEST: Final = timedelta(hours=24)
#: Clocks of nodes, of the API server and ours differ, and the API tells whole seconds.
_SKEW: Final = timedelta(seconds=5)
#: What changes nothing of what runs: attempts that were refused, looks, and what tells of the failure itself.
_IDLE_KINDS: Final = frozenset({"refused", "validation", "alert", "decision"})


def newest_first(*lists: Iterable[ChangeView], most: int = 500) -> list[ChangeView]:
    """Several lists of changes as one, the newest first."""
    merged = [change for changes in lists for change in changes]
    return sorted(merged, key=lambda change: change.at, reverse=True)[:most]


def suspects(changes: Sequence[ChangeView], services: Iterable[ServiceView]) -> dict[int, ServiceView]:
    """By its place in the list, the change nearest before each failure, with the service that failed after it.

    Args:
        changes: in any order.
        services: all, or those that are broken; a service that does not tell since when it failed is left out.
    """
    by_name: dict[str, list[int]] = {}
    for at, change in enumerate(changes):
        if change.kind not in _IDLE_KINDS:
            for name in change.services or (change.object,):
                by_name.setdefault(name, []).append(at)
    found: dict[int, ServiceView] = {}
    for service in services if by_name else ():
        if service.verdict not in BROKEN or service.since is None:
            continue
        about = by_name.get(service.key, []) + by_name.get(f"{service.namespace}/{service.name}", [])
        nearest = _nearest(changes, about, service.since)
        if nearest is not None:
            found.setdefault(nearest, service)
    return found


def with_suspects(changes: Sequence[ChangeView], services: Iterable[ServiceView]) -> list[ChangeView]:
    """The changes, those nearest before a failure saying so."""
    found = suspects(changes, services)
    return [
        msgspec.structs.replace(change, suspected=f"{found[at].namespace}/{found[at].name} {found[at].verdict.value}")
        if at in found
        else change
        for at, change in enumerate(changes)
    ]


def _nearest(changes: Sequence[ChangeView], about: Iterable[int], failed_at: datetime) -> int | None:
    before = [at for at in about if failed_at - _LONGEST <= changes[at].at <= failed_at + _SKEW]
    return max(before, key=lambda at: changes[at].at, default=None)
