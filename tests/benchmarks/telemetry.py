"""What GPUs cost to watch: a page of an exporter, a tick of NVML, a cluster of 256 nodes."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pynvml
from prometheus_client.parser import text_string_to_metric_families

from backend.cluster.client import ClusterClient
from backend.core.ports import SystemClock
from backend.core.views import GpuState
from backend.telemetry.collector import Collector
from backend.telemetry.exposition import ExpositionParser, Families
from backend.telemetry.nvml import NvmlSource
from backend.telemetry.nvml_values import text
from backend.telemetry.readings import GpuReading
from backend.telemetry.sources import ClusterSource
from tests.benchmarks.gpu_server import GPUS, node_name, page
from tests.benchmarks.harness import Figure, SkippedError, best_of
from tests.benchmarks.setting import ROOT, home

_NODES: Final = 256
_EVERY: Final = 10.0
_TICKS: Final = 20


# ------------------------------------------------------------ a page


def dcgm_parse() -> Figure:
    """The page of 1,024 GPUs, as it comes again and again, beside prometheus_client; the samples are the same."""
    # No node has so many: the pages of 128 are put together by metric, as an exporter would.
    body = _joined([page(node_name(number), 1000.0) for number in range(1024 // GPUS)])
    parser = ExpositionParser()
    families = parser.parse(body, "benchmark")
    peer_samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def of_peer() -> float:
        peer_samples.clear()
        started = time.perf_counter()
        found = list(text_string_to_metric_families(body.decode()))
        seconds = time.perf_counter() - started
        for family in found:
            peer_samples.update({(s.name, frozenset(s.labels.items())): s.value for s in family.samples})
        return seconds

    peer = best_of(2, of_peer)
    if _samples(families, peer_samples) != peer_samples:
        raise SkippedError("the two parsers do not read the same samples")
    ours = best_of(7, lambda: _timed(lambda: parser.parse(body, "benchmark")))
    return Figure(
        name="dcgm-parse", unit="ms", ours=ours * 1000, peer=peer * 1000, ratio=ours / peer, limit=1 / 30,
        budget="30 times faster than prometheus_client",
    )  # fmt: skip


def _joined(pages: list[bytes]) -> bytes:
    lines: dict[str, list[str]] = {}
    for one in pages:
        for line in one.decode().splitlines():
            name = line.split(" ", 3)[2] if line.startswith("#") else line.partition("{")[0]
            if not line.startswith("#") or one is pages[0]:
                lines.setdefault(name, []).append(line)
    return "\n".join(line for family in lines.values() for line in family).encode() + b"\n"


def _samples(families: Families, like: dict[Any, float]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Ours under the peer's names: it adds `_total` to those of counters."""
    known = {name for name, _ in like}
    return {
        (name if name in known else f"{name}_total", frozenset(labels.items())): value
        for name, samples in families.items()
        for labels, value in samples
    }


# ------------------------------------------------------------ a tick


def nvml_tick() -> Figure:
    """All GPUs of this machine once, beside the same calls bare; their values are those that nvidia-smi shows."""
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
        raise SkippedError(f"there is no NVIDIA GPU here: {error}") from error
    try:
        return asyncio.run(_ticks())
    finally:
        pynvml.nvmlShutdown()


async def _ticks() -> Figure:
    source = NvmlSource(clock=SystemClock(), node="benchmark", patience=30.0)
    try:
        for _ in range(2):
            told = await source.sample()
        if not told.readings:
            raise SkippedError(f"no GPU was read: {told.note}")
        _compare_with_nvidia_smi(told.readings)
        ours = []
        for _ in range(_TICKS):
            started = time.perf_counter()
            await source.sample()
            ours.append(time.perf_counter() - started)
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        peer = best_of(_TICKS, lambda: _timed(lambda: [_bare(handle) for handle in handles]))
    finally:
        await source.close()
    return Figure(
        name="nvml-tick", unit="ms", ours=min(ours) * 1000, peer=peer * 1000, ratio=min(ours) / peer, limit=2.0,
        budget="2 times the bare calls",
    )  # fmt: skip


def _bare(handle: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2),
        lambda: pynvml.nvmlDeviceGetUtilizationRates(handle),
        lambda: pynvml.nvmlDeviceGetPowerUsage(handle),
        lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle),
        lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
        lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        lambda: pynvml.nvmlDeviceGetTotalEccErrors(
            handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
        ),
        lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(handle),
        lambda: pynvml.nvmlDeviceGetFieldValues(
            handle,
            [
                pynvml.NVML_FI_DEV_MEMORY_TEMP, pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
                pynvml.NVML_FI_DEV_REMAPPED_COR, pynvml.NVML_FI_DEV_REMAPPED_UNC, pynvml.NVML_FI_DEV_REMAPPED_PENDING,
                pynvml.NVML_FI_DEV_REMAPPED_FAILURE, pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
                pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES,
            ],
        ),
    ]  # fmt: skip
    for call in calls:
        try:
            call()
        except pynvml.NVMLError:
            # What this GPU lacks costs the source nothing after the first time.
            continue


def _compare_with_nvidia_smi(readings: tuple[GpuReading, ...]) -> None:
    """Raises SkippedError where a value that stands still is another one than nvidia-smi's."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return
    fields = "uuid,name,memory.total,enforced.power.limit"
    told = subprocess.run(
        [command, f"--query-gpu={fields}", "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    theirs = {row[0]: row[1:] for line in told if (row := [part.strip() for part in line.split(",")])}
    for reading in readings:
        if reading.instance:
            continue
        name, memory, limit = theirs[reading.uuid]
        same = text(name) == reading.product and (
            reading.memory_total is None or abs(reading.memory_total / 2**20 - float(memory)) <= 1
        )
        if not same or (
            reading.power_limit is not None and not math.isclose(reading.power_limit, float(limit), abs_tol=0.01)
        ):
            raise SkippedError(f"nvidia-smi shows {name}, {memory} MiB, {limit} W, and we {reading}")


# ------------------------------------------------------------ a cluster


def scrape_256() -> Figure:
    """CPU time of sampling 256 nodes of 8 GPUs through the pod proxy, with a model server on each, every 10 s."""
    with home() as place, _gpu_server(_NODES) as url:
        place.name_cluster(url)
        seconds = asyncio.run(_sampled(place.kubeconfig))
    share = seconds / _EVERY
    return Figure(
        name="scrape-256", unit="% of a core", ours=share * 100, peer=None, ratio=share / 0.1, limit=1.0,
        budget="below 10 % of a core",
    )  # fmt: skip


async def _sampled(kubeconfig: Any) -> float:
    client = await ClusterClient.open(None, kubeconfig, clock=SystemClock())
    clock = SystemClock()
    collector = Collector(ClusterSource(client, clock), clock=clock, patience=60.0, inventory_every=0.0)
    try:
        spent = []
        for number in range(5):
            gc.collect()
            started = time.process_time()
            snapshot = await collector.sample()
            if number:
                spent.append(time.process_time() - started)
        working = [gpu for gpu in snapshot.gpus if gpu.source == "dcgm" and gpu.state is not GpuState.UNKNOWN]
        if len(working) != _NODES * GPUS or len([one for one in snapshot.servers if one.engine]) != _NODES:
            raise SkippedError(f"{len(working)} GPUs and {len(snapshot.servers)} servers were read: {snapshot.notes}")
        return min(spent)
    finally:
        await collector.close()
        await client.close()


@contextmanager
def _gpu_server(nodes: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.gpu_server", str(nodes)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.stdin.close()


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
