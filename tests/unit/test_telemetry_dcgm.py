"""Pages of dcgm-exporter, of all versions and with MIG."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.telemetry.dcgm import read_page
from backend.telemetry.exposition import ExpositionParser
from backend.telemetry.following import Followed
from backend.telemetry.readings import Freshness, GpuReading, Holder, clock_reasons
from tests.fakes.telemetry import dcgm_page

MIB = 1 << 20
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def read(*gpus: dict[str, Any], node: str = "gpu-01") -> list[GpuReading]:
    return read_page(ExpositionParser().parse(dcgm_page(*gpus), "x"), node)


def test_a_gpu_is_read_with_its_pod() -> None:
    (gpu,) = read(
        {
            "gpu": "3", "UUID": "GPU-a", "Hostname": "elsewhere", "pod": "p", "namespace": "n", "container": "c",
            "DEV_GPU_UTIL": 55, "PROF_GR_ENGINE_ACTIVE": 0.5, "PROF_PIPE_TENSOR_ACTIVE": 0.25, "DEV_POWER_USAGE": 312.5,
            "DEV_GPU_TEMP": 61, "DEV_FB_USED": 70_000, "DEV_FB_FREE": 11_000, "DEV_FB_RESERVED": 559,
            "DEV_TOTAL_ENERGY_CONSUMPTION": 5_000, "DEV_XID_ERRORS": 0,
        }
    )  # fmt: skip
    assert gpu == GpuReading(
        uuid="GPU-a", node="gpu-01", index=3, product="NVIDIA H100 80GB HBM3", source="dcgm", utilisation=55,
        engine_active=50, tensor_active=25, memory_used=70_000 * MIB, memory_total=81_559 * MIB, power=312.5,
        temperature=61, energy=5, xid=0, holders=(Holder("n", "p", "c"),),
    )  # fmt: skip
    assert gpu.activity == 50
    assert gpu.error == ""


def test_without_the_profiling_fields_utilisation_tells() -> None:
    (gpu,) = read({"gpu": "0", "UUID": "GPU-a", "DEV_GPU_UTIL": 7})
    assert (gpu.engine_active, gpu.activity, gpu.memory_total) == (None, 7, None)


@pytest.mark.parametrize(
    "labels",
    [
        {"exported_pod": "p", "exported_namespace": "n", "exported_container": "c", "pod": "dcgm", "namespace": "gpu"},
        {"pod_name": "p", "pod_namespace": "n", "container_name": "c"},
    ],
)
def test_the_pod_is_found_under_its_other_names(labels: dict[str, str]) -> None:
    (gpu,) = read({"gpu": "0", "UUID": "GPU-a", **labels, "DEV_GPU_UTIL": 1})
    assert gpu.holders == (Holder("n", "p", "c"),)


def test_a_shared_gpu_is_one_gpu_with_several_holders() -> None:
    shared = [{"gpu": "0", "UUID": "GPU-a", "pod": pod, "namespace": "n", "DEV_GPU_UTIL": 40} for pod in ("p", "q")]
    (gpu,) = read(*shared)
    assert [holder.pod for holder in gpu.holders] == ["p", "q"]
    assert gpu.utilisation == 40


def test_mig_instances_stand_for_their_gpu_and_share_what_only_it_tells() -> None:
    whole = {"gpu": "0", "UUID": "GPU-a", "DEV_POWER_USAGE": 300, "DEV_GPU_TEMP": 50, "DEV_GPU_UTIL": 0}
    instance = {"gpu": "0", "UUID": "GPU-a", "GPU_I_PROFILE": "1g.10gb", "DEV_GPU_UTIL": 0}
    one = {**instance, "GPU_I_ID": "7", "PROF_GR_ENGINE_ACTIVE": 0.9, "pod": "p", "namespace": "n"}
    two = {**instance, "GPU_I_ID": "8", "PROF_GR_ENGINE_ACTIVE": 0.0}
    found = read(whole, two, one, {"gpu": "1", "UUID": "GPU-b", "DEV_GPU_UTIL": 1})
    assert [gpu.key for gpu in found] == ["GPU-a/7", "GPU-a/8", "GPU-b"]
    assert [(gpu.power, gpu.temperature, gpu.mig_profile) for gpu in found[:2]] == [(300, 50, "1g.10gb")] * 2
    assert [gpu.utilisation for gpu in found] == [None, None, 1]
    assert [gpu.activity for gpu in found[:2]] == [90, 0]


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "9223372036854775792", "140737488355328", "101"])
def test_a_value_that_says_nothing_is_not_told(value: str) -> None:
    (gpu,) = read({"gpu": "0", "UUID": "GPU-a", "DEV_GPU_UTIL": value})
    assert gpu.utilisation is None


@pytest.mark.parametrize(
    ("xid", "faulty", "error"),
    [
        (0, False, ""),
        (79, True, "XID 79: the GPU has fallen off the bus (hardware)"),
        (31, False, "XID 31: memory page fault (application)"),
        (7, False, "XID 7"),
    ],
)
def test_errors_of_the_hardware_are_told_from_those_of_programs(xid: int, faulty: bool, error: str) -> None:
    (gpu,) = read({"gpu": "0", "UUID": "GPU-a", "DEV_XID_ERRORS": xid})
    assert (gpu.faulty, gpu.error) == (faulty, error)


@pytest.mark.parametrize("gpu", ["x", "", "-1", "99999999999", "٣٣٣٣٣٣"])
def test_a_nonsense_index_is_none(gpu: str) -> None:
    assert read({"gpu": gpu, "UUID": "GPU-a", "DEV_GPU_UTIL": 1})[0].index == -1


@given(
    st.dictionaries(
        st.sampled_from(
            ["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_XID_ERRORS"]
        ),
        st.lists(
            st.tuples(
                st.dictionaries(st.sampled_from(["UUID", "gpu", "GPU_I_ID", "pod", "Hostname"]), st.text(max_size=3)),
                st.floats(),
            )
        ),
    )
)
def test_no_page_breaks_the_reader(families: dict[str, list[tuple[dict[str, str], float]]]) -> None:
    for reading in read_page(families, ""):
        assert reading.utilisation is None or 0 <= reading.utilisation <= 100
        assert reading.memory_used is None or reading.memory_used >= 0


def test_values_are_as_old_as_their_last_change() -> None:
    freshness = Freshness()
    assert [freshness.changed_at("a", value, at) for at, value in enumerate("xxxyyx")] == [0, 0, 0, 3, 3, 5]
    assert freshness.changed_at("b", "x", 9) == 9
    freshness.keep(["b"])
    assert freshness.changed_at("a", "x", 10) == 10


def test_all_that_an_exporter_tells_is_read() -> None:
    (gpu,) = read(
        {
            "gpu": "0", "UUID": "GPU-a", "PROF_DRAM_ACTIVE": 0.5, "DEV_MEMORY_TEMP": 70, "DEV_SM_CLOCK": 1980,
            "DEV_MEM_CLOCK": 2619, "DEV_ENFORCED_POWER_LIMIT": 700, "PROF_PCIE_TX_BYTES": 5, "PROF_PCIE_RX_BYTES": 7,
            "PROF_NVLINK_TX_BYTES": 11, "PROF_NVLINK_RX_BYTES": 13, "DEV_CLOCKS_EVENT_REASONS": 0x44,
            "DEV_ECC_DBE_VOL_TOTAL": 2, "DEV_UNCORRECTABLE_REMAPPED_ROWS": 1, "DEV_CORRECTABLE_REMAPPED_ROWS": 3,
            "DEV_ROW_REMAP_PENDING": 1,
        }
    )  # fmt: skip
    assert (gpu.dram_active, gpu.memory_temperature, gpu.sm_clock, gpu.memory_clock) == (50, 70, 1980, 2619)
    assert (gpu.power_limit, gpu.pcie_send, gpu.pcie_receive, gpu.nvlink) == (700, 5, 7, 24)
    assert gpu.throttle == ("power cap", "thermal")
    assert (gpu.ecc_uncorrected, gpu.remapped_rows, gpu.remap_pending, gpu.xid) == (2, 4, True, None)


def test_names_and_labels_of_other_versions_are_known() -> None:
    old = {"gpu": "1", "uuid": "GPU-a", "hostname": "gpu-09", "DEV_CLOCK_THROTTLE_REASONS": 4, "DEV_GPU_UTIL": 1}
    (gpu,) = read(old, node="")
    assert (gpu.uuid, gpu.node, gpu.throttle) == ("GPU-a", "gpu-09", ("power cap",))


def test_rows_that_could_not_be_remapped_are_a_fault() -> None:
    (gpu,) = read({"gpu": "0", "UUID": "GPU-a", "DEV_ROW_REMAP_FAILURE": 1})
    assert gpu.faulty
    assert "remapped" in gpu.error


@pytest.mark.parametrize(
    ("bits", "told"),
    [
        (0, ()),
        (1, ()),
        (4, ("power cap",)),
        (0x48, ("thermal",)),
        (0x8, ("hardware slowdown",)),
        (0x80, ("power brake",)),
    ],
)
def test_reasons_of_low_clocks(bits: int, told: tuple[str, ...]) -> None:
    assert clock_reasons(bits) == told


def test_counters_tell_between_two_samples() -> None:
    followed = Followed()
    gpu = {"gpu": "0", "UUID": "GPU-a", "PROF_GR_ENGINE_ACTIVE": 0.5}

    def told(at: float, **values: float) -> GpuReading:
        followed.update(read({**gpu, **values}), at, NOON)
        return followed.measured(at)[0].reading

    assert told(0, DEV_NVLINK_BANDWIDTH_TOTAL=100, DEV_THERMAL_VIOLATION=5).nvlink is None
    moved = told(10, DEV_NVLINK_BANDWIDTH_TOTAL=300, DEV_THERMAL_VIOLATION=6)
    assert (moved.nvlink, moved.throttle) == (20e6, ("thermal",))
    # Until the exporter samples again it tells the same.
    again = told(12, DEV_NVLINK_BANDWIDTH_TOTAL=300, DEV_THERMAL_VIOLATION=6)
    assert (again.nvlink, again.throttle, followed.measured(12)[0].age) == (20e6, ("thermal",), 2)
    fallen = told(20, DEV_NVLINK_BANDWIDTH_TOTAL=1, DEV_THERMAL_VIOLATION=6)
    assert (fallen.nvlink, fallen.throttle) == (None, ())
