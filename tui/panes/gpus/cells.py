"""How GPUs look in the rows of the wall: on a fixed scale from 0 to 100, the number printed, no colour alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from backend.core.gpu_lists import GpuGroup, holder_of, is_stale, load_of
from backend.core.views import GpuState, GpuView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, text

STATE_ROLE: Final = {
    GpuState.FAULT: "alarm",
    GpuState.IDLE: "idle",
    GpuState.UNKNOWN: "warn",
    GpuState.BUSY: "ok",
    GpuState.FREE: "free",
}
STATE_MARK: Final = {
    GpuState.FAULT: "!",
    GpuState.IDLE: "i",
    GpuState.UNKNOWN: "?",
    GpuState.BUSY: " ",
    GpuState.FREE: ".",
}
STATE_WORD: Final = {
    GpuState.BUSY: "busy",
    GpuState.IDLE: "idle",
    GpuState.FREE: "free",
    GpuState.FAULT: "bad",
    GpuState.UNKNOWN: "unknown",
}
#: What is not measured; never a zero.
NOTHING: Final = "--"
_SHADES: Final = "░▒▓█"
#: Cells of a load: three digits and a gap, or a mark.
CELL: Final = 4
LEGEND: Final = "░ below 25 %  ▒ 50  ▓ 75  █ above   i idle  . free  ! fault  ? not known"


def shown_state(gpu: GpuView) -> GpuState:
    """Its state; what is too old to be told of a GPU that was well is not known. A fault stays one."""
    return GpuState.UNKNOWN if is_stale(gpu) and gpu.state is not GpuState.FAULT else gpu.state


def gauge_role(load: float) -> str:
    """The colour of a load; it never stands alone, the number is printed."""
    return "gauge-high" if load >= 66 else "gauge-middle" if load >= 33 else "gauge-low"


def bar(load: float | None, width: int) -> Line:
    """A bar of a percentage on a fixed scale, to half a cell."""
    if load is None:
        return (Span("·" * width, "gauge-track"),)
    halves = round(max(0.0, min(100.0, load)) / 100 * width * 2)
    full, half = divmod(halves, 2)
    filled = "━" * full + ("╸" if half else "")
    return (Span(filled, gauge_role(load)), Span("·" * (width - len(filled)), "gauge-track"))


def load_text(gpu: GpuView) -> str:
    """Its load as digits; `--` where nothing measured it."""
    load = load_of(gpu)
    return NOTHING if load is None else f"{load:.0f}"


def number_cell(gpu: GpuView, width: int = CELL) -> Line:
    """A GPU in some cells: its load, or the mark of its state; what is old is marked and faint."""
    state = shown_state(gpu)
    load = load_of(gpu)
    if state is GpuState.BUSY and load is not None:
        return (Span(f"{load:>{width}.0f}", gauge_role(load)),)
    if state is GpuState.UNKNOWN and load is not None:
        return (Span(f"{f'?{load:.0f}':>{width}}", "faint"),)
    if state is GpuState.BUSY:
        return (Span(f"{'?':>{width}}", "warn"),)
    mark = "!!" if state is GpuState.FAULT else STATE_MARK[state]
    return (Span(f"{mark:>{width}}", STATE_ROLE[state]),)


def gauge_cell(gpu: GpuView, width: int) -> Line:
    """A GPU as number and bar."""
    load = load_of(gpu) if shown_state(gpu) is GpuState.BUSY else None
    return (*number_cell(gpu), Span(" "), *bar(load, width))


def map_mark(gpu: GpuView) -> Span:
    """A GPU in one cell: a shade for its load, or the mark of its state."""
    state, load = shown_state(gpu), load_of(gpu)
    if state is GpuState.BUSY and load is not None:
        shade = min(len(_SHADES) - 1, int(max(0.0, load) * len(_SHADES) / 100))
        return Span(_SHADES[shade], gauge_role(load))
    if state is GpuState.BUSY:
        state = GpuState.UNKNOWN
    return Span(STATE_MARK[state], STATE_ROLE[state])


# ---------------------------------------------------------------- what is to be known


def memory_text(used: int | None, total: int | None) -> str:
    """Gibibytes in use and in all: `70/80G`."""
    if used is None and total is None:
        return NOTHING
    return f"{NOTHING if used is None else f'{used / 2**30:.0f}'}/{'?' if not total else f'{total / 2**30:.0f}G'}"


def watts(power: float | None) -> str:
    """Watts, or kilowatts from a thousand on; empty when not known."""
    if power is None:
        return ""
    return f"{power:.0f} W" if power < 1000 else f"{power / 1000:.1f} kW"


def seconds_text(age: float) -> str:
    """An age, to the second as long as it is young: `4s`, `7m`."""
    return f"{age:.0f}s" if age < 120 else fmt.span_of(age)


def age_text(gpu: GpuView) -> Line:
    """How old its numbers are; loud when they are too old."""
    if gpu.age is None:
        return text("never", "warn")
    told = seconds_text(gpu.age)
    return text(f"?{told}" if is_stale(gpu) else told, "warn" if is_stale(gpu) else "muted")


def old_note(gpu: GpuView) -> str:
    """That its numbers are no longer true, or never were known."""
    if gpu.age is None:
        return "never measured"
    return f"not measured for {fmt.duration(gpu.age)}" if is_stale(gpu) else ""


def idle_note(gpus: Sequence[GpuView], now: datetime) -> str:
    """How long they do nothing, and what that cost so far."""
    group = GpuGroup("", "", "", tuple(gpus))
    parts = []
    if group.idle_since is not None and (told := fmt.age(group.idle_since, now)) != "now":
        known = any(gpu.tokens_per_second is not None for gpu in gpus)
        parts.append(f"{'0 tokens' if known else 'idle'} for {told}")
    else:
        parts.append("held, doing nothing")
    # Less than one is nothing to act on yet.
    if group.wasted_hours is not None and group.wasted_hours >= 1:
        parts.append(f"{group.wasted_hours:.0f} GPU-h")
    if group.idle_cost is not None and group.idle_cost >= 1:
        parts.append(money(group.idle_cost, gpus))
    return ", ".join(parts)


def money(amount: float, gpus: Iterable[GpuView]) -> str:
    """An estimate in the currency of the GPUs' prices: `~648 USD`."""
    currency = next((gpu.currency for gpu in gpus if gpu.currency), "")
    return f"~{amount:.0f} {currency}".rstrip()


