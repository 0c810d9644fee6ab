"""Pages of NVIDIA's dcgm-exporter (3.x and 4.x): what each GPU and MIG instance does, and which container holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from backend.telemetry.exposition import Families, Labels
from backend.telemetry.readings import GpuReading, Holder

_MIB: Final = 1 << 20
#: dcgm_structs.h: values from here on say "blank", "not found", "not supported" or "not permitted".
_BLANK: Final = float(1 << 47)


class _Field(NamedTuple):
    """A metric, where it goes, by what it is multiplied, and the largest value that can be so (after that)."""

    name: str
    attribute: str
    factor: float
    largest: float


_FIELDS: Final = (
    _Field("DCGM_FI_DEV_GPU_UTIL", "utilisation", 1, 100),
    _Field("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "engine_active", 100, 101),
    _Field("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "tensor_active", 100, 101),
    _Field("DCGM_FI_DEV_POWER_USAGE", "power", 1, 100_000),
    _Field("DCGM_FI_DEV_GPU_TEMP", "temperature", 1, 1_000),
    _Field("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "energy", 0.001, _BLANK),
    _Field("DCGM_FI_DEV_FB_USED", "used", _MIB, 1 << 50),
    _Field("DCGM_FI_DEV_FB_FREE", "free", _MIB, 1 << 50),
    _Field("DCGM_FI_DEV_FB_RESERVED", "reserved", _MIB, 1 << 50),
    _Field("DCGM_FI_DEV_XID_ERRORS", "xid", 1, 10_000),
)
#: Of a MIG instance's GPU, and so true for the instance too.
_SHARED: Final = ("power", "temperature", "energy", "xid")

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
    for field in _FIELDS:
        for labels, value in families.get(field.name, ()):
            uuid = labels.get("UUID")
            if not uuid:
                continue
            key = (uuid, labels.get("GPU_I_ID", ""))
            device = devices.get(key)
            if device is None:
                device = devices[key] = _Device(labels)
            scaled = value * field.factor
            # A comparison with NaN is false, so what is not a number is left out here too.
            if value < _BLANK and 0 <= scaled <= field.largest:
                device.values.setdefault(field.attribute, scaled)
            if holder := _holder(labels):
                device.holders.setdefault(holder)
    cut = {uuid for uuid, instance in devices if instance}
    readings = [
        _reading(key, device, devices.get((key[0], "")), node)
        for key, device in devices.items()
        if key[1] or key[0] not in cut
    ]
    return sorted(readings, key=lambda reading: (reading.node, reading.index, reading.instance, reading.uuid))


def _holder(labels: Labels) -> Holder | None:
    # `exported_*`: read through a Prometheus that has labels of its own; `*_name`: exporters before 3.0.
    for prefix, suffix in (("exported_", ""), ("", ""), ("", "_name")):
        if pod := labels.get(f"{prefix}pod{suffix}"):
            namespace = labels.get(f"{prefix}namespace") or labels.get("pod_namespace", "")
            return Holder(namespace, pod, labels.get(f"{prefix}container{suffix}", ""))
    return None


def _reading(key: _Key, device: _Device, whole: _Device | None, node: str) -> GpuReading:
    labels, values = device.labels, dict(device.values)
    if whole is not None and whole is not device:
        for attribute in _SHARED:
            if attribute in whole.values:
                values.setdefault(attribute, whole.values[attribute])
    used, free = values.get("used"), values.get("free")
    total = None if used is None or free is None else used + free + values.get("reserved", 0)
    index = labels.get("gpu", "")
    # Under MIG the exporter leaves utilisation at 0 or out: only the engine tells.
    utilisation = None if key[1] else values.get("utilisation")
    value: Callable[[str], Any] = values.get
    return GpuReading(
        uuid=key[0],
        instance=key[1],
        node=node or labels.get("Hostname") or labels.get("hostname", ""),
        index=int(index) if index.isdecimal() and len(index) < 6 else -1,
        product=labels.get("modelName", ""),
        mig_profile=labels.get("GPU_I_PROFILE", ""),
        source="dcgm",
        utilisation=utilisation,
        engine_active=_percent(value("engine_active")),
        tensor_active=_percent(value("tensor_active")),
        memory_used=None if used is None else int(used),
        memory_total=None if total is None else int(total),
        power=value("power"),
        temperature=value("temperature"),
        energy=value("energy"),
        xid=int(values.get("xid", 0)),
        holders=tuple(device.holders),
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else min(value, 100.0)
