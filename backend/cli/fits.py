"""How a fit is printed."""

from __future__ import annotations

from backend.core.text import sanitise
from backend.core.views import FitView


def fit_lines(fit: FitView) -> list[str]:
    """A fit, a fact a line."""
    lines = [f"estimate: {sanitise(fit.sentence)}"]
    lines += [f"memory: {sanitise(fit.memory)}"] if fit.memory else []
    for node in fit.nodes:
        told = f"not: {node.barred}" if node.barred else f"{node.pods} pod{'' if node.pods == 1 else 's'} would fit"
        lines.append(sanitise(f"node {node.name} {node.product}: {node.free} of {node.gpus} free; {told}"))
    for room in fit.goes:
        verb = "would be pushed out" if fit.by_itself else "would have to go"
        kind = "service" if room.service else "pod"
        gpus = f"{room.gpus} GPU{'' if room.gpus == 1 else 's'}"
        told = f"{kind} {room.namespace}/{room.name} {verb}: {gpus} on {', '.join(room.nodes)}; {room.reason}"
        lines.append(sanitise(told))
    lines += [f"refused: {sanitise(text)}" for text in (*fit.quota, *([fit.queue] if fit.queue else []))]
    lines += [f"not counted: {sanitise(text)}" for text in fit.notes]
    return lines
