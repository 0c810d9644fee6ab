"""What is approved beside an image's digest, and whether a use of the image is within it. Pure."""

from __future__ import annotations

import msgspec

from backend.core.views import ScopeView


class Use(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an image is to be used; None: that is not asked about, empty: nothing fixes it.

    Attributes:
        weights: what fixes them, as `ScopeView` names it.
        runtime: family of the runtime. environment: where it runs.
    """

    weights: str | None = None
    runtime: str | None = None
    environment: str | None = None


def beyond(approved: ScopeView, use: Use, digest: str) -> str:
    """Why a use is not what was approved, in a clause; empty when it is.

    What the approval does not name is not fixed, and any use of it is within.

    Args:
        digest: of the image; weights that it holds itself need no other name.
    """
    if approved.environment and use.environment not in (None, approved.environment):
        return f"it is approved for environment {approved.environment}, and this is {use.environment or 'in none'}"
    if approved.runtime and use.runtime is not None and use.runtime.lower() != approved.runtime.lower():
        return f"it is approved with runtime {approved.runtime}, and this is {use.runtime or 'not named'}"
    if approved.weights and use.weights is not None and not _same_weights(approved.weights, use.weights, digest):
        used = use.weights or "weights that nothing fixes"
        return f"it is approved with weights {approved.weights}, and this has {used}"
    return ""


def _same_weights(approved: str, used: str, digest: str) -> bool:
    return _spelled(approved) == _spelled(used) or (not used and digest in approved)


def _spelled(weights: str) -> str:
    """KServe writes a revision behind a colon, others behind an at sign."""
    scheme, separator, rest = weights.strip().partition("://")
    if not separator or scheme.lower() != "hf":
        return weights.strip()
    return f"hf://{rest.replace(':', '@', 1)}" if "@" not in rest else f"hf://{rest}"
