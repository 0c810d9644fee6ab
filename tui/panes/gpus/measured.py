"""Every number of a GPU with where it comes from and how old it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from backend.core.gpu_lists import STALE_AFTER
from backend.core.views import CellView, GpuView
from tui import format as fmt
from tui.document import Line, Span, cells, join, text
from tui.panes.gpus.cells import NOTHING, bar, gauge_role

_VALUE: Final = 23
_BAR: Final = 10

Told = Callable[[GpuView], str | None]


def _number(field: str, digits: int = 0, unit: str = "", limit: str = "") -> Told:
    def told(gpu: GpuView) -> str | None:
        value = getattr(gpu, field)
        if value is None:
            return None
        most = getattr(gpu, limit) if limit else None
        of = "" if most is None else f" of {most:.{digits}f}"
        return f"{value:.{digits}f}{of}{unit}"

    return told


def _size(field: str, unit: str = "") -> Told:
    def told(gpu: GpuView) -> str | None:
        value = getattr(gpu, field)
        return None if value is None else f"{fmt.size(int(value))}{unit}"

    return told


def _memory(gpu: GpuView) -> str | None:
    return None if gpu.memory_used is None else f"{fmt.size(gpu.memory_used)} of {fmt.size(gpu.memory_total)}"


def _energy(gpu: GpuView) -> str | None:
    return None if gpu.energy is None else f"{gpu.energy / 3.6e6:.1f} kWh"


def _pending(gpu: GpuView) -> str | None:
    return None if gpu.remap_pending is None else "waits for a reset" if gpu.remap_pending else "none waits"


#: Label, field, its text. Percentages come first: they have a bar.
_FIGURES: Final[tuple[tuple[str, str, Told], ...]] = (
    ("engine active", "engine_active", _number("engine_active", unit="%")),
    ("utilisation", "utilisation", _number("utilisation", unit="%")),
    ("tensor active", "tensor_active", _number("tensor_active", unit="%")),
    ("DRAM active", "dram_active", _number("dram_active", unit="%")),
    ("memory", "memory_used", _memory),
    ("power", "power", _number("power", unit=" W", limit="power_limit")),
    ("temperature", "temperature", _number("temperature", unit=" °C")),
    ("its memory", "memory_temperature", _number("memory_temperature", unit=" °C")),
    ("SM clock", "sm_clock", _number("sm_clock", unit=" MHz")),
    ("memory clock", "memory_clock", _number("memory_clock", unit=" MHz")),
    ("energy", "energy", _energy),
    ("PCIe receives", "pcie_receive", _size("pcie_receive", "/s")),
    ("PCIe sends", "pcie_send", _size("pcie_send", "/s")),
    ("NVLink", "nvlink", _size("nvlink", "/s")),
    ("tokens", "tokens_per_second", _number("tokens_per_second", 0, " a second")),
    ("tokens a joule", "tokens_per_joule", _number("tokens_per_joule", 3)),
)
_HEALTH: Final[tuple[tuple[str, str, Told], ...]] = (
    ("ECC uncorrected", "ecc_uncorrected", _number("ecc_uncorrected")),
    ("rows remapped", "remapped_rows", _number("remapped_rows")),
    ("remapping", "remap_pending", _pending),
)


def figure_lines(gpu: GpuView) -> tuple[Line, ...]:
    """The figures; what is not measured stands below them by its reason."""
    known = [_line(gpu, *figure) for figure in _FIGURES if figure[2](gpu) is not None]
    return (*known, *_unknown(gpu, _FIGURES))


def health_lines(gpu: GpuView) -> tuple[Line, ...]:
    """ECC and remapped rows, the same way."""
    known = [_line(gpu, *figure) for figure in _HEALTH if figure[2](gpu) is not None]
    return (*known, *_unknown(gpu, _HEALTH))


def _unknown(gpu: GpuView, figures: Sequence[tuple[str, str, Told]]) -> list[Line]:
    """A line for each reason, with the figures that are not measured because of it."""
    reasons: dict[str, list[str]] = {}
    for label, field, told in figures:
        if told(gpu) is None:
            cell = next((cell for cell in gpu.cells if cell.field == field), None)
            reasons.setdefault(_reason(gpu, cell), []).append(label)
    return [
        (
            Span(f"{NOTHING} ".ljust(17), "label"),
            *text("not measured: ", "warn"),
            *text(", ".join(labels), "muted"),
            *text(f" ({reason})", "faint"),
        )
        for reason, labels in reasons.items()
    ]


def _line(gpu: GpuView, label: str, field: str, told: Told) -> Line:
    value = told(gpu)
    cell = next((cell for cell in gpu.cells if cell.field == field), None)
    name = Span(label.ljust(17), "label")
    if value is None:
        return (name, Span(NOTHING, "warn"))
    age = gpu.age if cell is None else cell.age
    is_old = age is None or age > STALE_AFTER
    shown = text(f"?{value}" if is_old else value, "faint" if is_old else "")
    number = getattr(gpu, field)
    gauge: Line = ()
    if value.endswith("%") and not is_old:
        gauge = (*bar(number, _BAR), Span(" "))
        shown = (Span(f"{value:>4} ", gauge_role(number)),)
    room = _VALUE - cells((*shown, *gauge))
    # Which of its kind the row's own source is stands above the figures.
    source = (gpu.source.partition(" ")[0] if cell is None else cell.source) or "no source"
    note = text(cell.note if cell is not None else "", "warn")
    return (
        name,
        *shown,
        *gauge,
        Span(" " * max(1, room)),
        *join(text(source, "faint"), text(_age(age), "warn" if is_old else "muted"), note, gap="  "),
    )


def _age(age: float | None) -> str:
    if age is None:
        return "never"
    return f"{age:.0f}s" if age < 120 else f"{fmt.duration(age)} old"


def _reason(gpu: GpuView, cell: CellView | None) -> str:
    if cell is not None and cell.note:
        return cell.note
    if gpu.age is None:
        return "no source reached it"
    if gpu.age > STALE_AFTER:
        return f"nothing came for {fmt.duration(gpu.age)}"
    return f"{gpu.source.partition(' ')[0] or 'its source'} does not tell"
