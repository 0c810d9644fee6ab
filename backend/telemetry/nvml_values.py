"""What NVML tells of one device. A call may be unsupported, forbidden or unknown to the driver: then it is left out.

Runs in the thread of NVML's source alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import pynvml

from backend.telemetry.readings import GpuReading, Process, clock_reasons

#: What a GPU does not have, this driver does not know, or we may not see: shown as not measured.
NOT_TOLD: Final = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_INSUFFICIENT_SIZE,
    }
)
_FAILURES: Final = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU is lost: it has fallen off the bus",
    pynvml.NVML_ERROR_GPU_NOT_FOUND: "the GPU is gone",
    pynvml.NVML_ERROR_RESET_REQUIRED: "the GPU needs a reset",
    pynvml.NVML_ERROR_TIMEOUT: "the driver did not answer in time",
    pynvml.NVML_ERROR_UNKNOWN: "the driver tells an unknown error",
}
_ALL_LINKS: Final = 0xFFFFFFFF
_KIB: Final = 1 << 10
#: Field values that one call gives: where they go, and by what they are multiplied. Throughput is counted, not sampled:
#: NVML's own sampling of PCIe holds its caller up for 20 ms.
_FIELDS: Final[dict[int, tuple[str, float]]] = {
    pynvml.NVML_FI_DEV_MEMORY_TEMP: ("memory_temperature", 1),
    pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION: ("energy", 0.001),
    pynvml.NVML_FI_DEV_PERF_POLICY_POWER: ("power_violation", 1),
    pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL: ("thermal_violation", 1),
    pynvml.NVML_FI_DEV_REMAPPED_COR: ("remapped_correctable", 1),
    pynvml.NVML_FI_DEV_REMAPPED_UNC: ("remapped", 1),
    pynvml.NVML_FI_DEV_REMAPPED_PENDING: ("remap_pending", 1),
    pynvml.NVML_FI_DEV_REMAPPED_FAILURE: ("remap_failure", 1),
    pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES: ("pcie_send_total", 1),
    pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES: ("pcie_receive_total", 1),
    pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX: ("nvlink_send_total", _KIB),
    pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX: ("nvlink_receive_total", _KIB),
}
_LINK_FIELDS: Final = frozenset(
    {pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX}
)
_VALUE_OF_TYPE: Final = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
}
#: Bytes of memory in use from which on a GPU without processes has some that we may not see.
_SOMEBODY_ELSES: Final = 256 << 20
_HIDDEN: Final = (
    "memory is in use and no process is told: from a container they are seen with the host's process ids alone"
)
#: Of a MIG instance's GPU, and so true for the instance too.
_SHARED: Final = (
    "power", "power_limit", "temperature", "memory_temperature", "energy", "sm_clock", "memory_clock", "clock_reasons",
    "ecc", "remapped", "remapped_correctable", "remap_pending", "remap_failure",
)  # fmt: skip
_TOLD_AS_SHARED: Final = ("power", "temperature", "memory_temperature", "energy")

_Answer = TypeVar("_Answer")


class Device:
    """A GPU or MIG instance, with what does not change.

    Attributes:
        whole: of a MIG instance its GPU; else itself.
        failure: why it cannot be asked at all; empty: it can.
        missing: calls that it does not support. fields: field values that it has.
    """

    __slots__ = (
        "failure", "fields", "handle", "index", "instance", "mig_uuid", "missing", "product", "profile", "uuid",
        "whole",
    )  # fmt: skip

    def __init__(self, handle: Any, index: int, uuid: str, product: str, *, failure: str = "") -> None:
        self.handle = handle
        self.index = index
        self.uuid = uuid
        self.product = product
        self.failure = failure
        self.instance = ""
        self.profile = ""
        self.mig_uuid = ""
        self.whole = self
        self.missing: set[str] = set()
        self.fields = list(_FIELDS)


def failure_of(error: Any) -> str:
    """What an error of NVML says of the GPU."""
    return _FAILURES.get(error.value, f"the driver says: {error}")


def ask(device: Device, function: Callable[..., _Answer], *arguments: Any) -> _Answer | None:
    """The function's answer; None, from then on without asking, when the device does not have it."""
    name = function.__name__
    if name in device.missing:
        return None
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value not in NOT_TOLD:
            raise
        device.missing.add(name)
        return None


