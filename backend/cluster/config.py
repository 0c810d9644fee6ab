"""The `[[cluster]]` and `[enforce]` tables of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from backend.core.settings import Settings

# RFC 1123 label, as Kubernetes demands of a namespace's name.
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def _namespace(text: str) -> str:
    if not _LABEL.match(text):
        raise ValueError("a namespace has 1 to 63 lower-case letters, digits and dashes, no dash at its ends")
    return text


Namespace = Annotated[str, AfterValidator(_namespace)]


class ClusterConfig(Settings):
    """A cluster: a context of the kubeconfig, and the namespaces to look at (none: all that may be listed)."""

    context: str = Field(min_length=1, max_length=253)
    namespaces: tuple[Namespace, ...] = ()


class EnforceConfig(Settings):
    """What the cluster itself shall refuse, and in which namespaces (none: all)."""

    mode: Literal["off", "warn", "audit", "deny"] = "off"
    namespaces: tuple[Namespace, ...] = ()
