"""The demo's registry: the reading half of OCI distribution-spec 1.1 over HTTP.

It does what makes real registries hard to read: tokens that expire, pages, manifests refused for their media type,
redirects to another host, and now and then the answer that there were too many requests.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from backend.demo.images import DemoImages
from backend.demo.images_build import chance
from backend.demo.images_oci import OCI_INDEX, Repository, encode, image_index
from backend.demo.registry_blobs import BlobStorage, send_blob
from backend.demo.registry_protocol import (
    API_VERSION,
    ErrorAnswer,
    Target,
    accepts,
    is_digest,
    next_link,
    page_of,
    parse_path,
)
from backend.demo.registry_tokens import CATALOGUE_SCOPE, TokenServer, pull_scope

#: Repositories whose blobs lie on the second host.
REDIRECTED: Final = ("nim/", "nvidia/")


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def registry_app(
    images: DemoImages,
    *,
    seed: int = 0,
    username: str = "modelyard",
    password: str = "",
    storage: BlobStorage | None = None,
    clock: Callable[[], float] = time.monotonic,
    token_lifetime: int = 60,
    throttle_every: int = 97,
    referrers_page: int = 2,
) -> web.Application:
    """Build the registry's application; its time starts now.

    Args:
        seed: decides which requests are refused for being too many.
        storage: where blobs of `REDIRECTED` repositories are read; None: everything is served here.
        clock: monotonic seconds: tags change and tokens expire by it.
        token_lifetime: seconds.
        throttle_every: of how many requests to a repository one is refused with 429; 0: none.
        referrers_page: most referrers in one answer.
    """
    tokens = TokenServer(username, password, secrets.token_bytes(32), clock, token_lifetime)
    registry = _Registry(images, seed, tokens, storage, clock, throttle_every, referrers_page)
    app = web.Application(middlewares=[_errors])
    app.router.add_get("/v2/", registry.ping)
    app.router.add_get("/v2/_catalog", registry.catalogue)
    app.router.add_get("/auth/token", tokens.handle)
    app.router.add_post("/auth/token", tokens.handle)
    app.router.add_route("*", "/v2/{path:.+}", registry.read)
    return app


def storage_app(storage: BlobStorage) -> web.Application:
    """Build the application of the second host, which blobs are redirected to."""
    app = web.Application(middlewares=[_errors])
    app.router.add_get("/{name:.+}/{digest}", storage.handle)
    return app


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ErrorAnswer as answer:
        return answer.response()


class _Registry:
    def __init__(
        self,
        images: DemoImages,
        seed: int,
        tokens: TokenServer,
        storage: BlobStorage | None,
        clock: Callable[[], float],
        throttle_every: int,
        referrers_page: int,
    ) -> None:
        self._images = images
        self._seed = seed
        self._tokens = tokens
        self._storage = storage
        self._clock = clock
        self._started = clock()
        self._throttle_every = throttle_every
        self._referrers_page = referrers_page
        self._requests: Counter[str] = Counter()

    async def ping(self, request: web.Request) -> web.Response:
        self._tokens.check(request, None)
        return _json({})

    async def catalogue(self, request: web.Request) -> web.Response:
        self._tokens.check(request, CATALOGUE_SCOPE)
        page, link = page_of(request, sorted(self._images.repositories), "/v2/_catalog")
        return _json({"repositories": page}, link)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """Answer everything below a repository's name."""
        target = parse_path(request.match_info["path"])
        if request.method not in {"GET", "HEAD"}:
            raise ErrorAnswer(405, "UNSUPPORTED", "this registry is read-only", {"Allow": "GET, HEAD"})
        self._tokens.check(request, pull_scope(target.name))
        self._throttle(target.name)
        repository = self._images.repositories.get(target.name)
        if repository is None:
            raise ErrorAnswer(404, "NAME_UNKNOWN", "repository name not known to registry")
        if target.kind == "tags":
            return self._tags(request, target.name)
        if target.kind == "manifests":
            return self._manifest(request, repository, target)
        if not is_digest(target.reference):
            raise ErrorAnswer(400, "DIGEST_INVALID", "provided digest is not a sha256 digest")
        if target.kind == "referrers":
            return self._referrers(request, repository, target.reference)
        return await self._blob(request, repository, target.reference)

    def _throttle(self, name: str) -> None:
        if not self._throttle_every:
            return
        offset = chance(self._seed, name, "throttle")
        self._requests[name] += 1
        number = self._requests[name] + offset
        if number % self._throttle_every == 0:
            delay = str(number // self._throttle_every % 2)
            raise ErrorAnswer(429, "TOOMANYREQUESTS", "too many requests", {"Retry-After": delay})

    def _tags(self, request: web.Request, name: str) -> web.Response:
        tags = self._images.tags(name, self._clock() - self._started)
        page, link = page_of(request, sorted(tags), f"/v2/{name}/tags/list")
        return _json({"name": name, "tags": page}, link)

    def _manifest(self, request: web.Request, repository: Repository, target: Target) -> web.Response:
        tags = self._images.tags(repository.name, self._clock() - self._started)
        digest = target.reference if is_digest(target.reference) else tags.get(target.reference, "")
        stored = repository.manifests.get(digest)
        if stored is None:
            raise ErrorAnswer(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if not accepts(request, stored.media_type):
            raise ErrorAnswer(404, "MANIFEST_UNKNOWN", f"the Accept header does not support {stored.media_type}")
        headers = {
            **API_VERSION,
            "Content-Type": stored.media_type,
            "Docker-Content-Digest": digest,
            "ETag": f'"{digest}"',
            "Vary": "Accept",
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=stored.body, headers=headers)

    async def _blob(self, request: web.Request, repository: Repository, digest: str) -> web.StreamResponse:
        blob = repository.blobs.get(digest)
        if blob is None:
            raise ErrorAnswer(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self._storage is not None and repository.name.startswith(REDIRECTED):
            location = self._storage.address(repository.name, digest)
            return web.Response(status=307, headers={**API_VERSION, "Location": location})
        return await send_blob(request, blob, digest)

    def _referrers(self, request: web.Request, repository: Repository, digest: str) -> web.Response:
        entries = repository.referrers.get(digest, [])
        headers: dict[str, str] = {}
        wanted = request.query.get("artifactType")
        if wanted:
            entries = [entry for entry in entries if entry["artifactType"] == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        last = request.query.get("last", "")
        known = [entry["digest"] for entry in entries]
        start = known.index(last) + 1 if last in known else 0
        page = entries[start : start + self._referrers_page]
        if len(entries) > start + len(page):
            query = {"artifactType": wanted} if wanted else {}
            headers |= next_link(f"/v2/{repository.name}/referrers/{digest}", **query, last=page[-1]["digest"])
        return _json(image_index(page), headers, OCI_INDEX)


def _json(value: object, headers: dict[str, str] | None = None, content_type: str = "application/json") -> web.Response:
    return web.Response(body=encode(value), content_type=content_type, headers={**API_VERSION, **(headers or {})})
