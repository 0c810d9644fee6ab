"""`gpu`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from backend.cli.output import Column, note
from backend.cli.session import Session
from backend.core.errors import UnreachableError
from backend.core.views import GpuSnapshotView, GpuView
from backend.yard import Yard


def add_to(application: typer.Typer) -> None:
    """Add `gpu`."""
    application.command("gpu")(_gpu)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}%"


def _memory(gpu: GpuView) -> str | None:
    if gpu.memory_used is None or gpu.memory_total is None:
        return None
    return f"{gpu.memory_used / 2**30:.0f}/{gpu.memory_total / 2**30:.0f} GiB"


_COLUMNS: list[Column[GpuView]] = [
    ("NODE", lambda gpu: gpu.node),
    ("GPU", lambda gpu: f"{gpu.index}{' ' + gpu.mig_profile if gpu.mig_profile else ''}"),
    ("PRODUCT", lambda gpu: gpu.product),
    ("STATE", lambda gpu: gpu.state.value),
    ("ENGINE", lambda gpu: _percent(gpu.engine_active)),
    ("UTIL", lambda gpu: _percent(gpu.utilisation)),
    ("MEMORY", _memory),
    ("POWER", lambda gpu: None if gpu.power is None else f"{gpu.power:.0f} W"),
    ("TEMP", lambda gpu: None if gpu.temperature is None else f"{gpu.temperature:.0f} C"),
    ("SERVICE", lambda gpu: f"{gpu.namespace}/{gpu.service}" if gpu.service else gpu.pod),
    ("SOURCE", lambda gpu: gpu.source),
    ("AGE", lambda gpu: None if gpu.age is None else f"{gpu.age:.0f}s"),
    ("ERROR", lambda gpu: gpu.error),
]


def _gpu(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Sample again and again until interrupted.")] = False,
) -> None:
    """Tell what every GPU does, for whom, and where each number comes from. Exit 6 when nothing could be asked."""
    session: Session = context.obj

    async def work(yard: Yard) -> None:
        snapshot = await yard.gpus.snapshot()
        _print(session, snapshot)
        if snapshot.unreached and not watch:
            raise UnreachableError("gpu", snapshot.unreached, "run modelyard doctor")
        while watch:
            await asyncio.sleep(yard.gpus.interval.total_seconds())
            _print(session, await yard.gpus.snapshot())

    session.run(work)


def _print(session: Session, snapshot: GpuSnapshotView) -> None:
    session.print.rows(snapshot.gpus, _COLUMNS, empty="no GPUs")
    for text in snapshot.notes:
        if not snapshot.unreached or snapshot.unreached not in text:
            note(text)
