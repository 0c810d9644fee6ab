"""The GPUs pane: from one GPU to a thousand, on a fixed scale, nothing that is old or unknown drawn as live."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.events import GpusSampled, Topic
from backend.core.gpu_lists import FIELDS
from backend.core.views import AlertView, GpuSnapshotView, GpuState
from tests.fakes import screen_data as data
from tests.fakes.gpu_room import Room, replaced, room
from tests.fakes.screen_pilot import Desk, desk
from tui.document import Section, Span, cells, plain
from tui.panes.alerts.view_model import of_gpus
from tui.panes.deployments.detail_model import metrics_section
from tui.panes.gpus.cells import bar, map_mark, note_of, number_cell
from tui.panes.gpus.detail_model import gpu_sections, node_sections
from tui.panes.gpus.gpu_columns import gpu_columns
from tui.panes.gpus.head import completions
from tui.panes.gpus.page import GpusPage
from tui.panes.gpus.ranks import rank_lines, stands_out
from tui.panes.gpus.service_numbers import service_section
from tui.panes.gpus.view_model import by_holder, by_node, idle_rate
from tui.panes.gpus.wall import BY, Choice, GpuRow, GroupRow, Layout, MapCells, NodeCells, arrange
from tui.widgets.gauge_wall import GaugeWall

SIZES = ((80, 24), (160, 45))


def _wall(table: Desk) -> GaugeWall:
    page = table.app.page()
    assert isinstance(page, GpusPage)
    return page.wall


# ---------------------------------------------------------------- cells


def test_a_gauge_is_on_a_fixed_scale() -> None:
    assert [len(bar(load, 10)[0].text) for load in (0.0, 50.0, 100.0)] == [0, 5, 10]
    assert bar(97.0, 10) != bar(60.0, 10)
    assert bar(250.0, 10) == bar(100.0, 10)


@pytest.mark.parametrize(
    ("changes", "cell", "mark"),
    [
        ({"engine_active": 97.4}, "97", "█"),
        ({"engine_active": 100.0}, "100", "█"),
        ({"engine_active": None, "utilisation": 12.0}, "12", "░"),
        ({"engine_active": None, "utilisation": None}, "?", "?"),
        ({"engine_active": 97.0, "age": 240.0}, "?97", "?"),
        ({"engine_active": 97.0, "age": None}, "?97", "?"),
        ({"state": GpuState.IDLE, "engine_active": 0.0}, "i", "i"),
        ({"state": GpuState.FREE}, ".", "."),
        ({"state": GpuState.FAULT}, "!!", "!"),
        ({"state": GpuState.UNKNOWN, "engine_active": None, "utilisation": None}, "?", "?"),
    ],
)
def test_a_state_is_told_without_its_colour(changes: dict[str, object], cell: str, mark: str) -> None:
    gpu = msgspec.structs.replace(data.gpus().gpus[0], **changes)
    assert plain(number_cell(gpu)) == f"{cell:>4}"
    assert map_mark(gpu).text == mark


def test_what_was_not_measured_is_no_zero() -> None:
    gpu = msgspec.structs.replace(
        data.gpus().gpus[0], utilisation=None, engine_active=None, memory_used=None, power=None, age=None
    )
    told = _text(gpu_sections(gpu, None, None, data.NOW))
    assert plain(note_of(gpu, data.NOW)) == "never measured"
    unknown = next(line for line in told if "(no source reached it)" in line)
    assert all(name in unknown for name in ("not measured", "engine active", "utilisation", "memory", "power"))


# ---------------------------------------------------------------- rows


@given(
    count=st.sampled_from([0, 1, 2, 8, 9, 64, 200]),
    by=st.sampled_from(BY),
    layout=st.sampled_from(list(Layout)),
    idle=st.booleans(),
    inverted=st.booleans(),
    width=st.sampled_from([48, 80, 160]),
)
def test_every_gpu_stands_in_the_wall_once_when_nothing_is_folded(
    count: int, by: str, layout: Layout, idle: bool, inverted: bool, width: int
) -> None:
    gpus = room(count).gpus
    choice = Choice(layout=layout, by=by, idle=idle, inverted=inverted)
    rows = arrange(gpus, choice, width, 20)
    if idle:
        # Groups of idle GPUs are closed at first.
        choice = Choice(by=by, idle=True, folded=frozenset(row.key for row in rows))
        rows = arrange(gpus, choice, width, 20)
    shown = [gpu.key for row in rows if isinstance(row, GpuRow | NodeCells | MapCells) for gpu in row.gpus]
    assert sorted(shown) == sorted(gpu.key for gpu in gpus)
    assert len({row.key for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("count", "kind"), [(1, GpuRow), (8, GpuRow), (64, NodeCells), (256, NodeCells), (1024, MapCells)]
)
def test_the_layout_suits_the_number(count: int, kind: type) -> None:
    rows = arrange(room(count).gpus, Choice(), 78, 17)
    assert any(isinstance(row, kind) for row in rows)
    assert not any(isinstance(row, GpuRow | NodeCells | MapCells) and not isinstance(row, kind) for row in rows)


def test_nodes_and_holders_come_worst_first() -> None:
    snapshot = data.gpus()
    assert [node.name for node in by_node(snapshot)][:3] == ["gpu-03", "gpu-02", "gpu-05"]
    holders = by_holder(snapshot)
    assert holders[0].state is GpuState.FAULT
    assert {row.state for row in holders[1:3]} == {GpuState.IDLE}
    rows = arrange(room(64).gpus, Choice(by="type"), 78, 17)
    assert isinstance(rows[0], GroupRow) and rows[0].group.number(GpuState.FAULT)


def test_idle_gpus_cost_by_the_hour_what_their_price_says() -> None:
    assert idle_rate(room(64).gpus) == pytest.approx(8 * 3.0)
    assert idle_rate(data.gpus().gpus) is None


# ---------------------------------------------------------------- ranks


def test_a_straggler_stands_out_of_its_replica() -> None:
    ranks = list(room(8).gpus)
    ranks = [msgspec.structs.replace(gpu, engine_active=90.0 + gpu.index / 10, power=600.0) for gpu in ranks]
    assert not any(stands_out("load", gpu, ranks) for gpu in ranks)
    ranks[3] = msgspec.structs.replace(ranks[3], engine_active=41.0, sm_clock=1200.0)
    assert [stands_out("load", gpu, ranks) for gpu in ranks] == [0, 0, 0, -1, 0, 0, 0, 0]
    told = [plain(line) for line in rank_lines(ranks, ranks[3].key)]
    assert "41▼" in next(line for line in told if line.startswith("load"))
    assert "›r3" in told[0]
    # The pane beside the list of services has no more room in a terminal of 140 columns.
    assert max(map(len, told[:-1])) <= 52
    assert "r3 (gpu-001/3) stands out: load below the others, clock below the others; held down: power cap" in told[-1]


def test_of_two_ranks_the_hot_and_slow_one_is_the_odd_one() -> None:
    one, two = room(8).gpus[:2]
    one = msgspec.structs.replace(one, engine_active=37.0, power=366.0, temperature=53.0, sm_clock=1980.0)
    two = msgspec.structs.replace(
        two, engine_active=66.0, power=366.0, temperature=77.0, sm_clock=1208.0, throttle=("thermal",)
    )
    told = [plain(line) for line in rank_lines([one, two])]
    assert told[-1] == ("r1 (gpu-001/1) stands out: heat above the others, clock below the others; held down: thermal")
    assert not any("r0 (" in line for line in told)


def test_a_rank_that_is_old_or_unknown_neither_stands_out_nor_counts() -> None:
    ranks = list(room(8).gpus)[:3]
    ranks = [
        msgspec.structs.replace(ranks[0], engine_active=95.0),
        msgspec.structs.replace(ranks[1], engine_active=1.0, age=500.0),
        msgspec.structs.replace(ranks[2], engine_active=None, utilisation=None),
    ]
    assert [stands_out("load", gpu, ranks) for gpu in ranks] == [0, 0, 0]
    assert "?1" in plain(rank_lines(ranks)[2]) and "--" in plain(rank_lines(ranks)[2])


# ---------------------------------------------------------------- details


def _text(sections: list[Section]) -> list[str]:
    return [plain(line) for section in sections for line in section.lines]


def test_every_number_of_a_gpu_tells_its_source_and_age() -> None:
    snapshot = room(64)
    told = _text(gpu_sections(snapshot.gpus[1], snapshot, None, data.NOW))
    tokens = next(line for line in told if line.startswith("tokens  "))
    assert "vllm llm-prod/x:8000" in tokens and tokens.endswith("2s")
    assert any(line.startswith("power ") and "dcgm" in line and line.endswith("1s") for line in told)
    assert any("not measured: its memory (the exporter does not export it)" in line for line in told)


def test_in_a_narrow_terminal_the_holder_of_a_faulty_or_idle_gpu_is_told_too() -> None:
    gpu = msgspec.structs.replace(room(8).gpus[0], state=GpuState.FAULT, xid=79, error="XID 79: off the bus (hardware)")
    idle = msgspec.structs.replace(gpu, state=GpuState.IDLE, xid=None, error="", idle_since=data.NOW)
    (held,) = (one for one in gpu_columns(lambda: data.NOW, narrow=True) if one.key == "held")
    assert plain(held.cell(GpuRow("a", (gpu,), "node"))) == f"XID 79  {gpu.service} r0"
    assert plain(held.cell(GpuRow("a", (idle,), "node"))).startswith(f"{gpu.service} r0  ")


def test_quantiles_beyond_the_highest_bucket_are_told_as_such() -> None:
    metrics = next(one for one in room(64).services if one.slow)
    told = [plain(line) for line in service_section(metrics).lines]
    assert any(">=4.00 s" in line for line in told)
    assert any("MISSED" in line and "burns 4.0 times" in line for line in told)
    assert any("end to end" in line and "no traffic, or not told" in line for line in told)
    section = metrics_section(metrics)
    assert section is not None, "the page of the service tells the same"
    assert [plain(line) for line in section.lines] == told


def test_a_node_tells_which_waiting_pod_would_fit() -> None:
    snapshot = room(64)
    (waiting,) = snapshot.pending
    small = msgspec.structs.replace(waiting, pod="small-0", gpus=2)
    snapshot = msgspec.structs.replace(snapshot, pending=(waiting, small))
    told = _text(node_sections("prod-eu1", "gpu-003", snapshot, [], data.NOW))
    assert any("qwen-vl-1" in line and "needs 5 more here" in line for line in told)
    assert any("small-0" in line and "2 of 3 free here would do" in line for line in told)


# ---------------------------------------------------------------- the pane


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [8, 64, 1024])
async def test_any_number_of_gpus_can_be_read(count: int, size: tuple[int, int]) -> None:
    async with desk(Room(count), size=size) as table:
        await table.press("4")
        number = f"{count:,}".replace(",", " ")
        await table.sees(f"4 GPUS {number}", f"{_busy(count)} busy")
        shown = table.text()
        assert all(cells((Span(line),)) <= size[0] for line in shown.splitlines())
        if count == 8:
            assert all(f"llama-70b r{rank}" in shown for rank in range(8)) and "━━━━━━━" in shown
        elif count == 64:
            assert "gpu-003 H100 │  !!" in shown and "gpu-002 H100 │   i" in shown
        else:
            assert "░ below 25 %" in shown and "iiiiiiii" in shown and "████" in shown
        await table.press("G", "up", "right")
        assert _wall(table).current is not None


def _busy(count: int) -> int:
    return sum(gpu.state is GpuState.BUSY for gpu in room(count).gpus)


async def test_only_what_changed_is_drawn_again_and_the_cursor_stays_on_its_gpu() -> None:
    yard = Room(64)
    async with desk(yard, size=(80, 24)) as table:
        await table.press("4", "down", "down", "right", "right")
        chosen = _wall(table).chosen
        assert chosen is not None and chosen.key == "prod-eu1/gpu-001/1"
        # Another node becomes the worst: rows change places.
        snapshot = replaced(yard.snapshot_view, "prod-eu1/gpu-008/5", state=GpuState.FAULT, error="XID 48")
        table.yard.publish(Topic.GPUS, GpusSampled(snapshot=snapshot))
        await table.sees("2 bad")
        assert (_wall(table).chosen or chosen).key == chosen.key
        drawn: list[object] = []
        _wall(table).refresh = lambda *regions, **_: drawn.extend(regions)  # type: ignore[method-assign,assignment]
        table.yard.publish(Topic.GPUS, GpusSampled(snapshot=msgspec.structs.replace(snapshot, at=data.NOW)))
        await table.pilot.pause(0.3)
        assert drawn == []


async def test_groups_fold_and_views_change() -> None:
    async with desk(Room(64), size=(100, 40)) as table:
        await table.press("4", "b")
        await table.sees("by service, worst first", "▾ llm-prod/mistral")
        await table.press("left")
        await table.sees("▸ llm-prod/mistral")
        await table.press("f")
        await table.sees_not("│")
        await table.press("f")
        await table.sees("gpu-003 H100 │")
        await table.command("view map")
        await table.sees("░ below 25 %", "llm-prod/mistral")
        await table.command("view lines")
        await table.sees("HELD BY", "▾ llm-prod/mistral")
        await table.command("by colour")
        await table.sees("not grouped by 'colour'")
        await table.press("w")
        await table.sees("ENGINE", "TENSOR")


async def test_words_and_expressions_filter_and_wrong_ones_are_told() -> None:
    async with desk(Room(64), size=(100, 40)) as table:
        await table.press("4", "slash")
        await table.type("state:idle node:gpu-0*")
        await table.press("enter")
        await table.sees("8 of 64", "gpu-002")
        await table.press("escape", "slash")
        await table.type("state:idel")
        await table.press("enter")
        await table.sees("there is no state 'idel'", "Nothing matches")
        await table.press("escape")
        await table.sees("GPUS 64")


async def test_idle_gpus_by_waste_lead_to_their_owner_and_to_a_stop() -> None:
    yard = Room(64)
    yard.put_service(data.service("llm-prod", "qwen-vl", data.Verdict.SERVING))
    async with desk(yard, size=(100, 40)) as table:
        await table.press("4", "i")
        await table.sees("idle only", "▸ llm-prod/qwen-vl", "search", "0 tokens for 27h, 216 GPU-h, ~648")
        await table.press("S")
        await table.sees("Stop llm-prod/qwen-vl?")
        await table.press("escape", "right")
        await table.sees("gpu-002/7")
        await table.press("left", "enter")
        await table.sees("llm-prod/qwen-vl", "Verdict")


async def test_a_gpu_opens_with_its_ranks_its_neighbours_and_its_node() -> None:
    async with desk(Room(64), size=(160, 45)) as table:
        await table.press("4", "down", "down", "right", "enter")
        await table.sees("Ranks of llama-70b-0", "›r0", "engine active", "Health", "Held by")
        await table.press("]")
        await table.sees("gpu-001/1", "›r1")
        await table.press("u")
        await table.sees("Node gpu-001", "Waiting for GPUs", "needs 8 more here", "nvidia.com/gpu=present:NoSchedule")
        await table.press("escape", "o")
        await table.sees("llm-prod/llama-70b", "Verdict")


async def test_the_overview_tells_what_idles_costs_and_waits_and_leads_there() -> None:
    async with desk(Room(64), size=(160, 45)) as table:
        await table.sees("49 busy · 8 idle · 6 free · 1 bad", "1 pod waiting", "~24 USD/h")
        await table.press("tab", "tab", "down", "enter")
        await table.sees("4 GPUS 64", "~24 USD/h")
        await table.until(lambda: (_wall(table).chosen or data.gpus().gpus[0]).key == "prod-eu1/gpu-002/0")


def test_alerts_of_other_gpus_of_the_node_or_service_are_not_told_of_a_gpu() -> None:
    first, other = room(8).gpus[:2]
    key = f"{first.context}/{first.namespace}/{first.service}"

    def alert(rule: str, about: str, *services: str) -> AlertView:
        return AlertView(
            id=rule, rule=rule, severity="warning", object=about, services=services, summary="", state="firing",
            since=data.NOW,
        )  # fmt: skip

    node = f"{first.context}/{first.node}"
    going = [
        alert("objective", f"{key} ttft_p95", key),
        alert("gpu-fault", f"{node} GPU 0", "prod-eu1/llm-prod/another"),
        alert("gpu-throttled", node, key),
        alert("gpu-idle", key, key),
    ]
    hot = msgspec.structs.replace(other, throttle=("thermal",))
    first = msgspec.structs.replace(first, throttle=())
    assert [one.rule for one in of_gpus(going, [first])] == ["gpu-fault", "objective"]
    assert [one.rule for one in of_gpus(going, [hot])] == ["gpu-throttled", "objective"]
    assert [one.rule for one in of_gpus(going, [first, hot])] == ["gpu-fault", "gpu-throttled", "objective"]


async def test_a_gpu_tells_of_its_alerts() -> None:
    yard = Room(64)
    alert = AlertView(
        id="a1",
        rule="gpu-fault",
        severity="critical",
        object="prod-eu1/gpu-003 GPU 0",
        summary="XID 79 on gpu-003",
        state="firing",
        since=data.ago(minutes=21),
    )
    yard.alert_views = [alert]
    async with desk(yard, size=(160, 45)) as table:
        await table.press("4")
        await table.sees("X critical", "XID 79 on gpu-003")
        await table.press("right", "enter")
        await table.sees("Alerts", "for 21m, nobody has it")
        await table.press("u")
        await table.sees("Node gpu-003", "X critical  gpu-003 GPU 0  XID 79 on gpu-003")
        await table.press("a")
        await table.sees("Take this alert up?")


async def test_a_gpu_that_goes_away_is_told_and_nothing_is_drawn_as_live() -> None:
    yard = Room(8)
    async with desk(yard, size=(100, 40)) as table:
        await table.press("4", "down", "enter")
        await table.sees("gpu-001/0")
        gone = msgspec.structs.replace(yard.snapshot_view, gpus=yard.snapshot_view.gpus[1:])
        table.yard.publish(Topic.GPUS, GpusSampled(snapshot=gone))
        await table.sees("it is not there any more")
        await table.press("escape")
        old = [msgspec.structs.replace(gpu, age=300.0) for gpu in gone.gpus]
        table.yard.publish(Topic.GPUS, GpusSampled(snapshot=msgspec.structs.replace(gone, gpus=tuple(old))))
        await table.sees("not measured for", "? 1", "?91% engine")
        assert "━╸" not in table.text()


async def test_names_that_would_do_something_are_only_read() -> None:
    yard = Room(64)
    hostile = data.HOSTILE
    gpus = [
        msgspec.structs.replace(gpu, node=hostile, service=hostile, team=hostile, error=hostile, product=hostile)
        if gpu.node == "gpu-003"
        else gpu
        for gpu in yard.snapshot_view.gpus
    ]
    yard.snapshot_view = msgspec.structs.replace(yard.snapshot_view, gpus=tuple(gpus))
    async with desk(yard, size=(80, 24)) as table:
        await table.press("4")
        for keys in ((), ("right", "enter"), ("escape", "b"), ("v", "v"), ("v",), ("u",)):
            await table.press(*keys)
            await table.sees("evil")
            shown = table.text()
            assert "\x1b" not in shown and "\u202e" not in shown
            assert all(cells((Span(line),)) <= 80 for line in shown.splitlines())


def test_filters_are_completed_with_what_is_there() -> None:
    gpus = room(64).gpus
    assert completions("sta", gpus, FIELDS) == ["state:"]
    assert completions("state:f", gpus, FIELDS) == ["state:free", "state:fault"]
    assert completions("xid node:gpu-00", gpus, FIELDS)[0] == "xid node:gpu-001"
    assert completions("service:llm-prod/q", gpus, FIELDS) == ["service:llm-prod/qwen-vl"]
    assert completions("type:", gpus, FIELDS) == ["type:A100", "type:H100"]
    assert completions("nothing:x", gpus, FIELDS) == []


async def test_a_machine_in_no_cluster_shows_its_processes() -> None:
    async with desk(Room(2, local=True), size=(130, 30)) as table:
        await table.press("4", "down")
        await table.sees("4711", "python3", "2505 MHz", "held down: power cap", "nvml", "cluster: no kubeconfig")


async def test_a_pause_holds_the_wall_still() -> None:
    yard = Room(8)
    async with desk(yard, size=(80, 24)) as table:
        await table.press("4", "Z")
        await table.sees("PAUSED")
        first = yard.snapshot_view.gpus[0].key
        table.yard.publish(Topic.GPUS, GpusSampled(snapshot=_loaded(yard.snapshot_view, first, 11.0)))
        await table.pilot.pause(0.2)
        assert " 11 " not in table.text()
        await table.press("Z")
        await table.sees(" 11 ━")


def _loaded(snapshot: GpuSnapshotView, key: str, load: float) -> GpuSnapshotView:
    return replaced(snapshot, key, engine_active=load, utilisation=load)
