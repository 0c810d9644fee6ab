"""How it stands with a registry, for `doctor`."""

from __future__ import annotations

from contextlib import suppress

from backend.core.errors import AuthenticationError, ModelyardError
from backend.core.views import CheckView
from backend.registry.client import RegistryClient
from backend.registry.discovery import kind_of


async def check(client: RegistryClient) -> CheckView:
    """Find out whether the registry is reachable, takes our credential, and what it tells of itself.

    Never raises ModelyardError: a failure is what the line tells. A registry that is reached and refuses an anonymous
    visitor is a warning, since it may still let one read single repositories.
    """
    name = f"registry {client.config.name}"
    try:
        advertised = await client.ping()
    except AuthenticationError as error:
        state = "failed" if client.has_credential else "warning"
        return CheckView(
            name=name, state=state, detail=f"reached {client.config.host}; {error.why}", action=error.action
        )
    except ModelyardError as error:
        return CheckView(name=name, state="failed", detail=error.why, action=error.action)
    access = "no authentication asked for"
    if advertised.authentication:
        who = "anonymous" if advertised.anonymous else "with our credential"
        access = f"authenticated {who}, {advertised.authentication}"
    told = [text for text in (advertised.api_version, advertised.server) if text]
    parts = [f"reached {client.config.host}", access, *([f"it tells {', '.join(told)}"] if told else [])]
    parts.append(f"finds repositories by {client.discovered_by}")
    if quota := await _quota(client):
        parts.append(quota)
    warnings = client.warnings
    if warnings:
        return CheckView(name=name, state="warning", detail="; ".join([*parts, *warnings]), action="read its warning")
    return CheckView(name=name, state="ok", detail="; ".join(parts))


async def _quota(client: RegistryClient) -> str:
    """What we may still pull; Docker Hub tells it of manifests only, and keeps one to ask (a HEAD is no pull)."""
    if kind_of(client.config) == "dockerhub":
        # Where that cannot be read nothing is told: whether the registry works was asked before.
        with suppress(ModelyardError):
            await client.resolve("ratelimitpreview/test", "latest")
    return client.quota
