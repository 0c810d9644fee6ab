"""A simulated NVML beneath `pynvml`: what `libnvidia-ml.so.1` would answer, without a GPU, driver or compiler.

`pynvml` looks every function up by name on `pynvml.nvmlLib`, calls it with ctypes values and reads the results that
were written through its references. A plain object can therefore stand in for the library. What is not simulated
answers NVML_ERROR_NOT_SUPPORTED, as a real GPU does for what it lacks.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import pynvml

from backend.demo.nvml_answers import ANSWERS, Call
from backend.demo.nvml_devices import Device

_DAYS_UP = 11 * 86400.0
#: Where handles point to; nobody follows them.
_FIRST_HANDLE = 0x1000
_EVENT_SET = 0x9000


def install(seed: int, gpus: int = 2, *, clock: Callable[[], float] = time.time) -> Callable[[], None]:
    """Let `pynvml` find simulated GPUs, whether or not this machine has real ones. Call it before `nvmlInit`.

    Args:
        seed: what load and identities follow from.
        gpus: how many there are.
        clock: seconds since 1970.

    Returns:
        A function that puts back what was there before; call it after `nvmlShutdown`.
    """
    before = (pynvml.nvmlLib, pynvml._nvmlLib_refcount)
    pynvml._nvmlGetFunctionPointer_cache.clear()
    pynvml.nvmlLib = library = Library(seed, gpus, clock)
    pynvml._nvmlLib_refcount = 0

    def undo() -> None:
        library.close()
        pynvml._nvmlGetFunctionPointer_cache.clear()
        pynvml.nvmlLib, pynvml._nvmlLib_refcount = before

    return undo


class Library:
    """What stands in for the loaded library: every `nvml` function as an attribute.

    Args:
        seed: what load and identities follow from.
        gpus: how many there are.
        clock: seconds since 1970.
    """

    def __init__(self, seed: int, gpus: int, clock: Callable[[], float]) -> None:
        start = clock() - _DAYS_UP
        self._devices = [Device(seed, index, start) for index in range(gpus)]
        self._clock = clock
        self._users = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._errors: list[tuple[int, int]] = []
        self._happened = threading.Condition()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        special = getattr(type(self), f"_{name}", None)
        answer = ANSWERS.get(name)

        # A function and no method: pynvml sets `restype` on what it looks up.
        def call(*arguments: Any) -> Any:
            if special is not None:
                return special(self, *arguments)
            if not self._users:
                return pynvml.NVML_ERROR_UNINITIALIZED
            return pynvml.NVML_ERROR_NOT_SUPPORTED if answer is None else self._answer(answer, arguments)

        return call

    def close(self) -> None:
        """End all waits for events."""
        self._end_waits()

    def fail(self, index: int, xid: int) -> None:
        """Let a GPU have an XID error, of which those are told who wait for events."""
        with self._happened:
            self._errors.append((index, xid))
            self._happened.notify_all()

    def _end_waits(self) -> None:
        with self._happened:
            self._ended.set()
            self._happened.notify_all()

    def _answer(self, answer: Callable[[Call], int | None], arguments: tuple[Any, ...]) -> int:
        device = self._device(arguments[0]) if arguments else None
        if device is None:
            return int(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        code = answer(Call(device, arguments[1:], self._clock()))
        return int(pynvml.NVML_SUCCESS) if code is None else code

    def _device(self, handle: Any) -> Device | None:
        address = ctypes.cast(handle, ctypes.c_void_p).value or 0
        index = address - _FIRST_HANDLE
        return self._devices[index] if 0 <= index < len(self._devices) else None

    def _find(self, reference: Any, matches: Callable[[Device], bool], missing: int) -> int:
        if not self._users:
            return int(pynvml.NVML_ERROR_UNINITIALIZED)
        for device in self._devices:
            if matches(device):
                _point(reference, _FIRST_HANDLE + device.index)
                return int(pynvml.NVML_SUCCESS)
        return missing

    def _nvmlInitWithFlags(self, flags: int) -> int:  # noqa: N802 - named after the C function
        with self._lock:
            self._users += 1
            self._ended.clear()
        return int(pynvml.NVML_SUCCESS)

    def _nvmlShutdown(self) -> int:  # noqa: N802 - named after the C function
        with self._lock:
            if not self._users:
                return int(pynvml.NVML_ERROR_UNINITIALIZED)
            self._users -= 1
            if not self._users:
                self._end_waits()
        return int(pynvml.NVML_SUCCESS)

    def _nvmlErrorString(self, code: int) -> bytes:  # noqa: N802 - named after the C function
        return str(pynvml.NVMLError._errcode_to_string.get(code, f"unknown error {code}")).encode()

    def _nvmlSystemGetDriverVersion(self, buffer: Any, size: Any) -> int:  # noqa: N802 - named after the C function
        return self._text(buffer, b"580.95.05")

    def _nvmlSystemGetNVMLVersion(self, buffer: Any, size: Any) -> int:  # noqa: N802 - named after the C function
        return self._text(buffer, b"13.580.95.05")

    def _nvmlSystemGetCudaDriverVersion(self, reference: Any) -> int:  # noqa: N802 - named after the C function
        return self._number(reference, 13000)

    def _nvmlSystemGetCudaDriverVersion_v2(self, reference: Any) -> int:  # noqa: N802 - named after the C function
        return self._number(reference, 13000)

    def _nvmlSystemGetProcessName(self, pid: Any, buffer: Any, size: Any) -> int:  # noqa: N802 - as the C function
        for device in self._devices:
            if device.process.pid == pid.value:
                return self._text(buffer, device.process.name.encode())
        return int(pynvml.NVML_ERROR_NOT_FOUND)

    def _nvmlDeviceGetCount_v2(self, reference: Any) -> int:  # noqa: N802 - named after the C function
        return self._number(reference, len(self._devices))

    def _nvmlDeviceGetHandleByIndex_v2(self, index: Any, reference: Any) -> int:  # noqa: N802 - as the C function
        return self._find(
            reference, lambda device: device.index == index.value, int(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        )

    def _nvmlDeviceGetHandleByUUID(self, uuid: Any, reference: Any) -> int:  # noqa: N802 - as the C function
        return self._find(
            reference, lambda device: device.uuid.encode() == uuid.value, int(pynvml.NVML_ERROR_NOT_FOUND)
        )

    def _nvmlDeviceGetHandleBySerial(self, serial: Any, reference: Any) -> int:  # noqa: N802 - as the C function
        return self._find(
            reference, lambda device: device.serial.encode() == serial.value, int(pynvml.NVML_ERROR_NOT_FOUND)
        )

    def _nvmlDeviceGetHandleByPciBusId_v2(self, bus_id: Any, reference: Any) -> int:  # noqa: N802 - as the C function
        wanted = bus_id.value.decode().upper()
        return self._find(
            reference, lambda device: device.bus_id.endswith(wanted[-12:]), int(pynvml.NVML_ERROR_NOT_FOUND)
        )

    def _nvmlEventSetCreate(self, reference: Any) -> int:  # noqa: N802 - named after the C function
        if not self._users:
            return int(pynvml.NVML_ERROR_UNINITIALIZED)
        _point(reference, _EVENT_SET)
        return int(pynvml.NVML_SUCCESS)

    def _nvmlEventSetFree(self, event_set: Any) -> int:  # noqa: N802 - named after the C function
        return int(pynvml.NVML_SUCCESS)

    def _nvmlEventSetWait_v2(self, event_set: Any, data: Any, timeout: Any) -> int:  # noqa: N802 - as the C function
        """Wait as long as asked for an error of a GPU, or until the library is shut down."""
        with self._happened:
            self._happened.wait_for(lambda: self._errors or self._ended.is_set(), timeout.value / 1000)
            if not self._errors or self._ended.is_set():
                return int(pynvml.NVML_ERROR_TIMEOUT)
            index, xid = self._errors.pop(0)
        event = data._obj
        event.device = ctypes.cast(ctypes.c_void_p(_FIRST_HANDLE + index), type(event.device))
        event.eventType, event.eventData = pynvml.nvmlEventTypeXidCriticalError, xid
        return int(pynvml.NVML_SUCCESS)

    def _text(self, buffer: Any, text: bytes) -> int:
        if not self._users:
            return int(pynvml.NVML_ERROR_UNINITIALIZED)
        buffer.value = text
        return int(pynvml.NVML_SUCCESS)

    def _number(self, reference: Any, value: int) -> int:
        if not self._users:
            return int(pynvml.NVML_ERROR_UNINITIALIZED)
        reference._obj.value = value
        return int(pynvml.NVML_SUCCESS)


def _point(reference: Any, address: int) -> None:
    """Let the pointer behind a reference hold an address."""
    ctypes.cast(reference, ctypes.POINTER(ctypes.c_void_p)).contents.value = address
