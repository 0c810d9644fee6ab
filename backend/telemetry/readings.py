"""What a source tells of a GPU at one time, and how old that is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, NamedTuple

import msgspec

#: NVIDIA's XID catalogue: errors of the hardware or the driver, after which the GPU needs attention. Others (13, 31,
#: 43, 45, 68, 109 among them) come from the program that runs on it.
HARDWARE_XIDS: Final = frozenset(
    {48, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140, *range(143, 151), 154, 156, 157, 171, 172}
)


class Holder(msgspec.Struct, frozen=True):
    """A container that holds a GPU, as the source tells."""

    namespace: str
    pod: str
    container: str = ""


class GpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU or MIG instance as its source tells; None where it does not tell.

    Attributes:
        instance: of a MIG instance its number on the GPU; empty for a whole GPU.
        utilisation: percent of time with a kernel running. engine_active, tensor_active: percent in use.
        memory_used, memory_total: bytes. power: watts. temperature: degrees Celsius.
        energy: joules since the driver was loaded; grows whenever the source samples.
        xid: the last error; 0: none.
        failure: what makes it unusable, in words; empty: nothing.
        processes: that compute on it, where the source sees them.
    """

    uuid: str
    node: str
    index: int
    product: str
    source: str
    instance: str = ""
    mig_profile: str = ""
    utilisation: float | None = None
    engine_active: float | None = None
    tensor_active: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    power: float | None = None
    temperature: float | None = None
    energy: float | None = None
    xid: int = 0
    failure: str = ""
    processes: int | None = None
    holders: tuple[Holder, ...] = ()

    @property
    def key(self) -> str:
        """Identifies it in the yard: the UUID, and of a MIG instance its number."""
        return f"{self.uuid}/{self.instance}" if self.instance else self.uuid

    @property
    def activity(self) -> float | None:
        """Percent of the GPU in use: of its engine, else of time with a kernel running."""
        return self.engine_active if self.engine_active is not None else self.utilisation

    @property
    def error(self) -> str:
        """The failure or the last XID in words; empty: nothing is wrong."""
        if self.failure:
            return self.failure
        if not self.xid:
            return ""
        return f"XID {self.xid}" if self.xid in HARDWARE_XIDS else f"XID {self.xid} (of the program)"

    @property
    def faulty(self) -> bool:
        """Whether it needs attention before it is used again."""
        return bool(self.failure) or self.xid in HARDWARE_XIDS


class LocalGpus(NamedTuple):
    """This machine's GPUs at one time.

    Attributes:
        at: when they were read, in monotonic seconds; None: never.
        note: why nothing, or nothing new, was measured; empty: all is well.
        present: whether there is a driver.
    """

    readings: tuple[GpuReading, ...]
    at: float | None
    note: str
    present: bool


class Freshness:
    """Tells since when values are known true, of a source that gives no time stamps.

    An exporter that samples every 30 s repeats itself in between: values are as old as their last change.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def changed_at(self, key: Hashable, value: Hashable, at: float) -> float:
        """When the value last changed, in monotonic seconds; the first time it is taken as new.

        Args:
            at: when it was read now.
        """
        known = self._seen.get(key)
        if known is not None and known[0] == value:
            return known[1]
        self._seen[key] = (value, at)
        return at

    def keep(self, keys: Iterable[Hashable]) -> None:
        """Forget all others."""
        kept = set(keys)
        self._seen = {key: seen for key, seen in self._seen.items() if key in kept}
