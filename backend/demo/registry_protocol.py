"""Parts of the OCI distribution protocol: error bodies, names, ranges, pages and the Accept header.

Formats: distribution-spec 1.1 ("Error Codes", "Listing Tags", "Pulling manifests"), RFC 9110 ("Range Requests").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from aiohttp import web

from backend.demo.images_oci import encode

API_VERSION: Final = {"Docker-Distribution-Api-Version": "registry/2.0"}
LARGEST_PAGE: Final = 100

_NAME: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_PATH: Final = re.compile(
    r"(?P<name>.+?)/(?:(?P<tags>tags/list)|(?P<kind>manifests|blobs|referrers)/(?P<reference>[^/]+))", re.DOTALL
)
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


class ErrorAnswer(Exception):  # noqa: N818 - it is an answer that is raised, as aiohttp's own are
    """An answer other than success, in the form that the specification gives.

    Args:
        status: of HTTP.
        code: one of the specification's error codes.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def response(self) -> web.Response:
        """Give the answer as it goes over the wire."""
        body = encode({"errors": [{"code": self.code, "message": self.message, "detail": None}]})
        return web.Response(
            status=self.status, body=body, content_type="application/json", headers={**API_VERSION, **self.headers}
        )


class Target(NamedTuple):
    """What a path below `/v2/` names.

    Attributes:
        kind: `tags`, `manifests`, `blobs` or `referrers`.
        reference: tag or digest; empty for `tags`.
    """

    name: str
    kind: str
    reference: str


def parse_path(path: str) -> Target:
    """Read a path below `/v2/`.

    Raises:
        ErrorAnswer: 404 for a path that the API does not have, 400 for an impossible repository name.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise ErrorAnswer(404, "UNSUPPORTED", "no such path")
    name = found["name"]
    if not _NAME.fullmatch(name):
        raise ErrorAnswer(400, "NAME_INVALID", "invalid repository name")
    return Target(name, found["kind"] or "tags", found["reference"] or "")


def is_digest(reference: str) -> bool:
    """Whether a reference is a SHA-256 digest."""
    return _DIGEST.fullmatch(reference) is not None


def page_of(
    request: web.Request, items: Sequence[str], path: str, default: int = LARGEST_PAGE
) -> tuple[list[str], dict[str, str]]:
    """Give one page of sorted items by the query's `n` and `last`, and the header that names the next page.

    Raises:
        ErrorAnswer: 400 for an `n` that is no number.
    """
    asked = request.query.get("n", str(default))
    if not asked.isascii() or not asked.isdigit():
        raise ErrorAnswer(400, "PAGINATION_NUMBER_INVALID", "n is not a number")
    size = min(int(asked), LARGEST_PAGE)
    last = request.query.get("last", "")
    rest = [item for item in items if item > last]
    page = rest[:size]
    if not page or len(rest) <= size:
        return page, {}
    return page, next_link(path, n=str(size), last=page[-1])


def next_link(path: str, **query: str) -> dict[str, str]:
    """Give the `Link` header that names the next page (RFC 8288)."""
    return {"Link": f'<{quote(path)}?{urlencode(query)}>; rel="next"'}


def accepts(request: web.Request, media_type: str) -> bool:
    """Whether the client takes a manifest of this type; without an Accept header it takes any."""
    offered = [
        part.partition(";")[0].strip() for line in request.headers.getall("Accept", []) for part in line.split(",")
    ]
    return not offered or bool({"*/*", "application/*", media_type}.intersection(offered))


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Read a Range header for content of `size` bytes.

    Returns:
        First byte and the one after the last, or None where the whole is to be sent: no header, several ranges, or one
        that is not understood.

    Raises:
        ErrorAnswer: 416 where no byte of the content is in the range.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise ErrorAnswer(416, "RANGE_INVALID", "the range is outside the blob", {"Content-Range": f"bytes */{size}"})
    return start, stop
