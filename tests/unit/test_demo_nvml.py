"""The simulated NVML, asked through the real bindings."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pynvml
import pytest

from backend.demo.nvml import install


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    undo = install(7, 2, clock=clock)
    pynvml.nvmlInit()
    yield clock
    pynvml.nvmlShutdown()
    undo()


def test_devices_are_found_by_index_uuid_and_bus(clock: Clock) -> None:
    assert pynvml.nvmlDeviceGetCount() == 2
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(2)]
    uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
    assert len(set(uuids)) == 2
    assert all(uuid.startswith("GPU-") for uuid in uuids)
    again = pynvml.nvmlDeviceGetHandleByUUID(uuids[1])
    assert pynvml.nvmlDeviceGetIndex(again) == 1
    bus = pynvml.nvmlDeviceGetPciInfo(handles[0]).busId
    assert pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByPciBusId(bus)) == 0
    assert pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleBySerial(pynvml.nvmlDeviceGetSerial(handles[1]))) == 1
    assert pynvml.nvmlDeviceGetName(handles[0]) == "NVIDIA H100 80GB HBM3"


def test_wrong_lookups_are_refused_as_by_the_driver(clock: Clock) -> None:
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetHandleByIndex(2)
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetHandleByUUID("GPU-none")


def test_memory_by_both_versions(clock: Clock) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    first = pynvml.nvmlDeviceGetMemoryInfo(handle)
    second = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    assert first.total == second.total == 81559 * 2**20
    assert first.used == second.used + second.reserved
    assert second.used + second.reserved + second.free == second.total


def test_values_move_with_time_and_stay_in_their_bounds(clock: Clock) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    seen = set()
    for _ in range(40):
        clock.now += 5
        rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
        power = pynvml.nvmlDeviceGetPowerUsage(handle)
        assert 0 <= rates.gpu <= 100
        assert 0 <= rates.memory <= 100
        assert 60_000 < power <= pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)
        assert 25 < pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) < 90
        assert pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU) < 90
        assert pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM) <= pynvml.nvmlDeviceGetMaxClockInfo(
            handle, pynvml.NVML_CLOCK_SM
        )
        seen.add((rates.gpu, power))
    assert len(seen) > 20


def test_energy_is_the_integral_of_power(clock: Clock) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(1)
    start = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    watts = []
    for _ in range(600):
        clock.now += 0.1
        watts.append(pynvml.nvmlDeviceGetPowerUsage(handle) / 1000)
    spent = (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - start) / 1000
    assert spent == pytest.approx(sum(watts) * 0.1, rel=0.01)


def test_processes_have_names(clock: Clock) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    (process,) = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    assert process.usedGpuMemory < pynvml.nvmlDeviceGetMemoryInfo(handle).total
    assert pynvml.nvmlSystemGetProcessName(process.pid) == "VLLM::EngineCore"
    assert pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle) == []
    (sample,) = pynvml.nvmlDeviceGetProcessUtilization(handle, 0)
    assert (sample.pid, sample.smUtil) == (process.pid, pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)


def test_field_values_say_for_each_whether_they_hold(clock: Clock) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    wanted = [pynvml.NVML_FI_DEV_MEMORY_TEMP, pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, 250]
    memory, energy, unknown = pynvml.nvmlDeviceGetFieldValues(handle, wanted)
    assert memory.nvmlReturn == energy.nvmlReturn == pynvml.NVML_SUCCESS
    assert memory.value.uiVal > 30
    assert energy.value.ullVal == pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    assert unknown.nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED


def test_modes_and_errors(clock: Clock) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    assert pynvml.nvmlDeviceGetMigMode(handle) == [0, 0]
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, 0)
    assert pynvml.nvmlDeviceGetEccMode(handle) == [1, 1]
    errors = (handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
    assert pynvml.nvmlDeviceGetTotalEccErrors(*errors) == 0
    assert pynvml.nvmlDeviceGetRemappedRows(handle) == (0, 0, 0, 0)
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle) in (0, 1, 4)
    assert pynvml.nvmlDeviceGetCudaComputeCapability(handle) == (9, 0)
    assert pynvml.nvmlSystemGetDriverVersion().startswith("580.")
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetFanSpeed(handle)


def test_waiting_for_events_times_out_and_ends_with_the_library() -> None:
    undo = install(7, 1)
    pynvml.nvmlInit()
    try:
        events = pynvml.nvmlEventSetCreate()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
        with pytest.raises(pynvml.NVMLError_Timeout):
            pynvml.nvmlEventSetWait(events, 1)
        ended: list[type[BaseException]] = []

        def wait() -> None:
            try:
                pynvml.nvmlEventSetWait(events, 60_000)
            except pynvml.NVMLError_Timeout as error:
                ended.append(type(error))

        thread = threading.Thread(target=wait)
        thread.start()
        start = time.monotonic()
    finally:
        pynvml.nvmlShutdown()
        undo()
    thread.join(10)
    assert len(ended) == 1
    assert time.monotonic() - start < 10


def test_nothing_answers_before_init_and_after_undo() -> None:
    before = pynvml.nvmlLib
    undo = install(7)
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()
    undo()
    assert pynvml.nvmlLib is before


def test_the_same_seed_gives_the_same_gpus_and_another_seed_others() -> None:
    def look(seed: int) -> list[object]:
        undo = install(seed, 2, clock=lambda: 1_800_000_123.0)
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(2)]
        seen = [(pynvml.nvmlDeviceGetUUID(one), pynvml.nvmlDeviceGetPowerUsage(one)) for one in handles]
        pynvml.nvmlShutdown()
        undo()
        return list(seen)

    assert look(1) == look(1)
    assert look(1) != look(2)
