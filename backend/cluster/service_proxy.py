"""Reads what a service of a cluster answers, through the API server's proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from backend.cluster.answers import placed, require
from backend.cluster.connection import ClusterConnection, Response
from backend.cluster.status import read_status

_PATIENCE: Final = 20.0


async def service_answer(
    connection: ClusterConnection, namespace: str, service: str, path: str, params: Mapping[str, str], *, limit: int
) -> Response:
    """What a service answers to a GET, whatever its status is.

    Args:
        service: `name:port`, or `https:name:port`.
        path: below the service, without a slash at its beginning.
        limit: bytes of the answer that are taken.

    Raises:
        AccessDeniedError: we lack `get` on `services/proxy`. NotFoundError: there is no such service.
        UnreachableError: nothing behind it answers. LimitExceededError: it answers more than `limit`.
    """
    address = f"/api/v1/namespaces/{quote(namespace)}/services/{quote(service, safe=':')}/proxy/{path}"
    response = await connection.request(
        "GET", address, params=params, accept="application/json, */*", limit=limit, patience=_PATIENCE
    )
    # The API server's own refusals are Status objects; what the service says of a request is its own business.
    if response.status >= 300 and read_status(response.body) is not None:
        require(response, f"service {placed(namespace, service)}")
    return response
