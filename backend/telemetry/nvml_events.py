"""Waits for XID errors of this machine's GPUs: NVML tells of them once, to whoever waits for them at that time."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from threading import Event, Thread
from typing import Any, Final

import pynvml

from backend.telemetry.nvml_values import Device, text

_LOG = logging.getLogger(__name__)
#: Milliseconds of one wait, after which the thread looks whether it is to end.
_WAIT: Final = 250


class XidWatch:
    """A thread that waits for errors. Made once NVML is initialised; ended before it is shut down."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._last: dict[str, int] = {}
        self._watched: set[str] = set()
        self._ended = Event()
        self._set: Any = None
        self._thread: Thread | None = None
        try:
            self._register(devices)
        except pynvml.NVMLError as error:
            # Not every system tells of events (MIG on old drivers, other systems than Linux): then no XID is known.
            _LOG.info("XID errors are not told: %s", error)
            self._free()

    def last(self, uuid: str) -> int | None:
        """The last error of a GPU since the watch began; 0: none; None: its errors are not told."""
        return self._last.get(uuid, 0) if uuid in self._watched else None

    def end(self) -> None:
        """End the thread: NVML is shut down only when no call is under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=8 * _WAIT / 1000)
        self._free()

    def _register(self, devices: Iterable[Device]) -> None:
        self._set = pynvml.nvmlEventSetCreate()
        for device in devices:
            if device.handle is None:
                continue
            try:
                pynvml.nvmlDeviceRegisterEvents(device.handle, pynvml.nvmlEventTypeXidCriticalError, self._set)
            except pynvml.NVMLError as error:
                _LOG.info("XID errors of GPU %d are not told: %s", device.index, error)
                continue
            self._watched.add(device.uuid)
        if self._watched:
            self._thread = Thread(target=self._wait, name="nvml events", daemon=True)
            self._thread.start()

    def _free(self) -> None:
        if self._set is not None and (self._thread is None or not self._thread.is_alive()):
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlEventSetFree(self._set)
        self._set = None

    def _wait(self) -> None:
        while not self._ended.is_set():
            try:
                event = pynvml.nvmlEventSetWait(self._set, _WAIT)
                self._last[text(pynvml.nvmlDeviceGetUUID(event.device))] = int(event.eventData)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
                    # Which one it is shows when it is asked.
                    self._ended.wait(_WAIT / 1000)
                elif error.value != pynvml.NVML_ERROR_TIMEOUT:
                    _LOG.info("XID errors are not told any more: %s", error)
                    self._watched = set()
                    return
