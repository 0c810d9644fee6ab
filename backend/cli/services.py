"""Which service a command means."""

from __future__ import annotations

from typing import NamedTuple

from backend.core.errors import ModelyardError, NotFoundError, UnreachableError, UsageError
from backend.yard import Yard


class ServiceName(NamedTuple):
    """A service by its context (empty: the only one there is), namespace and name."""

    context: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def parts_of(text: str, namespace: str | None) -> tuple[str, str, str]:
    """Context, namespace and name as they were written; what was left out is empty.

    Args:
        text: `NAME`, `NAMESPACE/NAME` or `CONTEXT/NAMESPACE/NAME`; a context may hold slashes itself, and a name of
            another kind than InferenceService has its prefix (`llm:qwen`).
        namespace: given beside it.

    Raises:
        UsageError: a part is empty, or two namespaces are named.
    """
    *before, name = text.rsplit("/", 2)
    if not name or not all(before):
        raise UsageError(f"service {text!r}", "a part of the name is empty", "write CONTEXT/NAMESPACE/NAME")
    if before and namespace not in (None, before[-1]):
        raise UsageError(f"service {text}", f"-n names another namespace, {namespace}", "name one of them")
    context = before[0] if len(before) == 2 else ""
    return context, before[-1] if before else namespace or "", name


async def named(yard: Yard, text: str, namespace: str | None) -> ServiceName:
    """The service that is meant: as it is written, or the only one of that name.

    Raises:
        UsageError: several have that name; names them. NotFoundError: none has.
        UnreachableError: a cluster that may have one too cannot be asked.
    """
    context, space, name = parts_of(text, namespace)
    if space and (context or len(yard.deployments.contexts()) == 1):
        return ServiceName(context, space, name)
    away: list[tuple[str, ModelyardError]] = []
    services = await yard.deployments.services(unread=lambda place, error: away.append((place, error)))
    found = [
        ServiceName(one.context, one.namespace, one.address)
        for one in services
        if name in (one.address, one.name) and space in ("", one.namespace)
    ]
    candidates = ", ".join(sorted(map(str, found)))
    if len(found) > 1:
        raise UsageError(f"service {text}", f"it may be any of {candidates}", "name one of these")
    if away:
        place, error = away[0]
        raise UnreachableError(
            f"service {text}",
            f"{place} may have one of that name too, and cannot be asked: {error.why}",
            f"name {candidates}" if found else "name it with its context",
        )
    if not found:
        raise NotFoundError(f"service {text}", "there is none of that name", "see modelyard deploy status")
    return found[0]
