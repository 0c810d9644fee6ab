"""The `[scanner]` table of the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import field_validator

from backend.core.settings import Duration, Settings

_LONGEST = timedelta(hours=2)


class ScannerConfig(Settings):
    """A vulnerability scanner that is run on demand. A table of the policy file overrules the user's own.

    Attributes:
        command: name on PATH or path of the program; empty: `trivy`, else `grype`, whichever is on PATH.
        kind: whose arguments and reports it has; empty: by the program's name.
        arguments: further ones, such as `--offline-scan`; they stand before the image.
        timeout: that a scan may take.
    """

    command: str = ""
    kind: Literal["", "trivy", "grype"] = ""
    arguments: tuple[str, ...] = ()
    timeout: Duration = timedelta(minutes=10)

    @field_validator("timeout")
    @classmethod
    def _timeout_is_sensible(cls, timeout: timedelta) -> timedelta:
        if not timedelta(0) < timeout <= _LONGEST:
            raise ValueError("a scan's timeout is above zero and at most 2h")
        return timeout
