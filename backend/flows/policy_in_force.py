"""Whether the policy and roles that this program was started with are still those of the files.

A program that runs for days decides by what it read when it was started. Nothing is decided by a policy that was
replaced meanwhile, or by roles that were taken away.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from backend.config import LoadedConfiguration, load_policy_tables
from backend.core.errors import ConfigurationError, PolicyError
from backend.core.ports import Clock
from backend.core.views import SourceState, SourceView
from backend.curation.policy import load_policy

CHANGED: Final = "policy changed since this program was started"


class _Stamp(NamedTuple):
    """What changes when a file does."""

    changed_at: int
    size: int
    number: int


class PolicyInForce:
    """Compares what is in force with what the files say; they are read only when they are not as they were."""

    def __init__(self, configuration: LoadedConfiguration, policy_hash: str, clock: Clock) -> None:
        """
        Args:
            policy_hash: of policy and roles in force.
        """
        self._configuration = configuration
        self._policy_hash = policy_hash
        self._clock = clock
        self._stamps: tuple[_Stamp | None, ...] | None = None
        self._problem = ""
        self._since: datetime | None = None
        self._looking = asyncio.Lock()

    def source(self) -> SourceView | None:
        """What the title bar has to tell of the system's policy, as last looked at; None: nothing.

        Of the user's own file `RulesInForce` tells.
        """
        if not self._problem or not self._stamps or self._stamps[0] is None:
            return None
        return SourceView(
            name="policy", kind="configuration", state=SourceState.REFUSED, as_of=self._since,
            detail=f"{self._problem}; start again to decide anything",
        )  # fmt: skip

    async def refresh(self) -> bool:
        """Look at the files; gives whether there is anything new to tell."""
        async with self._looking:
            before = self._problem
            stamps = await asyncio.to_thread(self._stamped)
            if stamps != self._stamps:
                # Without any file it was started with what a caller gave it.
                known = self._configuration.exists or any(stamps)
                self._problem = await asyncio.to_thread(self._compared) if known else ""
                self._stamps = stamps
            if self._problem != before:
                self._since = self._clock.now()
            return self._problem != before

    async def require(self, what: str) -> None:
        """Make sure that nothing is decided by another policy than that of the files.

        Args:
            what: is about to be done.

        Raises:
            PolicyError: they say something else now, or cannot be read.
        """
        await self.refresh()
        if self._problem:
            raise PolicyError(what, self._problem, "start it again, and decide by the policy of now")

    def _stamped(self) -> tuple[_Stamp | None, ...]:
        return tuple(_stamp_of(each) for each in (self._configuration.system_policy, self._configuration.path))

    def _compared(self) -> str:
        configuration = self._configuration
        try:
            config, roles = load_policy_tables(configuration.path, configuration.system_policy)
            found = load_policy(config, roles, configuration.folder).hash
        except ConfigurationError as error:
            return f"policy cannot be read any more: {error}"
        return "" if found == self._policy_hash else CHANGED


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)
