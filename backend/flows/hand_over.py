"""Shells and port forwards: let through here like any change, then handed to `kubectl`, which the person drives."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from backend.cluster.client import ClusterClient
from backend.cluster.reviews import AccessRequest
from backend.core.canonical import Json
from backend.core.errors import AccessDeniedError, UsageError
from backend.core.permits import Permit
from backend.flows.foundation import Foundation
from backend.flows.gate import Checks

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
_PORTS: Final = re.compile(r"(?:\d{1,5}:)?\d{1,5}\Z")
_LONGEST_COMMAND: Final = 1_000


class HandOver:
    """Gives the command that a person may run. What they do in it is not seen, and so the ledger has that they did."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    async def shell(
        self, namespace: str, pod: str, *, container: str, command: tuple[str, ...] = ("sh",), context: str = ""
    ) -> tuple[str, ...]:
        """The arguments that open a shell in a container.

        Raises:
            RefusedError: read-only, role or RBAC do not let us. UsageError: what is named cannot be.
        """
        what = f"shell in {namespace}/{pod}"
        _require_names(what, namespace, pod, container)
        if not command or not all(command) or sum(map(len, command)) > _LONGEST_COMMAND:
            raise UsageError(what, "there is no command to run", "name one, such as sh")
        arguments = ("exec", "-it", pod, "-c", container, "--", *command)
        detail: dict[str, Json] = {"container": container, "command": " ".join(command)}
        return await self._let("deploy.exec", "exec", namespace, pod, arguments, detail, context)

    async def forward(self, namespace: str, pod: str, ports: str, *, context: str = "") -> tuple[str, ...]:
        """The arguments that forward a port of this machine to one of a pod.

        Args:
            ports: `LOCAL:REMOTE`, or one number for both.

        Raises:
            RefusedError: read-only, role or RBAC do not let us. UsageError: what is named cannot be.
        """
        what = f"port forward to {namespace}/{pod}"
        _require_names(what, namespace, pod)
        if not _PORTS.match(ports) or not all(0 < int(port) < 65_536 for port in ports.split(":")):
            raise UsageError(what, f"{ports!r} names no ports", "write LOCAL:REMOTE, such as 8080:8000")
        arguments = ("port-forward", f"pod/{pod}", ports)
        return await self._let("deploy.forward", "portforward", namespace, pod, arguments, {"ports": ports}, context)

    async def _let(
        self,
        mutation: str,
        subresource: str,
        namespace: str,
        pod: str,
        arguments: tuple[str, ...],
        detail: dict[str, Json],
        context: str,
    ) -> tuple[str, ...]:
        where = context or self._foundation.cluster.context
        await self._foundation.gate.require(mutation, f"{where}/{namespace}/{pod}")
        client = await self._foundation.clusters.client(context)
        named = ("kubectl", f"--context={client.context}", f"--namespace={namespace}", *arguments)

        async def action(permit: Permit) -> tuple[str, ...]:
            permit.spend("deploy.exec", "deploy.forward")
            return named

        return await self._foundation.gate.run(
            mutation,
            f"{client.context}/{namespace}/{pod}",
            action,
            checks=Checks(access=_may_reach(client, namespace, pod, subresource)),
            detail=detail,
            told=lambda _arguments: {"handed": "to kubectl"},
        )


def _may_reach(client: ClusterClient, namespace: str, pod: str, subresource: str) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        access = await client.can_i(
            AccessRequest(verb="create", resource="pods", namespace=namespace, name=pod, subresource=subresource)
        )
        if not access.allowed:
            raise AccessDeniedError(
                f"{subresource} of pod {namespace}/{pod}",
                access.reason or f"RBAC does not allow to create pods/{subresource} in {namespace}",
                f"ask for the verb create on pods/{subresource} in {namespace}",
            )

    return check


def _require_names(what: str, *names: str) -> None:
    """No name may be taken for an option."""
    for name in names:
        if not _NAME.match(name) or len(name) > 253:
            raise UsageError(what, f"{name[:60]!r} is no name of a Kubernetes object", "name a pod and a container")
