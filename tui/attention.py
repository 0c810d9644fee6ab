"""The terminal's bell and title: what waits for the one who looks, also while they look elsewhere.

The title is set by OSC 2 of xterm's control sequences. The one that was there is kept on the terminal's own stack
(CSI 22;2 t) and taken back at the end (CSI 23;2 t); terminals without a stack are left with an empty title, which a
shell's next prompt sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from backend.core.text import sanitise
from backend.core.views import AlertView, CandidateView, ImageState

#: How long before its end an approval is worth a bell.
SOON: Final = timedelta(days=7)
_BELL: Final = "\x07"
_SAVE: Final = "\x1b[22;2t"
_RESTORE: Final = "\x1b]2;\x07\x1b[23;2t"
#: Terminals that would print a title, or do nothing with it.
_WITHOUT_TITLE: Final = ("linux", "dumb", "unknown", "vt")
_LONGEST: Final = 80


def has_title(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is one that has a title."""
    term = environment.get("TERM", "")
    return bool(term) and not term.startswith(_WITHOUT_TITLE)


class Attention:
    """Rings when something new asks for the one who looks, and keeps the title true.

    Args:
        write: sends to the terminal.
        bell, title: whether to.
    """

    def __init__(self, write: Callable[[str], None], *, bell: bool, title: bool) -> None:
        self._write = write
        self._bell = bell
        self._title = title
        self._told: frozenset[tuple[str, str]] | None = None
        self._shown = ""

    def look(
        self, yard: str, candidates: Iterable[CandidateView], now: datetime, alerts: Iterable[AlertView] = ()
    ) -> None:
        """See what asks for attention now; what asked already does not ring again, nor does what was there at first."""
        asking = frozenset((*reasons_to_ring(candidates, now), *alerts_to_ring(alerts)))
        waiting = sum(kind == "waits" for kind, _ in asking)
        broken = sum(kind == "glass" for kind, _ in asking)
        fired = sum(kind == "alert" for kind, _ in asking)
        if self._bell and self._told is not None and asking - self._told:
            self._write(_BELL)
        self._told = asking
        if self._title:
            self._show(title_of(yard, waiting, broken, fired))

    def close(self) -> None:
        """Give the terminal its title back."""
        if self._shown:
            self._write(_RESTORE)
            self._shown = ""

    def _show(self, title: str) -> None:
        if title == self._shown:
            return
        self._write(f"{'' if self._shown else _SAVE}\x1b]2;{title}\x07")
        self._shown = title


def title_of(yard: str, waiting: int, broken: int, fired: int = 0) -> str:
    """The title: how many wait, whether somebody broke the glass, and how many alerts nobody has taken up."""
    parts = [
        f"({waiting})" if waiting else "",
        "BREAK-GLASS" if broken else "",
        f"!{fired}" if fired else "",
        "modelyard",
        yard,
    ]
    return sanitise(" ".join(part for part in parts if part), _LONGEST)


def reasons_to_ring(candidates: Iterable[CandidateView], now: datetime) -> Iterable[tuple[str, str]]:
    """What asks for attention: a candidate that waits for me, a broken glass, an approval that ends soon."""
    for candidate in candidates:
        if candidate.waits_for_me:
            yield "waits", candidate.reference
        if candidate.break_glass:
            yield "glass", candidate.reference
        if candidate.state is ImageState.APPROVED:
            ends = [one.expires_at for one in candidate.approvals if one.expires_at is not None]
            if ends and now < min(ends) <= now + SOON:
                yield "ends", f"{candidate.reference} {min(ends).isoformat()}"


def alerts_to_ring(alerts: Iterable[AlertView]) -> Iterable[tuple[str, str]]:
    """Alerts that fire, are not silenced, and nobody has taken up; those that only inform ring nobody."""
    for alert in alerts:
        is_open = alert.state == "firing" and alert.silenced_until is None and not alert.acknowledged_by
        if is_open and alert.severity != "info":
            yield "alert", alert.id
