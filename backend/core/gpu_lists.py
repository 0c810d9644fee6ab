"""GPUs chosen, ordered and grouped: the same words for the command line and for the screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from backend.core.views import GpuState, GpuView

#: Worst first: what is broken, what is wasted, what is not known, what works, what is free.
RANK: Final = {GpuState.FAULT: 0, GpuState.IDLE: 1, GpuState.UNKNOWN: 2, GpuState.BUSY: 3, GpuState.FREE: 4}
#: Seconds after which a value is no longer drawn as live: an exporter samples every 30, and is asked every 10.
STALE_AFTER: Final = 90.0
GROUPINGS: Final = ("node", "service", "team", "type")
NOBODY: Final = "nobody"
#: Groupings whose names mean something in one cluster only.
_OF_A_CLUSTER: Final = ("node", "service")
_FOREVER: Final = datetime.max.replace(tzinfo=UTC)
_FIELD: Final = re.compile(r"([a-z]+):(.*)", re.DOTALL)


def load_of(gpu: GpuView) -> float | None:
    """Percent of the engine in use; where that is not told, percent of time with a kernel running."""
    return gpu.engine_active if gpu.engine_active is not None else gpu.utilisation


def is_stale(gpu: GpuView) -> bool:
    """Whether its numbers are too old, or were never known, to be taken for what it does now."""
    return gpu.age is None or gpu.age > STALE_AFTER


def short_product(product: str) -> str:
    """A GPU's product without its maker and its form: `H100`."""
    words = product.replace("NVIDIA", "").replace("-", " ").split()
    return next((word for word in words if any(character.isdigit() for character in word)), "".join(words[:1]))


def type_of(gpu: GpuView) -> str:
    """Product and MIG profile."""
    return f"{gpu.product} {gpu.mig_profile}".strip()


def holder_of(gpu: GpuView) -> str:
    """`namespace/service`, or its pod where no service is known; empty: nobody holds it."""
    held = gpu.service or gpu.pod
    return f"{gpu.namespace}/{held}" if held and gpu.namespace else held


# ---------------------------------------------------------------- choosing

_FIELDS: Final[dict[str, Callable[[GpuView], tuple[str, ...]]]] = {
    "state": lambda gpu: (gpu.state.value,),
    "node": lambda gpu: (gpu.node,),
    "service": lambda gpu: (gpu.service, f"{gpu.namespace}/{gpu.service}"),
    "namespace": lambda gpu: (gpu.namespace,),
    "pod": lambda gpu: (gpu.pod,),
    "team": lambda gpu: (gpu.team,),
    "type": lambda gpu: (short_product(gpu.product), type_of(gpu), gpu.product, gpu.mig_profile),
    "source": lambda gpu: (gpu.source,),
    "context": lambda gpu: (gpu.context,),
    "uuid": lambda gpu: (gpu.uuid,),
}
FIELDS: Final = tuple(_FIELDS)


class _Word(NamedTuple):
    field: str
    pattern: str
    expression: re.Pattern[str] | None
    inverse: bool

    def keeps(self, gpu: GpuView) -> bool:
        if self.expression is not None:
            found = self.expression.search(haystack(gpu)) is not None
        else:
            found = any(fnmatchcase(value.lower(), self.pattern) for value in _FIELDS[self.field](gpu))
        return found != self.inverse


class GpuFilter:
    """A filter as typed: words that all have to hold.

    A word is `field:glob` (`state:idle`, `node:gpu-0*`, `service:llm-prod/*`, `team:`, `type:H100`), or a regular
    expression over all that is known of a GPU; `!` in front of a word inverts it. Case does not matter. What is no
    expression is taken as it stands.

    Attributes:
        literal: words that are no regular expression.
        problem: what is typed but names nothing, such as an unknown state; empty: nothing.
    """

    def __init__(self, typed: str) -> None:
        self.typed = typed
        self.literal: tuple[str, ...] = ()
        self.problem = ""
        self._words = tuple(self._read(word) for word in typed.split())

    def keeps(self, gpu: GpuView) -> bool:
        """Whether a GPU passes."""
        return all(word.keeps(gpu) for word in self._words)

    def _read(self, typed: str) -> _Word:
        inverse = typed.startswith("!") and len(typed) > 1
        word = typed[1:] if inverse else typed
        named = _FIELD.match(word)
        if named and named[1] in _FIELDS:
            glob = named[2].lower()
            if named[1] == "state" and not any(fnmatchcase(state.value, glob) for state in GpuState):
                self.problem = f"there is no state {named[2][:40]!r}: {', '.join(state.value for state in GpuState)}"
            return _Word(named[1], glob, None, inverse)
        try:
            expression = re.compile(word, re.IGNORECASE)
        except re.error:
            self.literal = (*self.literal, word)
            expression = re.compile(re.escape(word), re.IGNORECASE)
        return _Word("", "", expression, inverse)


def haystack(gpu: GpuView) -> str:
    """What an expression looks at."""
    parts = (gpu.node, str(gpu.index), type_of(gpu), gpu.state.value, holder_of(gpu), gpu.pod, gpu.container, gpu.team)
    return " ".join((*parts, gpu.error, *gpu.throttle, gpu.useless, gpu.uuid, gpu.image_digest))


# ---------------------------------------------------------------- ordering


class Order(NamedTuple):
    """An order of GPUs.

    Attributes:
        key: as the command line names it.
        title: in words.
        of: what it sorts by; smaller comes first.
    """

    key: str
    title: str
    of: Callable[[GpuView], tuple[float, ...]]


