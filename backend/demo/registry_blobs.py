"""Blobs of the demo registry: sent in pieces and by range, and from a second host that behaves as object storage does.

Large registries answer a blob with a redirect to storage on another host, with permission in the address. Such storage
refuses a request that carries an `Authorization` header besides: that is how a client shows that it leaks none.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from backend.demo.images import DemoImages
from backend.demo.images_oci import Blob, blob_size, read_blob
from backend.demo.registry_protocol import ErrorAnswer, requested_range

_LIFETIME: Final = 300


@dataclass(frozen=True)
class BlobStorage:
    """The second host.

    Attributes:
        base: its address without a slash at the end.
        secret: key of the permission in an address.
        clock: monotonic seconds.
    """

    images: DemoImages
    base: str
    secret: bytes
    clock: Callable[[], float]

    def address(self, name: str, digest: str) -> str:
        """Give an address that may be read for five minutes."""
        until = str(int(self.clock()) + _LIFETIME)
        return f"{self.base}/{name}/{digest}?until={until}&signature={self._code(name, digest, until)}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET` and `HEAD` of such an address."""
        if "Authorization" in request.headers:
            raise ErrorAnswer(400, "DENIED", "only one way of authentication is allowed")
        name, digest = request.match_info["name"], request.match_info["digest"]
        until = request.query.get("until", "")
        expected = self._code(name, digest, until)
        if not hmac.compare_digest(expected.encode(), request.query.get("signature", "").encode()):
            raise ErrorAnswer(403, "DENIED", "the address is not signed")
        if int(until) < self.clock():
            raise ErrorAnswer(403, "DENIED", "the address has expired")
        return await send_blob(request, self.images.repositories[name].blobs[digest], digest)

    def _code(self, *parts: str) -> str:
        return hmac.new(self.secret, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


async def send_blob(request: web.Request, blob: Blob, digest: str) -> web.StreamResponse:
    """Send a blob, or the range of it that the request asks for.

    Raises:
        ErrorAnswer: 416 for a range outside the blob.
    """
    size = blob_size(blob)
    # RFC 9110: a Range header has a meaning for GET only.
    part = requested_range(request.headers.get("Range"), size) if request.method == "GET" else None
    start, stop = part or (0, size)
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(stop - start),
        "Accept-Ranges": "bytes",
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
    }
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response = web.StreamResponse(status=206 if part else 200, headers=headers)
    await response.prepare(request)
    if request.method == "GET":
        for piece in read_blob(blob, start, stop):
            await response.write(piece)
    await response.write_eof()
    return response