def note_of(gpu: GpuView, now: datetime) -> Line:
    """What is to be known of it: a fault, that its numbers are old, how long it is idle, what holds it down."""
    if gpu.error:
        return join(text(gpu.error, "bad"), text("node cordoned", "warn") if gpu.cordoned else EMPTY, gap="; ")
    if old := old_note(gpu):
        return text(old, "warn")
    if gpu.state is GpuState.IDLE:
        return text(idle_note((gpu,), now), "idle")
    if gpu.useless:
        return text(gpu.useless, "warn")
    if gpu.throttle:
        return text(f"held down: {', '.join(gpu.throttle)}", "warn")
    if gpu.remap_pending:
        return text("rows wait to be remapped: reset it", "warn")
    if gpu.approved is False:
        return text("runs an unapproved image", "violet")
    return text("node cordoned", "warn") if gpu.cordoned else EMPTY


def held_cell(gpu: GpuView) -> Line:
    """Who holds it, and as which rank; on a machine in no cluster, which process."""
    if holder_of(gpu):
        rank = text(f" r{gpu.rank}", "faint") if gpu.rank is not None else EMPTY
        space = text(f"{gpu.namespace}/", "space") if gpu.namespace else EMPTY
        return (*space, *text(gpu.service or gpu.pod, "name"), *rank)
    if gpu.processes:
        more = f" +{len(gpu.processes) - 1}" if len(gpu.processes) > 1 else ""
        number, name, _ = gpu.processes[0]
        return (*text(f"{number} ", "space"), *text(name, "name"), *text(more, "muted"))
    return text("nobody", "faint")


def group_note(gpus: Sequence[GpuView], now: datetime) -> Line:
    """What matters most about some GPUs: a fault, what is idle, what is not measured, or who works there."""
    cordoned = text("cordoned", "warn") if any(gpu.cordoned for gpu in gpus) else EMPTY
    faults = [gpu for gpu in gpus if gpu.state is GpuState.FAULT]
    if faults:
        hit = ", ".join(dict.fromkeys(holder_of(gpu) for gpu in faults if holder_of(gpu)))
        not_cordoned = text("not cordoned", "bad") if faults[0].cordoned is False else cordoned
        told = faults[0].error or "fault"
        return join(text(told, "bad"), not_cordoned, text(f"hit {hit}" if hit else "", "muted"), gap="; ")
    idle = [gpu for gpu in gpus if gpu.state is GpuState.IDLE]
    if idle:
        team = ", ".join(dict.fromkeys(gpu.team for gpu in idle if gpu.team))
        who = join(text(holders(idle), "name"), text(team, "muted"), gap=", ")
        return join(who, text(idle_note(idle, now), "idle"), cordoned, gap=": ")
    old = [gpu for gpu in gpus if gpu.state is GpuState.UNKNOWN or is_stale(gpu)]
    if old:
        return join(text(holders(old), "name"), text(old_note(old[0]) or "not measured", "warn"), cordoned, gap=": ")
    busy = [gpu for gpu in gpus if gpu.state is GpuState.BUSY]
    if busy:
        odd = next((note for gpu in busy if (note := note_of(gpu, now))), cordoned)
        return join(text(holders(busy), "muted"), odd, gap="  ")
    return join(text("free", "faint"), cordoned, gap="  ")


def holders(gpus: Sequence[GpuView]) -> str:
    """Names of the services or pods that hold them, each once."""
    return ", ".join(dict.fromkeys(gpu.service or gpu.pod for gpu in gpus if gpu.service or gpu.pod))


def tally_of(gpus: Sequence[GpuView]) -> Line:
    """How many of each state: `48 busy · 9 idle · 6 free · 1 bad`."""
    parts: list[Span] = []
    counted = Counter(shown_state(gpu) for gpu in gpus)
    for state, word in STATE_WORD.items():
        if number := counted[state]:
            parts.extend((*((Span(" · ", "faint"),) if parts else ()), Span(f"{number} {word}", STATE_ROLE[state])))
    return tuple(parts) or EMPTY
