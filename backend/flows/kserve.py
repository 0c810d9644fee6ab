"""What a cluster without KServe is told as."""

from __future__ import annotations

from backend.cluster.client import ClusterClient
from backend.core.errors import NotFoundError


async def explained(client: ClusterClient, error: NotFoundError) -> NotFoundError:
    """The error, or a plain one where all that is missing is KServe."""
    installed = await client.kserve_installed()
    if installed.installed:
        return error
    return NotFoundError(error.what, installed.message, "install KServe, or name another --context")
