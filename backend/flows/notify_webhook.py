"""Posts notices to HTTP endpoints.

What a receiver gets: `POST` with the notice as JSON (`backend.curation.notices.body_of`) and the headers

    Content-Type: application/json
    X-Modelyard-Event: waiting | break-glass | expiring | alert
    X-Modelyard-Delivery: the notice's id, the same at every attempt
    X-Modelyard-Timestamp: seconds since 1970 at this attempt
    X-Modelyard-Signature: sha256=HEX

The signature is HMAC-SHA256 with the shared secret over the timestamp's digits, a full stop and the raw body. A
receiver computes it over the bytes as received, compares in constant time (`hmac.compare_digest`), and refuses a
timestamp more than a few minutes away from its own clock, so that what somebody recorded cannot be sent again later;
a delivery's id that was seen before is a repetition of an attempt whose answer got lost. Without a secret in the
configuration there is no signature header.

Any 2xx is a receipt. Redirects are not followed: the body would go where nobody named.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from datetime import datetime
from typing import Final

import httpx

from backend.core.errors import ModelyardError, RefusedError, UnreachableError
from backend.core.text import sanitise
from backend.curation.notice_store import Delivery

_TOLD: Final = 200
_SEE: Final = "see whether the receiver is up, and whether the url under [notify] is right"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Modelyard-Signature`; see above for what it covers."""
    signed = timestamp.encode("ascii") + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def headers_of(delivery: Delivery, secret: str, now: datetime) -> dict[str, str]:
    """What goes with a notice at an attempt made now; `secret` may be empty."""
    timestamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "modelyard",
        "X-Modelyard-Event": delivery.kind.value,
        "X-Modelyard-Delivery": delivery.notice,
        "X-Modelyard-Timestamp": timestamp,
    }
    if secret:
        headers["X-Modelyard-Signature"] = signature(secret, timestamp, delivery.body)
    return headers


async def post(url: str, delivery: Delivery, *, secret: str, limit: float, now: datetime) -> None:
    """Post a notice once.

    Args:
        secret: that the receiver shares, or empty.
        limit: seconds that it may take.

    Raises:
        UnreachableError: no answer, or one that says to come again (408, 425, 429, 5xx).
        RefusedError: any other answer that is no receipt.
    """
    # Reading the certificates of authorities takes longer than the loop may be held up.
    context = await asyncio.to_thread(ssl.create_default_context)
    where = "webhook"
    try:
        # Of the address no more than the host is ever told: the rest may be a secret.
        where = f"webhook {sanitise(httpx.URL(url).host, _TOLD)}"
        async with (
            asyncio.timeout(limit),
            httpx.AsyncClient(verify=context, timeout=limit, follow_redirects=False) as client,
            client.stream("POST", url, content=delivery.body, headers=headers_of(delivery, secret, now)) as answer,
        ):
            status = answer.status_code
    except TimeoutError as error:
        raise UnreachableError(where, f"no answer within {limit:g} s", _SEE) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = sanitise(str(error), _TOLD) or type(error).__name__
        raise UnreachableError(where, f"it cannot be reached: {why}", _SEE) from error
    if 200 <= status < 300:
        return
    raise _problem(where, status)


def _problem(where: str, status: int) -> ModelyardError:
    if status in {408, 425, 429} or status >= 500:
        return UnreachableError(where, f"it answered {status}", _SEE)
    if 300 <= status < 400:
        return RefusedError(where, f"it answered {status}, and redirects are not followed", "name the final url")
    return RefusedError(where, f"it answered {status}", "see what the receiver logged; is the secret the same there?")
