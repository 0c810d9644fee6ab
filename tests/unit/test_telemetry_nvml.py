"""NVML beneath `pynvml`: the demo's simulation, and one that fails as real drivers do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pynvml
import pytest

from backend.core.ports import SystemClock
from backend.demo.nvml import install
from backend.telemetry.following import Followed
from backend.telemetry.nvml import NvmlSource
from tests.fakes.ports import FixedClock

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def simulated() -> Iterator[None]:
    undo = install(7, 2)
    yield
    undo()


def source(clock: FixedClock | None = None, **options: Any) -> NvmlSource:
    # Patient, so that a machine with other work to do changes nothing.
    return NvmlSource(clock=clock or SystemClock(), node="bastion", **{"patience": 30.0, **options})


def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, when: Callable[..., bool] = lambda *_, **__: True
) -> None:
    """Let a function of `pynvml` fail, for the arguments named."""
    real = getattr(pynvml, name)

    def call(*arguments: Any, **named: Any) -> Any:
        if when(*arguments, **named):
            raise pynvml.NVMLError(code)
        return real(*arguments, **named)

    call.__name__ = name
    monkeypatch.setattr(pynvml, name, call)


async def test_a_gpu_tells_what_it_does(simulated: None) -> None:
    opened = source()
    told = await opened.sample()
    await opened.close()
    assert (len(told.readings), told.note, told.present) == (2, "", True)
    gpu = told.readings[0]
    assert gpu.uuid.startswith("GPU-")
    assert "H100" in gpu.product
    assert gpu.utilisation is not None
    assert gpu.memory_used is not None
    assert gpu.memory_total is not None
    assert 0 < gpu.memory_used <= gpu.memory_total
    assert gpu.power is not None
    assert 20 < gpu.power < 1200
    assert gpu.temperature is not None
    assert gpu.processes is not None
    assert (gpu.node, gpu.source, gpu.error) == ("bastion", "nvml", "")


async def test_calls_are_made_in_one_thread_that_is_not_the_event_loops(
    simulated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    real = pynvml.nvmlDeviceGetPowerUsage

    def watched(handle: Any) -> Any:
        threads.add(threading.get_ident())
        return real(handle)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", watched)
    opened = source()
    for _ in range(3):
        await opened.sample()
    await opened.close()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(
    ("function", "attribute"),
    [
        ("nvmlDeviceGetUtilizationRates", "utilisation"),
        ("nvmlDeviceGetPowerUsage", "power"),
        ("nvmlDeviceGetTemperature", "temperature"),
        ("nvmlDeviceGetComputeRunningProcesses", "processes"),
        ("nvmlDeviceGetMemoryInfo", "memory_used"),
    ],
)
@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
async def test_what_a_gpu_does_not_have_is_not_told_and_not_asked_again(
    simulated: None, monkeypatch: pytest.MonkeyPatch, function: str, attribute: str, code: int
) -> None:
    asked = []
    failing(monkeypatch, function, code, when=lambda *a, **_: asked.append(a) is None)
    opened = source()
    told = await opened.sample()
    before = len(asked)
    await opened.sample()
    await opened.close()
    assert [getattr(gpu, attribute) for gpu in told.readings] == [None, None]
    assert all(not gpu.failure for gpu in told.readings)
    assert len(asked) == before


async def test_older_drivers_tell_memory_the_old_way(simulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    version = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    failing(monkeypatch, "nvmlDeviceGetMemoryInfo", version, when=lambda *_, **named: "version" in named)
    opened = source()
    told = await opened.sample()
    await opened.close()
    assert told.readings[0].memory_total


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "fallen off the bus"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "reset"),
        (pynvml.NVML_ERROR_MEMORY, "driver says"),
    ],
)
async def test_a_lost_gpu_is_a_fault_and_the_others_go_on(
    simulated: None, monkeypatch: pytest.MonkeyPatch, code: int, text: str
) -> None:
    opened = source()
    await opened.sample()
    lost: list[Any] = []
    failing(
        monkeypatch,
        "nvmlDeviceGetPowerUsage",
        code,
        when=lambda handle: (lost or lost.append(handle) or lost)[0] is handle,
    )
    told = await opened.sample()
    await opened.close()
    assert text in told.readings[0].failure
    assert told.readings[0].faulty
    assert not told.readings[1].faulty


async def test_a_gpu_that_is_lost_from_the_start_hides_no_other(
    simulated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "nvmlDeviceGetHandleByIndex", pynvml.NVML_ERROR_GPU_IS_LOST, when=lambda index: index == 0)
    opened = source()
    told = await opened.sample()
    await opened.close()
    assert [gpu.faulty for gpu in told.readings] == [True, False]
    assert told.readings[0].key == "bastion/0"


@pytest.mark.parametrize(
    ("code", "text", "present"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver", False),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded", True),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "not restarted since", True),
        (pynvml.NVML_ERROR_UNKNOWN, "fails", True),
    ],
)
async def test_a_driver_that_is_not_there_is_told_and_looked_for_again_after_a_minute(
    simulated: None, monkeypatch: pytest.MonkeyPatch, clock: FixedClock, code: int, text: str, present: bool
) -> None:
    failing(monkeypatch, "nvmlInit", code, when=lambda: clock.monotonic() < 61)
    opened = source(clock)
    told = await opened.sample()
    assert (told.readings, told.present) == ((), present)
    assert text in told.note
    clock.advance(seconds=30)
    assert await opened.sample() == told
    clock.advance(seconds=31)
    assert len((await opened.sample()).readings) == 2
    await opened.close()


async def test_mig_instances_are_listed_with_gaps(simulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    handles: dict[int, Any] = {}

    def instance(handle: Any, number: int) -> Any:
        if number not in (1, 3):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return handles.setdefault(number, pynvml.nvmlDeviceGetHandleByIndex(1))

    def mode(handle: Any) -> list[int]:
        return [1, 1] if pynvml.nvmlDeviceGetIndex(handle) == 0 else [0, 0]

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", mode)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMaxMigDeviceCount", lambda handle: 7)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigDeviceHandleByIndex", instance)
    real = pynvml.nvmlDeviceGetName
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetName", lambda h: "NVIDIA H100 MIG 1g.10gb" if h in handles.values() else real(h)
    )
    opened = source()
    told = await opened.sample()
    await opened.close()
    assert [(gpu.index, gpu.instance, gpu.mig_profile) for gpu in told.readings] == [
        (0, "1", "1g.10gb"), (0, "3", "1g.10gb"), (1, "", ""),
    ]  # fmt: skip


async def test_a_driver_that_hangs_holds_up_nobody(simulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = source(patience=0.05)
    while (first := await opened.sample()).at is None:
        pass
    hold = threading.Event()
    real = pynvml.nvmlDeviceGetPowerUsage

    def hang(handle: Any) -> Any:
        hold.wait(10)
        return real(handle)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", hang)
    for _ in range(2):
        told = await opened.sample()
        assert told.readings == first.readings
        assert "has not answered" in told.note
    await opened.close()
    hold.set()


async def test_all_that_a_gpu_tells_is_read_and_counters_are_differenced(simulated: None) -> None:
    opened = source()
    followed = Followed(live=True)
    for second in (0.0, 10.0):
        told = await opened.sample()
        followed.update(told.readings, second, NOON)
    await opened.close()
    gpu = followed.measured(10.0)[0].reading
    assert gpu.power_limit == 700
    assert (gpu.memory_temperature or 0) > (gpu.temperature or 0)
    assert 1000 < (gpu.sm_clock or 0) < 2000
    assert gpu.memory_clock == 2619
    assert (gpu.energy or 0) > 1e6
    assert (gpu.xid, gpu.ecc_uncorrected, gpu.remapped_rows, gpu.remap_pending) == (0, 0, 0, False)
    assert None not in (gpu.pcie_receive, gpu.pcie_send, gpu.nvlink)
    assert gpu.processes is not None
    assert gpu.processes[0].name == "VLLM::EngineCore"
    assert (gpu.processes[0].memory or 0) > 1 << 30


async def test_fields_that_a_gpu_lacks_are_left_out_and_not_asked_for_again(
    simulated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = pynvml.nvmlDeviceGetFieldValues

    def lacking(handle: Any, fields: list[tuple[int, int]]) -> Any:
        asked.append(len(fields))
        values = real(handle, fields)
        for value in values:
            if value.fieldId == pynvml.NVML_FI_DEV_MEMORY_TEMP:
                value.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
        return values

    monkeypatch.setattr(pynvml, "nvmlDeviceGetFieldValues", lacking)
    opened = source()
    first, second = await opened.sample(), await opened.sample()
    await opened.close()
    assert first.readings[0].memory_temperature is None
    assert second.readings[0].energy is not None
    assert asked == [asked[0], asked[0], asked[0] - 1, asked[0] - 1]


async def test_an_error_is_told_to_who_waits_for_it(simulated: None) -> None:
    opened = source()
    told = [[gpu.xid for gpu in (await opened.sample()).readings] for _ in range(2)]
    assert told == [[None, None], [0, 0]]
    pynvml.nvmlLib.fail(1, 79)
    async with asyncio.timeout(5):
        while told[-1] != [0, 79]:
            told.append([gpu.xid for gpu in (await opened.sample()).readings])
    await opened.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "nvml events"]


async def test_where_errors_are_not_told_none_is_claimed_not_to_be(
    simulated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "nvmlEventSetCreate", pynvml.NVML_ERROR_NOT_SUPPORTED)
    opened = source()
    for _ in range(3):
        assert [gpu.xid for gpu in (await opened.sample()).readings] == [None, None]
    await opened.close()


async def test_processes_that_are_hidden_from_a_container_are_told_so(
    simulated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda handle: [])
    opened = source()
    gpu = (await opened.sample()).readings[0]
    await opened.close()
    assert gpu.processes is None
    assert "host's process ids" in gpu.processes_note


async def test_a_gpu_that_is_lost_while_running_keeps_its_name_and_comes_back(
    simulated: None, monkeypatch: pytest.MonkeyPatch, clock: FixedClock
) -> None:
    lost = [False]
    for name in ("nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo"):
        failing(
            monkeypatch, name, pynvml.NVML_ERROR_GPU_IS_LOST,
            when=lambda what, **_: lost[0] and (what == 0 or (what != 1 and pynvml.nvmlDeviceGetIndex(what) == 0)),
        )  # fmt: skip
    opened = source(clock)
    before = [gpu.key for gpu in (await opened.sample()).readings]
    lost[0] = True
    for _ in range(4):
        clock.advance(seconds=20)
        told = await opened.sample()
        assert [gpu.key for gpu in told.readings] == before
        assert [gpu.faulty for gpu in told.readings] == [True, False]
    lost[0] = False
    clock.advance(seconds=61)
    assert [gpu.faulty for gpu in (await opened.sample()).readings] == [False, False]
    await opened.close()


async def test_a_driver_that_is_unloaded_while_running_is_told_and_looked_for(
    simulated: None, monkeypatch: pytest.MonkeyPatch, clock: FixedClock
) -> None:
    gone = [False]
    failing(monkeypatch, "nvmlDeviceGetMemoryInfo", pynvml.NVML_ERROR_DRIVER_NOT_LOADED, when=lambda *_, **__: gone[0])
    opened = source(clock)
    await opened.sample()
    gone[0] = True
    told = await opened.sample()
    assert (told.readings, told.note) == ((), "the NVIDIA driver is not loaded")
    gone[0] = False
    clock.advance(seconds=61)
    assert len((await opened.sample()).readings) == 2
    await opened.close()


async def test_a_gpu_that_is_cut_up_anew_is_listed_anew(
    simulated: None, monkeypatch: pytest.MonkeyPatch, clock: FixedClock
) -> None:
    cut = [False]
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMigMode", lambda h: [1, 1] if cut[0] and pynvml.nvmlDeviceGetIndex(h) == 0 else [0, 0]
    )

    def instance(handle: Any, number: int) -> Any:
        if number:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return pynvml.nvmlDeviceGetHandleByIndex(1)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigDeviceHandleByIndex", instance)
    opened = source(clock)
    assert [gpu.instance for gpu in (await opened.sample()).readings] == ["", ""]
    cut[0] = True
    clock.advance(seconds=16)
    told = await opened.sample()
    assert [gpu.instance for gpu in told.readings] == ["0", ""]
    assert "power" in told.readings[0].shared
    cut[0] = False
    clock.advance(seconds=16)
    assert [gpu.instance for gpu in (await opened.sample()).readings] == ["", ""]
    await opened.close()
