"""What the simulated NVML answers of a device, by the name of the C function (nvml.h of CUDA 13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pynvml

from backend.demo.nvml_devices import Device


class Call(NamedTuple):
    """A call about a device: the arguments after its handle, and the time in seconds since 1970."""

    device: Device
    arguments: tuple[Any, ...]
    at: float

    def give(self, *values: int) -> None:
        """Write numbers through the last references, in order."""
        for reference, value in zip(self.arguments[len(self.arguments) - len(values) :], values, strict=True):
            reference._obj.value = value

    def fill(self, **fields: Any) -> None:
        """Write the fields of the structure behind the last reference."""
        for name, value in fields.items():
            setattr(self.arguments[-1]._obj, name, value)

    def text(self, value: str) -> None:
        """Write into the buffer."""
        self.arguments[0].value = value.encode()


#: None stands for NVML_SUCCESS.
Answer = Callable[[Call], int | None]


def _number(value: Callable[[Device, float], int]) -> Answer:
    return lambda call: call.give(value(call.device, call.at))


def _constants(*values: int) -> Answer:
    return lambda call: call.give(*values)


def _text(value: Callable[[Device], str]) -> Answer:
    return lambda call: call.text(value(call.device))


def _memory(call: Call) -> None:
    device = call.device
    call.fill(total=device.total, used=device.used + device.reserved, free=device.total - device.used - device.reserved)


def _memory_v2(call: Call) -> int | None:
    device = call.device
    if call.arguments[-1]._obj.version != pynvml.nvmlMemory_v2:
        return int(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
    free = device.total - device.used - device.reserved
    call.fill(total=device.total, reserved=device.reserved, used=device.used, free=free)
    return None


def _bar1(call: Call) -> None:
    total = 128 * 2**30
    call.fill(bar1Total=total, bar1Used=28 * 2**20, bar1Free=total - 28 * 2**20)


def _utilisation(call: Call) -> None:
    call.fill(gpu=call.device.utilisation(call.at), memory=call.device.memory_utilisation(call.at))


def _temperature(call: Call) -> int | None:
    if _plain(call.arguments[0]) != pynvml.NVML_TEMPERATURE_GPU:
        return int(pynvml.NVML_ERROR_INVALID_ARGUMENT)
    call.give(call.device.temperature(call.at))
    return None


def _temperature_threshold(call: Call) -> int | None:
    known = {
        pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN: 92,
        pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN: 89,
        pynvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX: 95,
        pynvml.NVML_TEMPERATURE_THRESHOLD_GPU_MAX: 87,
    }
    threshold = _plain(call.arguments[0])
    if threshold not in known:
        return int(pynvml.NVML_ERROR_NOT_SUPPORTED)
    call.give(known[threshold])
    return None


def _clock(call: Call) -> int | None:
    device, kind = call.device, _plain(call.arguments[0])
    clocks = {
        pynvml.NVML_CLOCK_GRAPHICS: device.sm_clock(call.at),
        pynvml.NVML_CLOCK_SM: device.sm_clock(call.at),
        pynvml.NVML_CLOCK_MEM: device.product.memory_clock,
        pynvml.NVML_CLOCK_VIDEO: 1545,
    }
    return _clock_of(call, clocks, kind)


def _max_clock(call: Call) -> int | None:
    product = call.device.product
    clocks = {
        pynvml.NVML_CLOCK_GRAPHICS: product.sm_clock,
        pynvml.NVML_CLOCK_SM: product.sm_clock,
        pynvml.NVML_CLOCK_MEM: product.memory_clock,
        pynvml.NVML_CLOCK_VIDEO: 1545,
    }
    return _clock_of(call, clocks, _plain(call.arguments[0]))


def _clock_of(call: Call, clocks: dict[int, int], kind: int) -> int | None:
    if kind not in clocks:
        return int(pynvml.NVML_ERROR_INVALID_ARGUMENT)
    call.give(clocks[kind])
    return None


def _pci(call: Call) -> None:
    device = call.device
    call.fill(
        busId=device.bus_id.encode(),
        busIdLegacy=device.bus_id[4:].encode(),
        domain=0,
        bus=device.bus,
        device=0,
        pciDeviceId=0x233010DE,
        pciSubSystemId=0x16C110DE,
    )


def _processes(call: Call) -> int | None:
    """The caller asks twice: for the number, and then with room for them."""
    count, room = call.arguments
    if room is None or count._obj.value < 1:
        count._obj.value = 1
        return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
    process = call.device.process
    count._obj.value = 1
    room[0].pid, room[0].usedGpuMemory = process.pid, process.memory
    room[0].gpuInstanceId = room[0].computeInstanceId = 0xFFFFFFFF
    return None


def _no_processes(call: Call) -> None:
    call.arguments[0]._obj.value = 0


def _process_utilisation(call: Call) -> int | None:
    room, count, _ = call.arguments
    if room is None:
        count._obj.value = 1
        return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
    sample = room[0]
    sample.pid, sample.timeStamp = call.device.process.pid, int(call.at * 1e6)
    sample.smUtil, sample.memUtil = call.device.utilisation(call.at), call.device.memory_utilisation(call.at)
    count._obj.value = 1
    return None


def _pcie_throughput(call: Call) -> None:
    received = _plain(call.arguments[0]) == pynvml.NVML_PCIE_UTIL_RX_BYTES
    call.give(int((520e3 if received else 310e3) * call.device.activity(call.at)))


def _field_values(call: Call) -> None:
    values = call.arguments[-1]._obj
    for value in values:
        value.timestamp = int(call.at * 1e6)
        found = _FIELDS.get(value.fieldId)
        if found is None:
            value.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
            continue
        kind, number = found
        value.nvmlReturn, value.valueType = pynvml.NVML_SUCCESS, kind
        wide = kind == pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
        setattr(value.value, "ullVal" if wide else "uiVal", number(call.device, call.at))


_UINT = pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
_ULONG = pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
_FIELDS: dict[int, tuple[int, Callable[[Device, float], int]]] = {
    pynvml.NVML_FI_DEV_PERF_POLICY_POWER: (_ULONG, lambda device, at: 0),
    pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL: (_ULONG, lambda device, at: 0),
    pynvml.NVML_FI_DEV_MEMORY_TEMP: (_UINT, lambda device, at: device.temperature(at) + 7),
    pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION: (_ULONG, lambda device, at: device.energy(at)),
    pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT: (_UINT, lambda device, at: 18),
    pynvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER: (_UINT, lambda device, at: 0),
    pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX: (_ULONG, lambda device, at: device.nvlink_kib(at)),
    pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX: (_ULONG, lambda device, at: device.nvlink_kib(at)),
    pynvml.NVML_FI_DEV_REMAPPED_COR: (_UINT, lambda device, at: 0),
    pynvml.NVML_FI_DEV_REMAPPED_UNC: (_UINT, lambda device, at: 0),
    pynvml.NVML_FI_DEV_REMAPPED_PENDING: (_UINT, lambda device, at: 0),
    pynvml.NVML_FI_DEV_REMAPPED_FAILURE: (_UINT, lambda device, at: 0),
    pynvml.NVML_FI_DEV_POWER_AVERAGE: (_UINT, lambda device, at: device.power(at)),
    pynvml.NVML_FI_DEV_POWER_INSTANT: (_UINT, lambda device, at: device.power(at)),
    pynvml.NVML_FI_DEV_POWER_MIN_LIMIT: (_UINT, lambda device, at: 200_000),
    pynvml.NVML_FI_DEV_POWER_MAX_LIMIT: (_UINT, lambda device, at: 700_000),
    pynvml.NVML_FI_DEV_POWER_DEFAULT_LIMIT: (_UINT, lambda device, at: 700_000),
    pynvml.NVML_FI_DEV_POWER_CURRENT_LIMIT: (_UINT, lambda device, at: 700_000),
    pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES: (_ULONG, lambda device, at: device.pcie_bytes(at, False)),
    pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES: (_ULONG, lambda device, at: device.pcie_bytes(at, True)),
}

_LIMIT = _number(lambda device, at: int(device.product.power_limit * 1000))

#: By the name of the C function; whatever is not here is not supported.
ANSWERS: dict[str, Answer] = {
    "nvmlDeviceGetArchitecture": _constants(pynvml.NVML_DEVICE_ARCH_HOPPER),
    "nvmlDeviceGetBAR1MemoryInfo": _bar1,
    "nvmlDeviceGetBrand": _constants(pynvml.NVML_BRAND_NVIDIA),
    "nvmlDeviceGetClockInfo": _clock,
    "nvmlDeviceGetComputeMode": _constants(pynvml.NVML_COMPUTEMODE_DEFAULT),
    "nvmlDeviceGetComputeRunningProcesses_v2": _processes,
    "nvmlDeviceGetComputeRunningProcesses_v3": _processes,
    "nvmlDeviceGetCudaComputeCapability": _constants(9, 0),
    "nvmlDeviceGetCurrPcieLinkGeneration": _constants(5),
    "nvmlDeviceGetCurrPcieLinkWidth": _constants(16),
    "nvmlDeviceGetCurrentClocksEventReasons": _number(lambda device, at: device.clock_reasons(at)),
    "nvmlDeviceGetCurrentClocksThrottleReasons": _number(lambda device, at: device.clock_reasons(at)),
    "nvmlDeviceGetDecoderUtilization": _constants(0, 167_000),
    "nvmlDeviceGetDisplayActive": _constants(0),
    "nvmlDeviceGetDisplayMode": _constants(0),
    "nvmlDeviceGetEccMode": _constants(1, 1),
    "nvmlDeviceGetEncoderUtilization": _constants(0, 167_000),
    "nvmlDeviceGetEnforcedPowerLimit": _LIMIT,
    "nvmlDeviceGetFieldValues": _field_values,
    "nvmlDeviceGetGraphicsRunningProcesses_v2": _no_processes,
    "nvmlDeviceGetGraphicsRunningProcesses_v3": _no_processes,
    "nvmlDeviceGetIndex": _number(lambda device, at: device.index),
    "nvmlDeviceGetMaxClockInfo": _max_clock,
    "nvmlDeviceGetMaxMigDeviceCount": _constants(7),
    "nvmlDeviceGetMaxPcieLinkGeneration": _constants(5),
    "nvmlDeviceGetMaxPcieLinkWidth": _constants(16),
    "nvmlDeviceGetMemoryBusWidth": _constants(5120),
    "nvmlDeviceGetMemoryErrorCounter": _constants(0),
    "nvmlDeviceGetMemoryInfo": _memory,
    "nvmlDeviceGetMemoryInfo_v2": _memory_v2,
    "nvmlDeviceGetMigDeviceHandleByIndex": lambda call: int(pynvml.NVML_ERROR_NOT_FOUND),
    "nvmlDeviceGetMigMode": _constants(pynvml.NVML_DEVICE_MIG_DISABLE, pynvml.NVML_DEVICE_MIG_DISABLE),
    "nvmlDeviceGetMinorNumber": _number(lambda device, at: device.index),
    "nvmlDeviceGetMPSComputeRunningProcesses_v3": _no_processes,
    "nvmlDeviceGetName": _text(lambda device: device.product.name),
    "nvmlDeviceGetNumGpuCores": _constants(16896),
    "nvmlDeviceGetNvLinkState": _constants(1),
    "nvmlDeviceGetPcieThroughput": _pcie_throughput,
    "nvmlDeviceGetPciInfo_v3": _pci,
    "nvmlDeviceGetPerformanceState": _constants(pynvml.NVML_PSTATE_0),
    "nvmlDeviceGetPersistenceMode": _constants(1),
    "nvmlDeviceGetPowerManagementDefaultLimit": _LIMIT,
    "nvmlDeviceGetPowerManagementLimit": _LIMIT,
    "nvmlDeviceGetPowerManagementLimitConstraints": _constants(200_000, 700_000),
    "nvmlDeviceGetPowerManagementMode": _constants(1),
    "nvmlDeviceGetPowerUsage": _number(lambda device, at: device.power(at)),
    "nvmlDeviceGetProcessUtilization": _process_utilisation,
    "nvmlDeviceGetRemappedRows": _constants(0, 0, 0, 0),
    "nvmlDeviceGetSerial": _text(lambda device: device.serial),
    "nvmlDeviceGetSupportedEventTypes": _constants(
        pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError
    ),
    "nvmlDeviceGetTemperature": _temperature,
    "nvmlDeviceGetTemperatureThreshold": _temperature_threshold,
    "nvmlDeviceGetTemperatureV": lambda call: call.fill(temperature=call.device.temperature(call.at)),
    "nvmlDeviceGetTotalEccErrors": _constants(0),
    "nvmlDeviceGetTotalEnergyConsumption": _number(lambda device, at: device.energy(at)),
    "nvmlDeviceGetUUID": _text(lambda device: device.uuid),
    "nvmlDeviceGetUtilizationRates": _utilisation,
    "nvmlDeviceIsMigDeviceHandle": _constants(0),
    "nvmlDeviceRegisterEvents": lambda call: None,
}


def _plain(argument: Any) -> int:
    """The number that a ctypes value or a number stands for."""
    return int(getattr(argument, "value", argument))
