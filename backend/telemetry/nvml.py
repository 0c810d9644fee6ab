"""This machine's own GPUs, by NVML. All calls are made in one thread of their own, never on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

import pynvml

from backend.core.ports import Clock
from backend.telemetry.readings import GpuReading, LocalGpus, Process

#: Seconds after which a driver that was missing is looked for again.
_LOOK_AGAIN: Final = 60.0
#: What a GPU does not have, this driver does not know, or we may not see: shown as not measured.
_NOT_TOLD: Final = frozenset(
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
    pynvml.NVML_ERROR_RESET_REQUIRED: "the GPU needs a reset",
    pynvml.NVML_ERROR_TIMEOUT: "the driver did not answer in time",
    pynvml.NVML_ERROR_UNKNOWN: "the driver tells an unknown error",
}
_ABSENT: Final = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver here",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated and this machine not restarted since",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to use the NVIDIA driver",
}

_Answer = TypeVar("_Answer")


class _Device:
    """A GPU or MIG instance, with what does not change. `missing` are the calls that it does not support."""

    __slots__ = ("failure", "handle", "index", "instance", "missing", "product", "profile", "uuid")

    def __init__(
        self,
        handle: Any,
        index: int,
        uuid: str,
        product: str,
        *,
        instance: str = "",
        profile: str = "",
        failure: str = "",
    ) -> None:
        self.failure = failure
        self.handle = handle
        self.index = index
        self.uuid = uuid
        self.product = product
        self.instance = instance
        self.profile = profile
        self.missing: set[str] = set()


class _OwnThread:
    """Runs calls one after the other. Unlike an executor's thread it does not keep the program from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, function: Callable[[], _Answer]) -> asyncio.Future[_Answer]:
        """Call the function in the thread."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._jobs.put((function, future))
        return future

    def end(self) -> None:
        """End the thread when it has done what was asked of it."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, future = job
            try:
                answer: Any = function()
                settle: Callable[[Any], None] = future.set_result
            except Exception as error:  # handed to whoever waits
                answer, settle = error, future.set_exception
            # The loop is closed when nobody waits any more.
            with contextlib.suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(_settle, future, settle, answer)


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], answer: Any) -> None:
    if not future.done():
        settle(answer)


