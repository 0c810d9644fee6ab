"""`gpu`: what every GPU does, for whom, and where each number comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from backend.cli.commands import gpu_history
from backend.cli.commands.gpu_watch import Watch
from backend.cli.output import Column, note
from backend.cli.session import Session
from backend.core.errors import UnreachableError, UsageError
from backend.core.gpu_lists import GROUPINGS, ORDERS, GpuFilter, GpuGroup, grouped, holder_of, is_stale, ordered
from backend.core.views import GpuSnapshotView, GpuState, GpuView
from backend.yard import Yard


def add_to(application: typer.Typer) -> None:
    """Add `gpu`."""
    gpu = typer.Typer(rich_markup_mode=None)
    gpu.callback(invoke_without_command=True)(_gpu)
    gpu_history.add_to(gpu)
    application.add_typer(gpu, name="gpu")


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}%"


def _number(value: float | None, unit: str = "", digits: int = 0) -> str | None:
    return None if value is None else f"{value:.{digits}f}{unit}"


def _memory(used: int | None, total: int | None) -> str | None:
    return None if used is None or total is None else f"{used / 2**30:.0f}/{total / 2**30:.0f} GiB"


def _age(gpu: GpuView) -> str:
    if gpu.age is None:
        return "never"
    return f"{gpu.age:.0f}s{' OLD' if is_stale(gpu) else ''}"


def _told(gpu: GpuView) -> str:
    cordoned = "node cordoned" if gpu.cordoned else ""
    throttled = f"held down: {', '.join(gpu.throttle)}" if gpu.throttle else ""
    return "; ".join(part for part in (gpu.error, gpu.useless, throttled, cordoned) if part)


_PLACE: list[Column[GpuView]] = [
    ("NODE", lambda gpu: gpu.node),
    ("GPU", lambda gpu: f"{gpu.place}{' ' + gpu.mig_profile if gpu.mig_profile else ''}"),
    ("PRODUCT", lambda gpu: gpu.product),
]
_COLUMNS: list[Column[GpuView]] = [
    *_PLACE,
    ("STATE", lambda gpu: gpu.state.value),
    ("ENGINE", lambda gpu: _percent(gpu.engine_active)),
    ("UTIL", lambda gpu: _percent(gpu.utilisation)),
    ("MEMORY", lambda gpu: _memory(gpu.memory_used, gpu.memory_total)),
    ("POWER", lambda gpu: _number(gpu.power, " W")),
    ("TEMP", lambda gpu: _number(gpu.temperature, " C")),
    ("SERVICE", holder_of),
    ("RANK", lambda gpu: gpu.rank),
    ("TEAM", lambda gpu: gpu.team),
    ("TOK/S", lambda gpu: _number(gpu.tokens_per_second)),
    ("SOURCE", lambda gpu: gpu.source),
    ("AGE", _age),
    ("NOTE", _told),
]
_IDLE: list[Column[GpuView]] = [
    *_PLACE,
    ("HELD BY", holder_of),
    ("TEAM", lambda gpu: gpu.team),
    ("IDLE SINCE", lambda gpu: gpu.idle_since),
    ("GPU HOURS", lambda gpu: _number(gpu.wasted_hours, digits=1)),
    ("COST SO FAR (ESTIMATE)", lambda gpu: _number(gpu.idle_cost, digits=2)),
    ("UTIL", lambda gpu: _percent(gpu.utilisation)),
    ("SOURCE", lambda gpu: gpu.source),
    ("AGE", _age),
]


def _group_memory(group: GpuGroup) -> str | None:
    return None if group.memory is None else _memory(*group.memory)


_GROUPS: list[Column[GpuGroup]] = [
    ("GPUS", lambda group: len(group.gpus)),
    *((state.value.upper(), lambda group, state=state: group.number(state) or None) for state in GpuState),
    ("LOAD", lambda group: _percent(group.load)),
    ("MEMORY", _group_memory),
    ("POWER", lambda group: _number(group.power, " W")),
    ("TOK/S", lambda group: _number(group.tokens_per_second)),
    ("WASTED GPU HOURS", lambda group: _number(group.wasted_hours, digits=1)),
    ("COST SO FAR (ESTIMATE)", lambda group: _number(group.idle_cost, digits=2)),
]


class _Choice(msgspec.Struct, frozen=True):
    """What is to be shown, in which order, and by what."""

    idle: bool
    order: str
    inverted: bool
    filter: GpuFilter
    by: str

    def chosen(self, snapshot: GpuSnapshotView) -> list[GpuView]:
        kept = [
            gpu for gpu in snapshot.gpus if self.filter.keeps(gpu) and (not self.idle or gpu.state is GpuState.IDLE)
        ]
        return ordered(kept, self.order, inverted=self.inverted)

    def groups(self, snapshot: GpuSnapshotView) -> list[GpuGroup]:
        return grouped(self.chosen(snapshot), self.by, self.order, inverted=self.inverted)

    def columns(self) -> Sequence[Column[GpuView]]:
        return _IDLE if self.idle else _COLUMNS

    def group_columns(self) -> Sequence[Column[GpuGroup]]:
        return [(self.by.upper(), lambda group: group.name), *_GROUPS]

    def show(self, session: Session, snapshot: GpuSnapshotView) -> None:
        if self.by:
            session.print.rows(self.groups(snapshot), self.group_columns(), empty=self._empty(), as_data=_group_data)
        else:
            session.print.rows(self.chosen(snapshot), self.columns(), empty=self._empty())

    def data(self, snapshot: GpuSnapshotView) -> list[Any]:
        if self.by:
            return [_group_data(group) for group in self.groups(snapshot)]
        return [msgspec.to_builtins(gpu) for gpu in self.chosen(snapshot)]

    def table(self, snapshot: GpuSnapshotView) -> list[list[object]]:
        if self.by:
            columns = self.group_columns()
            rows = [[value(group) for _, value in columns] for group in self.groups(snapshot)]
            return [[heading for heading, _ in columns], *rows]
        own = self.columns()
        return [[heading for heading, _ in own], *([value(gpu) for _, value in own] for gpu in self.chosen(snapshot))]

    def _empty(self) -> str:
        return "no GPU is held and idle" if self.idle else "no GPUs" + (" match" if self.filter.typed else "")


def _group_data(group: GpuGroup) -> dict[str, Any]:
    used, total = group.memory or (None, None)
    return {
        group.by: group.name,
        "gpus": len(group.gpus),
        "states": {state.value: group.number(state) for state in GpuState},
        "load": group.load,
        "memory_used": used,
        "memory_total": total,
        "power": group.power,
        "tokens_per_second": group.tokens_per_second,
        "wasted_hours": group.wasted_hours,
        "idle_cost": group.idle_cost,
    }


def _gpu(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Sample again and again; q or Ctrl-C ends it. JSON: a document a line.")
    ] = False,
    idle: Annotated[bool, typer.Option("--idle", help="Only GPUs that are held and do nothing, by waste.")] = False,
    sort: Annotated[
        str, typer.Option("--sort", metavar="ORDER", help=f"{', '.join(ORDERS)}; - in front turns it around.")
    ] = "",
    wanted: Annotated[
        str, typer.Option("--filter", metavar="WORDS", help="Such as `state:idle node:gpu-0*`, or an expression.")
    ] = "",
    by: Annotated[str, typer.Option("--by", metavar="GROUP", help=f"Sums by {', '.join(GROUPINGS)}.")] = "",
) -> None:
    """Tell what every GPU does, for whom, and where each number comes from. Exit 6 when nothing could be asked."""
    if context.invoked_subcommand is not None:
        return
    session: Session = context.obj
    choice = _choice(idle, sort, wanted, by)

    async def work(yard: Yard) -> None:
        if watch:
            view = Watch(session.print.output, choice.table, choice.data)
            await view.run(yard.gpus.snapshot, yard.gpus.interval.total_seconds())
            return
        snapshot = await yard.gpus.snapshot()
        choice.show(session, snapshot)
        for text in snapshot.notes:
            if not snapshot.unreached or snapshot.unreached not in text:
                note(text)
        if is_first_sample(snapshot):
            note("tokens a second and latencies are told from the second sample on: --watch has them")
        for pending in snapshot.pending:
            note(f"{pending.namespace}/{pending.pod} waits: {pending.sentence}")
        if snapshot.unreached:
            raise UnreachableError("gpu", snapshot.unreached, "run modelyard doctor")

    session.run(work)


def is_first_sample(snapshot: GpuSnapshotView) -> bool:
    """Whether model servers tell, and no rate of any is known yet: that takes two samples."""
    told = [server for server in snapshot.servers if server.engine]
    return bool(told) and all(server.generation_tokens_per_second is None for server in told)


def _choice(idle: bool, sort: str, wanted: str, by: str) -> _Choice:
    inverted, order = sort.startswith("-"), sort.removeprefix("-") or ("waste" if idle else "worst")
    if order not in ORDERS:
        raise UsageError("option --sort", f"there is no order {order!r}", f"use {', '.join(ORDERS)}")
    if by and by not in GROUPINGS:
        raise UsageError("option --by", f"GPUs are not grouped by {by!r}", f"use {', '.join(GROUPINGS)}")
    chosen = GpuFilter(wanted)
    if chosen.problem:
        raise UsageError("option --filter", chosen.problem, "correct the filter")
    if chosen.literal:
        note(f"not a regular expression, taken as it stands: {' '.join(chosen.literal)}")
    return _Choice(idle, order, inverted, chosen, by)
