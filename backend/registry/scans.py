"""What a registry's own scanner found: Harbor keeps a report of each artifact that it scanned."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from backend.core.references import is_digest
from backend.registry.config import RegistryConfig
from backend.registry.discovery import HARBOR_SERVICE, kind_of
from backend.registry.session import Session

#: Harbor's `api/v2.0/swagger.yaml`, "getVulnerabilitiesAddition".
_PATH: Final = "/api/v2.0/projects/{}/repositories/{}/artifacts/{}/additions/vulnerabilities"


async def scan_report(
    session: Session, config: RegistryConfig, repository: str, digest: str, limit: int
) -> bytes | None:
    """The report on an artifact as the registry's API answers it; None: the registry has none, or is no Harbor.

    Args:
        limit: bytes that are taken at most.

    Raises:
        AuthenticationError: it is not shown to us.
        ModelyardError: as the client's other methods.
    """
    kind = kind_of(config)
    if kind != "harbor" and not (kind == "auto" and session.service == HARBOR_SERVICE):
        return None
    project, slash, name = repository.partition("/")
    if not slash or not is_digest(digest):
        return None
    where = f"scan of {config.name}/{repository}@{digest}"
    # Harbor wants slashes of the repository's name encoded twice: its own router decodes once.
    path = _PATH.format(quote(project, safe=""), quote(quote(name, safe=""), safe=""), digest)
    answer = await session.send_basic(path, limit=limit, where=where)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise session.failure(answer, where)
    # Of an artifact that was not scanned it answers an empty table.
    return answer.body if len(answer.body) > len(b"{}\n") else None