def instances_of(whole: Device) -> list[Device]:
    """The MIG instances that a GPU is cut into; their indexes can have gaps."""
    mode = ask(whole, pynvml.nvmlDeviceGetMigMode, whole.handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return []
    found = []
    for number in range(ask(whole, pynvml.nvmlDeviceGetMaxMigDeviceCount, whole.handle) or 0):
        # An instance that is not there says nothing of the next number.
        whole.missing.discard(pynvml.nvmlDeviceGetMigDeviceHandleByIndex.__name__)
        handle = ask(whole, pynvml.nvmlDeviceGetMigDeviceHandleByIndex, whole.handle, number)
        if handle is None:
            continue
        instance = Device(handle, whole.index, whole.uuid, whole.product)
        name = text(ask(instance, pynvml.nvmlDeviceGetName, handle) or whole.product)
        told = ask(instance, pynvml.nvmlDeviceGetGpuInstanceId, handle)
        instance.instance = str(number if told is None else told)
        instance.profile = name.partition(" MIG ")[2]
        instance.mig_uuid = text(ask(instance, pynvml.nvmlDeviceGetUUID, handle) or "")
        instance.whole = whole
        found.append(instance)
    return found


def read(
    device: Device, node: str, xid: int | None, names: dict[int, str], whole: dict[int, dict[str, Any]]
) -> GpuReading:
    """What the device does now; of one that cannot be asked, why.

    Args:
        xid: the last error; None: errors are not told.
        names: of processes by their ids, as far as they were asked for; more are added.
        whole: values of GPUs by their index, for their instances; more are added.
    """
    failure, values = device.failure, {}
    shared: tuple[str, ...] = ()
    if not failure:
        try:
            values = _values(device, names)
            if device.whole is not device:
                if device.index not in whole:
                    whole[device.index] = _values(device.whole, {})
                shared = tuple(name for name in _SHARED if whole[device.index].get(name) is not None)
                values |= {name: whole[device.index][name] for name in shared}
        except pynvml.NVMLError as error:
            if error.value in (pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_DRIVER_NOT_LOADED):
                raise
            failure, values = failure_of(error), {}
    if not failure and values.get("remap_failure"):
        failure = "rows of its memory could not be remapped"
    memory, processes = values.get("memory"), values.get("processes")
    hidden = processes == () and memory is not None and memory.used > _SOMEBODY_ELSES
    value: Callable[[str], Any] = values.get
    return GpuReading(
        uuid=device.uuid,
        instance=device.instance,
        mig_uuid=device.mig_uuid,
        node=node,
        index=device.index,
        product=device.product,
        mig_profile=device.profile,
        source="nvml",
        utilisation=value("utilisation"),
        memory_used=None if memory is None else int(memory.used),
        memory_total=None if memory is None else int(memory.total),
        power=value("power"),
        power_limit=value("power_limit"),
        temperature=value("temperature"),
        memory_temperature=value("memory_temperature"),
        sm_clock=value("sm_clock"),
        memory_clock=value("memory_clock"),
        energy=value("energy"),
        pcie_receive_total=value("pcie_receive_total"),
        pcie_send_total=value("pcie_send_total"),
        nvlink_total=_sum(value("nvlink_send_total"), value("nvlink_receive_total")),
        throttle=clock_reasons(value("clock_reasons") or 0),
        power_violation=value("power_violation"),
        thermal_violation=value("thermal_violation"),
        xid=xid,
        ecc_uncorrected=value("ecc"),
        remapped_rows=_whole(_sum(value("remapped"), value("remapped_correctable"))),
        remap_pending=None if value("remap_pending") is None else bool(value("remap_pending")),
        failure=failure,
        processes=None if hidden else processes,
        processes_note=_HIDDEN if hidden else "",
        shared=tuple(name for name in shared if name in _TOLD_AS_SHARED),
    )


def text(value: str | bytes) -> str:
    """What NVML gives as a text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _values(device: Device, names: dict[int, str]) -> dict[str, Any]:
    handle = device.handle
    utilisation = ask(device, pynvml.nvmlDeviceGetUtilizationRates, handle)
    power = ask(device, pynvml.nvmlDeviceGetPowerUsage, handle)
    limit = ask(device, pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    ecc = (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
    return {
        **_field_values(device),
        "memory": _memory(device),
        "utilisation": None if utilisation is None else float(utilisation.gpu),
        "power": None if power is None else power / 1000,
        "power_limit": None if limit is None else limit / 1000,
        "temperature": _float(ask(device, pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)),
        "sm_clock": _clock(device, pynvml.NVML_CLOCK_SM),
        "memory_clock": _clock(device, pynvml.NVML_CLOCK_MEM),
        "clock_reasons": _clock_reasons(device),
        "ecc": ask(device, pynvml.nvmlDeviceGetTotalEccErrors, handle, *ecc),
        "processes": _processes(device, names),
    }


def _field_values(device: Device) -> dict[str, Any]:
    """The field values in one call; those that the device does not have are not asked for again."""
    if not device.fields:
        return {}
    wanted = [(field, _ALL_LINKS if field in _LINK_FIELDS else 0) for field in device.fields]
    answer = ask(device, pynvml.nvmlDeviceGetFieldValues, device.handle, wanted)
    found: dict[str, Any] = {}
    for one in answer or ():
        if one.nvmlReturn in NOT_TOLD:
            device.fields.remove(one.fieldId)
        elif one.nvmlReturn == pynvml.NVML_SUCCESS and (kind := _VALUE_OF_TYPE.get(one.valueType)):
            name, factor = _FIELDS[one.fieldId]
            found[name] = getattr(one.value, kind) * factor
    return found


def _memory(device: Device) -> Any:
    """Version 2 keeps what the driver reserves apart; older drivers know version 1 only."""
    if "memory v2" not in device.missing:
        try:
            return pynvml.nvmlDeviceGetMemoryInfo(device.handle, version=pynvml.nvmlMemory_v2)
        except pynvml.NVMLError as error:
            if error.value not in NOT_TOLD:
                raise
            device.missing.add("memory v2")
    return ask(device, pynvml.nvmlDeviceGetMemoryInfo, device.handle)


def _clock(device: Device, kind: int) -> float | None:
    name = f"clock {kind}"
    if name in device.missing:
        return None
    try:
        return float(pynvml.nvmlDeviceGetClockInfo(device.handle, kind))
    except pynvml.NVMLError as error:
        if error.value not in NOT_TOLD:
            raise
        device.missing.add(name)
        return None


def _clock_reasons(device: Device) -> int | None:
    """By its present name, else by that of drivers before 535."""
    reasons = ask(device, pynvml.nvmlDeviceGetCurrentClocksEventReasons, device.handle)
    if reasons is None:
        reasons = ask(device, pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, device.handle)
    return None if reasons is None else int(reasons)


def _processes(device: Device, names: dict[int, str]) -> tuple[Process, ...] | None:
    told = ask(device, pynvml.nvmlDeviceGetComputeRunningProcesses, device.handle)
    if told is None:
        return None
    return tuple(Process(each.pid, _name(each.pid, names), each.usedGpuMemory) for each in told)


def _name(pid: int, names: dict[int, str]) -> str:
    if pid not in names:
        try:
            names[pid] = text(pynvml.nvmlSystemGetProcessName(pid))
        except pynvml.NVMLError:
            # It has ended, belongs to somebody else, or is of another process name space.
            names[pid] = ""
    return names[pid]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _sum(*values: float | None) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) if told else None
