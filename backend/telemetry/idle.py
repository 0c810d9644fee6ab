"""When a GPU that somebody holds does nothing. Memory says nothing of it: engines allocate theirs beforehand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

#: Percent of the engine below which a GPU does nothing: drivers and monitors touch it now and then.
QUIET_BELOW: Final = 1.0
#: A GPU that worked is called idle after this long only, so that a pause between requests does not flicker.
SETTLES_AFTER: Final = timedelta(seconds=60)

#: An exporter that was silent for no longer than this says, when it tells again of nothing, that nothing happened.
UNSEEN_FOR: Final = timedelta(minutes=5)


class Work(NamedTuple):
    """What is known of the work on a GPU; None: not measured.

    Attributes:
        activity: percent of the GPU in use.
        running, waiting: requests at the model server that holds it.
        tokens_per_second: that the model server took in and made.
    """

    activity: float | None
    running: float | None = None
    waiting: float | None = None
    tokens_per_second: float | None = None


class Quiet(NamedTuple):
    """How long a GPU has done nothing under the pod that holds it.

    Attributes:
        holder: the pod, as `namespace/name`; with another one everything starts anew.
        since: when it was first seen doing nothing; None: it works, or nothing is known.
        worked: it was seen working under this pod.
        unseen: since when it has not been measured, after it was last seen doing nothing; None: it is.
    """

    holder: str
    since: datetime | None
    worked: bool
    unseen: datetime | None = None


def does_nothing(work: Work) -> bool | None:
    """Whether a GPU does nothing: no requests, no tokens, and its engine below 1 %. None: it cannot be told."""
    if any(value is not None and value > 0 for value in (work.running, work.waiting, work.tokens_per_second)):
        return False
    return None if work.activity is None else work.activity < QUIET_BELOW


def follow(before: Quiet | None, holder: str, nothing: bool | None, now: datetime) -> Quiet:
    """What is known after one more sample.

    Args:
        before: what was known; None: this is the first sample.
        nothing: what `does_nothing` says now.
    """
    if before is None or before.holder != holder:
        before = Quiet(holder, None, False)
    if nothing is None:
        return before if before.since is None or before.unseen is not None else before._replace(unseen=now)
    if not nothing:
        return Quiet(holder, None, True)
    if before.since is None or (before.unseen is not None and now - before.unseen > UNSEEN_FOR):
        return before._replace(since=now, unseen=None)
    return before._replace(unseen=None)


def idle_since(quiet: Quiet, now: datetime) -> datetime | None:
    """Since when the GPU is idle; None: it is not, or only pauses."""
    if quiet.since is None or quiet.unseen is not None or (quiet.worked and now - quiet.since < SETTLES_AFTER):
        return None
    return quiet.since


#: Percent of the engine from which on a GPU is busy.
_BUSY_FROM: Final = 50.0
#: A GPU that is busy with nothing to show for it is told after this long: a long prompt takes its time.
USELESS_AFTER: Final = timedelta(seconds=60)


class Futile(NamedTuple):
    """Since when a GPU is busy under a pod with nothing to show for it."""

    holder: str
    since: datetime


def achieves_nothing(work: Work, tensor: float | None) -> bool:
    """Whether a GPU is busy without tokens; where no model server tells of tokens, without tensor work.

    Args:
        tensor: percent of the tensor cores in use; None: not measured.
    """
    if work.activity is None or work.activity < _BUSY_FROM:
        return False
    if work.tokens_per_second is not None:
        return work.tokens_per_second <= 0
    return tensor is not None and tensor < QUIET_BELOW


def follow_futile(before: Futile | None, holder: str, nothing: bool, now: datetime) -> Futile | None:
    """What is known after one more sample; None: it is of use, or nothing tells that it is not."""
    if not nothing:
        return None
    return before if before is not None and before.holder == holder else Futile(holder, now)


def useless(futile: Futile | None, work: Work, tensor: float | None, now: datetime) -> str:
    """A sentence on a GPU that is busy for nothing; empty: it is not, or not for long."""
    if futile is None or now - futile.since < USELESS_AFTER or work.activity is None:
        return ""
    minutes = int((now - futile.since).total_seconds() // 60)
    without = [] if work.tokens_per_second is None else ["no tokens"]
    if tensor is not None and tensor < QUIET_BELOW:
        without.append("no work for its tensor cores")
    return f"{work.activity:.0f} % busy for {minutes} min with {' and '.join(without)}"
