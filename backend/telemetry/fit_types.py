"""What a fit check is about: nodes, what they hold, pods that are to run.

Amounts are whole numbers of thousandths of a unit (a core is 1000), so that nothing is lost to rounding.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from backend.cluster.objects import Taint, Toleration

UNIT: Final = 1000
PODS: Final = "pods"
WHOLE_GPU: Final = "nvidia.com/gpu"
MIG: Final = "nvidia.com/mig-"

Amounts: TypeAlias = dict[str, int]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A hard topology spread constraint."""

    key: str
    skew: int = 1


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that holds something of a node.

    Attributes:
        service: of KServe; empty: it belongs to none.
        idle: for how long it has been doing nothing; None: it works, or that is not known.
    """

    namespace: str
    pod: str
    node: str
    amounts: dict[str, int]
    service: str = ""
    priority: int = 0
    idle: timedelta | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A node, with what is left of it.

    Attributes:
        allocatable, free: by resource; free can be below zero where more was promised than there is.
        gpu_memory: bytes of a whole GPU; None: not told.
    """

    name: str
    allocatable: dict[str, int]
    free: dict[str, int]
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    ready: bool = True
    product: str = ""
    gpu_memory: int | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Pods of one kind that are to run.

    Attributes:
        pods: how many. amounts: what each asks for.
        resource: the GPU resource among the amounts, or empty.
        priority, preempts: of their class, and whether it lets them push others out.
        gpu_memory: bytes that each GPU has to hold; None: not known.
        replaces: `namespace/service` whose present pods make room for these, or empty.
    """

    pods: int
    amounts: dict[str, int]
    resource: str = ""
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    spread: tuple[Spread, ...] = ()
    priority: int = 0
    preempts: bool = True
    gpu_memory: int | None = None
    replaces: str = ""

    @property
    def gpus(self) -> int:
        """Of one pod."""
        return self.amounts.get(self.resource, 0) // UNIT if self.resource else 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a node can do for the pods.

    Attributes:
        pods: how many of them would fit there now.
        barred: why none ever will while it is as it is (a taint, a selector, its size); empty: it only lacks room.
        small: it is barred because it has too few devices in all: those that are free there count as free all the same.
        lacking: resources that let no more of them fit.
    """

    host: Host
    pods: int
    barred: str = ""
    small: bool = False
    lacking: tuple[str, ...] = ()


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the check.

    Attributes:
        places: nodes, those that take most pods first.
        fitting: how many pods fit now, at most as many as asked for.
        preempted: pods that the scheduler would push out by itself so that all fit; empty: it would not, or need not.
        leaving: pods that would have to be stopped by hand, idle ones first, then by priority; empty: nothing helps, or
            nothing need go.
        sentence: for a person.
    """

    ask: Ask
    places: tuple[Place, ...]
    fitting: int
    preempted: tuple[Tenant, ...] = ()
    leaving: tuple[Tenant, ...] = ()
    sentence: str = ""

    @property
    def now(self) -> bool:
        """Whether all pods would run now."""
        return self.fitting >= self.ask.pods

    @property
    def never(self) -> bool:
        """Whether no node could take a pod, however much were freed."""
        return self.ask.pods > 0 and all(place.barred for place in self.places)


def memory_of(resource: str, whole: int | None) -> int | None:
    """Bytes of one device: of a MIG instance by its profile's name (`1g.10gb`), else of the whole GPU."""
    if resource.startswith(MIG):
        size = next((part for part in resource.removeprefix(MIG).split(".") if part.endswith("gb")), "")
        return int(size[:-2]) << 30 if size[:-2].isdecimal() and len(size) < 7 else None
    return whole if resource == WHOLE_GPU else None


def gpus_of(amounts: Amounts) -> int:
    """How many GPUs and MIG instances amounts hold."""
    return sum(amount for key, amount in amounts.items() if key == WHOLE_GPU or key.startswith(MIG)) // UNIT
