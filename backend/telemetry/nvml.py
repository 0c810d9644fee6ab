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
from backend.telemetry.nvml_events import XidWatch
from backend.telemetry.nvml_values import Device, failure_of, instances_of, read, text
from backend.telemetry.readings import GpuReading, LocalGpus

#: Seconds after which a driver that was missing is looked for again.
_LOOK_AGAIN: Final = 60.0
#: Seconds after which it is looked whether GPUs were cut up anew, taken out or put in.
_LOOK_OVER: Final = 15.0
#: Seconds that the thread that waits for errors may take to end.
_THREAD_ENDS: Final = 2.5
_ABSENT: Final = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver here",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated and this machine not restarted since",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to use the NVIDIA driver",
}

_Answer = TypeVar("_Answer")


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
        self._devices: list[Device] = []
        self._xids: XidWatch | None = None
        self._looked_at = float("-inf")
        self._names: dict[int, str] = {}
        # Of GPUs by their index: one that is lost does not tell them any more.
        self._identities: dict[int, tuple[str, str]] = {}
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
        hangs = self._under_way is not None and not self._under_way.done()
        longer = 0.0 if hangs else _THREAD_ENDS
        await asyncio.wait({self._thread.run(self._shut_down)}, timeout=self._patience + longer)
        self._thread.end()

    # ------------------------------------------------------------ in the thread

    def _sample(self) -> LocalGpus:
        at = self._clock.monotonic()
        try:
            if not self._initialised:
                if at - self._looked_at < _LOOK_AGAIN:
                    return self._last
                self._open(at)
            elif at - self._looked_at >= self._look_after():
                self._look_again(at)
            elif self._xids is None:
                # From the second sample on: who asks once would wait for the thread to end.
                self._xids = XidWatch({device.whole.uuid: device.whole for device in self._devices}.values())
            readings = self._read()
            if any(_is_gone(reading) for reading in readings):
                # It was cut up anew between two looks: what was an instance answers nothing.
                self._look_again(at)
                readings = self._read()
            return LocalGpus(tuple(readings), at, "", True)
        except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
            self._shut_down()
            self._looked_at = at
            code = getattr(error, "value", None)
            reason = _ABSENT.get(code, f"the NVIDIA driver fails: {error}")
            return LocalGpus((), None, reason, code != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    def _read(self) -> list[GpuReading]:
        whole: dict[int, dict[str, Any]] = {}
        names: dict[int, str] = {}
        readings = []
        for device in self._devices:
            xid = self._xids.last(device.uuid) if self._xids is not None else None
            readings.append(read(device, self._node, xid, self._names, whole))
            names |= {process.pid: process.name for process in readings[-1].processes or ()}
        # Of processes that have ended the names are forgotten: their ids are given anew.
        self._names = names
        return readings

    def _look_after(self) -> float:
        """Seconds until the devices are looked for anew: a GPU that failed may be back after a reset."""
        return _LOOK_AGAIN if any(device.failure for device in self._devices) else _LOOK_OVER

    def _open(self, at: float) -> None:
        pynvml.nvmlInit()
        self._initialised = True
        self._enumerate(at, {})

    def _look_again(self, at: float) -> None:
        if any(device.failure for device in self._devices):
            # What fell off the bus comes back to those alone who open the driver anew.
            self._shut_down()
            self._open(at)
        else:
            self._enumerate(at, {(device.uuid, device.mig_uuid): device for device in self._devices})

    def _enumerate(self, at: float, known: dict[tuple[str, str], Device]) -> None:
        """Find the devices; of those that are known, what they do not support stays known."""
        devices: list[Device] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                uuid, product = text(pynvml.nvmlDeviceGetUUID(handle)), text(pynvml.nvmlDeviceGetName(handle))
                whole = Device(handle, index, uuid, product)
                devices += instances_of(whole) or [whole]
                self._identities[index] = (uuid, product)
            except pynvml.NVMLError as error:
                # One lost GPU must not hide the others.
                uuid, product = self._identities.get(index, (f"{self._node}/{index}", ""))
                devices.append(Device(None, index, uuid, product, failure=failure_of(error)))
        for device in devices:
            before = known.get((device.uuid, device.mig_uuid))
            if before is not None:
                device.missing, device.fields = before.missing, before.fields
        self._devices = devices
        self._looked_at = at

    def _shut_down(self) -> None:
        xids, self._xids = self._xids, None
        if xids is not None:
            xids.end()
        initialised, self._initialised, self._devices = self._initialised, False, []
        if initialised:
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


def _is_gone(reading: GpuReading) -> bool:
    """Whether a MIG instance tells nothing of its own any more."""
    return bool(reading.instance) and not reading.failure and reading.memory_total is None
