"""What a source tells of a GPU at one time, and how old that is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from backend.telemetry import xid

#: nvml.h, nvmlClocksEventReasons: why clocks are held down, in words. An idle GPU's clocks are not.
_CLOCK_REASONS: Final = (
    (0x04, "power cap"),
    (0x08, "hardware slowdown"),
    (0x20, "thermal"),
    (0x40, "thermal"),
    (0x80, "power brake"),
)


def clock_reasons(bits: int) -> tuple[str, ...]:
    """Why a GPU's clocks are held down, from NVML's bits; empty: they are not."""
    found = dict.fromkeys(reason for bit, reason in _CLOCK_REASONS if bits & bit)
    if len(found) > 1:
        # The slowdown is what the other reasons do.
        found.pop("hardware slowdown", None)
    return tuple(found)


class Holder(msgspec.Struct, frozen=True):
    """A container that holds a GPU, as the source tells."""

    namespace: str
    pod: str
    container: str = ""


class Process(msgspec.Struct, frozen=True):
    """A process that computes on a GPU.

    Attributes:
        pid: as the machine counts, not a container; 0: not told.
        memory: bytes; None: not told.
    """

    pid: int
    name: str
    memory: int | None


class GpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU or MIG instance as its source tells; None where it does not tell.

    Attributes:
        instance: of a MIG instance its number on the GPU; empty for a whole GPU. mig_uuid: the instance's own UUID.
        utilisation: percent of time with a kernel running. engine_active, tensor_active, dram_active: percent in use.
        memory_used, memory_total: bytes. power, power_limit: watts. temperatures: degrees Celsius. clocks: MHz.
        energy: joules since the driver was loaded; grows whenever the source samples.
        pcie_receive, pcie_send, nvlink: bytes a second; `..._total` bytes since some time, for sources that count.
        throttle: why its clocks are held down; `power_violation`, `thermal_violation`: nanoseconds that they were.
        xid: the last error; 0: none; None: not told.
        failure: what makes it unusable, in words; empty: nothing.
        processes: that compute on it; None: the source does not see them, and `processes_note` says why.
        shared: fields of a MIG instance that are its whole GPU's.
    """

    uuid: str
    node: str
    index: int
    product: str
    source: str
    instance: str = ""
    mig_uuid: str = ""
    mig_profile: str = ""
    utilisation: float | None = None
    engine_active: float | None = None
    tensor_active: float | None = None
    dram_active: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    power: float | None = None
    power_limit: float | None = None
    temperature: float | None = None
    memory_temperature: float | None = None
    sm_clock: float | None = None
    memory_clock: float | None = None
    energy: float | None = None
    pcie_receive: float | None = None
    pcie_receive_total: float | None = None
    pcie_send: float | None = None
    pcie_send_total: float | None = None
    nvlink: float | None = None
    nvlink_total: float | None = None
    throttle: tuple[str, ...] = ()
    power_violation: float | None = None
    thermal_violation: float | None = None
    xid: int | None = None
    ecc_uncorrected: int | None = None
    remapped_rows: int | None = None
    remap_pending: bool | None = None
    failure: str = ""
    processes: tuple[Process, ...] | None = None
    processes_note: str = ""
    holders: tuple[Holder, ...] = ()
    shared: tuple[str, ...] = ()

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
        return xid.sentence(self.xid) if self.xid else ""

    @property
    def faulty(self) -> bool:
        """Whether it needs attention before it is used again."""
        return bool(self.failure) or (self.xid is not None and xid.class_of(self.xid) == xid.HARDWARE)


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


class _Counted(NamedTuple):
    reading: GpuReading
    told: GpuReading
    at: float


_RATES: Final = (
    ("pcie_receive", "pcie_receive_total"),
    ("pcie_send", "pcie_send_total"),
    ("nvlink", "nvlink_total"),
)
_VIOLATIONS: Final = (("power cap", "power_violation"), ("thermal", "thermal_violation"))


class Differences:
    """What counters tell between two samples: bytes a second, and whether clocks were held down."""

    def __init__(self) -> None:
        self._last: dict[str, _Counted] = {}

    def applied(self, reading: GpuReading, at: float) -> GpuReading:
        """The reading with what its counters tell since the sample before it.

        Args:
            at: when the source sampled, in monotonic seconds.
        """
        known = self._last.get(reading.key)
        if known is not None and known.reading == reading and known.at == at:
            return known.told
        told = reading if known is None or at <= known.at else _difference(known, reading, at)
        self._last[reading.key] = _Counted(reading, told, at)
        return told

    def keep(self, keys: Iterable[str]) -> None:
        """Forget all others."""
        kept = set(keys)
        self._last = {key: counted for key, counted in self._last.items() if key in kept}


def _difference(known: _Counted, reading: GpuReading, at: float) -> GpuReading:
    changes: dict[str, Any] = {}
    for rate, total in _RATES:
        before, now = getattr(known.reading, total), getattr(reading, total)
        # A counter that fell was reset: between the two nothing is known.
        if getattr(reading, rate) is None and before is not None and now is not None and now >= before:
            changes[rate] = (now - before) / (at - known.at)
    held = [
        reason
        for reason, total in _VIOLATIONS
        if (before := getattr(known.reading, total)) is not None
        and (now := getattr(reading, total)) is not None
        and now > before
    ]
    if held:
        changes["throttle"] = tuple(dict.fromkeys([*reading.throttle, *held]))
    return msgspec.structs.replace(reading, **changes) if changes else reading
