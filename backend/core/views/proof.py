"""What runs against what was approved, what proved a rollout, and what a change would end."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from backend.core.views.base import View


class RunningState(StrEnum):
    """How something that runs stands to what was approved and applied, the worst first."""

    REVOKED = "revoked"
    UNAPPROVED = "unapproved"
    DRIFTED = "drifted"
    EDITED = "edited"
    UNKNOWN = "unknown"
    APPROVED = "approved"


class RunningView(View, frozen=True, kw_only=True):
    """Something that runs: an image of a service by the digest that its pods report, or a service that was changed.

    Attributes:
        state: of the image: approved, unapproved, revoked, unknown (no digest tells what it is); of the service:
            drifted (it is no longer what was applied), edited (others wrote it since, and it is still the same).
        image: as the pods name it; empty for a service that was changed.
        digest: that runs, as the library knows it, or else as the container runtime reports it.
        pods: that run it.
        by: field managers that wrote it since it was applied.
        detail: why it stands so, a sentence.
        since: when the first of the pods started, or when it was edited; None: not told.
        snapshot: that it is compared with; empty: it was not applied by Modelyard.
    """

    context: str
    namespace: str
    name: str
    state: RunningState
    image: str = ""
    digest: str = ""
    pods: tuple[str, ...] = ()
    by: str = ""
    detail: str = ""
    since: datetime | None = None
    snapshot: str = ""

    @property
    def key(self) -> str:
        """Unique among the rows."""
        return f"{self.context}/{self.namespace}/{self.name}/{self.state.value}/{self.image}/{self.digest}"

    @property
    def service(self) -> str:
        """`context/namespace/name`."""
        return f"{self.context}/{self.namespace}/{self.name}"
