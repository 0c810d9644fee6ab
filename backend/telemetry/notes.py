"""What could not be measured, and what it would need, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from backend.telemetry.books import Books
from backend.telemetry.following import Measured
from backend.telemetry.prometheus_source import PrometheusSource
from backend.telemetry.readings import LocalGpus
from backend.telemetry.scraping import ExporterScrape
from backend.telemetry.sources import EXPORTER_SELECTORS

_MOST: Final = 30
_MOST_NAMES: Final = 5


class Sources(NamedTuple):
    """Where numbers come from.

    Attributes:
        connected: there is a cluster. absent: why there is none.
    """

    connected: bool
    absent: str
    books: Books
    exporters: Sequence[ExporterScrape]
    prometheus: PrometheusSource | None
    local: LocalGpus | None


def notes_of(sources: Sources, measured: Mapping[str, Sequence[Measured]], guessed: Sequence[str]) -> tuple[str, ...]:
    """The notes of a snapshot.

    Args:
        measured: by node. guessed: nodes on which it is a guess which GPU a pod holds.
    """
    notes = list(sources.books.notes) if sources.connected else []
    if not sources.connected:
        notes.append(sources.absent)
    if sources.prometheus is not None and sources.prometheus.failure:
        notes.append(
            f"Prometheus {sources.prometheus.name} is not read: {sources.prometheus.failure}; "
            "exporters and pods are asked instead"
        )
    told = _told_otherwise(measured)
    notes += [
        f"{exporter.node or exporter.pod.metadata.name}: its dcgm-exporter is not read: {exporter.failure}"
        for exporter in sorted(sources.exporters, key=lambda each: each.node)
        if exporter.failure and exporter.node not in told
    ]
    covered = {exporter.node for exporter in sources.exporters}
    bare = [node.name for node in sources.books.nodes if node.name not in covered and not measured.get(node.name)]
    if bare:
        named = ", ".join(bare[:_MOST_NAMES]) + (f" and {len(bare) - _MOST_NAMES} more" if bare[_MOST_NAMES:] else "")
        notes.append(
            f"no dcgm-exporter on {named}: what its GPUs do is not measured; NVIDIA's GPU operator installs it, "
            f"and its pods are found by {' or '.join(EXPORTER_SELECTORS)}"
        )
    if guessed:
        notes.append(f"{', '.join(guessed)}: the exporter does not say which pod holds which GPU; the order is a guess")
    local = sources.local
    if local is not None and local.note and (local.present or not measured):
        notes.append(f"this machine: {local.note}")
    return tuple(dict.fromkeys(notes))[:_MOST]


def _told_otherwise(measured: Mapping[str, Sequence[Measured]]) -> set[str]:
    """Nodes of which Prometheus or NVML tells."""
    return {node for node, readings in measured.items() if any(each.reading.source != "dcgm" for each in readings)}
