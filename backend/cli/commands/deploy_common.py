"""What commands on a service share: which one is meant."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.core.errors import NotFoundError, UsageError
from backend.yard import Yard

Namespace = Annotated[str | None, typer.Option("-n", "--namespace", metavar="NS")]
Name = Annotated[str, typer.Argument(metavar="NAME")]


async def found_service(yard: Yard, name: str, namespace: str | None) -> tuple[str, str]:
    """The namespace and name that the user means: `NS/NAME`, `-n NS NAME`, or a name that only one service has.

    Raises:
        NotFoundError: there is none of that name. UsageError: there are several.
    """
    before, slash, after = name.partition("/")
    if slash:
        return before, after
    if namespace is not None:
        return namespace, name
    found = [one for one in await yard.deployments.services() if one.name == name]
    if not found:
        raise NotFoundError(f"service {name}", "there is none of that name", "see modelyard deploy status")
    if len(found) > 1:
        spaces = ", ".join(sorted(one.namespace for one in found))
        raise UsageError(f"service {name}", f"it is in several namespaces: {spaces}", "give -n NAMESPACE")
    return found[0].namespace, found[0].name
