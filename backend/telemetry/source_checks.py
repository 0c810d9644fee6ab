"""For `doctor`: which sources of telemetry work, and what those that do not would need. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from backend.core.views import CheckView
from backend.telemetry.notes import Sources
from backend.telemetry.scraping import NOT_READY, ServerScrape
from backend.telemetry.services import Replica
from backend.telemetry.sources import EXPORTER_PORT, EXPORTER_SELECTORS

_PROXY: Final = "let our role `get` `pods/proxy`, and see that the pods listen"


def checks_of(
    sources: Sources, servers: Sequence[ServerScrape], replicas: Sequence[Replica], place: str
) -> list[CheckView]:
    """A line for each source.

    Args:
        replicas: as they were told last, by whichever source.
        place: which cluster this is, where there are several; else empty.
    """
    checks: list[CheckView] = []
    if sources.connected:
        checks = [
            _prometheus(sources),
            _exporters(sources),
            _books(sources),
            _devices(sources),
            _model_servers(servers, replicas),
        ]
    if sources.local is not None:
        checks.append(_own(sources))
    named = f" in {place}" if place else ""
    return [
        CheckView(name=check.name + named, state=check.state, detail=check.detail, action=check.action)
        for check in checks
    ]


def _prometheus(sources: Sources) -> CheckView:
    source = sources.prometheus
    if source is None:
        return CheckView(
            name="GPUs by Prometheus", state="absent", detail="none is named: exporters and pods are asked",
            action="name one under [telemetry] prometheus where there is one",
        )  # fmt: skip
    if source.failure:
        return CheckView(
            name="GPUs by Prometheus", state="failed", detail=f"{source.name}: {source.failure}",
            action="see [telemetry] prometheus, and whether our role may `get` `services/proxy`",
        )  # fmt: skip
    return CheckView(name="GPUs by Prometheus", state="ok", detail=f"{source.name}: {source.found}")


def _exporters(sources: Sources) -> CheckView:
    name = "GPUs by dcgm-exporter"
    exporters = sources.exporters
    if not exporters:
        return CheckView(
            name=name, state="absent", detail=f"no pod has the label {' or '.join(EXPORTER_SELECTORS)}",
            action="NVIDIA's GPU operator installs it",
        )  # fmt: skip
    failing = [each for each in exporters if each.failure]
    asked = [each for each in exporters if each.failure or each.was_read]
    if not asked:
        return CheckView(name=name, state="ok", detail=f"{len(exporters)} are there and need not be asked")
    if failing:
        return CheckView(
            name=name,
            state="failed" if len(failing) == len(asked) else "warning",
            detail=f"{len(failing)} of {len(asked)} are not read: {_commonest(each.failure for each in failing)}",
            action=f"{_PROXY} on port {EXPORTER_PORT}",
        )
    return CheckView(name=name, state="ok", detail=f"{len(asked)} are read, on port {EXPORTER_PORT} of their pods")


def _books(sources: Sources) -> CheckView:
    books = sources.books
    if books.notes:
        state = "failed" if books.read_at is None else "warning"
        return CheckView(
            name="GPUs by nodes and pods", state=state, detail="; ".join(books.notes),
            action="let our role `list` `nodes` and `pods`",
        )  # fmt: skip
    gpus = sum(sum(node.counts.values()) for node in books.nodes)
    held = sum(claim.count for claim in books.claims)
    return CheckView(
        name="GPUs by nodes and pods", state="ok" if gpus else "absent",
        detail=f"nodes: {len(books.nodes)}; GPUs: {gpus}, held {held}; pods that wait for some: {len(books.pending)}",
    )  # fmt: skip


def _devices(sources: Sources) -> CheckView:
    books = sources.books
    if books.devices:
        detail = f"{len(books.devices)} devices are published, {len(books.allocated)} of them are held"
        return CheckView(name="GPUs by resource slices", state="ok", detail=detail)
    if books.allocated:
        detail = f"no driver publishes any; nodes name the devices of pods: {len(books.allocated)}"
        return CheckView(name="GPUs by resource slices", state="ok", detail=detail)
    return CheckView(
        name="GPUs by resource slices", state="absent",
        detail="no driver publishes devices, and nodes do not name those of pods: exporters tell who holds which",
    )  # fmt: skip


def _model_servers(servers: Sequence[ServerScrape], replicas: Sequence[Replica]) -> CheckView:
    if not servers:
        return CheckView(name="model servers", state="absent", detail="no pod with a GPU belongs to a service")
    told = [replica for replica in replicas if replica.now is not None]
    engines = Counter(replica.metrics.engine for replica in told if replica.metrics is not None)
    found = ", ".join(f"{count} {engine}" for engine, count in sorted(engines.items())) or "none"
    waiting = sum(replica.now is None and replica.failure == NOT_READY for replica in replicas)
    found += f"; {waiting} of {len(replicas)} are not ready" if waiting else ""
    silent = [replica for replica in replicas if replica.now is None and replica.failure != NOT_READY]
    if silent:
        return CheckView(
            name="model servers",
            state="warning",
            detail=f"{found}; {len(silent)} of {len(replicas)} do not tell: "
            + _commonest(each.failure or "not read yet" for each in silent),
            action="a pod says where its metrics are by prometheus.io/port and prometheus.io/path",
        )
    return CheckView(name="model servers", state="ok", detail=found)


def _own(sources: Sources) -> CheckView:
    local = sources.local
    name = "GPUs of this machine"
    if local is None or not local.present:
        return CheckView(name=name, state="absent", detail=local.note if local is not None else "not looked for")
    if local.note:
        return CheckView(
            name=name, state="failed", detail=local.note, action="see that `nvidia-smi` works for you on this machine"
        )
    lacking = [each.processes_note for each in local.readings if each.processes_note]
    if lacking:
        return CheckView(name=name, state="warning", detail=f"{len(local.readings)} GPUs by NVML; {lacking[0]}")
    return CheckView(name=name, state="ok", detail=f"{len(local.readings)} GPUs by NVML")


def _commonest(failures: Iterable[str]) -> str:
    """The commonest failure, and how many others there are."""
    counted = Counter(failures).most_common()
    more = len(counted) - 1
    return counted[0][0] + (f" (and {more} other reasons)" if more > 0 else "")
