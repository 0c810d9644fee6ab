"""Alerts over time: pending until something lasted long enough, firing until it was otherwise for long enough. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from backend.library.globs import first_match
from backend.telemetry.alert_config import AlertConfig, AlertKind, Severity
from backend.telemetry.conditions import GROUPED, Condition, Findings


class State(StrEnum):
    """Where an episode stands."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One time that something was wrong with one object.

    Attributes:
        since: when it began; fired_at: when it had lasted long enough; clear_since: since when it is otherwise.
    """

    id: str
    kind: AlertKind
    object: str
    severity: Severity
    summary: str
    services: tuple[str, ...]
    state: State
    since: datetime
    fired_at: datetime | None = None
    clear_since: datetime | None = None
    resolved_at: datetime | None = None

    @property
    def key(self) -> tuple[AlertKind, str]:
        """What it is about: of its kind and object only one episode goes on at a time."""
        return (self.kind, self.object)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one look came to.

    Attributes:
        going: all that goes on now, pending or firing.
        begun: those of them that wait to have lasted long enough since this look.
        fired: those that people are to be told of since this look.
        grown: those that fire already and hit more services since this look: whoever took them up knows nothing of it.
        resolved: those that are over since this look.
        dropped: what was pending and is over before anybody was told.
    """

    going: tuple[Episode, ...]
    begun: tuple[Episode, ...] = ()
    fired: tuple[Episode, ...] = ()
    grown: tuple[Episode, ...] = ()
    resolved: tuple[Episode, ...] = ()
    dropped: tuple[Episode, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether anything changed its state."""
        return bool(self.begun or self.fired or self.grown or self.resolved or self.dropped)


def rule_for(condition: Condition, rules: Sequence[AlertConfig]) -> AlertConfig | None:
    """The first rule of the condition's kind whose services it hits; None: nobody wants to be told."""
    names = [key.partition("/")[2] for key in condition.services]
    for rule in rules:
        if rule.kind is not condition.kind:
            continue
        if not rule.services or any(first_match(rule.services, name) is not None for name in names):
            return rule
    return None


def advance(
    going: Iterable[Episode],
    findings: Findings,
    rules: Sequence[AlertConfig],
    now: datetime,
    new_id: Callable[[], str],
) -> Step:
    """What becomes of the episodes that go on, and which begin.

    What nothing is known of stays as it is: a source that was lost resolves nothing.
    """
    before = {one.key: one for one in going}
    found: dict[tuple[AlertKind, str], tuple[Condition, AlertConfig]] = {}
    for condition in findings.conditions:
        rule = rule_for(condition, rules)
        if rule is not None:
            found.setdefault((condition.kind, condition.object), (condition, rule))
    after: list[Episode] = []
    begun: list[Episode] = []
    fired: list[Episode] = []
    grown: list[Episode] = []
    for key, (condition, rule) in found.items():
        known = episode = before.get(key)
        if condition.standing and (episode is None or episode.state is State.PENDING):
            continue
        episode, is_new = _continued(episode, condition, rule, now, new_id)
        after.append(episode)
        if episode.state is State.FIRING and (known is None or known.state is not State.FIRING):
            fired.append(episode)
        elif known is not None and known.state is State.FIRING and _has_grown(known, episode):
            grown.append(episode)
        elif is_new:
            begun.append(episode)
    resolved: list[Episode] = []
    dropped: list[Episode] = []
    kept = {episode.key for episode in after}
    for key, episode in before.items():
        if key in kept:
            continue
        if findings.cannot_tell(*key, episode.services):
            after.append(episode)
        elif episode.state is State.PENDING:
            dropped.append(episode)
        else:
            cleared = _cleared(episode, rules, now)
            (resolved if cleared.state is State.RESOLVED else after).append(cleared)
    return Step(
        going=tuple(after),
        begun=tuple(begun),
        fired=tuple(fired),
        grown=tuple(grown),
        resolved=tuple(resolved),
        dropped=tuple(dropped),
    )


def _has_grown(before: Episode, after: Episode) -> bool:
    """Whether an alert on several services is about one more; for the others, whom they hit is beside the point."""
    if after.kind not in GROUPED or after.services == before.services:
        return False
    return not set(after.services) <= set(before.services)


def _continued(
    episode: Episode | None, condition: Condition, rule: AlertConfig, now: datetime, new_id: Callable[[], str]
) -> tuple[Episode, bool]:
    """The episode of a condition that holds, and whether it begins now."""
    severity = condition.severity if condition.severity is not None and rule.severity is None else rule.weight
    if episode is None:
        # A beginning in the future was told by a clock that goes wrong.
        since = min(condition.since or now, now)
        began = Episode(
            id=new_id(),
            kind=condition.kind,
            object=condition.object,
            severity=severity,
            summary=condition.summary,
            services=condition.services,
            state=State.PENDING,
            since=since,
        )
        return _fired_when_due(began, rule.wait, now), True
    told = (severity, condition.summary, condition.services)
    same = told == (episode.severity, episode.summary, episode.services)
    if same and episode.clear_since is None and episode.since <= now:
        return _fired_when_due(episode, rule.wait, now), False
    going = msgspec.structs.replace(
        episode,
        severity=severity,
        summary=condition.summary,
        services=condition.services,
        since=min(episode.since, now),
        clear_since=None,
    )
    return _fired_when_due(going, rule.wait, now), False


def _fired_when_due(episode: Episode, wait: timedelta, now: datetime) -> Episode:
    if episode.state is State.PENDING and now - episode.since >= wait:
        return msgspec.structs.replace(episode, state=State.FIRING, fired_at=now)
    return episode


def _cleared(episode: Episode, rules: Sequence[AlertConfig], now: datetime) -> Episode:
    """What fires and is not so any more: over once it was so for long enough, or when no rule asks for it."""
    clear = next((rule.clear for rule in rules if rule.kind is episode.kind), timedelta(0))
    since = min(episode.clear_since or now, now)
    if now - since >= clear:
        return msgspec.structs.replace(episode, state=State.RESOLVED, clear_since=since, resolved_at=now)
    return msgspec.structs.replace(episode, clear_since=since)
