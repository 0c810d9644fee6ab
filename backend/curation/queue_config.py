"""The `[queue]` table of the configuration: what the screen offers to whoever decides. It decides nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from backend.core.settings import Settings

_Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
_Reasons = Annotated[tuple[_Reason, ...], Field(max_length=30)]


class ReasonsConfig(Settings):
    """The `[queue.reasons]` table: texts that dialogs offer as the reason of a decision, to be sent or changed.

    A list that is given replaces the one here; an empty one offers nothing.
    """

    approve: _Reasons = (
        "evidence read, all gates pass",
        "needed by a service, the risk is accepted for it",
        "patch release of what is approved already, the changes were read",
        "promoted from the environment before",
    )
    reject: _Reasons = (
        "critical vulnerabilities with a fix: take a patched release",
        "licence not allowed for this use",
        "not signed by a key that we trust",
        "superseded by a newer release",
        "nobody needs it",
    )
    revoke: _Reasons = (
        "a vulnerability became known after the approval",
        "the signing key is no longer trusted",
        "the licence changed",
        "replaced by a newer release",
    )
    waive: _Reasons = (
        "not reachable: the code is never called",
        "not exposed: behind the gateway, no untrusted input",
        "no fix yet: reviewed weekly",
        "false positive of the scanner",
    )
    break_glass: _Reasons = (
        "outage: the approved release does not start",
        "security incident: this release closes the hole",
    )
    review: _Reasons = (
        "justified: the incident asked for it",
        "not justified: talked to whoever did it",
    )
    submit: _Reasons = (
        "the findings were fixed or waived",
        "the evidence that was missing is there",
        "needed after all",
    )

    def by_decision(self) -> Mapping[str, tuple[str, ...]]:
        """The texts by what is decided, as the screen names it."""
        return {name.replace("_", "-"): getattr(self, name) for name in type(self).model_fields}


class QueueConfig(Settings):
    """The `[queue]` table."""

    reasons: ReasonsConfig = ReasonsConfig()
