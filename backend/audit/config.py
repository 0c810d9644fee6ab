"""The `[audit]` table of the configuration: where the ledger's head is noted outside of the database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from backend.core.settings import Duration, Settings


class AuditConfig(Settings):
    """Anchors of the ledger.

    Attributes:
        anchor_file: a file that the head is appended to, relative to the configuration's folder; best one that may only
            be appended to, or that another machine collects. `audit verify` reads the newest anchor from it.
        anchor_syslog: send the head to the system's log as well.
        anchor_every: how often a head that moved is noted.
    """

    anchor_file: Path | None = None
    anchor_syslog: bool = False
    anchor_every: Duration = Field(default=timedelta(minutes=10), ge=timedelta(seconds=1))

    @property
    def notes(self) -> bool:
        """Whether the head is noted anywhere."""
        return self.anchor_file is not None or self.anchor_syslog
