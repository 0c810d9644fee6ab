"""The GPUs of the simulated NVML: what each says of itself at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from backend.demo.gpus import H100, Wave

MIB = 2**20
_RESERVED = 551 * MIB
#: nvml.h: nvmlClocksEventReasonGpuIdle, nvmlClocksEventReasonSwPowerCap.
_GPU_IDLE, _POWER_CAP = 0x1, 0x4


@dataclass(frozen=True)
class Process:
    """A process that computes on a GPU; memory in bytes."""

    pid: int
    name: str
    memory: int


class Device:
    """One simulated GPU. Times are seconds since 1970.

    Args:
        seed: what its load and identity follow from.
        index: its NVML index.
        start: when the driver was loaded: energy counts from then.
    """

    def __init__(self, seed: int, index: int, start: float) -> None:
        digest = hashlib.sha256(f"nvml/{seed}/{index}".encode()).hexdigest()
        self.index = index
        self.product = H100
        self.uuid = f"GPU-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
        self.serial = str(1_650_000_000_000 + int(digest[32:42], 16) % 1_000_000_000)
        self.bus = 0x18 + 0x11 * index
        self.total = self.product.memory * MIB
        self.process = Process(41_200 + 17 * index, "VLLM::EngineCore", int(self.total * 0.9))
        self._wave = Wave(0.55, 0.5, f"nvml/{seed}/{index}")
        self._start = start

    @property
    def bus_id(self) -> str:
        """The PCI address: domain, bus, device, function."""
        return f"00000000:{self.bus:02X}:00.0"

    @property
    def reserved(self) -> int:
        """Bytes that the driver keeps."""
        return _RESERVED

    @property
    def used(self) -> int:
        """Bytes that processes hold."""
        return self.process.memory + 6 * MIB

    def activity(self, at: float) -> float:
        """Share of the engine in use, 0 to 1."""
        return min(1.0, max(0.0, self._wave.value(at)))

    def utilisation(self, at: float) -> int:
        """Percent of time with a kernel running."""
        return round(100 * min(1.0, self.activity(at) * 1.06))

    def memory_utilisation(self, at: float) -> int:
        """Percent of time with memory being read or written."""
        return round(63 * self.activity(at))

    def power(self, at: float) -> int:
        """Draw in mW."""
        return int(1000 * (self._idle_power + self._span * self.activity(at)))

    def energy(self, at: float) -> int:
        """mJ since the driver was loaded: the integral of the power."""
        seconds = max(0.0, at - self._start)
        return int(1000 * (self._idle_power * seconds + self._span * self._wave.integral(self._start, at)))

    def temperature(self, at: float) -> int:
        """Degrees Celsius of the GPU."""
        return round(29 + self.index % 3 + 46 * self.power(at) / 1000 / self.product.power_limit)

    def sm_clock(self, at: float) -> int:
        """MHz."""
        return self.product.sm_clock - round(90 * max(0.0, self.activity(at) - 0.75) / 0.25)

    def clock_reasons(self, at: float) -> int:
        """Why the clock is not at its maximum, as NVML's bits."""
        activity = self.activity(at)
        return _POWER_CAP if activity > 0.75 else _GPU_IDLE if activity < 0.02 else 0

    def pcie_bytes(self, at: float, received: bool) -> int:
        """Bytes over the PCIe bus since the driver was loaded."""
        return int((520e6 if received else 310e6) * self._wave.integral(self._start, at))

    def nvlink_kib(self, at: float) -> int:
        """KiB over all NVLinks since the driver was loaded, each way."""
        return int(1.1e6 * self._wave.integral(self._start, at))

    @property
    def _idle_power(self) -> float:
        return self.product.idle_power + 38.0

    @property
    def _span(self) -> float:
        return self.product.power_limit * 0.93 - self._idle_power
