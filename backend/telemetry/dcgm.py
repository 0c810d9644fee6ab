"""Pages of NVIDIA's dcgm-exporter (3.x and 4.x): what each GPU and MIG instance does, and which container holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from backend.telemetry.exposition import Families, Labels
from backend.telemetry.readings import GpuReading, Holder, clock_reasons

_MIB: Final = 1 << 20
#: dcgm_structs.h: values from here on say "blank", "not found", "not supported" or "not permitted".
_BLANK: Final = float(1 << 47)


class _Field(NamedTuple):
    """A metric, where it goes, by what it is multiplied, and the largest value that can be so (after that).

    Attributes:
        names: that it has or had in some version of the exporter; the first that a page has counts.
    """

    attribute: str
    names: tuple[str, ...]
    factor: float
    largest: float


def _device(attribute: str, *names: str, factor: float = 1, largest: float) -> _Field:
    return _Field(attribute, tuple(f"DCGM_FI_DEV_{name}" for name in names), factor, largest)


def _profiled(attribute: str, *names: str, factor: float = 100, largest: float = 101) -> _Field:
    return _Field(attribute, tuple(f"DCGM_FI_PROF_{name}" for name in names), factor, largest)


_FIELDS: Final = (
    _device("utilisation", "GPU_UTIL", largest=100),
    _profiled("engine_active", "GR_ENGINE_ACTIVE"),
    _profiled("tensor_active", "PIPE_TENSOR_ACTIVE"),
    _profiled("dram_active", "DRAM_ACTIVE"),
    _device("power", "POWER_USAGE", "POWER_USAGE_INSTANT", "BOARD_POWER_USAGE", largest=100_000),
    _device("power_limit", "ENFORCED_POWER_LIMIT", "POWER_MGMT_LIMIT", largest=100_000),
    _device("temperature", "GPU_TEMP", largest=1_000),
    _device("memory_temperature", "MEMORY_TEMP", largest=1_000),
    _device("sm_clock", "SM_CLOCK", largest=100_000),
    _device("memory_clock", "MEM_CLOCK", largest=100_000),
    _device("energy", "TOTAL_ENERGY_CONSUMPTION", factor=0.001, largest=_BLANK),
    _device("used", "FB_USED", factor=_MIB, largest=1 << 50),
    _device("free", "FB_FREE", factor=_MIB, largest=1 << 50),
    _device("reserved", "FB_RESERVED", factor=_MIB, largest=1 << 50),
    _profiled("pcie_send", "PCIE_TX_BYTES", factor=1, largest=1e13),
    _profiled("pcie_receive", "PCIE_RX_BYTES", factor=1, largest=1e13),
    _profiled("nvlink_send", "NVLINK_TX_BYTES", factor=1, largest=1e13),
    _profiled("nvlink_receive", "NVLINK_RX_BYTES", factor=1, largest=1e13),
    _device("nvlink_total", "NVLINK_BANDWIDTH_TOTAL", factor=1e6, largest=1e24),
    _device("clock_reasons", "CLOCKS_EVENT_REASONS", "CLOCK_THROTTLE_REASONS", largest=1 << 32),
    _device("power_violation", "POWER_VIOLATION", largest=_BLANK),
    _device("thermal_violation", "THERMAL_VIOLATION", largest=_BLANK),
    _device("xid", "XID_ERRORS", largest=10_000),
    _device("ecc", "ECC_DBE_VOL_TOTAL", largest=1e12),
    _device("remapped", "UNCORRECTABLE_REMAPPED_ROWS", largest=1e9),
    _device("remapped_correctable", "CORRECTABLE_REMAPPED_ROWS", largest=1e9),
    _device("remap_pending", "ROW_REMAP_PENDING", largest=1),
    _device("remap_failure", "ROW_REMAP_FAILURE", largest=1),
)
#: The exporter's own, of old and new versions; then what scrape configurations add.
_NODE_LABELS: Final = ("Hostname", "hostname", "node", "kubernetes_node", "nodename")
#: All that is read of an exporter, as a Prometheus has it.
METRICS: Final = tuple(name for field in _FIELDS for name in field.names)
#: Of a MIG instance's GPU, and so true for the instance too.
_SHARED: Final = (
    "power", "power_limit", "temperature", "memory_temperature", "energy", "sm_clock", "memory_clock", "xid", "ecc",
    "remapped", "remapped_correctable", "remap_pending", "remap_failure", "clock_reasons",
)  # fmt: skip

#: Of these a reader has to know that they are not the instance's own.
_TOLD_AS_SHARED: Final = frozenset({"power", "temperature", "memory_temperature", "energy"})

_Key = tuple[str, str]


class _Device:
    __slots__ = ("holders", "labels", "values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.values: dict[str, float] = {}
        self.holders: dict[Holder, None] = {}


def read_page(families: Families, node: str) -> list[GpuReading]:
    """The GPUs of an exporter's page, by index and instance.

    The same GPU can stand there several times, once for each pod that shares it: its series are brought together by
    UUID and MIG instance. A GPU that is cut into instances is left out; what only it tells counts for each of them.

    Args:
        node: whose page it is; empty: the page's own label tells.
    """
    devices: dict[_Key, _Device] = {}
    # The labels of a device are one object for all its series of a page: it is looked up once.
    by_labels: dict[int, _Device | None] = {}
    for field in _FIELDS:
        name = next((name for name in field.names if name in families), "")
        attribute, factor, largest = field.attribute, field.factor, field.largest
        for labels, value in families.get(name, ()):
            identity = id(labels)
            device = by_labels[identity] if identity in by_labels else _found(devices, by_labels, labels)
            if device is None:
                continue
            scaled = value * factor
            # A comparison with NaN is false, so what is not a number is left out here too.
            if value < _BLANK and 0 <= scaled <= largest and attribute not in device.values:
                device.values[attribute] = scaled
    cut = {uuid for uuid, instance in devices if instance}
    readings = [
        _reading(key, device, devices.get((key[0], "")), node)
        for key, device in devices.items()
        if key[1] or key[0] not in cut
    ]
    return sorted(readings, key=lambda reading: (reading.node, reading.index, reading.instance, reading.uuid))


def _found(devices: dict[_Key, _Device], by_labels: dict[int, _Device | None], labels: Labels) -> _Device | None:
    uuid = labels.get("UUID") or labels.get("uuid")
    device = None
    if uuid:
        key = (uuid, labels.get("GPU_I_ID", ""))
        device = devices.get(key)
        if device is None:
            device = devices[key] = _Device(labels)
        if holder := _holder(labels):
            device.holders.setdefault(holder)
    by_labels[id(labels)] = device
    return device


def _holder(labels: Labels) -> Holder | None:
    # `exported_*`: read through a Prometheus that has labels of its own; `*_name`: exporters before 3.0.
    for prefix, suffix in (("exported_", ""), ("", ""), ("", "_name")):
        if pod := labels.get(f"{prefix}pod{suffix}"):
            namespace = labels.get(f"{prefix}namespace") or labels.get("pod_namespace", "")
            return Holder(namespace, pod, labels.get(f"{prefix}container{suffix}", ""))
    return None


def _reading(key: _Key, device: _Device, whole: _Device | None, node: str) -> GpuReading:
    labels, values = device.labels, dict(device.values)
    shared: list[str] = []
    if whole is not None and whole is not device:
        shared = [name for name in _SHARED if name in whole.values and name not in values]
        values.update((name, whole.values[name]) for name in shared)
    used, free = values.get("used"), values.get("free")
    total = None if used is None or free is None else used + free + values.get("reserved", 0)
    value: Callable[[str], Any] = values.get
    return GpuReading(
        uuid=key[0],
        instance=key[1],
        node=node or next((name for label in _NODE_LABELS if (name := labels.get(label))), ""),
        index=_index(labels),
        product=labels.get("modelName") or labels.get("model_name", ""),
        mig_profile=labels.get("GPU_I_PROFILE", ""),
        source="dcgm",
        # Under MIG the exporter leaves utilisation at 0 or out: only the engine tells.
        utilisation=None if key[1] else value("utilisation"),
        engine_active=_percent(value("engine_active")),
        tensor_active=_percent(value("tensor_active")),
        dram_active=_percent(value("dram_active")),
        memory_used=_whole(used),
        memory_total=_whole(total),
        power=value("power"),
        power_limit=value("power_limit"),
        temperature=value("temperature"),
        memory_temperature=value("memory_temperature"),
        sm_clock=value("sm_clock"),
        memory_clock=value("memory_clock"),
        energy=value("energy"),
        pcie_receive=value("pcie_receive"),
        pcie_send=value("pcie_send"),
        nvlink=_sum(value("nvlink_send"), value("nvlink_receive")),
        nvlink_total=value("nvlink_total"),
        throttle=clock_reasons(int(values.get("clock_reasons", 0))),
        power_violation=value("power_violation"),
        thermal_violation=value("thermal_violation"),
        xid=_whole(value("xid")),
        ecc_uncorrected=_whole(value("ecc")),
        remapped_rows=_whole(_sum(value("remapped"), value("remapped_correctable"))),
        remap_pending=None if value("remap_pending") is None else bool(value("remap_pending")),
        failure="rows of its memory could not be remapped" if value("remap_failure") else "",
        holders=tuple(device.holders),
        shared=tuple(name for name in shared if name in _TOLD_AS_SHARED),
    )


def _index(labels: Labels) -> int:
    index = labels.get("gpu", "")
    return int(index) if index.isdecimal() and len(index) < 6 else -1


def _percent(value: float | None) -> float | None:
    return None if value is None else min(value, 100.0)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _sum(*values: float | None) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) if told else None