class NvmlSource:
    """Samples this machine's GPUs. A call that hangs delays nothing: the last values grow old.

    Args:
        node: this machine's name, as rows show it.
        patience: seconds that one sample may take.
    """

    def __init__(self, *, clock: Clock, node: str, patience: float = 1.0) -> None:
        self._clock = clock
        self._node = node
        self._patience = patience
        self._thread = _OwnThread("nvml")
        self._initialised = False
        self._devices: list[_Device] | None = None
        self._look_again_at = float("-inf")
        self._under_way: asyncio.Future[LocalGpus] | None = None
        self._last = LocalGpus((), None, "not read yet", False)

    async def sample(self) -> LocalGpus:
        """The GPUs now, or as they were last known when the driver does not answer in time. Never raises."""
        if self._under_way is None:
            self._under_way = self._thread.run(self._sample)
        done, _ = await asyncio.wait({self._under_way}, timeout=self._patience)
        if not done:
            return self._last._replace(note=f"the NVIDIA driver has not answered for {self._patience:g} s")
        future, self._under_way = self._under_way, None
        self._last = future.result()
        return self._last

    async def close(self) -> None:
        """Let the call under way end, then let go of the driver; a driver that hangs is left behind."""
        await asyncio.wait({self._thread.run(self._shut_down)}, timeout=self._patience)
        self._thread.end()

    # ------------------------------------------------------------ in the thread

    def _sample(self) -> LocalGpus:
        at = self._clock.monotonic()
        try:
            if self._devices is None:
                if at < self._look_again_at:
                    return self._last
                self._devices = self._open()
            return LocalGpus(tuple(self._read(device) for device in self._devices), at, "", True)
        except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
            self._shut_down()
            self._look_again_at = at + _LOOK_AGAIN
            code = getattr(error, "value", None)
            reason = _ABSENT.get(code, f"the NVIDIA driver fails: {error}")
            return LocalGpus((), None, reason, code != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    def _open(self) -> list[_Device]:
        pynvml.nvmlInit()
        self._initialised = True
        devices: list[_Device] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                uuid, product = _text(pynvml.nvmlDeviceGetUUID(handle)), _text(pynvml.nvmlDeviceGetName(handle))
                whole = _Device(handle, index, uuid, product)
                devices += _instances(whole) or [whole]
            except pynvml.NVMLError as error:
                # One lost GPU must not hide the others.
                devices.append(_Device(None, index, f"{self._node}/{index}", "", failure=_failure(error)))
        return devices

    def _shut_down(self) -> None:
        initialised, self._initialised, self._devices = self._initialised, False, None
        if initialised:
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _read(self, device: _Device) -> GpuReading:
        failure = device.failure
        values: dict[str, Any] = {}
        if not failure:
            try:
                _read_values(device, values)
            except pynvml.NVMLError as error:
                failure = _failure(error)
        memory, utilisation, power = (values.get(name) for name in ("memory", "utilisation", "power"))
        processes = values.get("processes")
        return GpuReading(
            uuid=device.uuid,
            instance=device.instance,
            node=self._node,
            index=device.index,
            product=device.product,
            mig_profile=device.profile,
            source="nvml",
            utilisation=None if utilisation is None else float(utilisation.gpu),
            memory_used=None if memory is None else int(memory.used),
            memory_total=None if memory is None else int(memory.total),
            power=None if power is None else power / 1000,
            temperature=None if values.get("temperature") is None else float(values["temperature"]),
            processes=None if processes is None else tuple(Process(each.pid, "", None) for each in processes),
            failure=failure,
        )


def _read_values(device: _Device, values: dict[str, Any]) -> None:
    handle = device.handle
    values["memory"] = _memory(device)
    values["utilisation"] = _ask(device, pynvml.nvmlDeviceGetUtilizationRates, handle)
    values["power"] = _ask(device, pynvml.nvmlDeviceGetPowerUsage, handle)
    values["temperature"] = _ask(device, pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
    values["processes"] = _ask(device, pynvml.nvmlDeviceGetComputeRunningProcesses, handle)


def _failure(error: Any) -> str:
    return _FAILURES.get(error.value, f"the driver says: {error}")


def _ask(device: _Device, function: Callable[..., _Answer], *arguments: Any) -> _Answer | None:
    """The function's answer; None, from then on without asking, when the device does not have it."""
    if function.__name__ in device.missing:
        return None
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value not in _NOT_TOLD:
            raise
        device.missing.add(function.__name__)
        return None


def _memory(device: _Device) -> Any:
    """Version 2 keeps what the driver reserves apart; older drivers know version 1 only."""
    if "memory v2" not in device.missing:
        try:
            return pynvml.nvmlDeviceGetMemoryInfo(device.handle, version=pynvml.nvmlMemory_v2)
        except pynvml.NVMLError as error:
            if error.value not in _NOT_TOLD:
                raise
            device.missing.add("memory v2")
    return _ask(device, pynvml.nvmlDeviceGetMemoryInfo, device.handle)


def _instances(whole: _Device) -> list[_Device]:
    """The MIG instances that a GPU is cut into; their indexes can have gaps."""
    mode = _ask(whole, pynvml.nvmlDeviceGetMigMode, whole.handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return []
    found = []
    for number in range(_ask(whole, pynvml.nvmlDeviceGetMaxMigDeviceCount, whole.handle) or 0):
        handle = _ask(_Device(None, 0, "", ""), pynvml.nvmlDeviceGetMigDeviceHandleByIndex, whole.handle, number)
        if handle is None:
            continue
        name = _text(_ask(whole, pynvml.nvmlDeviceGetName, handle) or whole.product)
        profile = name.partition(" MIG ")[2]
        found.append(_Device(handle, whole.index, whole.uuid, whole.product, instance=str(number), profile=profile))
    return found


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