def _most(value: float | None) -> tuple[float, ...]:
    """The highest first, what is not measured last."""
    return (1.0, 0.0) if value is None else (0.0, -value)


def _worst(gpu: GpuView) -> tuple[float, ...]:
    since = gpu.idle_since or _FOREVER
    return (float(RANK[gpu.state]), *_most(gpu.wasted_hours), since.timestamp() if gpu.idle_since else float("inf"))


ORDERS: Final = {
    order.key: order
    for order in (
        Order("worst", "worst first", _worst),
        Order("node", "by name of node", lambda _gpu: ()),
        Order("load", "by load", lambda gpu: _most(load_of(gpu))),
        Order("memory", "by memory in use", lambda gpu: _most(gpu.memory_used)),
        Order("power", "by power", lambda gpu: _most(gpu.power)),
        Order("temperature", "by temperature", lambda gpu: _most(gpu.temperature)),
        Order("tokens", "by tokens a second", lambda gpu: _most(gpu.tokens_per_second)),
        Order("waste", "by wasted GPU hours", lambda gpu: _most(gpu.wasted_hours)),
    )
}


def ordered(gpus: Iterable[GpuView], order: str = "worst", *, inverted: bool = False) -> list[GpuView]:
    """GPUs in an order; those that are alike in it stand by node and index."""
    of = ORDERS[order].of
    # The place is sorted first and the order after it: the sort is stable, so an inverted order keeps the place.
    placed = sorted(gpus, key=_place)
    if order == "node":
        return placed[::-1] if inverted else placed
    return sorted(placed, key=of, reverse=inverted)


def _place(gpu: GpuView) -> tuple[str, str, int, str]:
    return (gpu.context, gpu.node, gpu.index, gpu.key)


# ---------------------------------------------------------------- grouping


class GpuGroup(NamedTuple):
    """GPUs that have something in common.

    Attributes:
        by: one of `GROUPINGS`.
        key: unlike that of any other group; name: for a person.
    """

    by: str
    key: str
    name: str
    gpus: tuple[GpuView, ...]

    def number(self, state: GpuState) -> int:
        """How many are in a state."""
        return sum(gpu.state is state for gpu in self.gpus)

    @property
    def load(self) -> float | None:
        """Mean load of those that are measured now; None: none is."""
        return _mean([load for gpu in self.gpus if not is_stale(gpu) and (load := load_of(gpu)) is not None])

    @property
    def power(self) -> float | None:
        """Watts of those that are measured now; None: none is."""
        return _sum(gpu.power for gpu in self.gpus if not is_stale(gpu))

    @property
    def memory(self) -> tuple[int, int] | None:
        """Bytes in use and in all, of those that tell both; None: none does."""
        told = [(gpu.memory_used, gpu.memory_total) for gpu in self.gpus if not is_stale(gpu)]
        known = [(used, total) for used, total in told if used is not None and total]
        return (sum(used for used, _ in known), sum(total for _, total in known)) if known else None

    @property
    def tokens_per_second(self) -> float | None:
        """Generated tokens a second; None: no model server tells."""
        return _sum(gpu.tokens_per_second for gpu in self.gpus)

    @property
    def wasted_hours(self) -> float | None:
        """GPU hours that its idle GPUs wasted; None: not known of any."""
        return _sum(gpu.wasted_hours for gpu in self.gpus)

    @property
    def idle_cost(self) -> float | None:
        """What they cost, an estimate; None: none has a price."""
        return _sum(gpu.idle_cost for gpu in self.gpus)

    @property
    def idle_since(self) -> datetime | None:
        """Since when the first of them is idle."""
        return min((gpu.idle_since for gpu in self.gpus if gpu.idle_since is not None), default=None)


def grouped(gpus: Iterable[GpuView], by: str, order: str = "worst", *, inverted: bool = False) -> list[GpuGroup]:
    """Groups in the order of their first GPU, and the GPUs of each in that order; by node they stand by their index.

    Names of nodes and services have their context in front where there are several.
    """
    found: dict[tuple[str, ...], list[GpuView]] = {}
    gpus = tuple(gpus)
    several = len({gpu.context for gpu in gpus}) > 1
    for gpu in ordered(gpus, order, inverted=inverted):
        found.setdefault(_common(gpu, by), []).append(gpu)
    groups = []
    for common, members in found.items():
        own = sorted(members, key=_place) if by == "node" else members
        where = f"{own[0].context}/" if several and own[0].context and by in _OF_A_CLUSTER else ""
        groups.append(GpuGroup(by, "/".join(common), f"{where}{_name(own[0], by)}", tuple(own)))
    if order == "worst" and not inverted:
        groups.sort(key=_badness)
    return groups


def _badness(group: GpuGroup) -> tuple[float, ...]:
    worst = min(RANK[gpu.state] for gpu in group.gpus)
    return (float(worst), *_most(group.wasted_hours), -float(group.number(GpuState.IDLE)))


def _common(gpu: GpuView, by: str) -> tuple[str, ...]:
    if by == "node":
        return (gpu.context, gpu.node)
    if by == "service":
        return (gpu.context, gpu.namespace, gpu.service or gpu.pod)
    return (gpu.team,) if by == "team" else (type_of(gpu),)


def _name(gpu: GpuView, by: str) -> str:
    if by == "node":
        return gpu.node
    if by == "service":
        return holder_of(gpu) or NOBODY
    if by == "team":
        return gpu.team or ("no team" if holder_of(gpu) else NOBODY)
    return type_of(gpu).removeprefix("NVIDIA ") or "type not told"


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
