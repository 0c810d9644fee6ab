"""What the screen knows: the last that was read of each part of the yard, its age, and what went wrong since."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from backend.core.errors import ConflictError, ModelyardError
from backend.core.text import sanitise
from backend.core.views import (
    AlertView,
    CandidateView,
    ChangeView,
    CutOffView,
    GpuSnapshotView,
    ImagePageView,
    LedgerEntryView,
    ScanView,
    ServiceView,
    SyncProgressView,
    YardStatusView,
)
from tui.service_tally import ServiceTally

_Value = TypeVar("_Value")


class PartName(StrEnum):
    """The parts that change by themselves."""

    STATUS = "status"
    SERVICES = "services"
    QUEUE = "queue"
    LIBRARY = "library"
    GPUS = "gpus"
    LEDGER = "ledger"
    CHANGES = "changes"
    SYNC = "sync"
    RULES = "rules"
    ALERTS = "alerts"


@dataclass(frozen=True)
class Problem:
    """What failed, why, and what to do about it; `lines` are details such as the conflicts of an apply."""

    what: str
    why: str
    action: str
    lines: tuple[str, ...] = ()
    exit_code: int = 1

    @classmethod
    def of(cls, error: BaseException, what: str = "the screen") -> Problem:
        """The problem that an error tells of."""
        if isinstance(error, ModelyardError):
            lines = error.conflicts if isinstance(error, ConflictError) else ()
            return cls(error.what, error.why, error.action, lines, error.exit_code)
        why = sanitise(f"{type(error).__name__}: {error}", 300)
        return cls(what, why, "report this as a fault of Modelyard; the log has the details")


@dataclass
class Part(Generic[_Value]):
    """A part: its value, when it was read, and the problem since. `read_at` is None until it was first read."""

    value: _Value
    read_at: datetime | None = None
    problem: Problem | None = None

    @property
    def known(self) -> bool:
        """Whether it was ever read."""
        return self.read_at is not None


def _no_services() -> Part[dict[str, ServiceView]]:
    return Part({})


def _no_candidates() -> Part[list[CandidateView]]:
    return Part([])


def _no_images() -> Part[ImagePageView]:
    return Part(ImagePageView(images=(), offset=0, total=0))


def _no_entries() -> Part[list[LedgerEntryView]]:
    return Part([])


def _no_changes() -> Part[list[ChangeView]]:
    return Part([])


def _no_alerts() -> Part[list[AlertView]]:
    return Part([])


def _no_gpus() -> Part[GpuSnapshotView | None]:
    return Part(None)


@dataclass(frozen=True)
class LoggedCommand:
    """A thing done on the screen, as a command would do it, and how it ended (empty while it runs)."""

    at: datetime
    command: str
    outcome: str


@dataclass
class Model:
    """All parts. Changed only by the feed, on the event loop.

    Attributes:
        tally: what the services come to, as of its last look at them.
        library: the images that changed last and how many there are; the library's pane reads the others by itself.
        cut_off: applies that wait for a person to say what shall become of them.
        rules: their names, once somebody typed a command.
        sync: the run that goes on and those that ended last, by their name.
    """

    status: YardStatusView | None = None
    services: Part[dict[str, ServiceView]] = field(default_factory=_no_services)
    tally: ServiceTally = field(default_factory=ServiceTally)
    queue: Part[list[CandidateView]] = field(default_factory=_no_candidates)
    library: Part[ImagePageView] = field(default_factory=_no_images)
    gpus: Part[GpuSnapshotView | None] = field(default_factory=_no_gpus)
    ledger: Part[list[LedgerEntryView]] = field(default_factory=_no_entries)
    changes: Part[list[ChangeView]] = field(default_factory=_no_changes)
    drifted: int = 0
    alerts: Part[list[AlertView]] = field(default_factory=_no_alerts)
    rules: tuple[str, ...] = ()
    cut_off: tuple[CutOffView, ...] = ()
    sync: dict[str, SyncProgressView] = field(default_factory=dict)
    scans: dict[str, ScanView] = field(default_factory=dict)
    commands: list[LoggedCommand] = field(default_factory=list)
    opening: bool = True
    problem: Problem | None = None
    as_of: datetime | None = None
