"""The page of NVIDIA's dcgm-exporter for a node, in the Prometheus text format 0.0.4.

Names, types, help texts and order are those of the exporter's `default-counters.csv` with the profiling fields of its
`dcp-metrics-included.csv`, and what operators add to them: power limit, clock event reasons, ECC errors. The labels
are the ones it adds in Kubernetes. It exports no timestamps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from backend.demo.gpus import GpuSample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: How often the exporter collects, in seconds: between two collections the page is the same.
COLLECT_INTERVAL = 2.0
#: The node whose exporter hangs now and then, how often, and for how long, in seconds.
_UNSTEADY, _ROUND, _SILENT = "gpu-02", 600.0, 120.0
DRIVER_VERSION = "580.95.05"


class Field(NamedTuple):
    """A DCGM field and how the exporter describes it."""

    name: str
    type: str
    help: str
    value: Callable[[GpuSample], float]


FIELDS: tuple[Field, ...] = (
    Field("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz).", lambda gpu: gpu.sm_clock),
    Field("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz).", lambda gpu: gpu.product.memory_clock),
    Field("DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Memory temperature (in C).", lambda gpu: gpu.memory_temperature),
    Field("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C).", lambda gpu: gpu.temperature),
    Field("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W).", lambda gpu: gpu.power),
    Field(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "counter",
        "Total energy consumption since boot (in mJ).",
        lambda gpu: gpu.energy,
    ),
    Field(
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "gauge", "Enforced power limit (in W).", lambda gpu: gpu.product.power_limit
    ),
    Field(
        "DCGM_FI_DEV_CLOCKS_EVENT_REASONS",
        "gauge",
        "Current clock event reasons (bitmask).",
        lambda gpu: gpu.clock_reasons,
    ),
    Field(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
        "counter",
        "Total number of double-bit volatile ECC errors.",
        lambda gpu: int(gpu.xid in (48, 94, 95)),
    ),
    Field("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", "Total number of PCIe retries.", lambda gpu: 0),
    Field("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).", lambda gpu: gpu.utilisation),
    Field(
        "DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %).", lambda gpu: round(100 * gpu.memory_active)
    ),
    Field("DCGM_FI_DEV_ENC_UTIL", "gauge", "Encoder utilization (in %).", lambda gpu: 0),
    Field("DCGM_FI_DEV_DEC_UTIL", "gauge", "Decoder utilization (in %).", lambda gpu: 0),
    Field("DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered.", lambda gpu: gpu.xid),
    Field("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).", lambda gpu: gpu.memory_free),
    Field("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).", lambda gpu: gpu.memory_used),
    Field("DCGM_FI_DEV_FB_RESERVED", "gauge", "Framebuffer memory reserved (in MiB).", lambda gpu: gpu.memory_reserved),
    Field(
        "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL",
        "counter",
        "Total number of NVLink bandwidth counters for all lanes.",
        lambda gpu: gpu.nvlink,
    ),
    Field("DCGM_FI_DEV_VGPU_LICENSE_STATUS", "gauge", "vGPU License status", lambda gpu: 0),
    Field(
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "counter",
        "Number of remapped rows for uncorrectable errors",
        lambda gpu: int(gpu.xid in (63, 94)),
    ),
    Field(
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
        "counter",
        "Number of remapped rows for correctable errors",
        lambda gpu: 0,
    ),
    Field(
        "DCGM_FI_DEV_ROW_REMAP_PENDING",
        "gauge",
        "Whether remapping of rows is pending",
        lambda gpu: int(gpu.xid in (63, 94)),
    ),
    Field("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "Whether remapping of rows has failed", lambda gpu: 0),
    Field(
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "gauge",
        "Ratio of time the graphics engine is active.",
        lambda gpu: gpu.engine_active,
    ),
    Field(
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "gauge",
        "Ratio of cycles the tensor (HMMA) pipe is active.",
        lambda gpu: gpu.tensor_active,
    ),
    Field(
        "DCGM_FI_PROF_DRAM_ACTIVE",
        "gauge",
        "Ratio of cycles the device memory interface is active sending or receiving data.",
        lambda gpu: gpu.memory_active,
    ),
    Field(
        "DCGM_FI_PROF_PCIE_TX_BYTES",
        "gauge",
        "The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in bytes "
        "per second.",
        lambda gpu: gpu.pcie_sent,
    ),
    Field(
        "DCGM_FI_PROF_PCIE_RX_BYTES",
        "gauge",
        "The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes "
        "per second.",
        lambda gpu: gpu.pcie_received,
    ),
)


def dcgm_page(samples: Iterable[GpuSample]) -> str:
    """The exporter's page for the GPUs of its node."""
    labelled = [(sample, _labels(sample)) for sample in samples]
    lines: list[str] = []
    for field in FIELDS:
        lines.append(f"# HELP {field.name} {field.help}")
        lines.append(f"# TYPE {field.name} {field.type}")
        lines.extend(f"{field.name}{labels} {_number(field.value(sample))}" for sample, labels in labelled)
    return "\n".join(lines) + "\n"


def collected_at(now: float) -> float:
    """When the values that the exporter shows now were collected; seconds since 1970."""
    return now // COLLECT_INTERVAL * COLLECT_INTERVAL


def answers(node: str, now: float) -> bool:
    """Whether the exporter of a node answers; that of one node does not for a while in every ten minutes.

    Args:
        now: seconds since the demo began to run.
    """
    return node != _UNSTEADY or now % _ROUND < _ROUND - _SILENT


def escaped(text: str) -> str:
    """A label value as the text format writes it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _labels(sample: GpuSample) -> str:
    instance = sample.instance
    of_instance = {} if instance is None else {"GPU_I_PROFILE": instance.profile, "GPU_I_ID": str(instance.number)}
    labels = {
        "gpu": str(sample.index),
        "UUID": sample.uuid,
        "pci_bus_id": f"00000000:{0x18 + 0x11 * sample.index:02X}:00.0",
        "device": f"nvidia{sample.index}",
        "modelName": sample.product.name,
        **of_instance,
        "Hostname": sample.node,
        "DCGM_FI_DRIVER_VERSION": DRIVER_VERSION,
    }
    if sample.pod:
        labels |= {"container": sample.container, "namespace": sample.namespace, "pod": sample.pod}
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"
